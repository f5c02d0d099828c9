/**
 * Whether a request costs the same after many requests as at the start, in CPU and in memory.
 *
 * gneiss and node:http take turns of one second until each gneiss server has answered enough. Three checks, and an exit
 * code of 1 when one fails: the CPU cost of the last tenth is within 10 % of the first tenth, with a rise that node:http
 * shows on the same machine divided out; the heap after a collection has not grown; resident memory does not
 * grow faster than that of node:http. A server that leaves a gauge above zero at its end fails the run as well.
 */
import { get } from 'node:http'
import { parseArgs } from 'node:util'

import { assertAnswer } from './lib/answers.mjs'
import { generateLoad, generatorVersion } from './lib/generator.mjs'
import { cpuBetween, cpuOf, rssOf } from './lib/process-tree.mjs'
import { commitOf, machineOf, writeResult } from './lib/results.mjs'
import { SCENARIOS } from './lib/scenarios.mjs'
import { ServerProcess } from './lib/server-process.mjs'
import { SERVERS, gneissUnavailable } from './lib/servers.mjs'
import { checkSoak, soakReportOf } from './lib/soak-checks.mjs'

const HELP = `Usage: node benchmark/soak.mjs [options]

  --requests N       requests a gneiss server has to answer (1000000)
  --servers A,B      which (gneiss-rsgi,gneiss-thread,gneiss-fetch,gneiss-asgi); node-http always runs beside them
  --max-seconds N    ends after so long with what it has (600)
  --help             this text

A run changed by options is printed and not written.
`
const CONTROL = 'node-http'
const WARMUP = 5
const SLICE = 1
const SLICES_AT_LEAST = 20

const { values: options } = parseArgs({
  options: {
    requests: { type: 'string' },
    servers: { type: 'string' },
    'max-seconds': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
if (options.help) process.stdout.write(HELP)
else {
  await main().catch((error) => {
    process.stderr.write(`${error.stack ?? error}\n`)
    // Not only an exit code: a server that is still running would keep this process alive.
    process.exit(1)
  })
}

async function main() {
  const generator = generatorVersion()
  const reason = gneissUnavailable()
  if (reason !== undefined) throw new Error(`gneiss is not built: ${reason}.`)
  const names = (options.servers ?? 'gneiss-rsgi,gneiss-thread,gneiss-fetch,gneiss-asgi').split(',')
  const unknown = names.find((name) => SERVERS[name]?.isOurs !== true)
  if (unknown !== undefined) throw new Error(`--servers: ${unknown} is no gneiss server.`)
  const settings = { requests: number('requests', 1_000_000), maxSeconds: number('max-seconds', 600) }
  const runs = []
  for (const name of [CONTROL, ...names]) runs.push(await begin(SERVERS[name]))
  await runSlices(runs, settings)
  for (const run of runs) await finish(run)
  const servers = Object.fromEntries(
    runs.map(({ server, slices, heap }) => [server.name, { title: server.title, slices, heap }]),
  )
  const result = {
    kind: 'soak',
    date: new Date().toISOString(),
    machine: machineOf(),
    versions: { commit: commitOf(), node: process.versions.node, generator },
    settings,
    servers,
    checks: checkSoak(servers, CONTROL),
  }
  process.stdout.write(`\n${soakReportOf(result)}\n`)
  const isChanged = Object.keys(options).some((name) => name !== 'help')
  process.stdout.write(
    isChanged ? 'Not written: the run was changed by options.\n' : `Written to ${writeResult(result)}\n`,
  )
  if (result.checks.some(({ passed }) => !passed)) process.exitCode = 1
}

async function begin(server) {
  const scenario = { ...SCENARIOS.find(({ name }) => name === 'hello-10'), app: 'soak' }
  const running = await ServerProcess.start(server, 'soak', { node: ['--expose-gc'] })
  await assertAnswer(scenario, running)
  await generateLoad(scenario, running, WARMUP)
  return { server, scenario, running, slices: [], heap: { before: await heapUsed(running), after: 0 } }
}

async function runSlices(runs, { requests, maxSeconds }) {
  const end = performance.now() + maxSeconds * 1000
  const isDone = ({ server, slices }) =>
    server.name === CONTROL || (slices.length >= SLICES_AT_LEAST && sum(slices) >= requests)
  for (let round = 0; !runs.every(isDone) && performance.now() < end; round++) {
    for (const run of round % 2 === 0 ? runs : runs.toReversed()) await takeSlice(run)
    const counts = runs.map(({ server, slices }) => `${server.name} ${sum(slices)}`)
    process.stderr.write(`${counts.join(', ')}\n`)
  }
}

async function takeSlice({ scenario, running, slices }) {
  const before = cpuOf(running.pid)
  const { requests } = await generateLoad(scenario, running, SLICE)
  const used = cpuBetween(before, cpuOf(running.pid))
  slices.push({ requests, cpu: used.total / requests, rss: rssOf(running.pid) })
}

async function finish(run) {
  run.heap.after = await heapUsed(run.running)
  await assertAnswer(run.scenario, run.running)
  await run.running.stop()
}

/** What the server's JavaScript heap holds, in bytes, after it has collected garbage. */
async function heapUsed(running) {
  const response = await new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port: running.port, path: '/memory', agent: false }, resolve).once('error', reject)
  })
  const text = (await response.setEncoding('utf8').toArray()).join('')
  if (response.statusCode !== 200) throw running.failure(`/memory answered ${response.statusCode}`)
  return JSON.parse(text).heapUsed
}

function sum(slices) {
  return slices.reduce((total, { requests }) => total + requests, 0)
}

function number(option, fallback) {
  const value = options[option] === undefined ? fallback : Number(options[option])
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${option}: ${options[option]} is no whole number above 0.`)
  return value
}
