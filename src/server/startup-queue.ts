/** Holds the requests that come while the application is still starting. */
import { AsyncResource } from 'node:async_hooks'

import type { Dispatch } from '../native.ts'

/**
 * Sockets are bound before the application starts, so that an address in use is known before any of
 * its code has run, and clients that come early wait instead of being refused. It holds at most one
 * request for each open connection, because the next one is read after the answer.
 */
export class StartupQueue {
  // Queues that hold something. An event may come through any server's function, ids are those of the isolate.
  static readonly #waiting: Set<StartupQueue> = new Set()

  readonly #requests = new Map<number, Parameters<Dispatch>>()

  /** Drops the request of a client that has gone. */
  static forget(id: number): void {
    for (const queue of StartupQueue.#waiting) queue.#requests.delete(id)
  }

  /** Takes a request. */
  add(...request: Parameters<Dispatch>): void {
    StartupQueue.#waiting.add(this)
    this.#requests.set(request[0], request)
  }

  /** Drops everything. */
  clear(): void {
    StartupQueue.#waiting.delete(this)
    this.#requests.clear()
  }

  /** Hands everything over, in order of arrival. */
  release(dispatch: Dispatch): void {
    const requests = [...this.#requests.values()]
    this.clear()
    // Requests begin in the context of the loop, not in that of whoever called `serve`.
    for (const request of requests) LOOP_CONTEXT.runInAsyncScope(dispatch, undefined, ...request)
  }
}

const LOOP_CONTEXT = new AsyncResource('GNEISS_STARTUP', { requireManualDestroy: true })
