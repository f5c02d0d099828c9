/** More requests than JavaScript has time for: who is turned away, how, and who is not. */
import { describe, expect, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { startCli } from './harness/cli.ts'
import { RawClient, formatRequest, request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { MODE } from './harness/mode.ts'

import type { Options, Server } from './harness/app.ts'
import type { RawResponse } from './harness/client.ts'

/** Runs when JavaScript is about to be busy. */
let whenBusy: () => void = () => {}

/** A server that notes whom it has seen; `/block?N` keeps JavaScript busy for N milliseconds. */
async function serve(options: Options): Promise<{ server: Server; seen: string[] }> {
  const seen: string[] = []
  const server = await serveApp(
    {
      __rsgi__: (scope, protocol) => {
        seen.push(scope.path)
        if (scope.path === '/block') {
          whenBusy()
          const end = performance.now() + Number(scope.queryString)
          while (performance.now() < end);
        }
        protocol.responseStr(200, [], 'hello')
      },
    },
    options,
  )
  return { server, seen }
}

/** Sends a request that blocks, and others that wait behind it; their answers. */
async function behind(server: Server, milliseconds: number, messages: readonly Buffer[]): Promise<Behind> {
  const clients = await Promise.all(messages.map(() => RawClient.connect(server)))
  const blocker = await RawClient.connect(server)
  // Written by the handler itself, so that surely nobody is served before it.
  whenBusy = () => {
    whenBusy = () => {}
    for (const [index, client] of clients.entries()) void client.send(messages[index] as Buffer)
  }
  void blocker.send(`GET /block?${milliseconds} HTTP/1.1\r\nhost: a\r\n\r\n`)
  const answers = await Promise.all(clients.map((client) => client.read()))
  expect((await blocker.read()).status).toBe(200)
  return { answers, clients }
}

interface Behind {
  readonly answers: RawResponse[]
  readonly clients: RawClient[]
}

const get = (path: string): Buffer => formatRequest({ path })

describe('a request for which there is no time', () => {
  test('is answered 503 beyond maxQueue, with a time to come back, and its connection is kept', async () => {
    const { server, seen } = await serve({ maxQueue: 5 })
    const { answers, clients } = await behind(
      server,
      1000,
      Array.from({ length: 20 }, (_, index) => get(`/${index}`)),
    )
    const shed = answers.filter(({ status }) => status === 503)
    expect(shed.length).toBeGreaterThanOrEqual(14)
    expect(answers.filter(({ status }) => status === 200).length).toBe(20 - shed.length)
    for (const answer of shed) {
      expect(answer.text).toBe('Service Unavailable')
      expect(answer.header('connection')).toBeUndefined()
      expect(Number(answer.header('retry-after'))).toBeGreaterThanOrEqual(1)
      expect(Number(answer.header('retry-after'))).toBeLessThanOrEqual(30)
    }
    expect(seen).toHaveLength(1 + 20 - shed.length)
    expect(server.stats()).toMatchObject({ shedQueueFullTotal: shed.length, shedQueueWaitTotal: 0 })
    // Everybody is welcome on the same connection now.
    for (const client of clients) expect((await client.request()).status).toBe(200)
  })

  test('is answered 503 when it has waited longer than maxQueueWait, and never reaches the application', async () => {
    const { server, seen } = await serve({ maxQueueWait: '200ms' })
    const { answers, clients } = await behind(server, 1200, [get('/a'), get('/b'), get('/c')])
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 503])
    expect(seen).toEqual(['/block'])
    expect(server.stats()).toMatchObject({ shedQueueWaitTotal: 3 })
    for (const client of clients) expect((await client.request({ path: '/again' })).status).toBe(200)
    expect(seen).toEqual(['/block', '/again', '/again', '/again'])
  })

  test('is answered all the same when its path is exempt', async () => {
    const { server } = await serve({ maxQueueWait: '200ms', shedExempt: ['/health', '/admin/'] })
    const paths = ['/health', '/health?deep', '/health/db', '/healthy', '/admin/x', '/other']
    const { answers } = await behind(server, 1200, paths.map(get))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 503, 200, 503])
  })

  test('keeps its connection only when it is complete', async () => {
    const { server } = await serve({ maxQueueWait: '200ms' })
    const post = (head: string, body: string): Buffer =>
      Buffer.from(`POST / HTTP/1.1\r\nhost: a\r\n${head}\r\n\r\n${body}`)
    const { answers } = await behind(server, 1200, [
      post('content-length: 5', 'whole'),
      post('content-length: 5', 'hal'),
      post('transfer-encoding: chunked', '5\r\nwhole\r\n0\r\n\r\n'),
      post('transfer-encoding: chunked', '5\r\nhal'),
      Buffer.from('GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n'),
      Buffer.from('GET / HTTP/1.0\r\n\r\n'),
    ])
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 503))
    expect(answers.map((answer) => answer.header('connection'))).toEqual([
      undefined,
      'close',
      undefined,
      'close',
      'keep-alive',
      'close',
    ])
  })

  test('does not keep what is pipelined behind it from being answered', async () => {
    const { server, seen } = await serve({ maxQueueWait: '200ms' })
    const { answers, clients } = await behind(server, 1200, [Buffer.concat([get('/a'), get('/b')])])
    expect(answers[0]?.status).toBe(503)
    const second = await (clients[0] as RawClient).read()
    // It waited in the kernel just as long where both were read together; on I/O threads its turn comes later.
    expect([200, 503]).toContain(second.status)
    expect(seen).not.toContain('/a')
  })

  test('HEAD is told without a body', async () => {
    const { server } = await serve({ maxQueueWait: '200ms' })
    const client = await RawClient.connect(server)
    const blocker = await RawClient.connect(server)
    whenBusy = () => void client.send('HEAD / HTTP/1.1\r\nhost: a\r\n\r\n')
    void blocker.send('GET /block?1200 HTTP/1.1\r\nhost: a\r\n\r\n')
    expect((await client.read('HEAD')).status).toBe(503)
    expect((await client.request()).text).toBe('hello')
    expect((await blocker.read()).status).toBe(200)
    whenBusy = () => {}
  })

  test('is left alone with both limits off', async () => {
    const { server } = await serve({ maxQueue: 0, maxQueueWait: 0 })
    const { answers } = await behind(
      server,
      500,
      Array.from({ length: 50 }, () => get('/')),
    )
    expect(answers.every(({ status }) => status === 200)).toBe(true)
  })
})

