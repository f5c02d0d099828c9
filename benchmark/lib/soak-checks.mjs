/**
 * What a soak must show, and its table.
 */
import { tableOf } from './report.mjs'
import { median, slopeOf } from './statistics.mjs'

/** Allowed growth of CPU per request, first against last tenth. */
const CPU_GROWTH = 1.1
/** Allowed growth of the heap in bytes; one object kept a request would be 16 times as much and more. */
const HEAP_GROWTH = 2 ** 20
/** Resident bytes a request may add even if node:http adds none: pages move by more than that in a short run. */
const RSS_SLOPE = 4

/** Three checks a server: `{ server, what, seen, limit, passed }`. */
export function checkSoak(servers, control) {
  // A control that became cheaper was still being compiled at the start; that is no fault of the others.
  const controlGrowth = Math.max(1, cpuGrowth(servers[control].slices))
  const rssLimit = Math.max(RSS_SLOPE, rssSlope(servers[control].slices))
  return Object.entries(servers)
    .filter(([name]) => name !== control)
    .flatMap(([server, { slices, heap }]) => [
      check(
        server,
        'CPU of the last tenth over the first, over the same of node:http',
        cpuGrowth(slices) / controlGrowth,
        CPU_GROWTH,
      ),
      check(server, 'heap growth in bytes', heap.after - heap.before, HEAP_GROWTH),
      check(server, 'resident bytes added by a request', rssSlope(slices), rssLimit),
    ])
}

/** The result as Markdown. */
export function soakReportOf({ date, machine, versions, servers, checks }) {
  const method = `${date}, ${machine.cpu}, ${machine.system}, Node ${versions.node}, ${versions.generator}.`
  const rows = Object.values(servers).map(({ title, slices, heap }) => {
    const { first, last } = tenths(slices)
    return [
      title,
      String(slices.reduce((total, { requests }) => total + requests, 0)),
      cpuOf(first).toFixed(2),
      cpuOf(last).toFixed(2),
      mebibytes(slices[0].rss),
      mebibytes(slices.at(-1).rss),
      ((heap.after - heap.before) / 1024).toFixed(0),
    ]
  })
  const head = [
    'server',
    'requests',
    'µs first tenth',
    'µs last tenth',
    'RSS MiB first',
    'RSS MiB last',
    'heap growth KiB',
  ]
  const verdicts = checks.map(({ server, what, seen, limit, passed }) => [
    `${servers[server].title}: ${what}`,
    seen.toFixed(2),
    `<= ${limit.toFixed(2)}`,
    passed ? 'passed' : 'failed',
  ])
  return `${method}\n\n### Soak\n\n${tableOf([head, ...rows])}\n\n${tableOf([['check', 'measured', 'limit', ''], ...verdicts])}\n`
}

function check(server, what, seen, limit) {
  return { server, what, seen, limit, passed: seen <= limit }
}

/**
 * Cost of a request in the middle of the last tenth over that in the middle of the first, both on the straight line
 * through all slices: single slices swing by more than what is looked for, the line does not.
 */
function cpuGrowth(slices) {
  const points = slices.map(({ cpu }, at) => [at / slices.length, cpu])
  const slope = slopeOf(points)
  const start = median(points.map(([at, cpu]) => cpu - slope * at))
  return (start + 0.95 * slope) / (start + 0.05 * slope)
}

function tenths(slices) {
  const size = Math.ceil(slices.length / 10)
  return { first: slices.slice(0, size), last: slices.slice(-size) }
}

/** CPU a request over several slices, each weighed by its requests. */
function cpuOf(slices) {
  const requests = slices.reduce((total, slice) => total + slice.requests, 0)
  return slices.reduce((total, { cpu, requests: count }) => total + cpu * count, 0) / requests
}

function rssSlope(slices) {
  let total = 0
  return slopeOf(slices.map(({ requests, rss }) => [(total += requests), rss]))
}

function mebibytes(bytes) {
  return (bytes / 2 ** 20).toFixed(1)
}
