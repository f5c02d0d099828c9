/**
 * Runs cases of the lifetime matrix in a process of its own: `node --expose-gc run.js`, with
 * `{ cases, times, settings }` as JSON on stdin. Prints a line of JSON for each case, and one of the process at the end.
 */
import { AsyncLocalStorage, createHook } from 'node:async_hooks'
import { once } from 'node:events'
import { get } from 'node:http'
import { text } from 'node:stream/consumers'

import { openExchanges } from '../../dist/exchange.js'
import { serve } from '../../dist/index.js'
import { WHOLE, applicationOf } from './application.js'
import { visit } from './client.js'

/** @typedef {import('./dimensions.js').Case} Case */

const GAUGES = ['connections', 'requests', 'bodies', 'bodyBytes', 'responseBytes', 'slots', 'externalBytes', 'tasks', 'queuedMessages', 'pendingReleases', 'wrongThreadDrops', 'panicsTotal'] // prettier-ignore
const SERVER_GAUGES = [...GAUGES, 'doorbellRefs', 'timers', 'fileDescriptors', 'threads']
/** A server whose gauges stand still for so long, and not at their baseline, does not come to rest. */
const STILL_MILLISECONDS = 2000
/** What hangs is told from what a busy machine delays. */
const PATIENCE_MILLISECONDS = 30_000
const HANDLER_TIMEOUT_MILLISECONDS = 100
/** Visits at once. */
const LANES = 8
/**
 * Clients leave faster than their requests are served. The next one comes when the server has not more
 * connections than these, because what is asked here is not how it sheds load.
 */
const CROWD = 2 * LANES

const { cases, times, settings } = /** @type {{ cases: Case[], times: number, settings: object }} */ (
  JSON.parse(await text(process.stdin))
)
const collect = /** @type {() => void} */ (globalThis.gc)
/** @type {string[]} */
const strays = []
for (const event of ['unhandledRejection', 'uncaughtException', 'warning']) {
  process.on(event, (error) => strays.push(`${event}: ${error?.stack ?? String(error)}`))
}

/** Bytes after each case. */
const resident = /** @type {number[]} */ ([])
const held = /** @type {number[]} */ ([])
for (const one of cases) {
  const faults = await runCase(one)
  process.stdout.write(`${JSON.stringify({ case: one, faults: [...new Set(faults)] })}\n`)
  collect()
  const { rss, heapUsed, external } = process.memoryUsage()
  resident.push(rss)
  held.push(heapUsed + external)
}
process.stdout.write(`${JSON.stringify({ strays, resident, held })}\n`)

