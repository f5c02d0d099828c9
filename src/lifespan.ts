/**
 * Start and stop of the application around serving: the lifespan protocol of ASGI, `__rsgi_init__` and
 * `__rsgi_del__` of RSGI, nothing for the others.
 */
import { GneissError } from './errors.ts'
import { createWaiter } from './waiter.ts'

import type { AsgiApp, LifespanScope, ReceiveMessage, SendMessage } from './asgi/types.ts'
import type { Logger } from './log.ts'
import type { InterfaceName, Lifespan } from './protocol.ts'
import type { RsgiApp, RsgiAppObject } from './rsgi.ts'

/** Value of the `lifespan` option: `auto` takes an application that throws for one without lifespan, `on` does not. */
export type LifespanMode = 'auto' | 'on' | 'off'

/** What a lifespan needs besides the application. */
export interface LifespanOptions {
  readonly mode: LifespanMode
  readonly log: Logger
  /** Filled by the application; becomes `Host.state`. */
  readonly state: Record<string, unknown>
}

/** The lifespan of an application that is written against `name`. With mode `off` nothing of it is called. */
export function createLifespan(name: InterfaceName, app: unknown, options: LifespanOptions): Lifespan {
  if (options.mode === 'off') return NONE
  if (name === 'asgi') return new AsgiLifespan(app as AsgiApp, options)
  if (name === 'rsgi') return createRsgiLifespan(app as RsgiApp, options)
  return NONE
}

const NONE: Lifespan = { startup: () => Promise.resolve(), shutdown: () => Promise.resolve() }

function createRsgiLifespan(app: RsgiApp, { state }: LifespanOptions): Lifespan {
  const object = app as Partial<RsgiAppObject>
  let ending: Promise<void> | undefined
  let hasStarted = false
  const end = async (): Promise<void> => {
    // An application that failed to start has nothing to end.
    if (!hasStarted) return
    try {
      await object.__rsgi_del__?.(state)
    } catch (cause) {
      throw new GneissError('ERR_LIFESPAN_SHUTDOWN', '__rsgi_del__ of the application failed.', { cause })
    }
  }
  return {
    async startup() {
      try {
        await object.__rsgi_init__?.(state)
      } catch (cause) {
        throw new GneissError('ERR_LIFESPAN_STARTUP', '__rsgi_init__ of the application failed.', { cause })
      }
      hasStarted = true
    },
    shutdown() {
      ending ??= end()
      return ending
    },
  }
}

/** How far the application is. */
const Step = {
  /** `lifespan.startup` was not answered yet. */
  starting: 0,
  /** It has started and serves. */
  started: 1,
  /** `lifespan.shutdown` was not answered yet. */
  ending: 2,
  /** It has answered everything, or it takes no part. */
  over: 3,
} as const

/** One call of the application for its whole life. */
class AsgiLifespan implements Lifespan {
  readonly #app: AsgiApp
  readonly #mode: LifespanMode
  readonly #log: Logger
  readonly #state: Record<string, unknown>
  readonly #started = createWaiter()
  readonly #ended = createWaiter()
  readonly #shutdownAsked = createWaiter()
  #step: (typeof Step)[keyof typeof Step] = Step.starting
  #received = 0
  #ending: Promise<void> | undefined = undefined

  constructor(app: AsgiApp, { mode, log, state }: LifespanOptions) {
    this.#app = app
    this.#mode = mode
    this.#log = log
    this.#state = state
  }

  startup(): Promise<void> {
    const scope: LifespanScope = {
      type: 'lifespan',
      asgi: { version: '3.0', spec_version: '2.0' },
      state: this.#state,
    }
    void this.#run(scope)
    return this.#started.promise
  }

  shutdown(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #run(scope: LifespanScope): Promise<void> {
    try {
      await this.#app(
        scope,
        () => this.#receive(),
        (message) => this.#send(message),
      )
      this.#returned()
    } catch (error) {
      this.#threw(error)
    }
  }

  #end(): Promise<void> {
    if (this.#step !== Step.started) return Promise.resolve()
    this.#step = Step.ending
    this.#shutdownAsked.resolve()
    return this.#ended.promise
  }

  async #receive(): Promise<ReceiveMessage> {
    this.#received++
    if (this.#received === 1) return { type: 'lifespan.startup' }
    // A third message does not exist; waiting for it is an application's way to stay.
    if (this.#received > 2) return new Promise<never>(ignore)
    await this.#shutdownAsked.promise
    return { type: 'lifespan.shutdown' }
  }

  async #send(message: SendMessage): Promise<void> {
    const type: unknown = message?.type
    const isStartup = type === 'lifespan.startup.complete' || type === 'lifespan.startup.failed'
    const isShutdown = type === 'lifespan.shutdown.complete' || type === 'lifespan.shutdown.failed'
    if (!isStartup && !isShutdown) {
      throw new GneissError('ERR_MESSAGE', `Message ${String(type)} is not known for a lifespan scope.`)
    }
    if (this.#step !== (isStartup ? Step.starting : Step.ending)) {
      throw new GneissError('ERR_MESSAGE', `${String(type)} was sent out of order.`)
    }
    switch (type) {
      case 'lifespan.startup.complete':
        this.#step = Step.started
        this.#started.resolve()
        break
      case 'lifespan.startup.failed':
        this.#step = Step.over
        this.#started.reject(startupFailed(reasonOf(message)))
        break
      case 'lifespan.shutdown.complete':
        this.#step = Step.over
        this.#ended.resolve()
        break
      default:
        this.#step = Step.over
        this.#ended.reject(shutdownFailed(reasonOf(message)))
    }
  }

  #returned(): void {
    const step = this.#step
    this.#step = Step.over
    if (step === Step.starting) {
      if (this.#mode === 'on') this.#started.reject(startupFailed('it returned without answering lifespan.startup'))
      else this.#unsupported('it returned without answering lifespan.startup')
    } else if (step === Step.ending) {
      // Returning is a clean end too.
      this.#ended.resolve()
    }
  }

  #threw(error: unknown): void {
    const step = this.#step
    this.#step = Step.over
    if (step === Step.starting) {
      if (this.#mode === 'on') this.#started.reject(startupFailed('it threw', error))
      else this.#unsupported(`it threw ${describe(error)}`)
    } else if (step === Step.started) {
      this.#log.error('the lifespan of the application ended with an error while it was serving', error)
    } else if (step === Step.ending) {
      this.#ended.reject(shutdownFailed('it threw', error))
    }
    // Over: the failure was reported by its message, and the throw belongs to it.
  }

  #unsupported(reason: string): void {
    this.#log.info(`lifespan is not supported by the application: ${reason}`)
    this.#started.resolve()
  }
}

function startupFailed(reason: string, cause?: unknown): GneissError {
  const message = `The application failed to start: ${reason}.`
  return new GneissError('ERR_LIFESPAN_STARTUP', message, cause === undefined ? undefined : { cause })
}

function shutdownFailed(reason: string, cause?: unknown): GneissError {
  const message = `The application failed to shut down: ${reason}.`
  return new GneissError('ERR_LIFESPAN_SHUTDOWN', message, cause === undefined ? undefined : { cause })
}

function reasonOf(message: SendMessage): string {
  const text: unknown = 'message' in message ? message.message : undefined
  return typeof text === 'string' && text !== '' ? text : 'it gave no reason'
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : typeof error
}

function ignore(): void {}