test('when everybody has been waiting for a while some are turned away, and nobody when the queue is gone', async () => {
  // Neither limit is ever reached: whoever is turned away is so for what all others have to wait.
  const limits = ['--max-queue', '10000', '--max-queue-wait', '10m']
  const app = '__test__/fixtures/overload/app.mjs'
  const server = await startCli([app, '--bind', '127.0.0.1:0', '--log-level', 'error', ...limits])
  let shed: RawResponse | undefined
  const drive = async (): Promise<void> => {
    const client = await RawClient.connect(server)
    while (shed === undefined) {
      const answer = await client.request({ path: '/work' })
      if (answer.status !== 200) shed ??= answer
    }
    await client.close()
  }
  await Promise.all(Array.from({ length: 40 }, drive))
  expect(shed).toMatchObject({ status: 503, text: 'Service Unavailable' })
  expect(Number(shed?.header('retry-after'))).toBeGreaterThanOrEqual(1)
  for (let times = 0; times < 20; times++) expect((await request(server)).status).toBe(200)
  const { stdout } = await server.stop()
  const stopped = stdout.split('\n').find((line) => line.includes('"stopped"')) ?? '{}'
  const stats = JSON.parse(stopped) as Record<string, number>
  expect(stats).toMatchObject({ shedQueueFullTotal: 0, shedQueueWaitTotal: 0 })
  expect(stats.shedLoopDelayTotal).toBeGreaterThan(0)
})

test('requests of clients that have left meanwhile are dropped unread', async () => {
  const { server, seen } = await serve({})
  const clients = await Promise.all(Array.from({ length: 30 }, () => RawClient.connect(server)))
  const blocker = await RawClient.connect(server)
  // The first handler has all others ask, and the second one has them leave.
  whenBusy = () => {
    for (const client of clients) void client.send('GET /block?500 HTTP/1.1\r\nhost: a\r\n\r\n')
    whenBusy = () => {
      whenBusy = () => {}
      for (const client of clients) client.reset()
    }
  }
  void blocker.send('GET /block?100 HTTP/1.1\r\nhost: a\r\n\r\n')
  await blocker.read()
  await blocker.close()
  await atRest(server)
  expect(seen.length).toBeGreaterThanOrEqual(2)
  expect(seen.length).toBeLessThan(6)
})

test.runIf(MODE === 'thread')('I/O threads turn away while JavaScript is blocked', async () => {
  const app = `export const app = { __rsgi__(scope, protocol) {
    const end = performance.now() + Number(scope.queryString || 0)
    while (performance.now() < end);
    protocol.responseStr(200, [], scope.path)
  } }`
  const { url } = await startCli(
    ['app.mjs', '--bind', '127.0.0.1:0', '--runtime-mode', 'thread', '--max-queue', '2', '--max-queue-wait', '500ms'],
    { cwd: folderWith({ 'app.mjs': app }) },
  )
  const order: string[] = []
  const blocker = await RawClient.connect(url)
  const blocked = blocker.request({ path: '/block?4000' }).then(() => order.push('blocker'))
  const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(url)))
  const answers = await Promise.all(
    clients.map(async (client, index) => {
      const { status } = await client.request()
      order.push(index < 2 ? 'waited' : 'full')
      return status
    }),
  )
  expect(answers).toEqual([503, 503, 503, 503])
  await blocked
  expect(order.at(-1)).toBe('blocker')
  expect((await request(url)).status).toBe(200)
})
