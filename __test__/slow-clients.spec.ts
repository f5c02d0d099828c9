/** A crowd of clients that are slow on purpose: each is gone in time, and nobody else feels them. */
import { spawn, spawnSync } from 'node:child_process'
import { setTimeout as after } from 'node:timers/promises'

import { describe, expect, onTestFinished, test } from 'vitest'

import { HAS_SS, takeCensus } from './harness/census.ts'
import { ROOT, startCli } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { report, residentBound, scaled, timeLimit } from './harness/scale.ts'

import type { Cli } from './harness/cli.ts'

const CONNECTIONS = scaled(100, 1000)
const HAS_TOOL = spawnSync('slowhttptest', ['-h']).error === undefined
/** Deadline of everything that a slow client can make last, in seconds: longer than it takes to open all of them. */
const DEADLINE = scaled(2, 5)
/** In the short run others have the machine as well: that nobody is kept for ever has to do, and nobody waits so long. */
const PATIENCE = scaled(3, 1)
const FELT = 1500
/** What a client may cost that does not read. */
const STALLED_MOST = 256 * 1024
/** The whole attack. */
const LONGEST = 25_000
const QUIET = scaled(500, 4000)

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
  const app = ['__test__/fixtures/overload/app.mjs', '--bind', '127.0.0.1:0', '--log-level', 'warn']
  // In this process, so that it is the one whose memory counts.
  return startCli([...app, '--workers', '0', ...deadlines.map((name) => `--${name}=${DEADLINE}s`)])
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

/** Whether `milliseconds` have not passed. */
function within(milliseconds: number): () => boolean {
  const until = performance.now() + milliseconds
  return () => performance.now() < until
}

/** Starts the tool, with less right to a processor than what it attacks: it would be on other machines. */
function attack(url: string, flags: readonly string[]): () => boolean {
  const [many, aSecond] = [String(CONNECTIONS), String(CONNECTIONS / 2)]
  const args = [...flags, '-c', many, '-r', aSecond, '-l', '60', '-p', '60', '-u', url]
  const child = spawn('nice', ['-n', '19', 'slowhttptest', ...args], { stdio: 'ignore', cwd: ROOT })
  onTestFinished(() => void child.kill('SIGKILL'))
  return () => child.exitCode === null
}

describe.runIf(HAS_TOOL && HAS_SS)(`${CONNECTIONS} clients with`, () => {
  test.each(Object.keys(MODES))(
    '%s are gone at their deadline, and an honest client does not feel them',
    async (name) => {
      const { flags, path } = MODES[name] as (typeof MODES)[string]
      const server = await start()
      const client = await RawClient.connect(server.url)
      const pid = server.child.pid as number
      const census = await takeCensus(Number(new URL(server.url).port), pid, client.socket.localPort)
      await honest(client, within(QUIET / 4))
      const quiet = await honest(client, within(QUIET))
      const isAttacking = attack(server.url + path, flags)
      const isInTime = within(LONGEST)
      const isGoing = (): boolean =>
        isInTime() && (census.open > 0 || (census.total < CONNECTIONS * 0.95 && isAttacking()))
      const p99 = await honest(client, isGoing)
      const { lives, most, each } = await census.end()
      const longest = Math.max(...lives)
      const figures = { name, quiet, p99, longest, most, kilobytes: each / 1024 }
      report(`slow clients: ${JSON.stringify(figures)}`)

      // What is answered at once is gone before anybody could count it.
      if (name !== ANSWERED) expect(most.peers).toBeGreaterThan(CONNECTIONS * scaled(0.25, 0.9))
      expect(longest).toBeLessThan((DEADLINE + 1) * 1000 * PATIENCE)
      expect(p99).toBeLessThan(scaled(FELT, 2 * quiet))
      if (name === UNREAD) expect(each).toBeLessThanOrEqual(residentBound(STALLED_MOST * PATIENCE))
      expect((await request(server.url)).status).toBe(200)
      const { stdout } = await server.stop()
      const [, connections] = /"connectionsTotal":(\d+)/.exec(stdout) ?? []
      expect(Number(connections)).toBeGreaterThan(CONNECTIONS * 0.9)
    },
    timeLimit(60_000),
  )
})

test.skipIf(HAS_TOOL && HAS_SS)('slow clients', ({ skip }) => {
  expect(HAS_TOOL && HAS_SS).toBe(false)
  skip('slowhttptest or ss is not installed; Debian has them as packages: slowhttptest, iproute2')
})
