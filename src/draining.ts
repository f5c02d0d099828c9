/** What open requests hear when their server stops: at once that it does, and later that it will not wait much longer. */
import { LONGEST_TIMER } from './clock.ts'
import { GneissError } from './errors.ts'
import { openExchangesOf } from './exchange.ts'

import type { Exchange } from './exchange.ts'
import type { Host } from './protocol.ts'

/** Share of the timeout after which requests are asked to come to an end: what is left is for doing so. */
const WARNING = 0.8

// Beside the exchanges and not in them: nearly none is asked for its signal.
const controllers = new WeakMap<Exchange, AbortController>()

/** The signal of a request that aborts when its server begins to stop, while the request is open. */
export function drainingOf(exchange: Exchange): AbortSignal {
  const known = controllers.get(exchange)
  if (known !== undefined) return known.signal
  const controller = new AbortController()
  controllers.set(exchange, controller)
  if (exchange.host.isDraining) controller.abort(drainError())
  else exchange.onDraining((error) => controller.abort(error))
  return controller.signal
}

/** The end of a server, as its open requests hear of it. */
export class Farewell {
  readonly #host: Host
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(host: Host) {
    this.#host = host
  }

  /** What is open will be cut after so many milliseconds. A second call may shorten the time. */
  begin(timeout: number): void {
    if (!this.#host.isDraining) {
      this.#host.isDraining = true
      const error = drainError()
      for (const exchange of openExchangesOf(this.#host)) exchange.drain(error)
    }
    clearTimeout(this.#timer)
    // What is cut at once has no time left for anything.
    if (timeout === 0) return
    this.#timer = setTimeout(() => this.#warn(), Math.min(timeout * WARNING, LONGEST_TIMER)).unref()
  }

  /** Nothing is open any more. */
  end(): void {
    clearTimeout(this.#timer)
  }

  #warn(): void {
    const error = new GneissError('ERR_SHUTDOWN', 'shutdown: the server stops and will not wait much longer.')
    for (const exchange of openExchangesOf(this.#host)) exchange.stop(error)
  }
}

function drainError(): GneissError {
  return new GneissError('ERR_SHUTDOWN', 'shutdown: the server has begun to stop.')
}
