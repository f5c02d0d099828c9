/** Two processes on one listener: the accept gate, a worker that stops, one that dies, one that stands still. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'

import { describe, expect, test } from 'vitest'

import { cleanEnv, ROOT, watch } from './harness/cli.ts'
import { RawClient, turns } from './harness/client.ts'
import { MODE } from './harness/mode.ts'
import { soon } from './harness/scale.ts'
import { onTeardown } from './harness/teardown.ts'

import type { NativeCell } from '../dist/native.js'

const CONNECTIONS = 64
/** A worker that the machine does not let run for 50 ms loses its turn, as it should; without a gate no try comes out even. */
const TRIES = { retry: 3 }

describe('two workers', () => {
  describe('the gate', () => {
    test('spreads connections that come at once evenly', async () => {
      const master = await startMaster()
      await expectEvenShares(master)
      const cells = await master.cells()
      expectEven(
        CONNECTIONS,
        cells.map(({ connections }) => connections),
      )
      expect(cells.map(({ state }) => state)).toEqual(['accepting', 'accepting'])
    })

    test('spreads connections that come one by one under load evenly', TRIES, async () => {
      const master = await startMaster()
      const clients: RawClient[] = []
      while (clients.length < CONNECTIONS) {
        const client = await master.connect()
        await client.request({ path: '/block/1' })
        clients.push(client)
      }
      expectEven(CONNECTIONS, await ask(clients, '/block/1'))
    })

    test('fills the gap when the clients of one worker leave', TRIES, async () => {
      const master = await startMaster()
      const clients = await Promise.all(Array.from({ length: 32 }, () => master.connect()))
      const pids = await Promise.all(clients.map((client) => pidOf(client)))
      const leaving = clients.filter((_, index) => pids[index] === master.pids()[0])
      await Promise.all(leaving.map((client) => client.close()))
      await master.until((cells) => cells[0]?.connections === 0)
      await Promise.all(Array.from({ length: 16 }, () => master.connect().then(pidOf)))
      const cells = await master.cells()
      expectEven(
        32 - leaving.length + 16,
        cells.map(({ connections }) => connections),
      )
    })

    test('costs no CPU while a worker has more connections than the other and nobody connects', async () => {
      const master = await startMaster()
      const clients = await Promise.all(Array.from({ length: 16 }, () => master.connect()))
      const pids = await Promise.all(clients.map((client) => pidOf(client)))
      const [first] = master.pids()
      await Promise.all(clients.filter((_, index) => pids[index] !== first).map((client) => client.close()))
      const full = clients[pids.indexOf(first as number)] as RawClient
      await master.until((cells) => cells[1]?.connections === 0)
      expect(await cpuShareOf(full, 1000)).toBeLessThan(0.1)
    })

    test('starves nobody while a worker is stopped, and costs little', TRIES, async () => {
      const master = await startMaster()
      const clients = await Promise.all(Array.from({ length: 8 }, () => master.connect()))
      const pids = await Promise.all(clients.map((client) => pidOf(client)))
      const [stopped, working] = master.pids() as [number, number]
      process.kill(stopped, 'SIGSTOP')
      try {
        // Until then it may accept one that it never serves.
        await master.until((cells) => silentFor(cells[0]) > 250)
        const before = performance.now()
        const late = await Promise.all(Array.from({ length: 20 }, () => master.connect()))
        expect(new Set(await Promise.all(late.map((client) => pidOf(client))))).toEqual(new Set([working]))
        expect(performance.now() - before).toBeLessThan(soon(1500))
        expect(await cpuShareOf(clients[pids.indexOf(working)] as RawClient, 500)).toBeLessThan(0.2)
      } finally {
        process.kill(stopped, 'SIGCONT')
      }
      // It counts again as soon as it runs.
      await pidOf(clients[pids.indexOf(stopped)] as RawClient)
      const next = await Promise.all(Array.from({ length: 12 }, () => master.connect()))
      const served = await Promise.all(next.map((client) => pidOf(client)))
      expect(served.filter((pid) => pid === stopped).length).toBeGreaterThanOrEqual(6)
    })

    // Threads accept whatever the loop does, and a callback of the poll phase shows in no cell.
    test.each(MODE === 'loop' ? ['/hold/4000', '/hold-in-poll/4000'] : ['/hold/4000'])(
      'leaves nobody waiting for a loop that is blocked by %s',
      TRIES,
      async (path) => {
        const master = await startMaster()
        const clients = await Promise.all(Array.from({ length: 8 }, () => master.connect()))
        const pids = await Promise.all(clients.map((client) => pidOf(client)))
        const [blocked, free] = master.pids() as [number, number]
        const first = clients[pids.indexOf(blocked)] as RawClient
        const held = master.next('held')
        void first.send(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`)
        await held
        if (MODE === 'thread') await master.until((cells) => busyFor(cells[0]) > 50)
        const before = performance.now()
        const late = await Promise.all(Array.from({ length: 8 }, () => master.connect()))
        expect(await Promise.all(late.map((client) => pidOf(client)))).toEqual(late.map(() => free))
        expect(performance.now() - before).toBeLessThan(3000)
      },
    )
  })

  describe('a worker that stops', () => {
    test('loses no request of 20 kept and 20 one-shot clients, and the other serves on', async () => {
      const master = await startMaster()
      const [leaving] = master.pids() as [number, number]
      const load = startClients(master, 20, 20)
      await load.reached(1000)
      process.kill(leaving, 'SIGTERM')
      const exit = await master.exitOf(leaving)
      expect(exit).toMatchObject({ code: 0, signal: null })
      await load.reached(load.answered + 1000)
      expect(await load.stop()).toEqual([])
    })

    test('leaves what waits in the queue to the last one, which answers it', async () => {
      const master = await startMaster()
      const pids = master.pids() as [number, number]
      for (const pid of pids) process.kill(pid, 'SIGSTOP')
      const waiting = await Promise.all(Array.from({ length: 100 }, () => master.connect()))
      const answers = waiting.map((client) => client.request())
      master.send('stop')
      for (const pid of pids) process.kill(pid, 'SIGCONT')
      const statuses = (await Promise.all(answers)).map(({ status }) => status)
      expect(statuses).toEqual(waiting.map(() => 200))
      await master.ended
    })
  })

  describe('a worker that is killed', () => {
    test('costs a client at most the request it waited for, and its successor takes its share', async () => {
      const master = await startMaster()
      const [killed] = master.pids() as [number, number]
      const load = startClients(master, 20, 20)
      await load.reached(1000)
      const successor = master.next('ready')
      process.kill(killed, 'SIGKILL')
      expect(await master.exitOf(killed)).toMatchObject({ signal: 'SIGKILL' })
      await successor
      await load.reached(load.answered + 1000)
      const lost = await load.stop()
      expect(lost.length).toBeGreaterThan(0)
      expect(new Set(lost.map(({ client }) => client)).size).toBe(lost.length)
      expect(lost.filter(({ pid }) => pid !== undefined && pid !== killed)).toEqual([])
      await expectEvenShares(master)
      expect((await master.cells()).map(({ generation }) => generation)).toEqual([3, 2])
    })
  })
})

interface Master {
  readonly url: string
  readonly ended: Promise<unknown>
  connect(): Promise<RawClient>
  send(message: string): void
  /** Processes of the workers, by cell. */
  pids(): (number | undefined)[]
  cells(): Promise<NativeCell[]>
  until(isTrue: (cells: NativeCell[]) => boolean): Promise<void>
  exitOf(pid: number): Promise<Report>
  /** The next report of a kind that comes. */
  next(event: string): Promise<Report>
}

interface Report {
  readonly event: string
  readonly index: number
  readonly pid: number
  readonly port: number
  readonly code: number | null
  readonly signal: string | null
  readonly cells: NativeCell[]
}

/** Starts the master and waits until its workers accept. */
async function startMaster(): Promise<Master> {
  const child = fork(`${ROOT}__test__/fixtures/workers/master.mjs`, [MODE], { env: cleanEnv(), silent: true })
  const { exit } = watch(child)
  const reports = followReports(child)
  onTeardown('processes', async () => {
    if (child.connected) child.send('stop')
    expect(await exit).toMatchObject({ code: 0, signal: null, stderr: '' })
  })
  const { port } = await reports.next(({ event }) => event === 'bound')
  const url = `http://127.0.0.1:${port}`
  const pids: (number | undefined)[] = []
  for (const index of [0, 1]) {
    const { pid } = await reports.next((report) => report.event === 'ready' && report.index === index)
    pids[index] = pid
  }
  const cells = async (): Promise<NativeCell[]> => {
    const next = reports.next(({ event }) => event === 'cells', true)
    child.send('read')
    return (await next).cells
  }
  return {
    url,
    ended: exit,
    connect: () => RawClient.connect(url),
    send: (message) => child.send(message),
    pids: () => pids,
    cells,
    async until(isTrue) {
      while (!isTrue(await cells())) await turns(1)
    },
    exitOf: (pid) => reports.next((report) => report.event === 'exit' && report.pid === pid),
    next: (event) => reports.next((report) => report.event === event, true),
  }
}

/** Reports of the master: those that have come, or only what comes from now on. */
function followReports(child: ChildProcess): {
  next(isMeant: (report: Report) => boolean, isNew?: boolean): Promise<Report>
} {
  const seen: Report[] = []
  const waiting = new Set<(report: Report) => void>()
  child.on('message', (report: Report) => {
    seen.push(report)
    for (const tell of waiting) tell(report)
  })
  return {
    next: (isMeant, isNew = false) =>
      new Promise((resolve) => {
        const found = isNew ? undefined : seen.find((report) => isMeant(report))
        if (found !== undefined) return resolve(found)
        const tell = (report: Report): void => {
          if (!isMeant(report)) return
          waiting.delete(tell)
          resolve(report)
        }
        waiting.add(tell)
      }),
  }
}

/** Milliseconds for which a worker's process has not shown that it runs. */
function silentFor(cell: NativeCell | undefined): number {
  return cell === undefined ? 0 : cell.now - cell.nativeTick
}

/** Milliseconds for which a worker's loop has not waited. */
function busyFor(cell: NativeCell | undefined): number {
  return cell === undefined || cell.loopBusySince === 0 ? 0 : cell.now - cell.loopBusySince
}

async function pidOf(client: RawClient): Promise<number> {
  return Number((await client.request()).text)
}

/** Sends a request on each connection at once; returns how many each worker has answered. */
async function ask(clients: readonly RawClient[], path: string): Promise<number[]> {
  const counts = new Map<string, number>()
  const answers = await Promise.all(clients.map((client) => client.request({ path })))
  for (const { text } of answers) counts.set(text, (counts.get(text) ?? 0) + 1)
  return [...counts.values()]
}

/**
 * Connects and asks at once. Three tries, because a worker that the machine does not let run for 50 ms loses its turn to
 * the other, as it should; without a gate no try comes out even.
 */
async function expectEvenShares(master: Master): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    await master.until((cells) => cells.every(({ connections }) => connections === 0))
    const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => master.connect()))
    const counts = await ask(clients, '/block/1')
    try {
      expectEven(CONNECTIONS, counts)
      return
    } catch (error) {
      if (attempt === 3) throw error
      await Promise.all(clients.map((client) => client.close()))
    }
  }
}

function expectEven(total: number, counts: readonly number[]): void {
  expect(counts).toHaveLength(2)
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(total)
  const mean = total / counts.length
  for (const count of counts) expect(Math.abs(count - mean)).toBeLessThanOrEqual(2)
}

/** What part of a CPU the worker of a connection uses while nobody asks it anything. */
async function cpuShareOf(client: RawClient, milliseconds: number): Promise<number> {
  const read = async (): Promise<number> => {
    const { user, system } = JSON.parse((await client.request({ path: '/cpu' })).text) as NodeJS.CpuUsage
    return (user + system) / 1000
  }
  const before = await read()
  await new Promise((resolve) => setTimeout(resolve, milliseconds))
  return ((await read()) - before) / milliseconds
}

interface Clients {
  readonly answered: number
  reached(count: number): Promise<void>
  /** Ends the load; returns the requests that were lost. */
  stop(): Promise<Lost[]>
}

interface Lost {
  /** Number of the client that asked. */
  readonly client: number
  /** The worker that had answered on that connection before, if one had. */
  readonly pid: number | undefined
}

/** Clients that ask again and again, on a kept connection or a new one each time, until they are stopped. */
function startClients(master: Master, kept: number, oneShot: number): Clients {
  let answered = 0
  let isStopping = false
  const lost: Lost[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const serve = async (number: number, most: number): Promise<void> => {
    const client = await master.connect()
    let pid: number | undefined
    try {
      for (let count = 0; count < most && !isStopping; count++) {
        const answer = await client.request()
        if (answer.status !== 200) throw new Error(`status ${answer.status}`)
        answered += 1
        pid = Number(answer.text)
        for (const entry of waiting) if (answered >= entry.count) entry.resolve()
        // The server has announced the end of the connection.
        if (answer.header('connection') === 'close') break
      }
    } catch {
      lost.push({ client: number, pid })
    } finally {
      await client.close()
    }
  }
  const drive = async (number: number, most: number): Promise<void> => {
    while (!isStopping) await serve(number, most)
  }
  const all = Promise.all([
    ...Array.from({ length: kept }, (_, number) => drive(number, Infinity)),
    ...Array.from({ length: oneShot }, (_, number) => drive(kept + number, 1)),
  ])
  return {
    get answered() {
      return answered
    },
    reached: (count) =>
      new Promise((resolve) => {
        if (answered >= count) resolve()
        else waiting.push({ count, resolve })
      }),
    async stop() {
      isStopping = true
      await all
      return lost
    },
  }
}
