/**
 * What a master and a worker say to each other, and which descriptors a worker is born with. Every message
 * is marked, because applications use the same channel for what they like.
 */
import type { ErrorCode } from '../errors.ts'
import type { Config } from '../options.ts'
import type { InterfaceName } from '../protocol.ts'
import type { Stats } from '../server/types.ts'

/**
 * Descriptors of a worker. Behind the last one come the listeners, in the order of `bind`. A worker that was started
 * early has a socket at the place of the cells, through which it gets all of them.
 */
export const Descriptor = { channel: 3, lifeline: 4, cells: 5, handover: 5, listeners: 6 } as const

/** The first message of the master: everything a worker has to know. */
export interface StartMessage {
  readonly gneiss: 'start'
  readonly config: Config
  /** Directory to work in; the process starts where the master was started, so that its arguments mean the same. */
  readonly directory: string
  readonly worker: WorkerInfo
  /** Number of its cell. */
  readonly cell: number
  /** The configuration file, if it has hooks for workers. */
  readonly hooksFile: string | undefined
  /** URL of the module whose `Application` object makes the application; undefined when the option `app` names it. */
  readonly module: string | undefined
  /** Its cells and listeners come through the socket `Descriptor.handover`: they were not there when it was started. */
  readonly isEarly: boolean
}

/** Says to a worker: serve what is open, for so many seconds at most, then end. A later one may shorten the time. */
export interface StopMessage {
  readonly gneiss: 'stop'
  readonly timeout: number
  /** Work in flight is not waited for longer than that: `workerInt` is called. */
  readonly isQuick: boolean
}

/** Says to a worker that log files were moved away. */
export interface ReopenMessage {
  readonly gneiss: 'reopen'
}

/** What a master says. */
export type MasterMessage = StartMessage | StopMessage | ReopenMessage

/** The worker accepts. */
export interface ReadyMessage {
  readonly gneiss: 'ready'
  readonly interface: InterfaceName
  readonly why: string
  readonly mode: string
}

/** The worker could not start, and ends with the exit code of this error. */
export interface FailedMessage {
  readonly gneiss: 'failed'
  readonly code: ErrorCode | undefined
  readonly exitCode: number
  /** The message for a person, as the program would print it. */
  readonly text: string
}

/** The worker accepts no more and ends when what is open is served. */
export interface LeavingMessage {
  readonly gneiss: 'leaving'
  readonly reason: LeavingReason
}

/** The last word of a worker. */
export interface StoppedMessage {
  readonly gneiss: 'stopped'
  readonly stats: Stats
}

/** What a worker says. */
export type WorkerMessage = ReadyMessage | FailedMessage | LeavingMessage | StoppedMessage

/** Why a worker leaves by itself: a signal of somebody else than its master, or an error that nobody handled. */
export type LeavingReason = 'signal' | 'uncaught'

/** A worker as hooks and logs know it. */
export interface WorkerInfo {
  /** Its place among the workers, from 1; a successor takes the same. */
  readonly number: number
  /** Counts reloads of the application; 1 until the first. */
  readonly generation: number
  /** Number of the process; 0 before it is started. */
  readonly pid: number
}

/** Why a worker is gone. */
export type ExitReason =
  /** It was told to, by the master or an operator. */
  | 'planned'
  /** It said that it could not start. */
  | 'failed'
  /** It was not ready within bootTimeout. */
  | 'bootTimeout'
  /** An error that nobody handled. */
  | 'uncaught'
  /** Killed, and the control group ran out of memory meanwhile. */
  | 'outOfMemory'
  /** By a signal that nobody has announced. */
  | 'signal'
  /** With a code that nobody has announced. */
  | 'exit'
  /** It did not end within gracefulTimeout and was killed. */
  | 'overdue'

const FROM_MASTER: ReadonlySet<unknown> = new Set<MasterMessage['gneiss']>(['start', 'stop', 'reopen'])
const FROM_WORKER: ReadonlySet<unknown> = new Set<WorkerMessage['gneiss']>(['ready', 'failed', 'leaving', 'stopped'])

/** Whether a message on a worker's channel is the master's. */
export function isMasterMessage(message: unknown): message is MasterMessage {
  return FROM_MASTER.has(kindOf(message))
}

/** Whether a message on a master's channel is the worker's, and not its application's. */
export function isWorkerMessage(message: unknown): message is WorkerMessage {
  return FROM_WORKER.has(kindOf(message))
}

function kindOf(message: unknown): unknown {
  return typeof message === 'object' && message !== null ? (message as { gneiss?: unknown }).gneiss : undefined
}
