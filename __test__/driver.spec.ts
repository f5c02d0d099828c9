/** A driver: what it owes to the event loop it shares, and how its handles come and go. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { setImmediate as nextTurn, setTimeout as after } from 'node:timers/promises'

import { describe, expect, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { ROOT, cleanEnv } from './harness/cli.ts'
import { RawClient, turns } from './harness/client.ts'
import { MODE } from './harness/mode.ts'

import type { RsgiHandler, RsgiProtocol } from '../dist/index.js'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const FIXTURES = `${ROOT}__test__/fixtures/driver/`

/** Keeps the event loop busy: a handler that computes. */
function block(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

function rsgi(handler: (protocol: RsgiProtocol, path: string) => unknown): { __rsgi__: RsgiHandler } {
  return { __rsgi__: (scope, protocol) => handler(protocol, scope.path) }
}

describe('turns', () => {
  test('microtasks run after at most 16 handlers', async () => {
    const order: string[] = []
    const server = await serveApp(
      rsgi((protocol, path) => {
        if (path === '/block') block(200)
        else order.push('handler')
        queueMicrotask(() => order.push('microtask'))
        protocol.responseEmpty(204, [])
      }),
    )
    const clients = await Promise.all(Array.from({ length: 40 }, () => RawClient.connect(server)))
    const blocker = await RawClient.connect(server)
    // All of them wait in the kernel when the blocked turn is over.
    void blocker.send('GET /block HTTP/1.1\r\nhost: a\r\n\r\n')
    for (const client of clients) void client.send(GET)
    await Promise.all(clients.map((client) => client.read()))
    const runs = order
      .join('')
      .split('microtask')
      .map((run) => run.length / 'handler'.length)
    expect(order.filter((entry) => entry === 'handler')).toHaveLength(40)
    expect(Math.max(...runs)).toBeGreaterThan(1)
    expect(Math.max(...runs)).toBeLessThanOrEqual(16)
  })

  test('timers and other callbacks run between the requests of a flood', async () => {
    let handled = 0
    const server = await serveApp(
      rsgi((protocol) => {
        handled += 1
        block(1)
        protocol.responseEmpty(204, [])
      }),
      // On a slow machine the last of them wait for long, and none is to be turned away.
      { maxQueueWait: 0 },
    )
    const clients = await Promise.all(Array.from({ length: 60 }, () => RawClient.connect(server)))
    const answers = clients.map((client) => {
      void client.send(GET.repeat(3))
      return client.readAll(3)
    })
    while (handled === 0) await nextTurn()
    await nextTurn()
    await after(1)
    expect(handled).toBeLessThan(180)
    await Promise.all(answers)
    expect(handled).toBe(180)
  })

  test('a peer that closes its side behind its request gets a synchronous answer, however many wait', async () => {
    const server = await serveApp(
      rsgi((protocol) => {
        block(2)
        protocol.responseEmpty(204, [])
      }),
    )
    const clients = await Promise.all(Array.from({ length: 60 }, () => RawClient.connect(server)))
    for (const client of clients) {
      void client.send(GET)
      void client.finish()
    }
    const answers = await Promise.all(clients.map((client) => client.read()))
    expect(answers.every(({ status }) => status === 204)).toBe(true)
    expect(server.stats().abortedTotal).toBe(0)
  })

  test('answers of sync code and of microtasks leave in the turn of their request', async () => {
    const seen: string[] = []
    const server = await serveApp(
      rsgi(async (protocol) => {
        setImmediate(() => seen.push('next phase'))
        await null
        await Promise.resolve()
        protocol.responseStr(200, [], 'microtask')
        queueMicrotask(() => seen.push('answered'))
      }),
    )
    const client = await RawClient.connect(server)
    expect((await client.request()).text).toBe('microtask')
    expect(seen[0]).toBe('answered')
  })

  test.each([
    ['a timer', (answer: () => void) => void setTimeout(answer, 5)],
    ['setImmediate', (answer: () => void) => void setImmediate(answer)],
    ['process.nextTick', (answer: () => void) => process.nextTick(answer)],
    [
      'a file read',
      (answer: () => void) => void import('node:fs').then(({ readFile }) => readFile('/dev/null', answer)),
    ],
  ])('an answer given by %s leaves although nothing else happens', async (_name, later) => {
    const server = await serveApp(
      rsgi(
        (protocol) =>
          new Promise<void>((resolve) => {
            later(() => {
              protocol.responseStr(200, [], 'late')
              resolve()
            })
          }),
      ),
    )
    const client = await RawClient.connect(server)
    for (let round = 0; round < 3; round++) expect((await client.request()).text).toBe('late')
  })

  test('pipelined requests that a full send buffer held back are answered when it drains', async () => {
    const piece = 'x'.repeat(200_000)
    const server = await serveApp(rsgi((protocol) => protocol.responseStr(200, [], piece)))
    const client = await RawClient.connect(server)
    client.pause()
    await client.send(GET.repeat(60))
    await turns(50)
    client.resume()
    const answers = await client.readAll(60)
    expect(answers.every(({ text }) => text === piece)).toBe(true)
  })
})

test.runIf(MODE === 'loop')('a storm of connections is let in 64 at a time, and the loop goes on between', async () => {
  const server = await serveApp({ __rsgi__: (_scope, protocol) => protocol.responseEmpty(204) })
  const clients = Array.from({ length: 200 }, () => RawClient.connect(server))
  const steps: number[] = []
  for (let before = 0; before < 200;) {
    await turns(1)
    const now = Number(server.stats().connectionsTotal)
    steps.push(now - before)
    before = now
  }
  await Promise.all(clients)
  expect(Math.max(...steps)).toBeLessThanOrEqual(64)
  expect(steps.filter((step) => step > 0).length).toBeGreaterThanOrEqual(4)
})

describe('deadlines', () => {
  test('bytes that waited in the kernel during a long turn count before the deadline does', async () => {
    const server = await serveApp(
      rsgi((protocol, path) => {
        if (path === '/block') block(500)
        protocol.responseEmpty(204, [])
      }),
      { keepAlive: 0.2 },
    )
    const [blocker, other] = await Promise.all([RawClient.connect(server), RawClient.connect(server)])
    await other.request()
    void blocker.send('GET /block HTTP/1.1\r\nhost: a\r\n\r\n')
    // Leaves this process before the block begins, and is due long before it ends.
    void other.send(GET)
    expect((await other.read()).status).toBe(204)
    expect((await blocker.read()).status).toBe(204)
  })

  test('an idle connection is closed at keepAlive', async () => {
    const server = await serveApp(
      rsgi((protocol) => protocol.responseEmpty(204, [])),
      { keepAlive: 0.2 },
    )
    const client = await RawClient.connect(server)
    await client.request()
    expect(await client.ended()).toBe('fin')
    expect(server.stats().timeoutsTotal).toBe(1)
  })

  test('a connection that sends nothing is closed at firstByteTimeout, half a head at headTimeout', async () => {
    const server = await serveApp(
      rsgi(() => {}),
      { firstByteTimeout: 0.2, headTimeout: 0.3 },
    )
    const [silent, half] = await Promise.all([RawClient.connect(server), RawClient.connect(server)])
    void half.send('GET / HTTP/1.1\r\nho')
    expect(await silent.ended()).toBe('fin')
    expect(await half.ended()).toBe('fin')
  })
})

describe('back-pressure', () => {
  const UPLOAD = 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n'

  test.each([
    ['resets', (client: RawClient) => client.reset()],
    ['closes', (client: RawClient) => void client.close()],
  ])('a peer that %s while its body is not read is noticed at once', async (_name, leave) => {
    const server = await serveApp(
      rsgi(async (protocol) => {
        await protocol.clientDisconnect()
      }),
    )
    const client = await RawClient.connect(server)
    void client.send(UPLOAD)
    // More than is read ahead, and little enough to leave the client before its end does.
    await client.send(Buffer.alloc(100_000))
    while (server.stats().requests === 0) await nextTurn()
    await turns(20)
    leave(client)
    await atRest(server)
    expect(server.stats().abortedTotal).toBe(1)
  })

  test('a half-closed peer whose body waits is served whole where that is allowed, and the loop sleeps meanwhile', async () => {
    const size = 3_000_000
    let read!: () => void
    const mayRead = new Promise<void>((resolve) => {
      read = resolve
    })
    const server = await serveApp(
      rsgi(async (protocol) => {
        await mayRead
        protocol.responseStr(200, [], String((await protocol.body()).length))
      }),
      { allowHalfOpen: true },
    )
    const client = await RawClient.connect(server)
    void client.send(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${size}\r\n\r\n`)
    void client.send(Buffer.alloc(size))
    void client.finish()
    while (server.stats().requests === 0) await nextTurn()
    const used = process.cpuUsage()
    await after(300)
    const { user, system } = process.cpuUsage(used)
    // An end that is reported again and again would use all of it.
    expect((user + system) / 1000).toBeLessThan(200)
    read()
    expect((await client.read()).text).toBe(String(size))
  })
})

describe('handles', () => {
  test.runIf(process.platform === 'linux')(
    'a connection that another process holds open too is gone for us when we close it',
    async () => {
      const server = await serveApp(rsgi((protocol) => protocol.responseEmpty(204, [['connection', 'close']])))
      const before = new Set(sockets())
      const client = await RawClient.connect(server)
      while (server.stats().connections === 0) await nextTurn()
      const fresh = sockets().filter((descriptor) => !before.has(descriptor))
      // Both ends are in this process: the child gets a copy of each, so ours is among them.
      const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', ...fresh] })
      try {
        await once(child, 'spawn')
        await client.request()
        await client.send('more')
        await atRest(server)
        const used = process.cpuUsage()
        await after(300)
        const { user, system } = process.cpuUsage(used)
        expect((user + system) / 1000).toBeLessThan(200)
      } finally {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
    },
  )

  test('a server that is full waits for a place and goes on accepting then', async () => {
    const server = await serveApp(
      rsgi((protocol) => protocol.responseEmpty(204, [])),
      { workerConnections: 2 },
    )
    const clients = await Promise.all(Array.from({ length: 3 }, () => RawClient.connect(server)))
    const [first, second, third] = clients as [RawClient, RawClient, RawClient]
    await Promise.all([first.request(), second.request()])
    const answer = third.request()
    await turns(20)
    expect(server.stats().connectionsTotal).toBe(2)
    await first.close()
    expect((await answer).status).toBe(204)
  })

  test.each([
    ['a server that is full of idle connections does not end by itself', 'full.mjs'],
    ['sockets that wait for their turn take no more memory the longer they wait', 'overload.mjs'],
    ['an idle connection does not keep the process alive', 'idle-connection.mjs'],
    ["an unref'd server does not keep the process alive", 'unref.mjs'],
    ["a server that is full when it is unref'd does not keep the process alive", 'unref-full.mjs'],
    ["a request keeps the process alive until it is answered, also after the server was unref'd", 'busy.mjs'],
    ['a setter that answers while a fault is thrown is served', 'setter.mjs'],
    ['process.exit in a handler lets finished answers leave', 'exit-in-handler.mjs'],
    ['close() ends a process that has nothing else to do', 'close.mjs'],
    ['the addon can be loaded twice in one isolate', 'twice.mjs'],
    ['the addon can be loaded in a vm context', 'vm-context.mjs'],
  ])('%s', async (_name, file) => {
    const child = spawn(process.execPath, [FIXTURES + file], { env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', (data) => (output.stdout += data))
    child.stderr.on('data', (data) => (output.stderr += data))
    const [code, signal] = await once(child, 'exit')
    expect({ code, signal, ...output }).toEqual({ code: 0, signal: null, stdout: 'ok\n', stderr: '' })
  })
})

function sockets(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((descriptor) => {
      try {
        return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith('socket:')
      } catch {
        return false
      }
    })
}
