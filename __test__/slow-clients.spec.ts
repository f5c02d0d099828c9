/** A crowd of clients that are slow on purpose: each is gone in time, and nobody else feels them. */
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as after } from 'node:timers/promises'

import { describe, expect, onTestFinished, test } from 'vitest'

import { ROOT, startCli } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { scaled, timeLimit } from './harness/scale.ts'

import type { Cli } from './harness/cli.ts'

const CONNECTIONS = scaled(100, 1000)
const HAS_TOOL = spawnSync('slowhttptest', ['-h']).error === undefined
/** Deadline of everything that a slow client can make last, in seconds. */
const DEADLINE = 2
/** A busy machine moves the 99th percentile of what takes a millisecond; below this nobody feels it. */
const UNFELT = 150

/** Memory of a client that does not read. */
const STALLED_MOST = 256 * 1024
/** What the process may grow by for other reasons: its heap has hardly been used before. */
const HEAP = 24 * 1024 * 1024

const UNREAD = 'answers that nobody reads'
const ANSWERED = 'ranges by the thousand'

/** The four modes of slowhttptest. In each the client goes on for longer than the deadline, if it may. */
const MODES: Readonly<Record<string, { flags: string[]; path: string }>> = {
  'heads that never end': { flags: ['-H', '-i', '1'], path: '/' },
  // Nothing follows for longer than bodyIdleTimeout.
  'bodies that never end': { flags: ['-B', '-i', '30', '-s', '8192'], path: '/read' },
  [ANSWERED]: { flags: ['-R', '-a', '10', '-b', '3000'], path: '/' },
  [UNREAD]: { flags: ['-X', '-n', '30', '-w', '512', '-y', '1024', '-z', '32'], path: '/big' },
}

function start(): Promise<Cli> {
  const deadlines = ['first-byte-timeout', 'head-timeout', 'body-idle-timeout', 'write-timeout', 'keep-alive']
  return startCli([
    '__test__/fixtures/overload/app.mjs',
    '--bind',
    '127.0.0.1:0',
    '--log-level',
    'warn',
    ...deadlines.map((name) => `--${name}=${DEADLINE}s`),
  ])
}

/** Connections that the server's process holds, from the kernel's own table, without ours. */
function connectionsTo(port: number, ours: number): number {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)
  const isOpen = (row: string): boolean => {
    const [, local, , state] = row.trim().split(/\s+/)
    // Established, or closed by the peer and not yet by the server.
    return local?.endsWith(suffix) === true && (state === '01' || state === '08')
  }
  return rows.filter(isOpen).length - ours
}

/** Resident memory of a process, in bytes. */
function residentOf(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

/** The 99th percentile of an honest client's requests, in milliseconds, while `isGoing`. */
async function honest(client: RawClient, isGoing: () => boolean): Promise<number> {
  const times: number[] = []
  while (isGoing() || times.length < 100) {
    const began = performance.now()
    const { status } = await client.request({ path: '/' })
    expect(status).toBe(200)
    times.push(performance.now() - began)
    await after(2)
  }
  times.sort((a, b) => a - b)
  return times[Math.floor(times.length * 0.99)] ?? Infinity
}

describe.runIf(HAS_TOOL)(`${CONNECTIONS} clients with`, () => {
  test.each(Object.keys(MODES))(
    '%s are gone at their deadline, and an honest client does not feel them',
    async (name) => {
      const { flags, path } = MODES[name] as (typeof MODES)[string]
      const server = await start()
      const port = Number(new URL(server.url).port)
      const client = await RawClient.connect(server.url)
      const quiet = await honest(client, () => false)
      const before = residentOf(server.child.pid as number)
      const attack = spawn(
        'slowhttptest',
        [
          ...flags,
          '-c',
          `${CONNECTIONS}`,
          '-r',
          `${CONNECTIONS}`,
          '-l',
          '15',
          '-p',
          '60',
          '-u',
          `${server.url}${path}`,
        ],
        { stdio: 'ignore', cwd: ROOT },
      )
      onTestFinished(() => void attack.kill('SIGKILL'))
      let most = 0
      let grown = 0
      let lastFull = 0
      let gone = 0
      const began = performance.now()
      const felt = honest(client, () => {
        const open = connectionsTo(port, 1)
        if (open >= most) {
          most = open
          grown = Math.max(grown, residentOf(server.child.pid as number) - before)
        }
        // The tool opens its connections within a second or so; from the fullest moment on the clock runs.
        if (open === most) lastFull = performance.now()
        const now = performance.now()
        if (open > 0 || most === 0) gone = 0
        else if (gone === 0) gone = now
        return now - began < 1500 || (open > 0 && now - lastFull < (DEADLINE + 5) * 1000)
      })
      const p99 = await felt
      expect(connectionsTo(port, 1)).toBe(0)
      // What is answered at once is gone before anybody could count it.
      if (name !== ANSWERED) {
        expect(most).toBeGreaterThan(CONNECTIONS / 4)
        // The clock of a client that reads nothing starts when the kernel has taken what it can.
        const begins = name === UNREAD ? 1 : 0
        expect((gone - lastFull) / 1000).toBeLessThan(DEADLINE + 1 + begins)
      }
      expect(p99).toBeLessThan(Math.max(2 * quiet, UNFELT))
      expect(grown).toBeLessThan(most * STALLED_MOST + HEAP)
      attack.kill('SIGKILL')
      expect((await request(server.url)).status).toBe(200)
    },
    timeLimit(30_000),
  )
})

test.skipIf(HAS_TOOL)('slow clients', ({ skip }) => {
  expect(HAS_TOOL).toBe(false)
  skip('slowhttptest is not installed; Debian has it as a package')
})
