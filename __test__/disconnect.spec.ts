/** The client leaves: the application learns of it once and at once, and nothing of the exchange stays. */
import { once } from 'node:events'

import { describe, expect, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { RawClient, turns } from './harness/client.ts'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'
import { pending } from './harness/promises.ts'
import { scaled, timeLimit } from './harness/scale.ts'

import type { RsgiProtocol, RsgiScope } from '../dist/index.js'
import type { Server } from './harness/app.ts'
import type { Call, Interface } from './harness/interfaces.ts'

const TEXT = [['content-type', 'text/plain']] as const
const UPLOAD = 'POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n'

/** Settles with the call of the first request that reaches the application, and how often it was aborted. */
async function waitingServer(
  name: Interface,
): Promise<{ server: Server; called: Promise<Call>; aborts: () => number; aborted: Promise<void> }> {
  let aborts = 0
  let onCall!: (call: Call) => void
  let onAborted!: () => void
  const called = new Promise<Call>((resolve) => {
    onCall = resolve
  })
  const aborted = new Promise<void>((resolve) => {
    onAborted = resolve
  })
  const server = await serveHandler(name, async (call) => {
    call.onAbort(() => {
      aborts += 1
      onAborted()
    })
    onCall(call)
    await aborted
  })
  return { server, called, aborts: () => aborts, aborted }
}

const DEPARTURES: readonly (readonly [string, (client: RawClient) => unknown])[] = [
  ['a reset', (client) => client.reset()],
  ['a close', (client) => client.close()],
  ['the end of its sending side', (client) => client.finish()],
]

const MOMENTS: readonly (readonly [string, string])[] = [
  ['before the body', UPLOAD],
  ['during the body', `${UPLOAD}12345`],
  ['after the body', `${UPLOAD}1234567890`],
  ['after a request without a body', 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'],
]

describe.each(INTERFACES)('g01_disconnect_once: %s', (name) => {
  for (const [departure, leave] of DEPARTURES) {
    test.each(MOMENTS)(
      `${departure} %s is reported exactly once, while the application is idle`,
      async (_when, bytes) => {
        const { server, called, aborts, aborted } = await waitingServer(name)
        const client = await RawClient.connect(server)
        await client.send(bytes)
        await called
        leave(client)
        await aborted
        await atRest(server)
        // A second report would come in one of the next turns.
        await turns(5)
        expect(aborts()).toBe(1)
      },
    )
  }

  test('after a normal end nothing is reported', async () => {
    let aborts = 0
    const server = await serveHandler(name, ({ onAbort, respond }) => {
      // In ASGI waiting for the disconnect means to be told of the end as well.
      if (name !== 'asgi') {
        onAbort(() => {
          aborts += 1
        })
      }
      return respond(200, TEXT, 'done')
    })
    const client = await RawClient.connect(server)
    expect((await client.request()).text).toBe('done')
    await client.close()
    await atRest(server)
    expect(aborts).toBe(0)
  })
})

describe.each(INTERFACES)('g12_idle_disconnect: %s', (name) => {
  test('a client that leaves an open stream is noticed although nothing is written', async () => {
    let wasCleaned = false
    let onStarted!: () => void
    const started = new Promise<void>((resolve) => {
      onStarted = resolve
    })
    const server = await serveHandler(name, async ({ onAbort, stream }) => {
      const gone = new Promise<void>((resolve) => {
        onAbort(resolve)
      })
      const sink = await stream(200, [['content-type', 'text/event-stream']])
      await sink.write(': hello\n\n')
      onStarted()
      try {
        await gone
      } finally {
        wasCleaned = true
      }
    })
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    await started
    await client.close()
    await atRest(server)
    expect(wasCleaned).toBe(true)
  })
})

describe.each(INTERFACES)('g13_slow_client: %s', (name) => {
  test('an application that is faster than its client is held back, and goes on when the client reads', async () => {
    const piece = Buffer.alloc(64 * 1024, 'x')
    const total = 64 * 1024 * 1024
    let produced = 0
    let onStall!: () => void
    const stalled = new Promise<void>((resolve) => {
      onStall = resolve
    })
    const server = await serveHandler(name, async ({ stream }) => {
      const sink = await stream(200, [['content-length', String(total)]])
      while (produced < total) {
        produced += piece.length
        const room = sink.write(piece)
        // The stall is a promise that outlives the loop's next turns: only a full buffer does that.
        const timer = setTimeout(onStall, 100)
        await room
        clearTimeout(timer)
      }
      await sink.end()
    })
    const client = await RawClient.connect(server)
    client.pause()
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await stalled
    // What the kernel buffers on both sides of a loopback connection is a few MiB; ours is 256 KiB.
    expect(produced).toBeLessThan(16 * 1024 * 1024)
    client.resume()
    await client.readHead()
    await client.reader.skip(total)
    expect(produced).toBe(total)
  })
})

describe('g03_source_closed', () => {
  /** A body that says how it was closed. */
  function watchedStream(pieces: number): {
    body: ReadableStream<Uint8Array>
    cancelled: Promise<unknown>
    count: () => number
  } {
    let cancels = 0
    let onCancel!: (reason: unknown) => void
    const cancelled = new Promise<unknown>((resolve) => {
      onCancel = resolve
    })
    let left = pieces
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (left-- > 0) controller.enqueue(Buffer.from('piece'))
        else return new Promise<void>(() => {})
        return undefined
      },
      cancel(reason) {
        cancels += 1
        onCancel(reason)
      },
    })
    return { body, cancelled, count: () => cancels }
  }

  test('a stream is cancelled once when the client leaves', async () => {
    const { body, cancelled, count } = watchedStream(1)
    const server = await serveApp(() => new Response(body), { interface: 'fetch' })
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    client.reset()
    await cancelled
    await atRest(server)
    expect(count()).toBe(1)
  })

  test('a stream is cancelled when the answer has no room for a body', async () => {
    const { body, cancelled, count } = watchedStream(1)
    const server = await serveApp(() => new Response(body), { interface: 'fetch' })
    const client = await RawClient.connect(server)
    await client.request({ method: 'HEAD' })
    await cancelled
    expect(count()).toBe(1)
  })

  test('the finally of an async generator runs when the client leaves', async () => {
    let finals = 0
    const server = await serveApp(
      (request: Request) => {
        const gone = once(request.signal, 'abort')
        const pieces = async function* (): AsyncGenerator<Uint8Array> {
          try {
            yield Buffer.from('one')
            await gone
            yield Buffer.from('two')
          } finally {
            finals += 1
          }
        }
        return new Response(pieces() as never)
      },
      { interface: 'fetch' },
    )
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    await client.close()
    await atRest(server)
    expect(finals).toBe(1)
  })
})

