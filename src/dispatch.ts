/**
 * Called by the addon for each request: makes the exchange, runs the adapter in the exchange's own
 * async resource, and owns what happens when the application fails.
 */
import { errorCodeOf } from './errors.ts'
import { Exchange, Phase, notifyExchange } from './exchange.ts'
import { EventKind } from './native.ts'

import type { Dispatch, Notify } from './native.ts'
import type { Adapter, Host } from './protocol.ts'

/** Runs the adapter for an exchange, and answers in the application's place when that fails. */
export function createRunner(adapter: Adapter): (exchange: Exchange) => void {
  return (exchange) => {
    let result: unknown
    try {
      result = adapter.handle(exchange)
      // A handler that answered synchronously needs no promise at all.
      if (!isThenable(result)) {
        adapter.finished(exchange, result)
        return
      }
    } catch (error) {
      failExchange(exchange, error)
      return
    }
    exchange.isRunning = true
    // A thenable of the application's own may throw, or settle twice; a promise stays what it is.
    Promise.resolve(result).then(
      (value) => {
        exchange.isRunning = false
        try {
          adapter.finished(exchange, value)
        } catch (error) {
          failExchange(exchange, error)
        }
      },
      (error: unknown) => {
        exchange.isRunning = false
        failExchange(exchange, error)
      },
    )
  }
}

/** The function the addon calls once per request. Where a configuration has hooks around requests, `hooked.ts` makes another one. */
export function createDispatch(adapter: Adapter, host: Host): Dispatch {
  const run = createRunner(adapter)
  return (id, meta, target, head) => {
    const exchange = new Exchange(id, meta, target, head, host)
    exchange.runInAsyncScope(run, undefined, exchange)
    exchange.keep()
  }
}

/** The function the addon calls for every other event. */
export function createNotify(onClosed: () => void): Notify {
  return (id, kind, detail) => {
    if (kind === EventKind.closed) onClosed()
    else notifyExchange(id, kind, detail)
  }
}

/**
 * The application failed: 500 with nothing of the error while no head was sent, a cut connection
 * after that. An error that only says that the client has gone is no fault of the application.
 */
export function failExchange(exchange: Exchange, error: unknown): void {
  if (isConsequenceOf(error, exchange)) {
    exchange.host.log.debug('the application ended after its request was aborted', error)
  } else {
    exchange.host.log.error(`unhandled error in the application (${exchange.target})`, error)
  }
  refuse(exchange)
}

/** The application returned without an answer, or with one half sent: the same answer as a failure, and a line that says so. */
export function failUnanswered(exchange: Exchange, what: string): void {
  if (!exchange.isOpen) return
  // It was asked to come to an end, and has.
  const level = exchange.stopError === undefined ? 'error' : 'debug'
  exchange.host.log[level](`${what} (${exchange.target})`)
  refuse(exchange)
}

const INTERNAL = [500, 'Internal Server Error'] as const

/** Given up because the server stops: another one, or this one a little later, may well answer. */
const UNAVAILABLE = [503, 'Service Unavailable'] as const

function refuse(exchange: Exchange): void {
  try {
    if (exchange.phase === Phase.open) {
      const [status, text] = exchange.stopError === undefined ? INTERNAL : UNAVAILABLE
      exchange.respond(status, 'content-type:text/plain; charset=utf-8\n', 1, text)
    } else if (exchange.phase === Phase.started) {
      exchange.reset()
    }
  } catch (fault) {
    // The peer left in this very moment; anything else is ours and must be seen.
    if (errorCodeOf(fault) !== 'ERR_CLIENT_DISCONNECTED') exchange.host.log.error('the error answer failed', fault)
  }
}

/**
 * Abort reasons travel through frameworks as they are, as `AbortError`, or as somebody's cause. A send
 * may find the client gone before the event that tells why.
 */
function isConsequenceOf(error: unknown, exchange: Exchange): boolean {
  const reason = exchange.abortError ?? exchange.stopError
  for (let current = error, depth = 0; current instanceof Error && depth < 4; current = current.cause, depth++) {
    if (errorCodeOf(current) === 'ERR_CLIENT_DISCONNECTED') return true
    if (reason !== undefined && (current === reason || current.name === 'AbortError')) return true
  }
  return false
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
