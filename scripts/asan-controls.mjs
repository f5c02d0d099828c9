/**
 * Shows that the sanitizers find what is there: an error of memory, a lost block, and a block that is lost in each
 * kind of process that gneiss consists of; and that they find nothing where nothing is.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { judgeReports, readProcesses } from './asan-reports.mjs'

/**
 * @typedef {object} Surroundings
 * @property {string} checkout Whose `dist` has the watched addon.
 * @property {string} reports Folder of the reports.
 * @property {(name: string, options?: Record<string, number>) => Record<string, string>} environment For reports under `name`.
 */

/**
 * @typedef {object} Control
 * @property {string} name
 * @property {readonly string[]} args Of Node.
 * @property {'error' | 'leak' | 'nothing'} expected
 * @property {string} [kind] The kind of process that has to have been checked.
 * @property {boolean} [isServer] It is told to end when it is ready.
 * @property {Record<string, number>} [options] Of the sanitizers.
 */

/** What `probeLeak` loses. */
const LOST = /(?:Direct|Indirect) leak of 4321 byte/

/**
 * @param {Surroundings} surroundings
 */
export async function runControls(surroundings) {
  const counts = { passed: 0, failed: 0 }
  const { checkout } = surroundings
  for (const control of controlsIn(checkout)) {
    const { code, output } = await start(control, surroundings)
    const fault = code === 0 ? faultOf(control, surroundings) : `it ended with ${code}: ${output}`
    if (fault !== undefined) process.stderr.write(`${control.name}: ${fault}\n`)
    counts[fault === undefined ? 'passed' : 'failed']++
  }
  rmSync(specIn(checkout))
  return counts
}

/**
 * @param {string} checkout
 * @returns {Control[]}
 */
function controlsIn(checkout) {
  const folder = join(checkout, 'controls')
  mkdirSync(folder, { recursive: true })
  const dist = join(checkout, 'dist')
  const loading = `(await import(${JSON.stringify(join(dist, 'native', 'binding.js'))})).loadAddon()`
  const lose = `${loading}.probeLeak()`
  const program = (/** @type {string} */ text) => ['--input-type=module', '--eval', text]
  /** @type {(name: string, text: string) => string} */
  const file = (name, text) => {
    writeFileSync(join(folder, name), `${text}\n`)
    return join(folder, name)
  }
  const app = `export const fetch = () => new Response('ok')`
  const plain = file('app.mjs', app)
  const losing = file('losing.mjs', `${lose}\n${app}`)
  const config = file('config.mjs', `export const onStarting = async () => ${lose}`)
  const serve = (/** @type {string} */ body, /** @type {string} */ mode) => `
    import { serve } from ${JSON.stringify(join(dist, 'index.js'))}
    const server = await serve(async () => new Response('ok'), { bind: '127.0.0.1:0', runtimeMode: '${mode}' })
    await (await fetch(server.url)).text();
    ${body}`
  const isolate = (/** @type {string} */ name, /** @type {string} */ body, /** @type {string} */ mode) =>
    file(
      `in-${name}`,
      `import { Worker } from 'node:worker_threads'
       import { once } from 'node:events'
       const worker = new Worker(${JSON.stringify(file(name, `import { parentPort } from 'node:worker_threads'\n${serve(`${body}; parentPort.postMessage('ready')`, mode)}`))})
       await once(worker, 'message')
       await worker.terminate()`,
    )
  const cli = join(dist, 'cli.js')
  const bind = ['--bind', '127.0.0.1:0']
  /** @type {Control[]} */
  const controls = [
    {
      name: 'bare',
      args: ['-e', 'new Promise((resolve) => setTimeout(resolve, 10))'],
      expected: 'nothing',
      options: { leak_check_at_exit: 1 },
    },
    { name: 'loaded', args: program(`${loading}.about()`), expected: 'nothing', kind: 'program' },
    { name: 'overflow', args: program(`${loading}.probeOverflow()`), expected: 'error' },
    { name: 'leak', args: program(lose), expected: 'leak', kind: 'program' },
    {
      name: 'leak-at-once',
      args: program(`${lose}; process.exit()`),
      expected: 'leak',
      kind: 'program',
    },
  ]
  for (const mode of ['loop', 'thread']) {
    const end = `await server.close()`
    const driver = ['--runtime-mode', mode]
    controls.push(
      ...endings('served', mode, [serve(end, mode), serve(`${lose};${end}`, mode)], file),
      ...endings('served-exit', mode, [serve('process.exit()', mode), serve(`${lose}; process.exit()`, mode)], file),
      {
        name: `isolate-${mode}`,
        args: [isolate(`clean-${mode}.mjs`, '', mode)],
        expected: 'nothing',
        kind: 'program',
      },
      {
        name: `isolate-losing-${mode}`,
        args: [isolate(`losing-${mode}.mjs`, lose, mode)],
        expected: 'leak',
        kind: 'program',
      },
    )
    const single = 'command line without workers'
    /** @type {[string, string, readonly string[], 'leak' | 'nothing'][]} */
    const servers = [
      ['single', single, [plain, '--workers', '0'], 'nothing'],
      ['single-losing', single, [losing, '--workers', '0'], 'leak'],
      ['workers', 'master', [plain, '--workers', '1'], 'nothing'],
      ['worker-losing', 'worker', [losing, '--workers', '1'], 'leak'],
      ['master-losing', 'master', [plain, '--workers', '1', '--config', config], 'leak'],
    ]
    for (const [name, kind, args, expected] of servers)
      controls.push({
        name: `${name}-${mode}`,
        args: [cli, ...args, ...bind, ...driver],
        expected,
        kind,
        isServer: true,
      })
  }
  writeFileSync(
    specIn(checkout),
    `import { test } from 'vitest'\n\ntest('loses a block', async () => {\n  ${lose}\n})\n`,
  )
  const vitest = join(checkout, 'node_modules', 'vitest', 'vitest.mjs')
  const args = [vitest, 'run', '--root', checkout, '--project', 'loop', '--reporter=dot', '__test__/losing.spec.ts']
  controls.push({ name: 'spec-losing', args, expected: 'leak', kind: 'spec' })
  return controls
}

