/** The workers of a master: how many there are, who takes whose place, and their common end. */
import { monotonic } from '../clock.ts'
import { native } from '../native.ts'
import { KILL_MARGIN, WorkerChild } from './child.ts'
import { countOomKills, describeDeath } from './deaths.ts'

import type { Logger } from '../log.ts'
import type { Config } from '../options.ts'
import type { Launch } from './child.ts'
import type { Death } from './deaths.ts'
import type { BootPhase, RestartPolicy } from './policy.ts'
import type { ExitReason, FailedMessage, WorkerInfo, WorkerMessage } from './protocol.ts'

/** What a pool works with. */
export interface PoolOptions {
  readonly config: Config
  readonly log: Logger
  readonly launch: Launch
  readonly policy: RestartPolicy
  /** How many cells there are: no more workers live at a time. */
  readonly cells: number
  /** Configuration file, if it has hooks for workers. */
  readonly hooksFile: string | undefined
  /** Module that workers import to have the application made, if the configuration does not name one. */
  readonly module: string | undefined
}

/** Called when something happens that concerns more than one worker. */
export interface PoolEvents {
  /** Before a worker is started. */
  starting(info: WorkerInfo): Promise<void>
  /** A worker accepts. */
  ready(child: WorkerChild): void
  /** Every worker of the start has become ready or failed, and one is ready at least. */
  settled(): void
  /** No worker of the start has become ready. */
  failed(failures: readonly WorkerFailure[]): void
  /** The system refuses what a worker of the start needs. */
  unable(error: unknown): void
  /** A worker is gone. */
  gone(death: Death): void
  /** Workers keep dying, and it is time to give up. */
  exhausted(): void
}

/** Why a worker of the start did not become ready. */
export interface WorkerFailure {
  readonly said: FailedMessage | undefined
  readonly death: Death
}

/** The place of one worker, which a successor takes. */
interface Slot {
  readonly number: number
  child: WorkerChild | undefined
  timer: NodeJS.Timeout | undefined
  isStarting: boolean
  /** The first worker in it has become ready, or is gone. */
  hasReported: boolean
  failure: WorkerFailure | undefined
}

/** Milliseconds between two looks for a free cell. */
const CELL_RETRY = 10

/** Milliseconds until a worker is started again when the system has refused it. */
const SPAWN_RETRY = 1000

/** Milliseconds in which a signal to the process group reaches all of it. */
const GROUP_SIGNAL = 50

/** Keeps as many workers as are wanted. */
export class Pool {
  phase: BootPhase = 'initial'
  readonly generation = 1

  readonly #options: PoolOptions
  readonly #events: PoolEvents
  readonly #slots: Slot[] = []
  /** Workers that no slot counts on any more, until they are gone. */
  readonly #leaving = new Set<WorkerChild>()
  readonly #freeCells: number[]
  readonly #totals: Record<string, number | string> = {}
  #oomKills: number | undefined = undefined
  #isStopping = false
  #isSettled = false
  #exitCode = 0
  #giveUpTimer: NodeJS.Timeout | undefined = undefined
  #wake: (() => void) | undefined = undefined

  constructor(options: PoolOptions, events: PoolEvents) {
    this.#options = options
    this.#events = events
    this.#freeCells = Array.from({ length: options.cells }, (_, index) => index)
  }

  /** How many workers are wanted. */
  get size(): number {
    return this.#slots.length
  }

  /** How many workers accept. */
  get ready(): number {
    return this.#slots.filter(({ child }) => child?.state === 'ready').length
  }

