/** From the start of the program to its exit code: signals, errors that nobody handled, and the end. */
import { reopenErrorLog } from './error-log.ts'
import { GneissError, errorCodeOf } from './errors.ts'
import { firstLineOf } from './loader/module.ts'

import type { Logger } from './log.ts'
import type { Server } from './server/types.ts'

/** Where the program stands: what a signal or an error means depends on it. */
export type Phase = 'loading' | 'serving' | 'starting' | 'stopping'

/** What ends the program before it serves. */
export interface LifecycleHandlers {
  /** An error that nobody handled. */
  failed(phase: Phase, error: unknown): never
  /** Nothing is left to wait for, although the program does not serve yet. */
  stalled(phase: Phase): never
  /** The end begins, for the first time: a signal came, or an error that nobody handled. */
  leaving?(reason: 'signal' | 'uncaught', isQuick: boolean): void
}

/** How to end. */
export interface EndOptions {
  readonly log: Logger
  /** Time for open requests after SIGTERM, in seconds. */
  readonly gracefulTimeout: number
  /** How long to serve on after SIGTERM before that, in seconds; none unless named. */
  readonly shutdownDelay?: number
  /** What an error means that nobody handled. Default: `exit`. */
  readonly onUncaught?: 'exit' | 'keep'
}

/** Seconds that open requests get after SIGINT and SIGQUIT, and after a second signal. */
export const QUICK_TIMEOUT = 2

/** Seconds beyond the timeout after which the end no longer waits for anything. */
const LAST_RESORT = 2

/** Exit code of a program that never came to serve. */
const FAILED_TO_START = 3

