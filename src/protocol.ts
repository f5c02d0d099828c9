/**
 * The contract between the rooms: types only. A leaf besides `exchange` and `log` types.
 */
import type { Abandoned } from './abandoned.ts'
import type { Exchange } from './exchange.ts'
import type { Logger } from './log.ts'

/** Names of the interfaces an application can be written against. */
export type InterfaceName = 'asgi' | 'rsgi' | 'fetch' | 'node'

/** What every exchange of one server shares. Built once; the hot path only reads it. */
export interface Host {
  readonly log: Logger
  /** `rootPath` option: reported in scopes, never stripped from the path. */
  readonly rootPath: string
  /** Lifespan state of the application; each scope gets a shallow copy (ASGI) or the object itself (RSGI). */
  readonly state: Record<string, unknown>
  /** Promises given to `waitUntil`; the server waits for them when it closes. */
  readonly background: Set<Promise<unknown>>
  /** The server has begun to stop. */
  isDraining: boolean
  /** Counts applications that go on although their request was aborted. */
  readonly abandoned: Abandoned
}

/**
 * One interface over the exchange. `handle` calls the application; it may throw or return a promise
 * that rejects: `dispatch` owns that policy. `finished` runs after the application returned or its
 * promise was fulfilled with `value`, and must leave the exchange answered, streaming on, or failed.
 */
export interface Adapter {
  readonly name: InterfaceName
  handle(exchange: Exchange): unknown
  finished(exchange: Exchange, value: unknown): void
}

/** Start and stop of the application around serving. */
export interface Lifespan {
  /** Rejects with `ERR_LIFESPAN_STARTUP`. */
  startup(): Promise<void>
  /** Rejects with `ERR_LIFESPAN_SHUTDOWN`. Idempotent. */
  shutdown(): Promise<void>
}
