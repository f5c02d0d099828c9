/**
 * `npm run test:asan [-- FILTER...]`: the whole suite in both modes on stock Node, with an addon that the address
 * and leak sanitizers watch. Ends with `N passed, N failed`; every report in which a frame is ours is a failure.
 *
 * There is no suppressions file, on purpose. A suppression matches any frame of a stack, and everything that we
 * allocate is called by V8: one that hides V8's own blocks would hide ours. Blocks without a frame of ours are
 * counted instead and named in the summary: V8 leaves its heap behind in a process that ends by `process.exit`.
 */
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

import { ROOT, mustRun, run } from './command.mjs'
import { buildInstrument } from './instruments.mjs'
import { Totals } from './totals.mjs'

const TARGET = join(ROOT, 'target', 'asan')
const CHECKOUT = join(TARGET, 'checkout')
const REPORTS = join(TARGET, 'reports')
/** They start compilers, which are no Node under test, or look at the sources only. */
const LEFT_OUT = ['__test__/instruments/**', '__test__/tidy.spec.ts', '__test__/bundle.spec.ts']
/** A frame of ours: the addon, or a source file of our crates. */
const OURS = /gneiss\.[\w-]+\.node|crates\/(core|node)\/src\//

const filters = process.argv.slice(2)
const totals = new Totals()
const runtime = await buildRuntime()
const dist = await buildInstrument('asan')
prepareCheckout(filesOf())

await totals.add('the sanitizers find what is there, and nothing where nothing is', controls)
for (const mode of ['loop', 'thread']) await totals.add(`specs, ${mode} mode`, () => specs(mode))
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
  for (const file of files) {
    mkdirSync(dirname(join(CHECKOUT, file)), { recursive: true })
    copyFileSync(join(ROOT, file), join(CHECKOUT, file))
  }
  symlinkSync(join(ROOT, 'node_modules'), join(CHECKOUT, 'node_modules'))
  renameSync(dist, join(CHECKOUT, 'dist'))
}

/** @param {string} name Of the reports that follow. */
function environment(name) {
  const options = {
    log_path: join(REPORTS, name),
    // The reports decide, not the code of a process that V8 has left its heap in.
    exitcode: 0,
    detect_leaks: 1,
  }
  const text = Object.entries(options).map(([key, value]) => `${key}=${value}`)
  return { LD_PRELOAD: runtime, ASAN_OPTIONS: text.join(':') }
}

async function controls() {
  const addon = JSON.stringify(join(CHECKOUT, 'dist', 'binding.cjs'))
  const cases = [
    { name: 'bare', program: 'new Promise((resolve) => setTimeout(resolve, 10))', expected: undefined },
    { name: 'loaded', program: `require(${addon}).about()`, expected: undefined },
    { name: 'overflow', program: `require(${addon}).probeOverflow()`, expected: /heap-buffer-overflow/ },
    { name: 'leak', program: `require(${addon}).probeLeak()`, expected: /Direct leak of 4321 byte/ },
  ]
  const counts = { passed: 0, failed: 0 }
  for (const { name, program, expected } of cases) {
    const { code } = await run(process.execPath, ['-e', program], { env: environment(`control-${name}`) })
    const found = reports(`control-${name}`)
    // A runtime that does not even start reports nothing either.
    const isRight = code === 0 && (expected === undefined ? found === '' : expected.test(found))
    if (!isRight) process.stderr.write(`${name}: ${found === '' ? 'no report' : found}\n`)
    counts[isRight ? 'passed' : 'failed']++
  }
  return counts
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
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8'))
  const { errors, ours, others } = judge(reports(mode))
  process.stdout.write(
    `${mode}: ${errors.length} errors, ${ours.length} leaked blocks of ours, ${others} blocks of Node and V8\n`,
  )
  for (const text of [...errors, ...ours].slice(0, 20)) process.stderr.write(`${text}\n\n`)
  return { passed: numPassedTests, failed: numFailedTests + errors.length + ours.length }
}

/** @param {string} name */
function reports(name) {
  const files = readdirSync(REPORTS).filter((file) => file.startsWith(`${name}.`))
  return files.map((file) => readFileSync(join(REPORTS, file), 'utf8')).join('\n')
}

/**
 * Parts reports into errors, leaks of ours and the rest.
 * @param {string} text
 */
function judge(text) {
  const blocks = text.split('\n\n')
  const leaks = blocks.filter((block) => /^\s*(Direct|Indirect) leak of/.test(block))
  const ours = leaks.filter((block) => OURS.test(block))
  const errors = blocks.filter((block) => /ERROR: AddressSanitizer/.test(block))
  return { errors, ours, others: leaks.length - ours.length }
}
