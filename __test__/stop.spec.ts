/** Start and stop: nothing stays behind, whatever was going on. */
import { readdirSync } from 'node:fs'

import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { childrenOf, startCli } from './harness/cli.ts'
import { RawClient, turns } from './harness/client.ts'
import { startLoad } from './harness/load.ts'
import { scaled, soon, timeLimit } from './harness/scale.ts'

/** Handles that keep the loop alive, without the runner's own timers, and open descriptors. */
function held(): { handles: string[]; descriptors: number } {
  const folder = process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd'
  const handles = process.getActiveResourcesInfo().filter((name) => name !== 'Timeout')
  return { handles: handles.toSorted(), descriptors: readdirSync(folder).length }
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
}

describe('start, load, stop', () => {
  const rounds = scaled(100, 1000)
  test(
    `${rounds} times in one process leave handles and descriptors at the baseline`,
    async () => {
      const cycle = async (): Promise<void> => {
        const server = await serveApp(() => new Response('hello'), { interface: 'fetch' })
        const load = startLoad(server, 4)
        await load.reached(20)
        await load.stop()
        await server.close({ timeout: 1 })
      }
      // The first round opens what the process keeps for good, such as the runner's own pipes.
      await cycle()
      // Both ends of a connection are in this process, and the client's may close a turn later.
      await turns(10)
      const baseline = held()
      for (let round = 0; round < rounds; round++) await cycle()
      // The last clients' ends go when they hear of the server's, which may be told on another thread.
      const deadline = performance.now() + soon(1000)
      while (held().descriptors > baseline.descriptors && performance.now() < deadline) await turns(1)
      const after = held()
      expect(after.handles).toEqual(baseline.handles)
      // What every round left would be here a hundred times; one less was the runner's.
      expect(after.descriptors).toBeLessThanOrEqual(baseline.descriptors)
      expect(timers()).toBeLessThan(10)
    },
    timeLimit(60_000),
  )
})

describe('SIGTERM under load', () => {
  const rounds = scaled(20, 200)
  test(
    `exits 0 with nothing left behind, ${rounds} times`,
    async () => {
      for (let round = 0; round < rounds; round++) {
        // With two workers, behind a master, and without one.
        const workers = String([2, 1, 0][round % 3])
        const cli = await startCli(['examples/rsgi.js', '--bind', '127.0.0.1:0', '-w', workers])
        const load = startLoad(cli.url, 8)
        await load.reached(50 + round * 10)
        await cli.stop('SIGTERM')
        await load.finished()
      }
    },
    timeLimit(120_000),
  )

  test.each([0, 1, 2])(
    'with %i workers, 100 connections that wait in the queue meanwhile are answered',
    async (workers) => {
      const cli = await startCli(['examples/rsgi.js', '--bind', '127.0.0.1:0', '-w', String(workers)])
      const pids = workers === 0 ? [cli.child.pid as number] : childrenOf(cli.child.pid)
      for (const pid of pids) process.kill(pid, 'SIGSTOP')
      const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(cli.url)))
      const answers = clients.map((client) => client.request())
      const stopped = cli.stop('SIGTERM')
      for (const pid of pids) process.kill(pid, 'SIGCONT')
      const statuses = (await Promise.all(answers)).map(({ status }) => status)
      expect(statuses).toEqual(clients.map(() => 200))
      await stopped
    },
  )

  test.each(['0', '1', '2'])('SIGINT does the same within 3 s, with --workers %s', async (workers) => {
    const cli = await startCli(['examples/rsgi.js', '--bind', '127.0.0.1:0', '-w', workers])
    const load = startLoad(cli.url, 8)
    await load.reached(100)
    const began = performance.now()
    await cli.stop('SIGINT')
    expect(performance.now() - began).toBeLessThan(soon(3000))
    await load.finished()
  })
})
