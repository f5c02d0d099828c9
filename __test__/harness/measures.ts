/** Numbers about this process while a test runs. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

import { collectGarbage } from './garbage.ts'

const MILLISECOND = 1e6
/** Collections that are forced before an object counts as held. */
const MOST = 10

/** Watches the delay of the event loop; the function ends it and returns the longest in milliseconds. */
export function watchLoopDelay(): () => number {
  const delays = monitorEventLoopDelay({ resolution: 5 })
  delays.enable()
  return () => {
    delays.disable()
    return delays.max / MILLISECOND
  }
}

/** Resident memory in bytes, after what nothing holds was collected. */
export function residentBytes(): number {
  collectGarbage()
  return process.memoryUsage().rss
}

/**
 * Counts objects that are collected: `watch` an object, ask for `left()` when all of them should be gone.
 * It forces three collections with turns of the loop between, because finalizers run in tasks of their own,
 * and more while something is left: the last object of all may lie in a register that nobody has used since.
 */
export class Balance {
  created = 0
  finalised = 0
  readonly #registry = new FinalizationRegistry<undefined>(() => {
    this.finalised += 1
  })

  watch(value: object): void {
    this.created += 1
    this.#registry.register(value, undefined)
  }

  /** How many are still held. */
  async left(): Promise<number> {
    for (let collection = 0; collection < 3 || (collection < MOST && this.finalised < this.created); collection++) {
      collectGarbage()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return this.created - this.finalised
  }
}