/**
 * A spec that is one only as long as the controls run.
 * @param {string} checkout
 */
function specIn(checkout) {
  return join(checkout, '__test__', 'losing.spec.ts')
}

/**
 * A program that is clean and one that is not.
 * @param {string} name
 * @param {string} mode
 * @param {readonly [string, string]} texts
 * @param {(name: string, text: string) => string} file
 * @returns {Control[]}
 */
function endings(name, mode, [clean, losing], file) {
  return [
    { name: `${name}-${mode}`, args: [file(`${name}-${mode}.mjs`, clean)], expected: 'nothing', kind: 'program' },
    {
      name: `${name}-losing-${mode}`,
      args: [file(`${name}-losing-${mode}.mjs`, losing)],
      expected: 'leak',
      kind: 'program',
    },
  ]
}

/**
 * @param {Control} control
 * @param {Surroundings} surroundings
 */
async function start({ name, args, isServer, options }, { environment, checkout }) {
  const env = { ...process.env, ...environment(`control-${name}`, options) }
  const child = spawn(process.execPath, args, { env, cwd: checkout, timeout: 120_000, killSignal: 'SIGKILL' })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
      if (isServer === true && output.includes('"event":"ready"')) child.kill('SIGTERM')
    })
  }
  const [code, signal] = await once(child, 'close')
  return { code: signal ?? code, output }
}

/**
 * What is not as it must be.
 * @param {Control} control
 * @param {Surroundings} surroundings
 */
function faultOf({ name, expected, kind }, { checkout, reports }) {
  const { errors, leaks } = judgeReports(reports, `control-${name}`, join(checkout, 'dist'))
  const processes = readProcesses(reports, `control-${name}`)
  if (kind !== undefined && (processes[kind]?.checked ?? 0) === 0)
    return `no ${kind} was checked for leaks, only ${JSON.stringify(processes)}`
  // A runtime that does not even start reports nothing either: then the other controls find nothing.
  if (expected === 'error') return errors.length === 1 ? undefined : 'the error was not found'
  if (errors.length > 0) return `errors: ${errors.join('\n')}`
  if (expected === 'nothing') return leaks.length === 0 ? undefined : `leaks: ${leaks.join('\n')}`
  return leaks.length === 1 && LOST.test(leaks[0] ?? '')
    ? undefined
    : `the lost block is not what was found: ${leaks.join('\n')}`
}
