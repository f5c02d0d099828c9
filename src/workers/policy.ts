/**
 * When a worker that died is started again. A state machine over a clock that is passed in: no timers,
 * no processes. Times are milliseconds.
 */

/** What to do when workers keep dying. */
export type CrashLoopMode = 'degrade' | 'exit' | 'ignore'

/** What the policy depends on. */
export interface PolicyOptions {
  /** Workers that there should be. */
  readonly workers: number
  /** How many cpus there are; asked when it first matters, because that reads files. */
  readonly cpus: () => number
  readonly crashLoop: CrashLoopMode
  /** How long a crash loop may have no worker that is ready. */
  readonly crashLoopGrace: number
  /** From 0 to 1, for the scatter of delays. */
  readonly random?: () => number
}

/** How far the server has come: what the failure of a worker to start means depends on it. */
export type BootPhase =
  /** No worker has ever been ready: if none of the first ones gets there, the program ends. */
  | 'initial'
  /** One has been: a failure is a crash like any other. */
  | 'serving'
  /** Workers of a new generation are starting: a failure ends the reload. */
  | 'reload'

/** How a worker did. */
export interface Life {
  /** From its start to its end. */
  readonly uptime: number
  /** It has answered somebody. */
  readonly hasProved: boolean
}

/** Uptime from which a death costs no delay. */
const LONG_LIFE = 30_000
const FIRST_DELAY = 100
const LONGEST_DELAY = 15_000
/** Part of a delay that is left to chance, in both directions, so that many servers do not move in step. */
const SCATTER = 0.2
/** Over which deaths are counted. */
const WINDOW = 60_000
/** Between two starts in a crash loop. */
const PROBE_INTERVAL = 15_000

/** Counts deaths and says when to start what. */
export class RestartPolicy {
  readonly #options: PolicyOptions
  readonly #random: () => number
  /** Steps of delay, by the number of the worker. */
  readonly #steps = new Map<number, number>()
  #deaths: number[] = []
  /** Starts that are not yet made up for: one at a time, as many a second as the bucket holds. */
  #debt = 0
  #debtAt = 0
  #cpus: number | undefined = undefined
  #lastSpawn = -Infinity
  #noneReadySince = 0
  #loopSince: number | undefined = undefined

  constructor(options: PolicyOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
  }

  /** Deaths within a minute from which it is a crash loop. */
  get threshold(): number {
    return Math.max(5, 2 * this.#options.workers)
  }

  /** Milliseconds to wait before the successor of a worker that died is started. */
  delayAfter(worker: number, { uptime, hasProved }: Life): number {
    const isLong = uptime >= LONG_LIFE
    if (isLong && hasProved) this.#steps.delete(worker)
    if (isLong) return 0
    const step = this.#steps.get(worker) ?? 0
    this.#steps.set(worker, step + 1)
    const scatter = 1 + SCATTER * (2 * this.#random() - 1)
    return Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** step) * scatter
  }

  /** A worker died without anybody having planned it. Returns how many did within the last minute. */
  countDeath(now: number): number {
    this.#deaths.push(now)
    const count = this.#deathsAt(now)
    if (count >= this.threshold) this.#loopSince ??= now
    return count
  }

  /** Whether workers keep dying. */
  isCrashLoop(now: number): boolean {
    if (this.#loopSince !== undefined && this.#deathsAt(now) < this.threshold) this.#loopSince = undefined
    return this.#loopSince !== undefined
  }

  /** How many workers are ready has changed. */
  noteReady(now: number, ready: number): void {
    if (ready > 0) this.#noneReadySince = Infinity
    else if (this.#noneReadySince === Infinity) this.#noneReadySince = now
  }

  /** When to give up if nothing changes; undefined for never. */
  giveUpAt(now: number): number | undefined {
    if (this.#options.crashLoop !== 'exit' || !this.isCrashLoop(now)) return undefined
    const since = Math.max(this.#noneReadySince, this.#loopSince ?? Infinity)
    return since === Infinity ? undefined : since + this.#options.crashLoopGrace
  }

  /** Milliseconds until a worker may be started; 0 for now. */
  waitForSpawn(now: number): number {
    if (this.#options.crashLoop !== 'ignore' && this.isCrashLoop(now)) {
      const wait = this.#lastSpawn + PROBE_INTERVAL - now
      if (wait > 0) return wait
    }
    const debt = this.#debtNow(now)
    // The first start of all waits for nothing, not even for the size of the bucket.
    return debt === 0 ? 0 : Math.max(0, ((debt + 1 - this.#bucket) * 1000) / this.#bucket)
  }

  /** A worker is being started. */
  spawned(now: number): void {
    this.#debt = this.#debtNow(now) + 1
    this.#debtAt = now
    this.#lastSpawn = now
  }

  /** Starts a second, and the most at once. */
  get #bucket(): number {
    this.#cpus ??= this.#options.cpus()
    return Math.max(2, 2 * this.#cpus)
  }

  #debtNow(now: number): number {
    return this.#debt === 0 ? 0 : Math.max(0, this.#debt - ((now - this.#debtAt) / 1000) * this.#bucket)
  }

  #deathsAt(now: number): number {
    this.#deaths = this.#deaths.filter((at) => now - at < WINDOW)
    return this.#deaths.length
  }
}
