/** A clock for durations, and how far timers go. A leaf. */

/**
 * Milliseconds since an arbitrary moment; never set back, never ahead. `performance.now` says the same, but the first
 * look at `performance` loads a module of Node, which is a twentieth of what a master does before its worker is started.
 */
export function monotonic(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/** 24 days, in milliseconds: what is longer would make a timer fire at once. */
export const LONGEST_TIMER: number = 2 ** 31 - 1
