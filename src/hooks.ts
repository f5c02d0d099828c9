/** What a configuration file may have called at the turning points of master and workers. */
import type { Logger } from './log.ts'
import type { Address } from './server/types.ts'
import type { ExitReason, WorkerInfo } from './workers/protocol.ts'

/** What a hook may return. */
export type Await = void | Promise<void>

/** The master, as its hooks see it. */
export interface MasterInfo {
  readonly pid: number
  /** Where it listens; empty before it does. */
  readonly addresses: readonly Address[]
  readonly log: Logger
  /** Workers that live, by their number. */
  readonly workers: readonly WorkerInfo[]
}

/** What is known of the server in a worker. */
export interface ServerInfo {
  /** Process number of the master. */
  readonly masterPid: number
  readonly log: Logger
}

/** How a worker ended. */
export interface WorkerExit {
  readonly code: number | null
  readonly signal: string | null
  readonly reason: ExitReason
}

/**
 * Hooks, exported by the configuration file under these names or in snake_case, sync or async. Those of
 * the master come first: one that throws, or takes longer than `hookTimeout`, is logged and left behind;
 * only `onStarting` ends the start when it throws. The others run in a worker, which shares no memory with
 * the master; one that throws before the worker is ready ends it, with exit code 3.
 */
export interface Hooks {
  /** The configuration is complete, and nothing is bound. */
  onStarting(server: MasterInfo): Await
  /** The first worker is ready. */
  whenReady(server: MasterInfo): Await
  /** Before a worker is started. */
  preFork(server: MasterInfo, worker: WorkerInfo): Await
  /** A worker is gone. */
  childExit(server: MasterInfo, worker: WorkerInfo, exit: WorkerExit): Await
  /** How many workers there should be has changed; null before the first. */
  nworkersChanged(server: MasterInfo, next: number, previous: number | null): Await
  /** All workers are gone. */
  onExit(server: MasterInfo): Await
  /** First of all in a worker, before the application is imported. */
  postFork(server: ServerInfo, worker: WorkerInfo): Await
  /** The application has started; the worker is about to accept. */
  postWorkerInit(worker: WorkerInfo): Await
  /** The worker stops quickly; it is given 100 ms. */
  workerInt(worker: WorkerInfo): Await
  /** The application has stopped. */
  workerExit(server: ServerInfo, worker: WorkerInfo): Await
}

/** Name of a hook. */
export type HookName = keyof Hooks

/** Hooks that run in the master. */
export const MASTER_HOOKS = ['onStarting', 'whenReady', 'preFork', 'childExit', 'nworkersChanged', 'onExit'] as const

/** Hooks that run in a worker. */
export const WORKER_HOOKS = ['postFork', 'postWorkerInit', 'workerInt', 'workerExit'] as const

const NAMES: ReadonlySet<string> = new Set([...MASTER_HOOKS, ...WORKER_HOOKS])

/** Whether a key of a configuration, in camelCase, is the name of a hook. */
export function isHookName(name: string): name is HookName {
  return NAMES.has(name)
}

/** What of an object are hooks, under their names in camelCase, and everything else. */
export function splitHooks(exported: Readonly<Record<string, unknown>>): {
  hooks: Partial<Hooks>
  others: Record<string, unknown>
} {
  const hooks: Record<string, unknown> = {}
  const others: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(exported)) {
    const key = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    if (isHookName(key) && typeof value === 'function') hooks[key] = value
    else others[name] = value
  }
  return { hooks, others }
}

/** Whether some of these run in workers. */
export function hasWorkerHooks(hooks: Partial<Hooks>): boolean {
  return WORKER_HOOKS.some((name) => hooks[name] !== undefined)
}
