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

/** A request, as its hooks see it. Everything is read from the head when it is asked for. */
export interface RequestInfo {
  /** As the client wrote it. */
  readonly method: string
  /** Its id, as the access log and the application see it. */
  readonly requestId: string
  /** As received, with the query. */
  readonly target: string
  /** Percent-decoded as UTF-8, without the query. */
  readonly path: string
  /** As received, without the question mark; empty if there is none. */
  readonly query: string
  readonly httpVersion: '1.0' | '1.1' | '2'
  readonly scheme: 'http' | 'https'
  /** Names in lower case, values Latin-1, order and duplicates kept. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** The client's address, as the trusted proxies name it; null on a Unix socket. */
  readonly client: { readonly host: string; readonly port: number } | null
  /** First value of a field, by its name in any case. */
  header(name: string): string | undefined
}

/** How a request was answered. */
export interface ResponseInfo {
  /** What was sent, by the application or by the server in its place; null when nothing was. */
  readonly status: number | null
  /** Bytes of the body that the application gave. */
  readonly bodyBytes: number
  /** Milliseconds from the call of the application until the answer was handed to the kernel, or the request was over. */
  readonly duration: number
  /** Why the request was over before its answer was complete; undefined after a normal end. */
  readonly error: Error | undefined
}

/**
 * Hooks, exported by the configuration file under these names or in snake_case, sync or async. Those of
 * the master come first: one that throws, or takes longer than `hookTimeout`, is logged and left behind;
 * only `onStarting` ends the start when it throws. The others run in a worker, which shares no memory with
 * the master; one that throws before the worker is ready ends it, with exit code 3.
 * With `workers: 0` one process has both; then `preFork`, `childExit` and `nworkersChanged` have nothing to say.
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
  /** The worker is about to be killed, or got SIGABRT, and its event loop still turns; it is given 250 ms. */
  workerAbort(worker: WorkerInfo): Await
  /** The application has stopped. */
  workerExit(server: ServerInfo, worker: WorkerInfo): Await
  /**
   * Before the application is called, in the async context of the request. Synchronous: what it returns is not
   * waited for. What it throws is logged, a line in 10 s at most, and the request goes on.
   */
  preRequest(worker: WorkerInfo, req: RequestInfo): void
  /** The answer was handed to the kernel, or the request is over without one. Like `preRequest`. */
  postRequest(worker: WorkerInfo, req: RequestInfo, res: ResponseInfo): void
}

/** What is called around requests. */
export interface RequestHooks {
  readonly worker: WorkerInfo
  readonly preRequest: Hooks['preRequest'] | undefined
  readonly postRequest: Hooks['postRequest'] | undefined
}

/** Name of a hook. */
export type HookName = keyof Hooks

/** Hooks that run in the master. */
export const MASTER_HOOKS = ['onStarting', 'whenReady', 'preFork', 'childExit', 'nworkersChanged', 'onExit'] as const

/** Hooks that run in a worker. */
export const WORKER_HOOKS = [
  'postFork',
  'postWorkerInit',
  'workerInt',
  'workerAbort',
  'workerExit',
  'preRequest',
  'postRequest',
] as const

/** Every hook there is. */
export const HOOK_NAMES: readonly HookName[] = [...MASTER_HOOKS, ...WORKER_HOOKS]

/** Hooks that a later version has, and what to do until then: one that is never called must not look as if it were. */
export const LATER_HOOKS: ReadonlyMap<string, string> = new Map([
  ['tlsContext', 'it comes with TLS, which is not available in this version; leave it out, and end TLS in a proxy'],
  ['sslContext', 'it is called tlsContext here, and comes with TLS, which is not available in this version'],
  ['onReload', 'it comes with reloading, which is not available in this version; leave it out'],
  ['preExec', 'it comes with the binary upgrade, which is not available in this version; leave it out'],
])

const NAMES: ReadonlySet<string> = new Set(HOOK_NAMES)

/** Whether a key of a configuration, in camelCase, is the name of a hook. */
export function isHookName(name: string): name is HookName {
  return NAMES.has(name)
}

/** What of an object are hooks, under their names in camelCase, and everything else. */
export interface SplitHooks {
  readonly hooks: Partial<Hooks>
  readonly others: Record<string, unknown>
  /** What has the name of a hook and cannot be one, and why. */
  readonly faults: readonly string[]
}

/** Takes the hooks out of an object. */
export function splitHooks(exported: Readonly<Record<string, unknown>>): SplitHooks {
  const hooks: Record<string, unknown> = {}
  const others: Record<string, unknown> = {}
  const faults: string[] = []
  for (const [name, value] of Object.entries(exported)) {
    const key = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    const later = LATER_HOOKS.get(key)
    if (later !== undefined && value !== undefined) faults.push(`the hook ${name} is not available: ${later}`)
    else if (!isHookName(key)) others[name] = value
    else if (typeof value === 'function') hooks[key] = value
    else if (value !== undefined && value !== null) faults.push(`the hook ${name} is no function; export a function`)
  }
  return { hooks, others, faults }
}

/** Whether some of these run in workers. */
export function hasWorkerHooks(hooks: Partial<Hooks>): boolean {
  return WORKER_HOOKS.some((name) => hooks[name] !== undefined)
}

/** What is called around requests, if something is. */
export function requestHooksOf(
  { preRequest, postRequest }: Partial<Hooks>,
  worker: WorkerInfo,
): RequestHooks | undefined {
  return preRequest === undefined && postRequest === undefined ? undefined : { worker, preRequest, postRequest }
}
