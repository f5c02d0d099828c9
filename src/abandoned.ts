/** Applications that go on with requests that nobody waits for any more. */

/** A request as far as this goes. */
interface Running {
  /** The application has not returned. */
  readonly isRunning: boolean
}

/** Counts the requests that still run a while after they were aborted. One timer for all, because the while is the same. */
export class Abandoned {
  /** How many there were. */
  total = 0

  readonly #grace: number
  readonly #waiting: { readonly request: Running; readonly until: number }[] = []
  #timer: NodeJS.Timeout | undefined = undefined

  /** `grace` in milliseconds; the option allows no more than a timer takes. */
  constructor(grace: number) {
    this.#grace = grace
  }

  /** The request was aborted; its application may have noticed. */
  watch(request: Running): void {
    if (!request.isRunning) return
    this.#waiting.push({ request, until: performance.now() + this.#grace })
    this.#timer ??= this.#later(this.#grace)
  }

  /** The server is gone: nobody counts any more. */
  end(): void {
    clearTimeout(this.#timer)
    this.#waiting.length = 0
  }

  #later(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => this.#count(), milliseconds).unref()
  }

  #count(): void {
    this.#timer = undefined
    const now = performance.now()
    const next = this.#waiting.findIndex(({ until }) => until > now)
    const due = this.#waiting.splice(0, next < 0 ? this.#waiting.length : next)
    this.total += due.filter(({ request }) => request.isRunning).length
    const [first] = this.#waiting
    if (first !== undefined) this.#timer = this.#later(first.until - now)
  }
}
