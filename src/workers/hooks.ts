/** Runs the hooks of masters and workers. */
import { GneissError } from '../errors.ts'

import type { Await, HookName, Hooks, MASTER_HOOKS, MasterInfo, ServerInfo } from '../hooks.ts'
import type { Logger } from '../log.ts'
import type { WorkerInfo } from './protocol.ts'

/** Runs hooks of the master so that none can hold supervision up. */
export class MasterHooks {
  readonly #hooks: Partial<Hooks>
  readonly #timeout: number
  readonly #log: Logger

  /** `timeout` in milliseconds. */
  constructor(hooks: Partial<Hooks>, timeout: number, log: Logger) {
    this.#hooks = hooks
    this.#timeout = timeout
    this.#log = log
  }

  /** Runs a hook if there is one. Fulfilled when it has ended, or after the time that it has. */
  async run<Name extends (typeof MASTER_HOOKS)[number] | 'workerExit'>(
    name: Name,
    ...args: Parameters<Hooks[Name]>
  ): Promise<void> {
    const hook = this.#hooks[name] as ((...all: unknown[]) => Await) | undefined
    if (hook === undefined) return
    try {
      const isDone = await within(this.#timeout, async () => hook(...args))
      if (!isDone) this.#log.warn(`the hook ${name} takes longer than hookTimeout; the server goes on without it`)
    } catch (error) {
      this.#log.error(`the hook ${name} failed`, error)
    }
  }

  /** Runs `onStarting`, which may refuse. @throws `ERR_HOOK` with what it throws as the cause. */
  async start(server: MasterInfo): Promise<void> {
    const { onStarting } = this.#hooks
    if (onStarting === undefined) return
    try {
      const isDone = await within(this.#timeout, async () => onStarting(server))
      if (!isDone) this.#log.warn('the hook onStarting takes longer than hookTimeout; the server goes on without it')
    } catch (cause) {
      throw refusal('ERR_HOOK', 'onStarting', cause)
    }
  }
}

/** Milliseconds for the hook of a quick stop. */
const INT_GRACE = 100

/** Milliseconds for the hook of an abort; a little more and the master kills. */
const ABORT_GRACE = 250

/** Runs the hooks of a worker, or of the one process that does its work. */
export class WorkerHooks {
  readonly #hooks: Partial<Hooks>
  readonly #worker: WorkerInfo
  readonly #log: Logger
  #interrupting: Promise<void> | undefined = undefined

  constructor(hooks: Partial<Hooks>, worker: WorkerInfo, log: Logger) {
    this.#hooks = hooks
    this.#worker = worker
    this.#log = log
  }

  /** Runs `postFork`, which may refuse. @throws `ERR_BOOT` with what it throws as the cause. */
  async postFork(server: ServerInfo): Promise<void> {
    await beforeReady('postFork', () => this.#hooks.postFork?.(server, this.#worker))
  }

  /** Runs `postWorkerInit`, which may refuse. @throws `ERR_BOOT` with what it throws as the cause. */
  async postWorkerInit(): Promise<void> {
    await beforeReady('postWorkerInit', () => this.#hooks.postWorkerInit?.(this.#worker))
  }

  /** A quick stop, whoever asks for it: `workerInt` hears of it once. Fulfilled when it has ended or had its time. */
  interrupt(): Promise<void> {
    const { workerInt } = this.#hooks
    if (workerInt !== undefined)
      this.#interrupting ??= this.#runLast('workerInt', INT_GRACE, () => workerInt(this.#worker))
    return this.#interrupting ?? Promise.resolve()
  }

  /** Has `workerAbort`, if there is one, hear of SIGABRT until `ignoreAbort`. */
  hearAbort(): void {
    if (this.#hooks.workerAbort !== undefined) process.on('SIGABRT', this.#abort)
  }

  /** SIGABRT does again what it always does. */
  ignoreAbort(): void {
    process.off('SIGABRT', this.#abort)
  }

  /** The loop turns, else nobody would be here. The hook has its time, then the signal does what it always does. */
  readonly #abort = (): void => {
    this.ignoreAbort()
    void this.#runLast('workerAbort', ABORT_GRACE, () => this.#hooks.workerAbort?.(this.#worker)).then(() =>
      process.kill(process.pid, 'SIGABRT'),
    )
  }

  /** Runs a hook of the end, for so many milliseconds at most. What it throws changes nothing any more. */
  async #runLast(name: HookName, milliseconds: number, hook: () => Await): Promise<void> {
    await within(milliseconds, async () => {
      try {
        await hook()
      } catch (error) {
        this.#log.error(`the hook ${name} failed`, error)
      }
    })
  }
}

async function beforeReady(name: HookName, hook: () => Await): Promise<void> {
  try {
    await hook()
  } catch (cause) {
    throw refusal('ERR_BOOT', name, cause)
  }
}

function refusal(code: 'ERR_BOOT' | 'ERR_HOOK', name: HookName, cause: unknown): GneissError {
  return new GneissError(code, `the hook ${name} failed: ${(cause as Error)?.message ?? String(cause)}`, { cause })
}

/** Whether work ends within so many milliseconds. It rejects as the work does; what comes later is dropped. */
export async function within(milliseconds: number, work: () => Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds)
  })
  try {
    return await Promise.race([work().then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
