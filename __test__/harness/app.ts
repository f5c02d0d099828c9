/** Serves an application in this process for one test. */
import { expect } from 'vitest'

import { openExchanges } from '../../dist/exchange.js'
import { serve } from '../../dist/index.js'
import { openedTo, turns } from './client.ts'
import { busyGauges, leftGauges } from './gauges.ts'
import { MODE } from './mode.ts'
import { soon } from './scale.ts'
import { onTeardown } from './teardown.ts'

/** Whatever `serve` takes as an application. */
export type App = Parameters<typeof serve>[0]
/** Options of `serve`. */
export type Options = NonNullable<Parameters<typeof serve>[1]>
/** A running server. */
export type Server = Awaited<ReturnType<typeof serve>>

/** How long a server may take to come to rest after its last client has left (http.md section 8). */
const REST_MILLISECONDS = soon(1000)

/**
 * Serves on a free port of 127.0.0.1 unless `options` say otherwise. After the test the harness
 * closes all clients, waits until the server has come to rest by itself, closes it, and fails the
 * test if any gauge is not zero. No test opts out of that.
 */
export async function serveApp(app: App, options: Options = {}): Promise<Server> {
  if (expect.getState().currentTestName === undefined)
    throw new Error('serveApp belongs into a test: its server ends with it')
  const server = await serve(app, { bind: '127.0.0.1:0', runtimeMode: MODE, ...options })
  // A port may have been somebody else's before.
  before.set(server, clientsOf(server))
  onTeardown('servers', () => settle(server))
  return server
}

const before = new WeakMap<Server, number>()
const failing = new WeakSet<Server>()

/** Says that `close` of this server rejects, because that is what the test is about; the gauges are checked all the same. */
export function expectCloseToFail(server: Server): void {
  failing.add(server)
}

/**
 * Waits until the server has let in every client that connected and holds nothing but its listeners.
 * Rejects with the gauges that stay.
 */
export async function atRest(server: Server): Promise<void> {
  const deadline = performance.now() + REST_MILLISECONDS
  for (;;) {
    const stats = server.stats()
    const busy = busyGauges(stats)
    if (openExchanges() !== 0) busy.push(`openExchanges=${openExchanges()}`)
    // Without a listener nobody is let in any more.
    const waiting = clientsOf(server) - (before.get(server) ?? 0) - Number(stats.connectionsTotal)
    if (waiting > 0 && stats.fileDescriptors !== 0) busy.push(`waiting=${waiting}`)
    if (busy.length === 0) return
    if (performance.now() > deadline) throw new Error(`the server does not come to rest: ${busy.join(', ')}`)
    await turns(1)
  }
}

function clientsOf({ addresses }: Server): number {
  return addresses.reduce((sum, { host, port, family }) => sum + openedTo(family === 'unix' ? host : port), 0)
}

async function settle(server: Server): Promise<void> {
  const faults: unknown[] = []
  await atRest(server).catch((fault: unknown) => faults.push(fault))
  await server.close({ timeout: 1 }).catch((fault: unknown) => failing.has(server) || faults.push(fault))
  const left = leftGauges(server.stats())
  if (left.length > 0) faults.push(new Error(`the closed server has left behind: ${left.join(', ')}`))
  if (faults.length > 0) throw faults.length === 1 ? faults[0] : new AggregateError(faults, faults.join('; '))
}
