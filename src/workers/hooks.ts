/** Runs the hooks of a master. */
import { GneissError } from '../errors.ts'

import type { Await, Hooks, MASTER_HOOKS, MasterInfo } from '../hooks.ts'
import type { Logger } from '../log.ts'

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
      const reason = (cause as Error)?.message ?? String(cause)
      throw new GneissError('ERR_HOOK', `the hook onStarting failed: ${reason}`, { cause })
    }
  }
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
