/** Holds the requests that come while the application is still starting. */
import { AsyncResource } from 'node:async_hooks'

import type { Dispatch } from '../native.ts'

/**
 * Sockets are bound before the application starts, so that an address in use is known before any of
 * its code has run, and clients that come early wait instead of being refused. It holds at most one
 * request for each open connection, because the next one is read after the answer.
 */
export class StartupQueue {
  #requests: Parameters<Dispatch>[] = []

  /** Takes a request. */
  add(...request: Parameters<Dispatch>): void {
    this.#requests.push(request)
  }

  /** Drops a request whose client has gone. */
  remove(id: number): void {
    this.#requests = this.#requests.filter(([waiting]) => waiting !== id)
  }

  /** Hands everything over, in order of arrival. */
  release(dispatch: Dispatch): void {
    const requests = this.#requests
    this.#requests = []
    // Requests begin in the context of the loop, not in that of whoever called `serve`.
    for (const request of requests) LOOP_CONTEXT.runInAsyncScope(dispatch, undefined, ...request)
  }
}

const LOOP_CONTEXT = new AsyncResource('GNEISS_STARTUP', { requireManualDestroy: true })
