/** The end of a server's patience. */
import { LONGEST_TIMER } from '../clock.ts'

/** A point in time that can be brought forward, and whether it has passed. It keeps the process alive until it is cleared. */
export class Deadline {
  /** Fulfilled when the deadline passes; never after `clear`. */
  readonly passed: Promise<void>

  /** Whether the deadline has passed. */
  hasPassed = false

  #pass!: () => void
  #at = Infinity
  #timer: NodeJS.Timeout | undefined = undefined

  constructor() {
    this.passed = new Promise((resolve) => {
      this.#pass = () => {
        this.hasPassed = true
        resolve()
      }
    })
  }

  /** Sets the deadline unless an earlier one stands; says whether it was set. */
  bringForward(milliseconds: number): boolean {
    const at = performance.now() + milliseconds
    if (at >= this.#at) return false
    clearTimeout(this.#timer)
    this.#at = at
    this.#timer = setTimeout(this.#pass, Math.min(milliseconds, LONGEST_TIMER))
    return true
  }

  /** Lets go. */
  clear(): void {
    clearTimeout(this.#timer)
  }
}
