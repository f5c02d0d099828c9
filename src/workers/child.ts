/** One worker process, as its master sees it: how it is started, what it says, how it is ended. */
import { LONGEST_TIMER, monotonic } from '../clock.ts'
import { native } from '../native.ts'
import { Descriptor, isWorkerMessage } from './protocol.ts'
import { spawnWorker } from './spawn.ts'

import type { ChildProcess } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type {
  FailedMessage,
  LeavingReason,
  MasterMessage,
  ReadyMessage,
  StartMessage,
  WorkerInfo,
  WorkerMessage,
} from './protocol.ts'
import type { Stats } from '../server/types.ts'
import type { LentListeners } from './listeners.ts'
import type { Command, EarlyWorker } from './spawn.ts'

/** What a worker process is started with. */
export interface Launch extends Command {
  /** Descriptor of the memory of all cells. */
  readonly cells: number
  /** Listeners for one more worker. @throws `ERR_BIND`. */
  lend(): LentListeners
  /** A process that was started already, for whoever asks first. */
  takeEarly(): EarlyWorker | undefined
  /** It has a hook that hears of it before it is killed. */
  readonly hasAbortHook: boolean
}

/** Called when something happens to a worker. */
export interface ChildEvents {
  said(child: WorkerChild, message: WorkerMessage): void
  ended(child: WorkerChild, code: number | null, signal: NodeJS.Signals | null): void
}

/** How far a worker is. */
export type ChildState = 'booting' | 'ready' | 'leaving' | 'gone'

/** Milliseconds that the hook workerAbort has before SIGKILL. */
const ABORT_GRACE = 300

/** Milliseconds between asking a worker that did not start to end, and killing it. */
const LAST_GRACE = 2000

/** A process, from its start to its end. */
export class WorkerChild {
  readonly info: WorkerInfo
  readonly cell: number
  /** When it was started, in milliseconds of `monotonic`. */
  readonly startedAt: number
  state: ChildState = 'booting'
  /** What it said when it became ready. */
  ready: ReadyMessage | undefined = undefined
  /** What it said when it could not start. */
  failure: FailedMessage | undefined = undefined
  /** Why it said that it leaves. */
  leaving: LeavingReason | undefined = undefined
  /** Its last numbers. */
  stats: Stats | undefined = undefined
  /** It was told to stop. */
  wasStopped = false
  /** It took longer than bootTimeout. */
  isBootOverdue = false
  /** It did not end in time after it was told to. */
  wasKilled = false

  readonly #process: ChildProcess
  readonly #hasAbortHook: boolean
  readonly #timers = new Set<NodeJS.Timeout>()
  #killTimer: NodeJS.Timeout | undefined = undefined
  #abortTimer: NodeJS.Timeout | undefined = undefined

  /** @throws `ERR_BIND`, and what the system says when no process can be started. */
  constructor(launch: Launch, start: Omit<StartMessage, 'gneiss' | 'isEarly'>, events: ChildEvents) {
    this.cell = start.cell
    this.#hasAbortHook = launch.hasAbortHook
    const lent = launch.lend()
    const waiting = launch.takeEarly()
    const descriptors = [launch.cells, ...lent.fds]
    let early: EarlyWorker | undefined
    try {
      if (waiting?.adopt((socket) => native.sendDescriptors(socket, descriptors)) === true) early = waiting
      this.startedAt = early?.startedAt ?? monotonic()
      this.#process = early?.process ?? spawnWorker(launch, start.worker.number, descriptors)
    } finally {
      lent.settle()
    }
    this.info = Object.freeze({ ...start.worker, pid: this.#process.pid ?? 0 })
    // The lifeline: nothing is read or written, and its end is the worker's end as well.
    this.#lifeline?.on('error', () => {})
    const hear = (message: unknown): void => {
      if (isWorkerMessage(message)) events.said(this, message)
    }
    this.#process.on('message', hear)
    // It could not be started at all, or it takes no more messages; what counts is its end.
    this.#process.on('error', ({ message }) => {
      if (this.#process.pid !== undefined) return
      const text = `gneiss: worker ${this.info.number} cannot be started: ${message}\n`
      this.failure = { gneiss: 'failed', code: undefined, exitCode: 1, text }
      this.#end(events, 1, null)
    })
    this.#process.once('exit', (code, signal) => this.#end(events, code, signal))
    this.#tell({ gneiss: 'start', ...start, worker: this.info, isEarly: early !== undefined })
    // Behind the caller, who has yet to learn that there is a child.
    for (const message of early?.said ?? []) queueMicrotask(() => hear(message))
  }

  /** Milliseconds since it was started. */
  get uptime(): number {
    return monotonic() - this.startedAt
  }

  /** Asks it to end within so many seconds; what is left a little later is killed. A second call may shorten the time. */
  stop(timeout: number, isQuick: boolean): void {
    if (this.state === 'gone') return
    this.wasStopped = true
    this.#tell({ gneiss: 'stop', timeout, isQuick })
    this.killAfter(timeout * 1000 + KILL_MARGIN)
  }

  /** Kills it unless it ends within so many milliseconds. A second call may shorten the time. */
  killAfter(milliseconds: number): void {
    this.#killAfter(milliseconds, () => {
      this.wasKilled = true
    })
  }

  /** It has so many milliseconds to become ready. */
  watchBoot(milliseconds: number): void {
    this.#later(milliseconds, () => {
      if (this.state !== 'booting') return
      this.isBootOverdue = true
      this.signal('SIGTERM')
      this.#killAfter(LAST_GRACE, () => {})
    })
  }

  /** SIGABRT comes before SIGKILL only if somebody waits for it: it would end everything else at once. */
  #killAfter(milliseconds: number, note: () => void): void {
    clearTimeout(this.#abortTimer)
    clearTimeout(this.#killTimer)
    const end = (signal: NodeJS.Signals): void => {
      note()
      this.signal(signal)
    }
    if (this.#hasAbortHook)
      this.#abortTimer = this.#later(Math.max(0, milliseconds - ABORT_GRACE), () => end('SIGABRT'))
    this.#killTimer = this.#later(milliseconds, () => end('SIGKILL'))
  }

  /** Says that log files were moved away. */
  reopenLogs(): void {
    this.#tell({ gneiss: 'reopen' })
  }

  /** Sends a signal; nothing happens to one that has ended. */
  signal(signal: NodeJS.Signals): void {
    if (this.state !== 'gone') this.#process.kill(signal)
  }

  #end(events: ChildEvents, code: number | null, signal: NodeJS.Signals | null): void {
    if (this.state === 'gone') return
    for (const timer of this.#timers) clearTimeout(timer)
    events.ended(this, code, signal)
    this.state = 'gone'
    this.#lifeline?.destroy()
  }

  /** Without a descriptor for them Node makes no streams at all. */
  get #lifeline(): Readable | Writable | null | undefined {
    const { stdio } = this.#process as { readonly stdio?: ChildProcess['stdio'] }
    return stdio?.[Descriptor.lifeline]
  }

  #tell(message: MasterMessage): void {
    if (this.#process.connected) this.#process.send(message, () => {})
  }

  #later(milliseconds: number, work: () => void): NodeJS.Timeout {
    const timer = setTimeout(work, Math.min(milliseconds, LONGEST_TIMER))
    this.#timers.add(timer)
    return timer
  }
}

/** Milliseconds beyond its time after which a worker is killed: its application has one more second to stop. */
export const KILL_MARGIN = 1500