describe('g05_cancel_drop', () => {
  const rounds = scaled(1000, 10_000)
  test(
    `${rounds} streams that are cancelled in the middle leave nothing behind`,
    async () => {
      let cancels = 0
      const server = await serveApp(
        () =>
          new Response(
            new ReadableStream({
              start: (controller) => controller.enqueue(Buffer.from('piece')),
              cancel: () => {
                cancels += 1
              },
            }),
          ),
        { interface: 'fetch' },
      )
      const lane = async (share: number): Promise<void> => {
        for (let round = 0; round < share; round++) {
          const client = await RawClient.connect(server)
          await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
          await client.readHead()
          client.reset()
        }
      }
      await Promise.all(Array.from({ length: 10 }, () => lane(rounds / 10)))
      await atRest(server)
      expect(cancels).toBe(rounds)
      expect(server.stats().wrongThreadDrops).toBe(0)
    },
    timeLimit(30_000),
  )
})

describe('an application that goes on although its client has left', () => {
  test('is counted after disconnectGrace, once, and one that ends by then is not', async () => {
    const finish = pending()
    const calls = [pending(), pending(), pending()]
    const server = await serveApp(
      async ({ path }: RsgiScope, protocol: RsgiProtocol) => {
        calls[Number(path.slice(1))]?.resolve()
        // The first one minds the disconnect, the others do not.
        await (path === '/0' ? protocol.clientDisconnect() : finish.promise)
      },
      { interface: 'rsgi', disconnectGrace: '100ms' },
    )
    const leave = async (path: string): Promise<void> => {
      const client = await RawClient.connect(server)
      await client.send(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`)
      await calls[Number(path.slice(1))]?.promise
      client.reset()
    }
    for (const path of ['/0', '/1', '/2']) await leave(path)
    await atRest(server)
    const began = performance.now()
    expect(server.stats().requestsAbandonedTotal).toBeLessThan(2)
    while (server.stats().requestsAbandonedTotal < 2) await turns(1)
    expect(performance.now() - began).toBeLessThan(5000)
    finish.resolve()
    await turns(5)
    expect(server.stats().requestsAbandonedTotal).toBe(2)
    await server.close()
    expect(server.stats().requestsAbandonedTotal).toBe(2)
  })

  test('is not one whose answer was complete, or that has noticed', async () => {
    const work = pending()
    const server = await serveApp(
      async ({ path }: RsgiScope, protocol: RsgiProtocol) => {
        if (path === '/work') {
          protocol.responseEmpty(204)
          await work.promise
          return
        }
        await protocol.clientDisconnect()
      },
      { interface: 'rsgi', disconnectGrace: '100ms' },
    )
    const client = await RawClient.connect(server)
    await client.request({ path: '/work' })
    client.reset()
    const other = await RawClient.connect(server)
    await other.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    while (server.stats()['requests'] === 0) await turns(1)
    other.reset()
    await atRest(server)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(server.stats().requestsAbandonedTotal).toBe(0)
    work.resolve()
  })
})
