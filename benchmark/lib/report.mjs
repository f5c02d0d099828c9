/**
 * Prints a result file's content as Markdown tables; aligned, so that a terminal shows them as well.
 */
import { ratioOf, summarize } from './statistics.mjs'

/** What ratios are taken against. */
const REFERENCES = ['node-http', 'fastify', 'uws']

const LOAD_COLUMNS = [
  ['CPU µs/request', (is) => spread(is.cpu, 2)],
  ['JS thread', (is) => is.cpuJs.median.toFixed(2)],
  ['other threads', (is) => is.cpuOther.median.toFixed(2)],
  ['requests/s', (is) => spread(is.rps, 0)],
  ['MB/s', (is) => is.megabytesPerSecond.median.toFixed(0)],
  ['p50 µs', (is) => is.p50.median.toFixed(0)],
  ['p99 µs', (is) => is.p99.median.toFixed(0)],
  ['p99.9 µs', (is) => is.p999.median.toFixed(0)],
  ['peak RSS MiB', (is) => mebibytes(is.peakRss.median)],
  ['generator', (is) => percent(is.generator.median)],
  ['stolen', (is) => percent(is.stolen.max)],
]
const COLUMNS = {
  load: LOAD_COLUMNS,
  idle: [
    ['KiB a connection', (is) => spread(is.kibEach, 2)],
    ['RSS MiB', (is) => mebibytes(is.peakRss.median)],
  ],
  start: [
    ['ms to first answer', (is) => spread(is.milliseconds, 1)],
    ['CPU ms', (is) => is.cpuMilliseconds.median.toFixed(1)],
    ['RSS MiB', (is) => mebibytes(is.peakRss.median)],
  ],
}
const RATIO_METRIC = { load: 'cpu', idle: 'kibEach', start: 'milliseconds' }

/** The whole result: method, a table a scenario, targets. */
export function reportOf(result) {
  const parts = [methodOf(result), ...result.scenarios.map((scenario) => scenarioOf(scenario, result.servers))]
  const targets = targetsOf(result)
  if (targets !== undefined) parts.push(targets)
  return `${parts.join('\n\n')}\n`
}

/** The quick comparison in a few lines, for the README: CPU per request, and against node:http. */
export function summaryOf(result) {
  const head = ['server', ...result.scenarios.flatMap(({ title }) => [title.replace('Hello, ', ''), 'x node:http'])]
  const rows = Object.entries(result.servers).map(([server, { title }]) => [
    title,
    ...result.scenarios.flatMap(({ samples }) => {
      if (samples[server] === undefined) return ['', '']
      const ratio = server === 'node-http' ? '1' : spread(ratioOf(samples[server], samples['node-http'], 'cpu'), 2)
      return [spread(summarize(samples[server]).cpu, 2), ratio]
    }),
  ])
  return `CPU µs per request, hello world over 64 kept connections; less is better.\n\n${tableOf([head, ...rows])}\n\n${methodOf(result)}\n`
}

/** Rows of strings as an aligned Markdown table; the first row is the head. */
export function tableOf(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  const line = (row) =>
    `| ${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join(' | ')} |`
  const rule = `| ${widths.map((width, at) => (at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join('\n')
}

/** Machine, versions and method in one paragraph. */
export function methodOf({ date, machine, versions, settings, servers, skipped }) {
  const names = Object.values(servers).map(({ title, version }) => `${title} ${version}`)
  const lines = [
    `${date}, ${machine.cpu} (${machine.processors} processors, ${machine.memoryGib} GiB), ${machine.system}, ` +
      `Node ${versions.node}, ${versions.generator}.`,
    `${names.join(', ')}.`,
    `${settings.rounds} interleaved rounds, a fresh process each, ${settings.warmup} s warm-up and ${settings.seconds} s measured; ` +
      'one wrk thread on the same processors. Medians, with the smallest and largest round in brackets; ratios are ' +
      'taken within each round.',
    ...Object.entries(skipped).map(([name, reason]) => `Without ${name}: ${reason}.`),
  ]
  return lines.join('\n')
}

function scenarioOf({ name, title, kind, connections, samples, ratio, references: wanted }, servers) {
  const metric = ratio ?? RATIO_METRIC[kind]
  const references = (wanted ?? REFERENCES).filter((reference) => samples[reference] !== undefined)
  const columns = COLUMNS[kind]
  const head = [
    'server',
    ...columns.map(([label]) => label),
    ...references.map((reference) => `${ratio ?? ''} x ${servers[reference].title}`.trim()),
  ]
  const rows = Object.entries(samples).map(([server, rounds]) => {
    const summary = summarize(rounds)
    return [
      servers[server].title,
      ...columns.map(([, show]) => show(summary)),
      ...references.map((reference) =>
        reference === server ? '1' : spread(ratioOf(rounds, samples[reference], metric), 2),
      ),
    ]
  })
  const detail = kind === 'load' ? ` (${name}, ${connections} connection${connections === 1 ? '' : 's'})` : ` (${name})`
  return `### ${title}${detail}\n\n${tableOf([head, ...rows])}`
}

function targetsOf({ targets, servers }) {
  if (targets.length === 0) return undefined
  const rows = targets.map(({ scenario, server, metric, against, atMost, atLeast, plus, seen, met }) => {
    const limit = atMost === undefined ? `>= ${atLeast}` : `<= ${atMost}`
    const reference = against === undefined ? '' : ` x ${servers[against].title}`
    const allowance = plus === undefined ? '' : ` + ${plus}`
    return [
      scenario,
      servers[server].title,
      metric,
      `${limit}${reference}${allowance}`,
      spread(seen, 2),
      met ? 'met' : 'missed',
    ]
  })
  return `### Targets\n\n${tableOf([['scenario', 'server', 'metric', 'target', 'measured', ''], ...rows])}`
}

function spread({ median, min, max }, digits) {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}-${max.toFixed(digits)})`
}

function percent(share) {
  return `${(share * 100).toFixed(0)} %`
}

function mebibytes(bytes) {
  return (bytes / 2 ** 20).toFixed(0)
}
