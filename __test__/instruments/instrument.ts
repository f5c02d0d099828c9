/** Addons that look into themselves, built beside the one that ships. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'

import { afterAll } from 'vitest'

import { buildInstrument } from '../../scripts/instruments.mjs'
import { ROOT, cleanEnv } from '../harness/cli.ts'

/** A build that nobody has made yet takes this long at most, in milliseconds. */
export const BUILD_TIME = 600_000

/** How a process has ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A copy of `dist` whose addon has faults on demand; it goes with the file's tests. */
export async function probeDist(): Promise<string> {
  const dist = await buildInstrument('probe')
  afterAll(() => rmSync(dist, { recursive: true }))
  return dist
}

/** Runs a program to its end, with nothing of the caller's environment. */
export async function runNode(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const child = spawn(process.execPath, args, { cwd: ROOT, env: cleanEnv(env), timeout: 15_000 })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal, stdout, stderr }
}
