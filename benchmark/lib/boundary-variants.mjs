/**
 * The variants of the boundary benchmark, what they may cost over each other, and their table.
 */
import { tableOf } from './report.mjs'
import { spreadOf } from './statistics.mjs'

/** Each: the file in `apps/`, its export, the interface, and how many header fields a request has. */
export const VARIANTS = Object.fromEntries([
  ...[1, 10].flatMap((headers) => [
    [`rsgi-${headers}`, { app: 'rsgi', handler: 'hello', interface: 'rsgi', headers }],
    [`rsgi-async-${headers}`, { app: 'rsgi', handler: 'helloAsync', interface: 'rsgi', headers }],
    [`fetch-${headers}`, { app: 'fetch', handler: 'hello', interface: 'fetch', headers }],
    [`fetch-async-${headers}`, { app: 'fetch', handler: 'helloAsync', interface: 'fetch', headers }],
    [`asgi-${headers}`, { app: 'asgi', handler: 'hello', interface: 'asgi', headers }],
  ]),
  ...['rsgi', 'fetch', 'asgi'].map((name) => [
    `${name}-stream`,
    { app: name, handler: 'streamMicrotask', interface: name, headers: 1 },
  ]),
])

/** Nanoseconds that `variant` may cost more than `over`. */
const TARGETS = [1, 10].flatMap((headers) => [
  { variant: `fetch-${headers}`, over: `rsgi-${headers}`, atMost: 400 },
  { variant: `asgi-${headers}`, over: `rsgi-${headers}`, atMost: 800 },
  { variant: `rsgi-async-${headers}`, over: `rsgi-${headers}`, atMost: 200 },
  { variant: `fetch-async-${headers}`, over: `fetch-${headers}`, atMost: 200 },
])

/** Differences within each round against the targets. */
export function checkBoundary(samples) {
  return TARGETS.map((target) => {
    const seen = spreadOf(
      samples[target.variant].map((nanoseconds, round) => nanoseconds - samples[target.over][round]),
    )
    return { ...target, seen, met: seen.median <= target.atMost }
  })
}

/** The result as Markdown. */
export function boundaryReportOf({ date, machine, versions, settings, samples, targets }) {
  const method =
    `${date}, ${machine.cpu}, ${machine.system}, Node ${versions.node}. ${settings.rounds} interleaved rounds of ` +
    `${settings.milliseconds} ms, a fresh process each; CPU time without sockets and without the addon.`
  const variants = tableOf([
    ['variant', 'ns a request'],
    ...Object.entries(samples).map(([name, rounds]) => [name, spread(spreadOf(rounds))]),
  ])
  const differences = tableOf([
    ['over', 'target ns', 'measured ns', ''],
    ...targets.map(({ variant, over, atMost, seen, met }) => [
      `${variant} over ${over}`,
      `<= ${atMost}`,
      spread(seen),
      met ? 'met' : 'missed',
    ]),
  ])
  return `${method}\n\n### JavaScript side of one request\n\n${variants}\n\n${differences}\n`
}

function spread({ median, min, max }) {
  return `${median.toFixed(0)} (${min.toFixed(0)} to ${max.toFixed(0)})`
}
