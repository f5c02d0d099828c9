/** Runs the command line as a user does: `node dist/cli.js`, in its own process, and watches how it ends. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { leftGauges } from './gauges.ts'
import { faultsOf } from './logs.ts'
import { MODE_ENV } from './mode.ts'
import { onTeardown } from './teardown.ts'

import type { LogPattern } from './logs.ts'

/** Root of the checkout. */
export const ROOT: string = fileURLToPath(new URL('../../', import.meta.url))

/** A process that outlives its test by this is stuck; a hook of the runner would give up later. */
const KILL_MILLISECONDS = 10_000

/** How a process ended, and everything it wrote. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Surroundings of a command. */
export interface CliOptions {
  /** Added to an environment that holds nothing of the caller's but what Node needs. */
  readonly env?: Readonly<Record<string, string>>
  /** Default: the root of the checkout. */
  readonly cwd?: string
  /** Records at `warn` or above that must come; any other fails the test. */
  readonly expectLog?: readonly LogPattern[]
  /** Arguments of Node itself. */
  readonly nodeArgs?: readonly string[]
}

/** The JSON line that says that the server accepts connections. */
export interface ReadyLine {
  readonly event: 'ready'
  readonly url: string
  readonly [key: string]: unknown
}

/** A server started from the command line. */
export interface Cli {
  readonly child: ChildProcess
  readonly url: string
  readonly ready: ReadyLine
  /** What it has written to stdout and stderr so far. */
  output(): { stdout: string; stderr: string }
  /** Ends it and asserts that it ended well: exit code 0, nothing unexpected on stderr, no gauge above zero. */
  stop(signal?: NodeJS.Signals): Promise<Exit>
  /** The same after a signal that the test has sent itself. */
  ended(): Promise<Exit>
  /** Settles when the process has ended, however it did; the harness then asserts nothing more of it. */
  exited(): Promise<Exit>
}

/** Starts `gneiss ...args` and waits until it is ready. It is stopped and checked after the test. */
export async function startCli(args: readonly string[], options: CliOptions = {}): Promise<Cli> {
  const running = run(args, options)
  const line = await Promise.race([running.line('ready'), running.exit])
  if (!('event' in line)) throw new Error(`the command ended before it was ready: ${JSON.stringify(line)}`)
  const ready = line as ReadyLine
  let isWatched = true
  const ended = async (): Promise<Exit> => {
    isWatched = false
    const exit = await running.exit
    const faults = faultsOf(exit.stderr, options.expectLog ?? [])
    if (exit.code !== 0) faults.push(`exit code ${exit.code}, signal ${exit.signal}`)
    const stopped = running.events().find(({ event }) => event === 'stopped')
    if (stopped === undefined) faults.push('no stopped line on stdout')
    else faults.push(...leftGauges(stopped).map((text) => `left behind: ${text}`))
    if (faults.length > 0) throw new Error(`the command did not end well: ${faults.join('; ')}\n${exit.stderr}`)
    return exit
  }
  const stop = (signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> => {
    running.child.kill(signal)
    return ended()
  }
  onTeardown('processes', async () => {
    if (isWatched) await stop()
  })
  return {
    child: running.child,
    url: ready.url,
    ready,
    output: running.output,
    stop,
    ended,
    exited: () => {
      isWatched = false
      return running.exit
    },
  }
}

/** Runs `gneiss ...args` to its end, for commands that are meant to end by themselves. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<Exit> {
  return run(args, options).exit
}

/** Processes that a process has started and that still live. Linux only. */
export function childrenOf(pid: number | undefined): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
  return text.split(' ').filter(Boolean).map(Number)
}

/** The environment of a test's process: nothing of the caller's configuration reaches it. */
export function cleanEnv(added: Readonly<Record<string, string>> = {}): Record<string, string> {
  // The last two are those of a sanitizer, which has to be in every process of the run.
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'LD_PRELOAD', 'ASAN_OPTIONS'].flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return { ...Object.fromEntries(kept), ...MODE_ENV, ...added }
}

interface Running {
  readonly child: ChildProcess
  readonly exit: Promise<Exit>
  readonly output: () => { stdout: string; stderr: string }
  readonly events: () => JsonLine[]
  readonly line: (event: string) => Promise<JsonLine>
}

interface JsonLine {
  readonly event: string
  readonly [key: string]: number | string
}

function run(args: readonly string[], options: CliOptions): Running {
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), `${ROOT}dist/cli.js`, ...args], {
    cwd: options.cwd ?? ROOT,
    env: cleanEnv(options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return watch(child)
}

/** Follows a process: its output, its JSON lines, its end. A process that outlives its test is killed. */
export function watch(child: ChildProcess): Running {
  let stdout = ''
  let stderr = ''
  const waiting: { event: string; resolve: (line: JsonLine) => void }[] = []
  const events = (): JsonLine[] => stdout.split('\n').flatMap(jsonOf)
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    for (const { event, resolve } of waiting) {
      const line = events().find((candidate) => candidate.event === event)
      if (line !== undefined) resolve(line)
    }
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // `close` and not `exit`: only then everything that was written has been read.
  const exit = once(child, 'close').then(([code, signal]) => ({ code, signal, stdout, stderr }) as Exit)
  onTeardown('processes', async () => {
    const late = setTimeout(() => child.kill('SIGKILL'), KILL_MILLISECONDS)
    await exit
    clearTimeout(late)
  })
  const line = (event: string): Promise<JsonLine> =>
    new Promise((resolve) => {
      waiting.push({ event, resolve })
    })
  return { child, exit, output: () => ({ stdout, stderr }), events, line }
}

function jsonOf(line: string): JsonLine[] {
  if (!line.startsWith('{')) return []
  try {
    const value = JSON.parse(line) as Partial<JsonLine>
    return typeof value.event === 'string' ? [value as JsonLine] : []
  } catch {
    // The end of the line has not come yet.
    return []
  }
}