/** Signals that stop the program. */
export const SIGNAL_NUMBERS = { SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const

/** One of them. */
export type StopSignal = keyof typeof SIGNAL_NUMBERS

/**
 * Hears signals and unhandled errors from its construction to the end of the process. SIGTERM drains
 * for gracefulTimeout, SIGINT and SIGQUIT for 2 s; a second signal cuts what is left 2 s later, a third
 * at once. An unhandled error drains as SIGTERM does and ends with 1.
 */
export class Lifecycle {
  /** Exit code of the program; fulfilled when the server has stopped. */
  readonly ended: Promise<number>
  /** Errors and rejections that nobody handled, since the program serves. */
  uncaught = 0

  readonly #handlers: LifecycleHandlers
  #phase: Phase = 'loading'
  #options!: EndOptions
  #server!: Server
  #firstSignal: StopSignal | undefined = undefined
  #signals = 0
  #exitCode = 0
  #end!: (exitCode: number) => void
  /** Time that a stop was given while the application was still starting. */
  #earlyStop: number | undefined = undefined
  #delay: NodeJS.Timeout | undefined = undefined
  #lastResort: NodeJS.Timeout | undefined = undefined
  #isLeaving = false
  readonly #listeners = new Map<StopSignal | 'SIGUSR1', () => void>()

  constructor(handlers: LifecycleHandlers) {
    this.#handlers = handlers
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    for (const signal of Object.keys(SIGNAL_NUMBERS) as StopSignal[]) {
      const listener = (): void => this.#hear(signal)
      this.#listeners.set(signal, listener)
      process.on(signal, listener)
    }
    process.on('uncaughtException', this.#fault)
    process.on('beforeExit', this.#stall)
  }

  /** Hears nothing more: somebody else takes over. */
  detach(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener)
    clearTimeout(this.#delay)
    clearTimeout(this.#lastResort)
    process.off('uncaughtException', this.#fault)
    process.off('beforeExit', this.#stall)
  }

  /** Ends within so many seconds, as a signal does; a second call may shorten the time. `exitCode` replaces 0. */
  stop(timeout: number, exitCode: number = 0): void {
    this.#isLeaving = true
    this.#exitCode ||= exitCode
    switch (this.#phase) {
      case 'loading':
        process.exit(this.#exitCode)
        break
      case 'starting':
        this.#earlyStop = Math.min(timeout, this.#earlyStop ?? Infinity)
        setTimeout(() => process.exit(this.#exitCode || FAILED_TO_START), timeout * 1000).unref()
        break
      case 'serving':
        clearTimeout(this.#delay)
        this.#stop(timeout)
        break
      case 'stopping':
        this.#watchEnd(timeout)
        this.#server.close({ timeout }).catch(() => {})
        break
    }
  }

  /** The application is loaded; it is being started. */
  starting(options: EndOptions): void {
    this.#options = options
    this.#phase = 'starting'
  }

  /** The server is ready. Returns false when a signal came meanwhile: then it stops already. */
  serving(server: Server): boolean {
    process.off('beforeExit', this.#stall)
    // Our listener takes the place of Node's own, which would open the inspector.
    const reopen = (): void => {
      server.reopenLogs()
      reopenErrorLog(this.#options.log)
    }
    this.#listeners.set('SIGUSR1', reopen)
    process.on('SIGUSR1', reopen)
    this.#server = server
    this.#phase = 'serving'
    const timeout = this.#firstSignal === undefined ? this.#earlyStop : this.#timeoutOf(this.#firstSignal)
    if (timeout === undefined) return true
    this.#stop(timeout)
    return false
  }

  #hear(signal: StopSignal): void {
    this.#signals++
    this.#firstSignal ??= signal
    this.#leave('signal', signal !== 'SIGTERM')
    switch (this.#phase) {
      case 'loading':
        // Nothing is open yet, and code of the application may go on for as long as it likes.
        process.exit(0)
        break
      case 'starting':
        // A half started application gets to finish that, so that it can be stopped.
        if (this.#signals > 1) process.exit(128 + SIGNAL_NUMBERS[signal])
        setTimeout(() => process.exit(FAILED_TO_START), this.#timeoutOf(signal) * 1000).unref()
        break
      case 'serving':
        this.#stopSoon(signal)
        break
      case 'stopping':
        this.#cut(128 + SIGNAL_NUMBERS[signal])
        break
    }
  }

  #stopSoon(signal: StopSignal): void {
    const { shutdownDelay = 0 } = this.#options
    clearTimeout(this.#delay)
    if (signal !== 'SIGTERM' || shutdownDelay === 0) this.#stop(this.#timeoutOf(signal))
    // Asked twice, we have waited enough, but nothing is cut yet.
    else if (this.#signals > 1) this.#stop(QUICK_TIMEOUT)
    else this.#delay = setTimeout(() => this.#stop(this.#timeoutOf(signal)), shutdownDelay * 1000)
  }

  #leave(reason: 'signal' | 'uncaught', isQuick: boolean): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#handlers.leaving?.(reason, isQuick)
  }

  readonly #fault = (error: unknown): void => {
    if (this.#phase === 'loading' || this.#phase === 'starting') this.#handlers.failed(this.#phase, error)
    const { log, gracefulTimeout, onUncaught } = this.#options
    if (isEndOfRequest(error)) {
      log.debug('nobody handled an error that only says that a request has ended', error)
      return
    }
    this.uncaught++
    if (onUncaught === 'keep') {
      log.error('uncaught error of the application: the process goes on, because onUncaught is keep', error)
      return
    }
    this.#exitCode = 1
    this.#leave('uncaught', false)
    if (this.#phase === 'stopping') {
      log.critical('uncaught error of the application while it stops', error)
      return
    }
    log.critical('uncaught error of the application: open requests are finished, then the process ends', error)
    this.#stop(gracefulTimeout)
  }

  readonly #stall = (): void => this.#handlers.stalled(this.#phase)

  #timeoutOf(signal: StopSignal): number {
    return signal === 'SIGTERM' ? this.#options.gracefulTimeout : QUICK_TIMEOUT
  }

  #stop(timeout: number): void {
    const { log } = this.#options
    this.#phase = 'stopping'
    this.#watchEnd(timeout)
    this.#server.close({ timeout }).then(
      () => this.#end(this.#exitCode),
      (error: unknown) => {
        log.error('the application failed to stop', error)
        this.#end(this.#exitCode || 1)
      },
    )
  }

  /** The server keeps its own deadline; this one holds whatever the application does. */
  #watchEnd(timeout: number): void {
    clearTimeout(this.#lastResort)
    this.#lastResort = setTimeout(
      () => {
        this.#options.log.critical('the server did not stop in time')
        this.#end(this.#exitCode || 1)
      },
      (timeout + LAST_RESORT) * 1000,
    )
    this.#lastResort.unref()
  }

  /** A second signal: 2 s for what is left, then an exit code that tells that work was lost. */
  #cut(exitCode: number): void {
    if (this.#signals > 2) {
      this.#end(exitCode)
      return
    }
    // The server is to tell what is open that the end is near, and not to be the one who cuts: that is noted here.
    this.#server.close({ timeout: QUICK_TIMEOUT + 0.2 }).catch(() => {})
    setTimeout(() => {
      this.#exitCode = exitCode
      this.#server.close({ timeout: 0 }).catch(() => {})
    }, QUICK_TIMEOUT * 1000).unref()
  }
}

/** What an error that nobody handled means before the program serves. */
export function loadFailure(phase: Phase, error: unknown): GneissError {
  const what = phase === 'loading' ? 'was loaded' : 'was started'
  return new GneissError(codeOfPhase(phase), `uncaught error while the application ${what}: ${firstLineOf(error)}`, {
    cause: error,
  })
}

/** What it means when nothing is left to wait for before the program serves. */
export function stallFailure(phase: Phase): GneissError {
  const what =
    phase === 'loading' ? 'loading: a top-level await in it does not settle' : 'starting: its lifespan does not settle'
  return new GneissError(codeOfPhase(phase), `the application never finished ${what}`)
}

function codeOfPhase(phase: Phase): 'ERR_APP' | 'ERR_LIFESPAN_STARTUP' {
  return phase === 'loading' ? 'ERR_APP' : 'ERR_LIFESPAN_STARTUP'
}

/**
 * Errors that a client causes by leaving, or a deadline of its request, must not end the server even
 * when the application forgot to handle them: anybody could end it then.
 */
function isEndOfRequest(error: unknown): boolean {
  for (let current = error, depth = 0; current instanceof Error && depth < 4; current = current.cause, depth++) {
    if (current.name === 'AbortError' || REQUEST_CODES.has(errorCodeOf(current) ?? '')) return true
  }
  return false
}

const REQUEST_CODES: ReadonlySet<string> = new Set([
  'ERR_BODY_MALFORMED',
  'ERR_BODY_TIMEOUT',
  'ERR_BODY_TOO_LARGE',
  'ERR_CLIENT_DISCONNECTED',
  'ERR_OVERLOADED',
  'ERR_REQUEST_TIMEOUT',
  'ERR_RESPONSE_TIMEOUT',
  'ERR_SERVER_CLOSED',
  'ERR_SHUTDOWN',
])
