/**
 * What gneiss means to reach, as data. A target compares a figure of one server with that of another in the same run
 * (`against`), or with a constant. `plus` is an allowance in the metric's unit before the ratio is taken.
 * Missing one is no failure of the run: it is shown, and the stored file keeps it.
 */
import { ratioOf, spreadOf } from './statistics.mjs'

const cpu = (scenario, server, against, atMost, plus) => ({ scenario, server, metric: 'cpu', against, atMost, plus })
const throughput = (scenario, server, against, atLeast) => ({
  scenario,
  server,
  metric: 'megabytesPerSecond',
  against,
  atLeast,
})
const INTERFACES = ['gneiss-rsgi', 'gneiss-asgi', 'gneiss-fetch']

/** Targets of the scenarios in `scenarios.mjs`. */
export const TARGETS = [
  cpu('hello-1', 'gneiss-rsgi', 'node-http', 0.44),
  cpu('hello-1', 'gneiss-rsgi', 'uws', 1.08),
  { scenario: 'hello-1', server: 'gneiss-rsgi', metric: 'rps', against: 'fastify', atLeast: 2.3 },
  cpu('hello-10', 'gneiss-rsgi', 'node-http', 0.34),
  cpu('hello-10', 'gneiss-rsgi', 'fastify', 0.32),
  cpu('hello-10', 'gneiss-rsgi', 'uws', 1.08),
  { scenario: 'hello-10', server: 'gneiss-rsgi', metric: 'rps', against: 'fastify', atLeast: 2.9 },
  cpu('hello-10', 'gneiss-thread', 'node-http', 0.62),
  { scenario: 'hello-10', server: 'gneiss-thread', metric: 'cpuJs', against: 'node-http', atMost: 0.2 },
  { scenario: 'compute', server: 'gneiss-thread', metric: 'cpuJs', against: 'node-http', atMost: 0.6 },
  cpu('hello-10', 'gneiss-hono', 'hono-node', 0.45),
  cpu('echo', 'gneiss-rsgi', 'node-http', 0.45),
  cpu('echo', 'gneiss-fetch', 'node-http', 0.45, 2),
  cpu('upload', 'gneiss-rsgi', 'node-http', 0.35),
  ...INTERFACES.map((server) => cpu('stream-microtask', server, 'uws', 1)),
  ...INTERFACES.map((server) => cpu('stream-macrotask', server, 'uws', 1.1)),
  ...INTERFACES.map((server) => throughput('stream-large', server, 'node-http', 1)),
  cpu('pipelined', 'gneiss-rsgi', 'node-http', 0.2),
  { scenario: 'connections-1', server: 'gneiss-rsgi', metric: 'p50', against: 'node-http', atMost: 1 },
  cpu('one-shot', 'gneiss-rsgi', 'node-http', 0.6),
  { scenario: 'idle', server: 'gneiss-rsgi', metric: 'kibEach', atMost: 6 },
  { scenario: 'start', server: 'gneiss-rsgi', metric: 'milliseconds', against: 'node-http', atMost: 1.3 },
  { scenario: 'start', server: 'gneiss-1', metric: 'milliseconds', against: 'node-http', atMost: 2.4 },
  { scenario: 'hash', server: 'gneiss-1', metric: 'rps', against: 'cluster-1', atLeast: 1 },
  { scenario: 'hash', server: 'gneiss-2', metric: 'rps', against: 'cluster-2', atLeast: 1 },
]

/** Holds the targets that a run can answer against its samples (`samples[scenario][server]` is a list by round). */
export function checkTargets(samples) {
  return TARGETS.flatMap((target) => {
    const own = samples[target.scenario]?.[target.server]
    const others = target.against === undefined ? undefined : samples[target.scenario]?.[target.against]
    if (own === undefined || (target.against !== undefined && others === undefined)) return []
    const seen =
      others === undefined
        ? spreadOf(own.map((sample) => sample[target.metric]))
        : ratioOf(own, others, target.metric, target.plus)
    const met = target.atMost === undefined ? seen.median >= target.atLeast : seen.median <= target.atMost
    return [{ ...target, seen, met }]
  })
}
