/** Masters with workers for one test, and waits for what they do. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { ROOT, startCli } from './cli.ts'
import { request, turns } from './client.ts'

import type { Cli, CliOptions } from './cli.ts'

/** An application that answers with its process, waits, blocks, and dies in every way. */
export const POOL: string = join(ROOT, '__test__/fixtures/pool.js')

/** Any free port. */
export const LOCAL = ['--bind', '127.0.0.1:0'] as const

/** What the log says of each worker that is ready, with `--log-level debug`. */
export const READY = 'is ready after'

/** Serves that application with a log that tells everything. */
export function startPool(args: readonly string[] = [], options: CliOptions = {}): Promise<Cli> {
  return startCli([POOL, ...LOCAL, '--log-level', 'debug', ...args], options)
}

/** Settles when the program has written a text to stderr so many times. */
export async function logged(cli: Pick<Cli, 'output'>, text: string | RegExp, times = 1): Promise<void> {
  const count = (): number => cli.output().stderr.split(text).length - 1
  while (count() < times) await turns(1)
}

/** The worker that answers. */
export async function pidOf(cli: Pick<Cli, 'url'>): Promise<number> {
  return Number((await request(cli)).text)
}

/** Settles when a process is gone. */
export async function gone(pid: number): Promise<void> {
  const isAlive = (): boolean => {
    try {
      process.kill(pid, 0)
      // One that nobody has reaped is gone as well.
      return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
    } catch {
      return false
    }
  }
  while (isAlive()) await turns(1)
}

/** How long something takes. */
export async function millisecondsOf(action: () => Promise<unknown>): Promise<number> {
  const before = performance.now()
  await action()
  return performance.now() - before
}
