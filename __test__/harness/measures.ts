/** Numbers about this process while a test runs. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'

import { collectGarbage } from './garbage.ts'

/** How often the event loop is asked, in milliseconds. */
const RESOLUTION = 5
const NANOSECONDS = 1e6
/** What the kernel says of a thread: nanoseconds that it ran, nanoseconds that it waited for a processor, how often. */
const SCHEDULING = '/proc/thread-self/schedstat'
/** Collections that are forced before an object counts as held. */
const MOST = 10

/**
 * Watches the delay of the event loop; the function ends it and returns the longest in milliseconds. What the
 * machine has taken for other processes does not count where the kernel tells it (Linux).
 */
export function watchLoopDelay(): () => number {
  const clock = new WaitClock()
  let longest = 0
  let [at, waited] = [performance.now(), clock.waited()]
  const look = (): void => {
    const [now, nowWaited] = [performance.now(), clock.waited()]
    longest = Math.max(longest, now - at - (nowWaited - waited) - RESOLUTION)
    at = now
    waited = nowWaited
  }
  const timer = setInterval(look, RESOLUTION)
  return () => {
    clearInterval(timer)
    // The loop may be held at this moment.
    look()
    clock.close()
    return longest
  }
}

/** How long this thread has waited for a processor. */
class WaitClock {
  readonly #file = existsSync(SCHEDULING) ? openSync(SCHEDULING, 'r') : undefined
  readonly #buffer = Buffer.alloc(64)

  /** In milliseconds; 0 where nobody knows. */
  waited(): number {
    if (this.#file === undefined) return 0
    const length = readSync(this.#file, this.#buffer, 0, this.#buffer.length, 0)
    return Number(this.#buffer.toString('latin1', 0, length).split(' ')[1]) / NANOSECONDS
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
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
