/**
 * `npm run fuzz`: throws bred bytes at every parser of the engine and at whole connections, 60 seconds each.
 *
 * - `--target NAME` (may be repeated) chooses targets; `--seconds N` how long each runs;
 * - `--grow` keeps the inputs that reached something new in `fuzz/corpus`, as few of them as reach it all;
 * - `--coverage` runs no fuzzer: it prints the line coverage of the codec from the corpora and stores it for
 *   docs/hardening.md, which needs the component `llvm-tools` of rustup.
 *
 * libFuzzer needs a C++ compiler. The stable compiler is told to accept the flags of the sanitizers.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { ROOT, run } from './command.mjs'

const FOLDER = join(ROOT, 'fuzz')
const CORPUS = join(FOLDER, 'corpus')
const TARGETS = readdirSync(join(FOLDER, 'targets')).map((file) => file.replace('.rs', ''))
/** Inputs of the codec are small; what is long is long by repetition. */
const LONGEST_INPUT = 4096
/** A target that needs longer for one input hangs. */
const HANG_SECONDS = 5

const FUZZ_FLAGS = [
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '-Zsanitizer=address',
  '--cfg=fuzzing',
]

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true, default: TARGETS },
    seconds: { type: 'string', default: '60' },
    grow: { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: false },
  },
})

if (values.coverage) await coverage()
else await fuzz()

async function fuzz() {
  const unknown = values.target.filter((name) => !TARGETS.includes(name))
  if (unknown.length > 0) throw new Error(`no target ${unknown.join(', ')}; there are ${TARGETS.join(', ')}`)
  const host = hostTriple()
  const { code } = await run(
    'cargo',
    ['build', '--release', '--locked', '--manifest-path', join(FOLDER, 'Cargo.toml'), '--target', host],
    { env: { RUSTC_BOOTSTRAP: '1', RUSTFLAGS: FUZZ_FLAGS.join(' ') } },
  )
  if (code !== 0) throw new Error('the targets could not be built')
  for (const target of values.target) {
    process.stdout.write(`\nfuzz ${target}\n`)
    if (!(await fuzzOne(target, join(FOLDER, 'target', host, 'release', target)))) process.exitCode = 1
  }
}

/**
 * @param {string} target
 * @param {string} binary
 */
async function fuzzOne(target, binary) {
  const found = mkdtempSync(join(tmpdir(), 'gneiss-fuzz-'))
  const crashes = join(FOLDER, 'crashes', target)
  mkdirSync(crashes, { recursive: true })
  const limits = [`-max_len=${LONGEST_INPUT}`, `-timeout=${HANG_SECONDS}`, '-rss_limit_mb=1024', '-print_final_stats=1']
  const corpus = join(CORPUS, target)
  const { code } = await run(binary, [
    ...limits,
    '-jobs=0',
    `-max_total_time=${values.seconds}`,
    `-artifact_prefix=${crashes}/`,
    '-verbosity=0',
    found,
    corpus,
  ])
  if (code === 0 && values.grow) await run(binary, [...limits, '-merge=1', '-verbosity=0', corpus, found])
  rmSync(found, { recursive: true })
  if (code !== 0) process.stdout.write(`${target} broke a promise; the input is in ${crashes}\n`)
  return code === 0
}

/** Runs the replay of the corpora alone and reads which lines of the codec it reached. */
async function coverage() {
  const host = hostTriple()
  const sysroot = output('rustc', ['--print', 'sysroot']).trim()
  const tool = (/** @type {string} */ name) => join(sysroot, 'lib', 'rustlib', host, 'bin', name)
  const folder = mkdtempSync(join(tmpdir(), 'gneiss-coverage-'))
  const env = {
    RUSTFLAGS: '-Cinstrument-coverage',
    CARGO_TARGET_DIR: join(ROOT, 'target', 'coverage'),
    LLVM_PROFILE_FILE: join(folder, '%p-%m.profraw'),
  }
  const args = ['build', '--locked', '--package', 'gneiss-core', '--features', 'fuzz', '--example', 'replay']
  const binary = output('cargo', [...args, '--message-format=json'], env)
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => /** @type {{ executable?: string | null }} */ (JSON.parse(line)).executable)
    .findLast((executable) => typeof executable === 'string')
  if (binary === undefined || binary === null) throw new Error('the replay could not be built')
  const { code } = await run(binary, [], { env })
  if (code !== 0) throw new Error('the replay of the corpora failed')
  const profiles = readdirSync(folder).map((name) => join(folder, name))
  const merged = join(folder, 'merged.profdata')
  output(tool('llvm-profdata'), ['merge', '-sparse', ...profiles, '-o', merged])
  const report = output(tool('llvm-cov'), ['export', '-summary-only', `-instr-profile=${merged}`, binary])
  rmSync(folder, { recursive: true })
  print(/** @type {Report} */ (JSON.parse(report)))
}

/**
 * @typedef {{ data: { files: { filename: string, summary: { lines: { count: number, covered: number } } }[] }[] }} Report
 * @param {Report} report
 */
function print(report) {
  const files = (report.data[0]?.files ?? []).filter(
    ({ filename }) => /crates\/core\/src\/http1\//.test(filename) && !filename.endsWith('_tests.rs'),
  )
  let count = 0
  let covered = 0
  for (const { filename, summary } of files) {
    count += summary.lines.count
    covered += summary.lines.covered
    const share = ((100 * summary.lines.covered) / Math.max(1, summary.lines.count)).toFixed(1)
    process.stdout.write(`${share.padStart(6)} %  ${filename.slice(filename.indexOf('crates/'))}\n`)
  }
  process.stdout.write(`${((100 * covered) / count).toFixed(1)} % of ${count} lines of the codec\n`)
  writeFileSync(join(FOLDER, 'coverage.json'), `${JSON.stringify({ lines: count, covered })}\n`)
}

function hostTriple() {
  const found = /^host: (.+)$/m.exec(output('rustc', ['-vV']))
  if (found?.[1] === undefined) throw new Error('rustc does not name its host')
  return found[1]
}

/**
 * What a command says, without showing it.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {Record<string, string>} [env] Added to ours.
 */
function output(command, args, env = {}) {
  return execFileSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}