/** @param {Case} one */
async function runCase(one) {
  /** @type {string[]} */
  const faults = []
  const state = { created: 0, finalised: 0, kept: /** @type {object[]} */ ([]), sources: { opened: 0, closed: 0 } }
  const registry = new FinalizationRegistry(() => {
    state.finalised += 1
  })
  const hook =
    one.environment === 'async hooks' ? createHook({ init: () => undefined, destroy: () => undefined }) : undefined
  hook?.enable()
  /** @type {Map<string, () => void>} */
  const waiting = new Map()
  const storage = new AsyncLocalStorage()
  let port = 0
  let isStopping = false
  const application = applicationOf(one, {
    objects(...values) {
      for (const value of values) registry.register(value, undefined)
      state.created += values.length
    },
    running(query) {
      if (storage.getStore() !== undefined) faults.push('a store of another request was seen')
      storage.enterWith({})
      waiting.get(query)?.()
      if (one.collector === 'each request') collect()
    },
    keep: (...values) => void state.kept.push(...values),
    reenter: async () => {
      server.stats()
      const asked = performance.now()
      const inner = await ask(port).catch((error) => String(error))
      // A machine that is busy for so long makes this request late as well, and nothing else may.
      const isLate = performance.now() - asked >= HANDLER_TIMEOUT_MILLISECONDS
      if (inner === 'Gateway Timeout' && one.environment === 'handler timeout' && isLate) return
      // Who stops does not accept any more.
      if (inner !== 'inner' && !isStopping) faults.push(`the server within the server did not answer: ${inner}`)
    },
    sources: state.sources,
  })
  const server = await serve(application, {
    bind: '127.0.0.1:0',
    interface: one.interface,
    lifespan: 'off',
    requestTimeout: one.environment === 'handler timeout' ? HANDLER_TIMEOUT_MILLISECONDS / 1000 : '30s',
    ...settings,
  })
  port = server.addresses[0]?.port ?? 0
  let visits = 0
  const lane = async (/** @type {number} */ share) => {
    for (let visited = 0; visited < share; visited++) {
      while (server.stats().connections > CROWD) await new Promise((resolve) => setTimeout(resolve, 1))
      const query = String(visits++)
      const running = new Promise((resolve) => {
        waiting.set(query, () => resolve(undefined))
      })
      const seen = await visit(port, one, `/case?${query}`, running)
      waiting.delete(query)
      faults.push(...judge(one, seen))
    }
  }
  const stops = one.environment === 'graceful stop' || one.environment === 'forced stop'
  // The stop comes while the last visits are there.
  const last = stops ? Math.min(times, LANES) : 0
  await Promise.all(shares(times - last).map(lane))
  await rest(server, faults)
  const leaving = shares(last).map(lane)
  if (stops) {
    isStopping = true
    await new Promise((resolve) => setTimeout(resolve, 5))
    const timeout = one.environment === 'forced stop' ? 0 : 1
    await within(server.close({ timeout }), 'the stop', faults)
    for (const wake of waiting.values()) wake()
  }
  await within(Promise.all(leaving), 'the last clients', faults)
  // A handler whose client has left may be about to ask.
  isStopping = true
  await within(server.close({ timeout: 1 }), 'the close', faults)
  hook?.disable()
  storage.disable()
  faults.push(...nonZero(server.stats(), SERVER_GAUGES).map((gauge) => `closed with ${gauge}`))
  if (openExchanges() !== 0) faults.push(`openExchanges=${openExchanges()}`)
  if (state.sources.closed !== state.sources.opened) {
    // A source ends by its next piece at the latest.
    const deadline = performance.now() + STILL_MILLISECONDS
    while (state.sources.closed < state.sources.opened && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const { opened, closed } = state.sources
    if (closed !== opened) faults.push(`${opened} sources were opened and ${closed} closed`)
  }
  if (one.handler === 'keeps its objects' && state.created > 0 && state.kept.length === 0)
    faults.push('nothing was kept')
  state.kept = []
  for (let collection = 0; collection < 3 || (collection < 10 && state.finalised < state.created); collection++) {
    await new Promise((resolve) => setTimeout(resolve, 2))
    collect()
  }
  if (state.finalised !== state.created)
    faults.push(`${state.created} objects were made and ${state.finalised} collected`)
  return faults
}

/**
 * The text of an answer, on a connection of its own: `fetch` keeps something for each port that it has seen.
 * @param {number} port
 */
async function ask(port) {
  const asked = get({ port, host: '127.0.0.1', path: '/inner', agent: false })
  const [answer] = /** @type {[import('node:http').IncomingMessage]} */ (await once(asked, 'response'))
  return text(answer)
}

/**
 * What a client may not see, whatever happens: half a body that looks like a whole one.
 * @param {Case} one
 * @param {import('./client.js').Seen} seen
 */
function judge(one, seen) {
  if (!seen.isComplete) {
    const mustBeWhole =
      one.disconnect === 'never' && one.environment === 'nothing' && one.handler === 'sync' && one.body === 'string'
    return mustBeWhole ? [`an answer did not come: ${JSON.stringify(seen)}`] : []
  }
  if (seen.status !== 200) return []
  if (seen.body === WHOLE[one.body] || seen.body === 'again') return []
  return [`a body of ${seen.body.length} bytes looks complete`]
}

/** @param {number} count */
function shares(count) {
  return Array.from({ length: LANES }, (_value, lane) => Math.floor((count + lane) / LANES)).filter(
    (share) => share > 0,
  )
}

/**
 * @param {import('../../dist/index.js').Server} server
 * @param {string[]} faults
 */
async function rest(server, faults) {
  let deadline = performance.now() + STILL_MILLISECONDS
  let before = ''
  for (;;) {
    const busy = nonZero(server.stats(), GAUGES)
    if (busy.length === 0) return
    const state = busy.join(', ')
    if (state !== before) deadline = performance.now() + STILL_MILLISECONDS
    before = state
    if (performance.now() > deadline) {
      faults.push(`does not come to rest: ${state}`)
      return
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/**
 * @param {Promise<unknown>} promise
 * @param {string} what
 * @param {string[]} faults
 */
async function within(promise, what, faults) {
  let timer
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve('late'), PATIENCE_MILLISECONDS)
  })
  const outcome = await Promise.race([promise.catch((error) => String(error)), late])
  clearTimeout(timer)
  if (typeof outcome === 'string') faults.push(`${what}: ${outcome}`)
}

/**
 * @param {Readonly<Record<string, number | string>>} stats
 * @param {readonly string[]} names
 */
function nonZero(stats, names) {
  return names.filter((name) => stats[name] !== 0).map((name) => `${name}=${stats[name] ?? 'missing'}`)
}
