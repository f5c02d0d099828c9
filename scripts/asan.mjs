/**
 * `npm run test:asan [-- [--mode loop|thread] [--no-controls] FILTER...]`: the whole suite in both modes on stock
 * Node, with an addon that the address and leak sanitizers watch. Ends with `N passed, N failed`. Every error is a
 * failure, and so is every leaked block that is not one of `LEFT_BY_DESIGN` in `asan-reports.mjs`.
 *
 * Each process that loads the addon is checked when it ends, by the addon itself, which also says so: what ended
 * without a check is counted.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'

import { runControls } from './asan-controls.mjs'
import { judgeReports, readProcesses } from './asan-reports.mjs'
import { ROOT, mustRun, run } from './command.mjs'
import { buildInstrument } from './instruments.mjs'
import { Totals } from './totals.mjs'

const TARGET = join(ROOT, 'target', 'asan')
const CHECKOUT = join(TARGET, 'checkout')
const REPORTS = join(TARGET, 'reports')
/** They start compilers, which are no Node under test, or look at the sources only. */
const LEFT_OUT = [
  '__test__/instruments/**',
  '__test__/bundle.spec.ts',
  '__test__/package.spec.ts',
  '__test__/start.spec.ts',
  '__test__/tidy.spec.ts',
]

const { values, positionals: filters } = parseArgs({
  options: {
    mode: { type: 'string', multiple: true, default: ['loop', 'thread'] },
    controls: { type: 'boolean', default: true },
  },
  allowNegative: true,
  allowPositionals: true,
})
const totals = new Totals()
const runtime = await buildRuntime()
const dist = await buildInstrument('asan')
prepareCheckout(filesOf())

if (values.controls)
  await totals.add('the sanitizers find what is there, and nothing where nothing is', () =>
    runControls({ checkout: CHECKOUT, reports: REPORTS, environment }),
  )
for (const mode of values.mode) await totals.add(`specs, ${mode} mode`, () => specs(mode))
totals.finish(undefined)

/**
 * The sanitizer's runtime as a library that can be preloaded: the compiler ships it as an archive for programs.
 * It is the one of this very compiler, so that the two fit.
 */
async function buildRuntime() {
  // Not `libasan`: the runtime takes that for another one and refuses to start beside it.
  const library = join(TARGET, 'librustc_asan.so')
  if (existsSync(library)) return library
  mkdirSync(TARGET, { recursive: true })
  const sysroot = execFileSync('rustc', ['--print', 'sysroot'], { cwd: ROOT, encoding: 'utf8' }).trim()
  const folder = join(sysroot, 'lib', 'rustlib', 'x86_64-unknown-linux-gnu', 'lib')
  const name = readdirSync(folder).find((file) => file.endsWith('_rt.asan.a'))
  if (name === undefined) throw new Error(`the compiler in ${sysroot} has no address sanitizer`)
  const archive = join(TARGET, 'asan.a')
  copyFileSync(join(folder, name), archive)
  // Starts the runtime before a program's own constructors; a library may not have such a section and needs none.
  await mustRun('ar', ['d', archive, 'asan_preinit.cpp.o'])
  const whole = ['-Wl,--whole-archive', archive, '-Wl,--no-whole-archive']
  await mustRun('cc', ['-shared', '-o', library, ...whole, '-lpthread', '-ldl', '-lm', '-lrt'])
  return library
}

/** What git knows of, committed or not. */
function filesOf() {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z']
  const list = execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' })
  return list.split('\0').filter((file) => file !== '' && existsSync(join(ROOT, file)))
}

/**
 * A checkout whose `dist` has the watched addon: specs import `dist`, and what ships there is not touched.
 * @param {readonly string[]} files
 */
function prepareCheckout(files) {
  rmSync(CHECKOUT, { recursive: true, force: true })
  rmSync(REPORTS, { recursive: true, force: true })
  mkdirSync(REPORTS, { recursive: true })
  // A process that gives up root has to read and to report as well.
  chmodSync(REPORTS, 0o1777)
  chmodSync(dist, 0o755)
  for (const file of files) {
    mkdirSync(dirname(join(CHECKOUT, file)), { recursive: true })
    copyFileSync(join(ROOT, file), join(CHECKOUT, file))
  }
  // Rules over sources ask git which there are.
  execFileSync('git', ['init', '--quiet'], { cwd: CHECKOUT })
  writeFileSync(join(CHECKOUT, '.git', 'info', 'exclude'), '/node_modules\n/controls\n')
  symlinkSync(join(ROOT, 'node_modules'), join(CHECKOUT, 'node_modules'))
  renameSync(dist, join(CHECKOUT, 'dist'))
}

/**
 * @param {string} name Of the reports that follow.
 * @param {Record<string, number>} [more] Options of the sanitizers.
 */
function environment(name, more = {}) {
  const options = {
    log_path: join(REPORTS, name),
    // The reports decide, not the code of a process that V8 has left its heap in.
    exitcode: 0,
    detect_leaks: 1,
    // The addon has it checked at the end, and notes that; a process without the addon is none of ours.
    leak_check_at_exit: 0,
    // Names are looked up when all have ended.
    symbolize: 0,
    ...more,
  }
  const text = Object.entries(options).map(([key, value]) => `${key}=${value}`)
  return { LD_PRELOAD: runtime, ASAN_OPTIONS: text.join(':') }
}

/** @param {string} mode */
async function specs(mode) {
  const report = join(TARGET, `${mode}.json`)
  rmSync(report, { force: true })
  const vitest = join(CHECKOUT, 'node_modules', 'vitest', 'vitest.mjs')
  const left = LEFT_OUT.map((path) => `--exclude=${path}`)
  const output = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  // Everything is two to four times as slow.
  const limits = ['--testTimeout=120000', '--hookTimeout=120000']
  const args = [vitest, 'run', '--root', CHECKOUT, '--project', mode, ...output, ...left, ...limits, ...filters]
  await run(process.execPath, args, { env: environment(mode), cwd: CHECKOUT })
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'))
  const { errors, leaks, byDesign, napi, foreign } = judgeReports(REPORTS, mode, join(CHECKOUT, 'dist'))
  // A file that cannot be read has no tests, and none of them has failed.
  const broken = testResults.filter(
    (/** @type {{ status: string, assertionResults: unknown[] }} */ file) =>
      file.status === 'failed' && file.assertionResults.length === 0,
  ).length
  const count = `${testResults.length} files, ${broken} of them not run`
  process.stdout.write(`${mode}: ${count}, ${numPassedTests} passed, ${numFailedTests} failed\n`)
  process.stdout.write(`${mode}: ${errors.length} errors, ${leaks.length} leaked blocks\n`)
  process.stdout.write(
    `${mode}: ${byDesign} blocks left by V8 by design, ${napi} lost by napi-rs, ${foreign} of other addons\n`,
  )
  for (const [kind, { checked, unchecked }] of Object.entries(readProcesses(REPORTS, mode))) {
    process.stdout.write(`${mode}: ${kind}: ${checked} processes checked, ${unchecked.length} ended without a check\n`)
    for (const command of unchecked) process.stdout.write(`${mode}:   ${command.slice(0, 200)}\n`)
  }
  for (const text of [...errors, ...leaks].slice(0, 20)) process.stderr.write(`${text}\n\n`)
  return { passed: numPassedTests, failed: broken + numFailedTests + errors.length + leaks.length }
}