  /** Everything that lives, also what is on its way out. */
  get children(): readonly WorkerChild[] {
    return [...this.#slots.flatMap(({ child }) => child ?? []), ...this.#leaving]
  }

  /** Sums of the last numbers of workers that have ended cleanly; `mode` is that of any. */
  get stats(): Readonly<Record<string, number | string>> {
    return this.#totals
  }

  /** The first exit code other than 0 that a worker ended with after it was told to stop. */
  get exitCode(): number {
    return this.#exitCode
  }

  /** Changes how many workers there are. Returns the new number: no more than there are cells for. */
  resize(wanted: number): number {
    const count = Math.min(wanted, this.#options.cells)
    while (this.#slots.length < count) {
      const slot: Slot = {
        number: this.#slots.length + 1,
        child: undefined,
        timer: undefined,
        isStarting: false,
        hasReported: false,
        failure: undefined,
      }
      this.#slots.push(slot)
      void this.#spawn(slot)
    }
    while (this.#slots.length > count) {
      const slot = this.#slots.pop() as Slot
      clearTimeout(slot.timer)
      if (slot.child !== undefined) {
        this.#leaving.add(slot.child)
        slot.child.stop(this.#options.config.gracefulTimeout, false)
      }
    }
    return count
  }

  /** Ends everything within so many seconds; fulfilled when nothing is left. Another call may shorten the time. */
  async stop(timeout: number, isQuick: boolean): Promise<void> {
    this.#isStopping = true
    clearTimeout(this.#giveUpTimer)
    for (const slot of this.#slots) clearTimeout(slot.timer)
    for (const child of this.children) child.stop(timeout, isQuick)
    while (this.children.length > 0) {
      await new Promise<void>((resolve) => {
        const earlier = this.#wake
        this.#wake = () => {
          earlier?.()
          resolve()
        }
      })
    }
  }

  /** Ends everything now. */
  kill(): void {
    for (const child of this.children) child.signal('SIGKILL')
  }

  async #spawn(slot: Slot): Promise<void> {
    const { policy, config, launch, hooksFile, module } = this.#options
    if (this.#isStopping || slot.isStarting || slot.child !== undefined || !this.#slots.includes(slot)) return
    const wait = policy.waitForSpawn(monotonic())
    if (wait > 0 || this.#freeCells.length === 0) {
      this.#spawnLater(slot, Math.max(wait, CELL_RETRY))
      return
    }
    policy.spawned(monotonic())
    const cell = this.#freeCells.shift() as number
    const worker: WorkerInfo = { number: slot.number, generation: this.generation, pid: 0 }
    slot.isStarting = true
    await this.#events.starting(worker)
    slot.isStarting = false
    if (this.#isStopping || !this.#slots.includes(slot)) {
      this.#freeCells.push(cell)
      return
    }
    native.clearCell(launch.cells, cell, this.generation)
    const start = { config, directory: process.cwd(), worker, cell, hooksFile, module }
    try {
      slot.child = new WorkerChild(launch, start, {
        said: (child, message) => this.#hear(slot, child, message),
        ended: (child, code, signal) => this.#ended(slot, child, code, signal),
      })
    } catch (error) {
      this.#freeCells.push(cell)
      if (this.phase === 'initial') return this.#events.unable(error)
      this.#options.log.error(`worker ${slot.number} cannot be started; it is tried again in 1 s`, error)
      this.#spawnLater(slot, SPAWN_RETRY)
      return
    }
    slot.child.watchBoot(config.bootTimeout * 1000)
    // Counted once the process is on its way, which is what everybody waits for.
    this.#oomKills ??= countOomKills()
  }

  #spawnLater(slot: Slot, delay: number): void {
    clearTimeout(slot.timer)
    slot.timer = setTimeout(() => void this.#spawn(slot), delay)
  }

  #hear(slot: Slot, child: WorkerChild, message: WorkerMessage): void {
    switch (message.gneiss) {
      case 'ready':
        this.#becameReady(slot, child, message)
        break
      case 'failed':
        child.failure = message
        break
      case 'leaving':
        child.leaving = message.reason
        // A signal to the whole process group may be on its way to us as well, and then nobody is replaced.
        if (message.reason === 'signal') setTimeout(() => this.#left(slot, child), GROUP_SIGNAL)
        else this.#left(slot, child)
        break
      case 'stopped':
        child.stats = message.stats
        break
    }
  }

  /** The worker accepts no more, but still serves: its successor need not wait for that. */
  #left(slot: Slot, child: WorkerChild): void {
    if (child.state !== 'ready' || slot.child !== child || this.#isStopping) return
    child.killAfter(this.#options.config.gracefulTimeout * 1000 + KILL_MARGIN)
    this.#detach(slot, child, this.#deathOf(child, null, null))
  }

  #becameReady(slot: Slot, child: WorkerChild, message: Extract<WorkerMessage, { gneiss: 'ready' }>): void {
    child.ready = message
    if (child.state !== 'booting' || slot.child !== child || child.wasStopped) return
    child.state = 'ready'
    slot.hasReported = true
    const isFirst = this.phase === 'initial'
    this.phase = 'serving'
    // Of the start one line tells, when it is over.
    const level = this.#isSettled ? 'info' : 'debug'
    this.#options.log[level](
      `worker ${slot.number} (pid ${child.info.pid}) is ready after ${Math.round(child.uptime)} ms`,
    )
    this.#noteReady()
    this.#events.ready(child)
    if (isFirst) {
      // Those that failed meanwhile have waited for this: now they are crashes like any other.
      for (const other of this.#slots) {
        if (other.failure === undefined) continue
        this.#report(other.failure.said)
        this.#recover(other, other.failure.death)
      }
    }
    this.#settle()
  }

  #ended(slot: Slot, child: WorkerChild, code: number | null, signal: NodeJS.Signals | null): void {
    const { log, launch } = this.#options
    this.#addStats(child)
    if (child.wasStopped || this.#isStopping) {
      const exitCode = child.wasKilled ? 1 : (code ?? 0)
      // Of one that left because of an error the log has told, when it came.
      if (this.#isStopping && child.leaving === undefined) this.#exitCode ||= exitCode
      if (child.wasKilled)
        log.critical(`worker ${child.info.number} (pid ${child.info.pid}) did not end in time and was killed`)
    }
    const death = this.#deathOf(child, code, signal)
    if (this.#leaving.delete(child)) log.debug(`worker ${child.info.number} (pid ${child.info.pid}) has ended`)
    else this.#detach(slot, child, death)
    this.#events.gone(death)
    native.clearCell(launch.cells, child.cell, this.generation)
    this.#freeCells.push(child.cell)
    this.#wake?.()
  }

  /** The slot no longer counts on this worker: somebody takes its place, now or later. */
  #detach(slot: Slot, child: WorkerChild, death: Death): void {
    if (slot.child === child) slot.child = undefined
    slot.hasReported = true
    if (death.code === null && death.signal === null) this.#leaving.add(child)
    child.state = 'leaving'
    this.#noteReady()
    if (this.#isStopping || !this.#slots.includes(slot)) return
    if (this.phase === 'initial' && death.reason !== 'planned') {
      slot.failure = { said: child.failure, death }
      this.#settle()
      return
    }
    this.#report(child.failure)
    this.#recover(slot, death)
    this.#settle()
  }

  /** Has a successor started, sooner or later. */
  #recover(slot: Slot, death: Death): void {
    const { policy, log } = this.#options
    const now = monotonic()
    slot.failure = undefined
    if (death.reason === 'planned') {
      const delay = death.wasReady ? 0 : policy.delayAfter(slot.number, death)
      log.info(describeDeath(death, { delay, count: undefined }))
      this.#spawnLater(slot, delay)
      return
    }
    const wasLoop = policy.isCrashLoop(now)
    const delay = policy.delayAfter(slot.number, death)
    const count = policy.countDeath(now)
    log.warn(describeDeath(death, { delay: Math.max(delay, policy.waitForSpawn(now)), count }))
    if (!wasLoop && policy.isCrashLoop(now))
      log.error(`workers keep dying: ${count} deaths within 60 s are a crash loop`)
    this.#spawnLater(slot, delay)
    this.#watchGiveUp()
  }

  /** All workers of the start are known to be ready or not. */
  #settle(): void {
    if (this.phase === 'initial') {
      const failures = this.#slots.flatMap(({ failure }) => failure ?? [])
      if (failures.length > 0 && failures.length === this.#slots.length) this.#events.failed(failures)
      return
    }
    if (this.#isSettled || this.#slots.some(({ hasReported }) => !hasReported)) return
    this.#isSettled = true
    this.#events.settled()
  }

  #report(failure: FailedMessage | undefined): void {
    if (failure !== undefined) this.#options.log.error(failure.text.trimEnd().replace(/^gneiss: /, ''))
  }

  #noteReady(): void {
    this.#options.policy.noteReady(monotonic(), this.ready)
    this.#watchGiveUp()
  }

  #watchGiveUp(): void {
    clearTimeout(this.#giveUpTimer)
    if (this.#isStopping) return
    const now = monotonic()
    const at = this.#options.policy.giveUpAt(now)
    if (at === undefined) return
    if (at <= now) this.#events.exhausted()
    else this.#giveUpTimer = setTimeout(() => this.#watchGiveUp(), at - now + 1)
  }

  #deathOf(child: WorkerChild, code: number | null, signal: NodeJS.Signals | null): Death {
    const cell = native.readCell(this.#options.launch.cells, child.cell)
    return {
      number: child.info.number,
      pid: child.info.pid,
      code,
      signal,
      reason: this.#reasonOf(child, signal),
      uptime: child.uptime,
      inflight: cell?.inflight ?? 0,
      wasReady: child.ready !== undefined,
      busy: cell === null || cell.loopBusySince === 0 ? 0 : cell.now - cell.loopBusySince,
      // Who is asked for its health has answered that before it was ready.
      hasProved: child.ready !== undefined && (this.#options.config.healthProbe !== null || (cell?.accepted ?? 0) > 0),
    }
  }

  /** What the worker has said counts before what its end looks like: Node itself uses most small codes. */
  #reasonOf(child: WorkerChild, signal: NodeJS.Signals | null): ExitReason {
    if (child.wasKilled) return 'overdue'
    if (child.isBootOverdue) return 'bootTimeout'
    if (child.failure !== undefined) return 'failed'
    if (child.leaving === 'uncaught') return 'uncaught'
    if (child.wasStopped || child.leaving === 'signal') return 'planned'
    if (signal === 'SIGKILL') {
      const before = this.#oomKills
      this.#oomKills = countOomKills()
      return (this.#oomKills ?? 0) > (before ?? 0) ? 'outOfMemory' : 'signal'
    }
    return signal === null ? 'exit' : 'signal'
  }

  #addStats({ stats }: WorkerChild): void {
    for (const [name, value] of Object.entries(stats ?? {})) {
      const sum = this.#totals[name]
      this.#totals[name] = typeof value === 'number' && typeof sum === 'number' ? sum + value : value
    }
  }
}
