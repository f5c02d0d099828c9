/**
 * How the process of a worker is started, and that of the first one early: while the master still reads its
 * configuration and binds. What it cannot be born with then follows through a socket.
 */
import { availableParallelism } from 'node:os'

import { monotonic } from '../clock.ts'
import { Descriptor } from './protocol.ts'

import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import type { OptionKey } from '../options.ts'
import type { Layer } from '../options/resolve.ts'

/** What is known of a worker's process before anything is configured. */
export interface Command {
  /** File that the process runs. */
  readonly file: string
  /** Arguments of the program: shown to people and to the application. */
  readonly argv: readonly string[]
  /** Directory to start in, where the arguments of Node mean what they meant for the master. */
  readonly startDirectory: string
}

/** Starts a worker with its channel and its lifeline, and these descriptors behind them. */
export function spawnWorker(
  { file, argv, startDirectory }: Command,
  number: number,
  descriptors: readonly (number | 'pipe')[],
): ChildProcess {
  // Only a master needs it, and it takes time to load.
  const { spawn } = process.getBuiltinModule('node:child_process')
  return spawn(process.execPath, [...nodeArguments(process.execArgv, number), file, ...argv], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe', ...descriptors],
    cwd: startDirectory,
  })
}

/**
 * The arguments of Node for a worker: those of the master, but another port for the inspector, and none opened by
 * SIGUSR1 where that can be had. An argument for V8 that the master has not would have to be worth a third of the start:
 * with other flags V8 takes nothing of what Node has compiled in advance.
 */
function nodeArguments(master: readonly string[], number: number): string[] {
  const own = master.map((argument) => {
    const match = /^(--inspect(?:-brk|-wait)?)(?:=(?:(.*):)?(\d+))?$/.exec(argument)
    if (match === null) return argument
    const [, flag, host, port] = match
    return `${flag}=${host === undefined ? '' : `${host}:`}${Number(port ?? 9229) + number}`
  })
  return process.allowedNodeEnvironmentFlags.has('--disable-sigusr1') ? [...own, '--disable-sigusr1'] : own
}

/** With one of these there may be no master, or something comes before it. */
const BEFORE_MASTER: readonly OptionKey[] = ['checkConfig', 'imports', 'printConfig']

/** These decide how a process is started. */
const BEFORE_WORKER: readonly OptionKey[] = ['chdir', 'config', 'envFiles', 'rawEnv']

/** Whether there will be a master, as far as can be told from what is known before the configuration is complete. */
export function isMasterLikely(known: readonly Layer[]): boolean {
  const workers = known.findLast(({ settings }) => settings.has('workers'))?.settings.get('workers')?.value
  return workers !== '0' && !BEFORE_MASTER.some((key) => isSet(known, key))
}

/**
 * Whether a worker can be started before the configuration is complete: a master is likely, an application is named,
 * and nothing of what is known could change the process. A configuration file could, and so could descriptors that
 * somebody has handed down, because they would go on to it. A single processor would have it in its way.
 */
export function canStartEarly(known: readonly Layer[], hasFile: boolean): boolean {
  return (
    isMasterLikely(known) &&
    isSet(known, 'app') &&
    !hasFile &&
    !BEFORE_WORKER.some((key) => isSet(known, key)) &&
    !known.some(({ settings }) => String(settings.get('bind')?.value ?? '').includes('fd:')) &&
    availableParallelism() > 1
  )
}

function isSet(layers: readonly Layer[], key: OptionKey): boolean {
  return layers.some(({ settings }) => settings.has(key))
}

/** Node has no other way to say which descriptor a socket has; where there is none, the worker is started anew. */
type HandedSocket = Socket & { readonly _handle?: { readonly fd?: number } | null }

/** A worker that waits for its first message, and for the descriptors that come with it. */
export class EarlyWorker {
  readonly process: ChildProcess
  /** When it was started, in milliseconds of `monotonic`. */
  readonly startedAt: number = monotonic()
  /** What it has said meanwhile: only that it cannot start. */
  readonly said: unknown[] = []

  constructor(command: Command) {
    this.process = spawnWorker(command, 1, ['pipe'])
    this.process.on('message', this.#hear)
    this.process.on('error', this.#ignore)
    process.on('exit', this.kill)
  }

  /**
   * Hands the descriptors over, with which it becomes a worker like any other. False when that is not possible: then it
   * is ended, and one that is started anew has to take its place.
   */
  adopt(send: (socket: number) => void): boolean {
    process.off('exit', this.kill)
    const socket = this.process.stdio.at(Descriptor.handover) as HandedSocket | null | undefined
    try {
      const fd = socket?._handle?.fd ?? -1
      if (fd < 0 || this.process.exitCode !== null || this.process.signalCode !== null) return false
      send(fd)
      this.process.off('message', this.#hear)
      this.process.off('error', this.#ignore)
      return true
    } catch {
      this.process.kill('SIGKILL')
      return false
    } finally {
      socket?.destroy()
    }
  }

  /** Nobody wants it: it runs nothing of the application yet. */
  readonly kill = (): void => {
    this.process.kill('SIGKILL')
  }

  readonly #hear = (message: unknown): void => {
    this.said.push(message)
  }

  readonly #ignore = (): void => {}
}
