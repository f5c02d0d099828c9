/** Who of an application waits for news of its request. */
import { AsyncResource } from 'node:async_hooks'

import type { Logger } from '../log.ts'

/** What an application may be told while its request is open. */
export type News = 'aborted' | 'draining' | 'stopped'

/** One who waits. */
export interface Entry {
  readonly news: News
  /** Where stores travel in frames (Node 24 and later), one entered after the request began is unknown to the exchange. */
  readonly context: AsyncResource
  readonly listener: (error: Error) => void
}

// Without it AsyncResource would register each with a finalizer.
const RESOURCE_OPTIONS = { requireManualDestroy: true } as const

/** The async context of whoever calls, for one who has no resource of his own. */
export function presentContext(): AsyncResource {
  return new AsyncResource('GNEISS_ABORT', RESOURCE_OPTIONS)
}

/** Each listener is called once at most, in the async context in which it came. */
export class Listeners {
  #entries: Entry[]

  /** With the first one. */
  constructor(first: Entry) {
    this.#entries = [first]
  }

  /** Adds one. */
  add(entry: Entry): void {
    this.#entries.push(entry)
  }

  /** Calls those who wait for one of `news`, and forgets them. What one throws is logged, and the others are called all the same. */
  tell(news: readonly News[], error: Error, log: Logger): void {
    const told = this.#entries.filter((entry) => news.includes(entry.news))
    this.#entries = this.#entries.filter((entry) => !news.includes(entry.news))
    for (const { context, listener } of told) {
      try {
        context.runInAsyncScope(listener, undefined, error)
      } catch (fault) {
        log.error('an abort listener threw', fault)
      }
    }
  }
}
