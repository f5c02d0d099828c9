/**
 * Compares gneiss with other servers in one interleaved run and writes a dated result file.
 * `node benchmark/bench.mjs --help` lists the options; `README.md` beside this file says what the numbers mean.
 */
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

import { generatorVersion } from './lib/generator.mjs'
import { takeSample } from './lib/measure.mjs'
import { reportOf } from './lib/report.mjs'
import { commitOf, machineOf, writeResult } from './lib/results.mjs'
import { SCENARIOS } from './lib/scenarios.mjs'
import { killServers } from './lib/server-process.mjs'
import { RIVALS, SERVERS, gneissUnavailable, missingRivals } from './lib/servers.mjs'
import { checkTargets } from './lib/targets.mjs'

const HELP = `Usage: node benchmark/bench.mjs [options]

  --quick             hello with 1 and 10 headers, 3 rounds of 2 s: under 3 minutes
  --streams           the streams, without Fastify, 3 rounds of 2 s: under 3 minutes
  --workers           start, and hello behind 1 ms of computing with 1 and 2 workers, 4 rounds of 2 s: under 4 minutes
  --scenarios A,B     only these: ${SCENARIOS.map(({ name }) => name).join(', ')}
  --servers A,B       only these: ${Object.keys(SERVERS).join(', ')}
  --rounds N          rounds (5, quick and streams: 3, workers: 4)
  --seconds N         seconds measured a sample, whole (3, a short run: 2)
  --warmup N          seconds of load before that, whole (1)
  --write             write a result file although the run was changed by an option above
  --help              this text

A run changed by --scenarios, --servers, --rounds, --seconds or --warmup is printed and not written.
`

/** The figure shown while the run goes on. */
const HEADLINES = {
  load: ['cpu', 'µs CPU/request'],
  idle: ['kibEach', 'KiB a connection'],
  start: ['milliseconds', 'ms'],
}

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    streams: { type: 'boolean', default: false },
    workers: { type: 'boolean', default: false },
    scenarios: { type: 'string' },
    servers: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    warmup: { type: 'string' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
/** Which short run this is, undefined for the long one. */
const set = /** @type {const} */ (['quick', 'streams', 'workers']).find((name) => options[name])
if (options.help) process.stdout.write(HELP)
else await main().catch(fail)

async function main() {
  if (process.platform !== 'linux') throw new Error('The benchmark reads CPU times from /proc and runs on Linux only.')
  const generator = generatorVersion()
  const timing = {
    rounds: whole('rounds', set === undefined ? 5 : set === 'workers' ? 4 : 3),
    seconds: whole('seconds', set === undefined ? 3 : 2),
    warmup: whole('warmup', 1),
  }
  const { servers, skipped } = chooseServers()
  const scenarios = chooseScenarios(servers)
  const measured = []
  const failures = []
  for (const scenario of scenarios) {
    try {
      measured.push({ ...scenario, samples: await measureScenario(scenario, servers, timing) })
    } catch (error) {
      // The other scenarios still tell something; the run as a whole has failed.
      failures.push(`${scenario.name}: ${error.message}`)
      process.stderr.write(`${scenario.name} failed: ${error.stack}\n`)
      await killServers()
    }
  }
  const result = {
    kind: set ?? 'full',
    date: new Date().toISOString(),
    machine: machineOf(),
    versions: { commit: commitOf(), node: process.versions.node, v8: process.versions.v8, generator },
    settings: timing,
    servers: Object.fromEntries(
      servers
        .filter(({ name }) => scenarios.some((scenario) => scenario.servers.includes(name)))
        .map((server) => [server.name, { title: server.title, version: server.version() }]),
    ),
    skipped,
    scenarios: measured.map(({ servers: _, set: __, ...scenario }) => scenario),
    targets: checkTargets(Object.fromEntries(measured.map(({ name, samples }) => [name, samples]))),
  }
  process.stdout.write(`\n${reportOf(result)}\n`)
  const isChanged = ['scenarios', 'servers', 'rounds', 'seconds', 'warmup'].some((name) => options[name] !== undefined)
  if (failures.length > 0) {
    process.stdout.write(`Failed and not written:\n${failures.join('\n')}\n`)
    process.exitCode = 1
  } else if (!isChanged || options.write) process.stdout.write(`Written to ${writeResult(result)}\n`)
  else process.stdout.write('Not written: the run was changed by options (--write writes it all the same).\n')
}

/** Samples by server, a list by round. The order is turned round each time, so a drift of the machine hits all alike. */
async function measureScenario(scenario, servers, timing) {
  const rounds = options.rounds === undefined ? (scenario.rounds ?? timing.rounds) : timing.rounds
  const taking = servers.filter((server) => scenario.servers.includes(server.name))
  const samples = Object.fromEntries(taking.map((server) => [server.name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const server of round % 2 === 0 ? taking : taking.toReversed()) {
      const sample = await takeSample(scenario, server, timing)
      samples[server.name].push(sample)
      const [figure, unit] = HEADLINES[scenario.kind]
      const place = `${scenario.name}  round ${round + 1}/${rounds}`
      process.stderr.write(`${place}  ${server.name.padEnd(12)} ${sample[figure].toFixed(2)} ${unit}\n`)
    }
  }
  return samples
}

/** Who takes part, and why the others cannot. Gneiss may be left out only by name: a run without it proves nothing. */
function chooseServers() {
  const wanted = chosen('servers', Object.keys(SERVERS)) ?? Object.keys(SERVERS)
  const servers = wanted
    .map((name) => SERVERS[name])
    .filter((server) => set === undefined || options.servers !== undefined || isInSet(server))
  const reason = servers.some((server) => server.isOurs) ? gneissUnavailable() : undefined
  if (reason !== undefined) throw new Error(`gneiss is not built: ${reason}.`)
  if (servers.some((server) => server.name !== 'node-http')) installRivals()
  const skipped = {}
  for (const server of servers) {
    const why = server.unavailable()
    if (why === undefined) continue
    skipped[server.title] = why
    process.stderr.write(`skipped ${server.title}: ${why}\n`)
  }
  return { servers: servers.filter((server) => skipped[server.title] === undefined), skipped }
}

function chooseScenarios(servers) {
  const wanted = chosen(
    'scenarios',
    SCENARIOS.map(({ name }) => name),
  )
  return SCENARIOS.filter((scenario) =>
    wanted === undefined ? set === undefined || scenario.set === set : wanted.includes(scenario.name),
  ).filter((scenario) => servers.some(({ name }) => scenario.servers.includes(name)))
}

function isInSet(server) {
  return !server.fullOnly && !(set === 'streams' && server.name === 'fastify')
}

function installRivals() {
  const missing = missingRivals()
  if (missing.length === 0) return
  process.stderr.write(`installing ${missing.join(', ')} into benchmark/rivals/node_modules\n`)
  const { status } = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: RIVALS,
    stdio: ['ignore', 2, 2],
  })
  if (status !== 0)
    throw new Error('The rival packages could not be installed: `npm ci --ignore-scripts` in benchmark/rivals.')
}

function chosen(option, known) {
  const names = options[option]?.split(',')
  const unknown = names?.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new Error(`--${option}: ${unknown} is unknown; there are ${known.join(', ')}.`)
  return names
}

function whole(option, fallback) {
  const value = options[option] === undefined ? fallback : Number(options[option])
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${option}: ${options[option]} is no whole number above 0.`)
  return value
}

function fail(error) {
  process.stderr.write(`${error.stack ?? error}\n`)
  // Not only an exit code: a server that is still running would keep this process alive.
  process.exit(1)
}
