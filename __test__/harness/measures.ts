/** Numbers about this process while a test runs. */
import { closeSync, existsSync, openSync, readSync, readdirSync } from 'node:fs'

import { collectGarbage } from './garbage.ts'

/** How often the event loop is asked, in milliseconds. */
const RESOLUTION = 5
const NANOSECONDS = 1e6
const TASKS = '/proc/self/task'
/** Collections that are forced before an object counts as held. */
const MOST = 10

/**
 * Watches the delay of the event loop; the function ends it and returns the longest in milliseconds. What the
 * machine has taken for other processes does not count where the kernel tells it (Linux): the time in which this
 * thread waited for a processor, or stood still while another one of the process did, such as a helper of the
 * collector. The time in which it ran always counts.
 */
export function watchLoopDelay(): () => number {
  const threads = new Threads()
  let longest = 0
  let [at, before] = [performance.now(), threads.read()]
  const look = (): void => {
    const [now, after] = [performance.now(), threads.read()]
    const ran = after.ran - before.ran
    const others = Math.max(0, ...after.others.map((waited, index) => waited - (before.others[index] ?? waited)))
    const held = Math.max(ran, now - at - (after.waited - before.waited) - others)
    longest = Math.max(longest, held - RESOLUTION)
    at = now
    before = after
  }
  const timer = setInterval(look, RESOLUTION)
  return () => {
    clearInterval(timer)
    // The loop may be held at this moment.
    look()
    threads.close()
    return longest
  }
}

/** Milliseconds since the thread began. */
interface Scheduling {
  readonly ran: number
  /** For a processor. */
  readonly waited: number
}

/** What the kernel says of the threads of this process; zeros where it says nothing. */
class Threads {
  readonly #own: number | undefined
  readonly #others: readonly number[]
  readonly #buffer = Buffer.alloc(64)

  constructor() {
    const ids = existsSync(TASKS) ? readdirSync(TASKS) : []
    const own = String(process.pid)
    this.#own = ids.includes(own) ? openSync(`${TASKS}/${own}/schedstat`, 'r') : undefined
    this.#others = ids.filter((id) => id !== own).flatMap(openThread)
  }

  read(): Scheduling & { readonly others: readonly number[] } {
    const own = this.#own === undefined ? { ran: 0, waited: 0 } : this.#of(this.#own)
    return { ...own, others: this.#others.map((file) => this.#of(file).waited) }
  }

  close(): void {
    if (this.#own !== undefined) closeSync(this.#own)
    for (const file of this.#others) closeSync(file)
  }

  #of(file: number): Scheduling {
    let length = 0
    try {
      length = readSync(file, this.#buffer, 0, this.#buffer.length, 0)
    } catch {
      // A thread that has ended waits for nothing.
    }
    const [ran = 0, waited = 0] = this.#buffer.toString('latin1', 0, length).split(' ').map(Number)
    return { ran: ran / NANOSECONDS, waited: waited / NANOSECONDS }
  }
}

function openThread(id: string): number[] {
  try {
    return [openSync(`${TASKS}/${id}/schedstat`, 'r')]
  } catch {
    // It has ended meanwhile.
    return []
  }
}

/** Resident memory in bytes, after what nothing holds was collected. */
export function residentBytes(): number {
  collectGarbage()
  return process.memoryUsage().rss
}

/** Bytes of the heap and of the buffers outside of it, after what nothing holds was collected. */
export function heldBytes(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
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
