/** From the start of the program to its exit code: signals, errors that nobody handled, and the end. */
import { errorCodeOf } from '../errors.ts'

import type { Logger } from '../log.ts'
import type { Server } from '../server/types.ts'

/** Where the program stands: what a signal or an error means depends on it. */
export type Phase = 'loading' | 'serving' | 'starting' | 'stopping'

/** What ends the program before it serves. */
export interface LifecycleHandlers {
  /** An error that nobody handled. */
  failed(phase: Phase, error: unknown): never
  /** Nothing is left to wait for, although the program does not serve yet. */
  stalled(phase: Phase): never
}

/** How to end. */
export interface EndOptions {
  readonly log: Logger
  /** Time for open requests after SIGTERM, in seconds. */
  readonly gracefulTimeout: number
}

/** Seconds that open requests get after SIGINT and SIGQUIT, and after a second signal. */
const QUICK_TIMEOUT = 2

/** Seconds beyond the timeout after which the end no longer waits for anything. */
const LAST_RESORT = 2

/** Exit code of a program that never came to serve. */
const FAILED_TO_START = 3

const SIGNAL_NUMBERS = { SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const

type Signal = keyof typeof SIGNAL_NUMBERS

/**
 * Hears signals and unhandled errors from its construction to the end of the process. SIGTERM drains
 * for gracefulTimeout, SIGINT and SIGQUIT for 2 s; a second signal cuts what is left 2 s later, a third
 * at once. An unhandled error drains as SIGTERM does and ends with 1.
 */
export class Lifecycle {
  /** Exit code of the program; fulfilled when the server has stopped. */
  readonly ended: Promise<number>

  readonly #handlers: LifecycleHandlers
  #phase: Phase = 'loading'
  #options!: EndOptions
  #server!: Server
  #firstSignal: Signal | undefined = undefined
  #signals = 0
  #exitCode = 0
  #end!: (exitCode: number) => void

  constructor(handlers: LifecycleHandlers) {
    this.#handlers = handlers
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    for (const signal of Object.keys(SIGNAL_NUMBERS) as Signal[]) process.on(signal, () => this.#hear(signal))
    process.on('uncaughtException', (error) => this.#fault(error))
    process.on('beforeExit', this.#stall)
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
    process.on('SIGUSR1', () => server.reopenLogs())
    this.#server = server
    this.#phase = 'serving'
    if (this.#firstSignal === undefined) return true
    this.#stop(this.#timeoutOf(this.#firstSignal))
    return false
  }

  #hear(signal: Signal): void {
    this.#signals++
    this.#firstSignal ??= signal
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
        this.#stop(this.#timeoutOf(signal))
        break
      case 'stopping':
        this.#cut(128 + SIGNAL_NUMBERS[signal])
        break
    }
  }

  #fault(error: unknown): void {
    if (this.#phase === 'loading' || this.#phase === 'starting') this.#handlers.failed(this.#phase, error)
    const { log, gracefulTimeout } = this.#options
    if (isEndOfRequest(error)) {
      log.debug('nobody handled an error that only says that a request has ended', error)
      return
    }
    this.#exitCode = 1
    if (this.#phase === 'stopping') {
      log.critical('uncaught error of the application while it stops', error)
      return
    }
    log.critical('uncaught error of the application: open requests are finished, then the process ends', error)
    this.#stop(gracefulTimeout)
  }

  readonly #stall = (): void => this.#handlers.stalled(this.#phase)

  #timeoutOf(signal: Signal): number {
    return signal === 'SIGTERM' ? this.#options.gracefulTimeout : QUICK_TIMEOUT
  }

  #stop(timeout: number): void {
    const { log } = this.#options
    this.#phase = 'stopping'
    // The server keeps its own deadline; this one holds whatever the application does.
    setTimeout(
      () => {
        log.critical('the server did not stop in time')
        this.#end(this.#exitCode || 1)
      },
      (timeout + LAST_RESORT) * 1000,
    ).unref()
    this.#server.close({ timeout }).then(
      () => this.#end(this.#exitCode),
      (error: unknown) => {
        log.error('the application failed to stop', error)
        this.#end(this.#exitCode || 1)
      },
    )
  }

  /** A second signal: 2 s for what is left, then an exit code that tells that work was lost. */
  #cut(exitCode: number): void {
    if (this.#signals > 2) {
      this.#end(exitCode)
      return
    }
    setTimeout(() => {
      this.#exitCode = exitCode
      void this.#server.close({ timeout: 0 })
    }, QUICK_TIMEOUT * 1000).unref()
  }
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
])
