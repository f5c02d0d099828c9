/** What a program sees of a server. Types only. */
import type { AsgiApp } from '../asgi/types.ts'
import type { FetchApp } from '../fetch.ts'
import type { NativeAddress } from '../native.ts'
import type { Duration } from '../options.ts'
import type { InterfaceName } from '../protocol.ts'
import type { RsgiApp } from '../rsgi.ts'

/** An application of any interface. */
export type App = AsgiApp | RsgiApp | FetchApp

/** Where a server listens. `port` is 0 for a Unix socket, whose path is `host`. */
export type Address = Readonly<NativeAddress>

/** What a server holds and has done. Gauges are numbers of now; names that end in `Total` only grow. */
export interface Stats {
  /** Driver of the connections. */
  readonly mode: 'loop' | 'thread'
  /** Request bytes held ahead of the application: decoded and not read by it, or received and not looked at. */
  readonly bodyBytes: number
  /** Response bytes that wait for their clients. */
  readonly responseBytes: number
  /** Promises given to `waitUntil` that are still pending. */
  readonly background: number
  /** Requests whose application went on for longer than `disconnectGrace` after they were aborted. */
  readonly requestsAbandonedTotal: number
  /** Errors and rejections that nobody has handled, as `gneiss` counts them; 0 for `serve`, whose process hears of them itself. */
  readonly uncaughtExceptionsTotal: number
  readonly [name: string]: number | string
}

/** How to stop. */
export interface CloseOptions {
  /** Time for open requests, in seconds or as text such as `10s`; then they are cut. 0 cuts at once. Default: the `gracefulTimeout` option. */
  readonly timeout?: Duration | undefined
}

/** A running server. */
export interface Server extends AsyncDisposable {
  /** Where a client on this machine reaches the first address, without a slash at the end; `unix:PATH` for a Unix socket. */
  readonly url: string
  /** All addresses, in the order of `bind`. */
  readonly addresses: readonly Address[]
  /** The interface the application is served through. */
  readonly interface: InterfaceName
  /** Live numbers; the last ones after the server was closed. */
  stats(): Stats
  /** Opens the access log anew, for whoever has moved its file away; `gneiss` does it on SIGUSR1. */
  reopenLogs(): void
  /** Lets the listeners keep the process alive, which is the default. */
  ref(): this
  /** Lets the process end although the server listens. Open requests keep it alive all the same. */
  unref(): this
  /**
   * Accepts what waits in the queue, then refuses new connections; closes idle ones when no request is to be
   * expected on them (twice the longest pause of the client, 5 s at most; a second for the first request);
   * lets open requests and `waitUntil` promises finish until the timeout, cuts what is left, and stops the application. Fulfilled when nothing of the
   * server is left. A second call returns the same end; a shorter timeout brings it forward.
   * Rejects with `ERR_LIFESPAN_SHUTDOWN` if the application failed to stop (all else is closed then too),
   * and with `ERR_OPTION` for a bad timeout.
   */
  close(options?: CloseOptions): Promise<void>
}
