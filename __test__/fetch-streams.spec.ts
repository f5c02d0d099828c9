/** Streamed bodies of the fetch interface: how they fail, and how they are closed when nobody wants them. */
import { once } from 'node:events'
import { Readable } from 'node:stream'

import { describe, expect, test } from 'vitest'

import { Response as LightResponse } from '../dist/index.js'
import { atRest, serveApp } from './harness/app.ts'
import { RawClient, request as ask } from './harness/client.ts'
import { expectLog } from './harness/logs.ts'

import type { ServerRequest } from '../dist/index.js'

const PlatformResponse = globalThis.Response
const classes = [
  ['light', LightResponse as unknown as typeof PlatformResponse],
  ['platform', PlatformResponse],
] as const

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

/** A source that gives `pieces` and then waits for ever, in the three kinds there are. */
const KINDS = {
  'web stream': (pieces: readonly string[], onClose: (reason?: unknown) => void) => {
    const left = [...pieces]
    return new ReadableStream({
      pull(controller) {
        const piece = left.shift()
        if (piece === undefined) return new Promise<void>(() => {})
        controller.enqueue(Buffer.from(piece))
        return undefined
      },
      cancel: onClose,
    })
  },
  'stream of Node': (pieces: readonly string[], onClose: () => void) => {
    const left = [...pieces]
    return new Readable({
      read() {
        const piece = left.shift()
        if (piece !== undefined) this.push(piece)
      },
      destroy(error, done) {
        onClose()
        done(error)
      },
    })
  },
  iterator: (pieces: readonly string[], onClose: () => void) => {
    const left = [...pieces]
    return {
      [Symbol.asyncIterator]: () => ({
        next(): Promise<IteratorResult<Uint8Array>> {
          const piece = left.shift()
          if (piece === undefined) return new Promise(() => {})
          return Promise.resolve({ done: false, value: Buffer.from(piece) })
        },
        async return(): Promise<IteratorResult<Uint8Array>> {
          onClose()
          return { done: true, value: undefined }
        },
      }),
    }
  },
} as const

describe.each(classes)('a %s response', (kind, R) => {
  // The platform makes a stream of its own of what Node streams give, which does not end them at once.
  const kinds = Object.entries(KINDS).filter(([name]) => kind === 'light' || name !== 'stream of Node')

  describe.each(kinds)('of a %s', (_what, make) => {
    test.each([0, 1, 3])('that has given %i pieces is closed once when the client leaves', async (count) => {
      const closed: unknown[] = []
      const pieces = Array.from({ length: count }, (_value, index) => `piece${index}`)
      const server = await serveApp(() => new R(make(pieces, (reason) => closed.push(reason)) as never))
      const client = await RawClient.connect(server)
      await client.send(GET)
      await client.readHead()
      for (const piece of pieces) await client.reader.through(piece)
      await client.close()
      await atRest(server)
      expect(closed.length).toBe(1)
    })

    test('is closed when the answer has no room for a body', async () => {
      let closes = 0
      const server = await serveApp(() => new R(make(['piece'], () => (closes += 1)) as never))
      const client = await RawClient.connect(server)
      expect((await client.request({ method: 'HEAD' })).status).toBe(200)
      expect((await client.request({ method: 'HEAD' })).status).toBe(200)
      expect(closes).toBe(2)
    })

    test('that is returned when the client has left is closed', async () => {
      let closes = 0
      let isAborted = false
      const server = await serveApp(async (request: ServerRequest) => {
        await once(request.signal, 'abort')
        isAborted = true
        return new R(make(['piece'], () => (closes += 1)) as never)
      })
      const client = await RawClient.connect(server)
      await client.send(GET)
      await expect.poll(() => server.stats().requests).toBe(1)
      await client.close()
      await expect.poll(() => isAborted).toBe(true)
      await atRest(server)
      expect(closes).toBe(1)
    })
  })

  const refused: [string, () => unknown][] = [
    [
      'web stream',
      () => new ReadableStream({ pull: (to) => to.enqueue(42), cancel: () => Promise.reject(new Error('no end')) }),
    ],
    [
      'iterator',
      () => ({
        [Symbol.asyncIterator]: () => ({
          next: () => Promise.resolve({ done: false, value: 42 }),
          return: () => Promise.reject(new Error('no end')),
        }),
      }),
    ],
  ]
  // The platform looks at the pieces of an iterable itself.
  test.each(refused.slice(0, kind === 'light' ? 2 : 1))(
    'of a %s that is refused and then fails to close is a 500, and no unhandled rejection',
    async (_what, make) => {
      expectLog('ERR_BODY_TYPE')
      expectLog('no end')
      const server = await serveApp(() => new R(make() as never))
      expect((await ask(server)).status).toBe(500)
    },
  )

  test('of a web stream is cancelled with the reason', async () => {
    let reason: unknown
    const server = await serveApp(() => new R(KINDS['web stream'](['one'], (why) => (reason = why)) as never))
    const client = await RawClient.connect(server)
    await client.send(GET)
    await client.readHead()
    await client.close()
    await atRest(server)
    expect(reason).toMatchObject({ code: 'ERR_CLIENT_DISCONNECTED' })
  })

  test('of an async generator runs its finally when the client leaves, once its own wait is over', async () => {
    const seen: string[] = []
    const server = await serveApp((request: ServerRequest) => {
      const pieces = async function* (): AsyncGenerator<Uint8Array> {
        try {
          yield Buffer.from('one')
          await once(request.signal, 'abort')
          yield Buffer.from('two')
          seen.push('went on')
        } finally {
          seen.push('finally')
        }
      }
      return new R(pieces() as never)
    })
    const client = await RawClient.connect(server)
    await client.send(GET)
    await client.reader.through('one')
    await client.close()
    await atRest(server)
    await expect.poll(() => seen).toEqual(['finally'])
  })

  test.each([0, 1, 2])(
    'whose stream fails after %i pieces: a 500 while nothing has left, a cut then',
    async (count) => {
      expectLog('the source is broken')
      const server = await serveApp(() => {
        const pieces = async function* (): AsyncGenerator<Uint8Array> {
          for (let index = 0; index < count; index++) yield Buffer.from('piece')
          throw new Error('the source is broken')
        }
        return new R(pieces() as never)
      })
      const client = await RawClient.connect(server)
      await client.send(GET)
      if (count < 2) {
        const { status, text } = await client.read()
        expect([status, text]).toEqual([500, 'Internal Server Error'])
      } else {
        // The client sees that it does not have all of it.
        await expect(client.read()).rejects.toThrow('the connection was cut')
      }
    },
  )

  test('whose slow stream fails is cut', async () => {
    expectLog('the source is broken')
    let controller!: ReadableStreamDefaultController<Uint8Array>
    const body = new ReadableStream<Uint8Array>({
      start(own) {
        controller = own
      },
    })
    const server = await serveApp(() => new R(body))
    const client = await RawClient.connect(server)
    await client.send(GET)
    expect((await client.readHead()).status).toBe(200)
    controller.error(new Error('the source is broken'))
    await client.ended()
  })

  test.each([
    ['first', [42], 500],
    ['third', [Buffer.from('a'), Buffer.from('b'), 42], undefined],
  ])('whose %s piece is no body is answered as a failure', async (_which, pieces, expected) => {
    // The platform has its own words for what is no bytes.
    expectLog('unhandled error in the application')
    const server = await serveApp(() => new R(ReadableStream.from(pieces) as never))
    const client = await RawClient.connect(server)
    await client.send(GET)
    const status = await client.read().then(
      (response) => response.status,
      () => undefined,
    )
    expect(status).toBe(expected)
  })
})

test.each([
  ['a bad status', { status: 42 }, 'ERR_STATUS'],
  ['a bad header', { headers: { 'x-a': '1\n2' } }, 'ERR_HEADER_VALUE'],
  ['a piece that is no body', { pieces: [42] }, 'ERR_BODY_TYPE'],
])('a response that is refused for %s is a 500, and its source is closed', async (_what, parts, code) => {
  expectLog(code)
  let closes = 0
  const {
    status = 200,
    headers = {},
    pieces = ['one', 'two'],
  }: { status?: number; headers?: object; pieces?: unknown[] } = parts
  const body = new ReadableStream({
    pull(controller) {
      if (pieces.length > 0) controller.enqueue(pieces.shift())
    },
    cancel: () => void (closes += 1),
  })
  const server = await serveApp((() => ({ status, headers, body })) as never)
  expect((await ask(server)).status).toBe(500)
  expect(closes).toBe(1)
})

describe('a light response', () => {
  test('of strings is sent as UTF-8', async () => {
    const pieces = async function* (): AsyncGenerator<string> {
      yield 'grüße '
      yield ''
      await Promise.resolve()
      yield '☃'
    }
    const server = await serveApp(() => new LightResponse(pieces()))
    expect((await ask(server)).text).toBe('grüße ☃')
  })

  test('of a stream of Node is sent, and its failure is a failure', async () => {
    expectLog('the disk is gone')
    const server = await serveApp((request: ServerRequest) => {
      if (request.url.endsWith('/good')) return new LightResponse(Readable.from(['one', 'two', 'three']))
      return new LightResponse(
        new Readable({
          read() {
            this.destroy(new Error('the disk is gone'))
          },
        }),
      )
    })
    expect((await ask(server, { path: '/good' })).text).toBe('onetwothree')
    const client = await RawClient.connect(server)
    await client.send(GET)
    expect((await client.read()).status).toBe(500)
  })

  test('made of the body of another one closes its source too', async () => {
    let closes = 0
    const server = await serveApp(() => {
      const first = new LightResponse(KINDS.iterator(['one'], () => (closes += 1)) as never)
      return new LightResponse(first.body, first)
    })
    const client = await RawClient.connect(server)
    await client.send(GET)
    await client.reader.through('one')
    await client.close()
    await atRest(server)
    await expect.poll(() => closes).toBe(1)
  })
})

test('an application that returns nothing when its client has left has done nothing wrong', async () => {
  let hasReturned = false
  const server = await serveApp((async (request: ServerRequest) => {
    await once(request.signal, 'abort')
    hasReturned = true
  }) as never)
  const client = await RawClient.connect(server)
  await client.send(GET)
  await expect.poll(() => server.stats().requests).toBe(1)
  await client.close()
  await expect.poll(() => hasReturned).toBe(true)
  await atRest(server)
})

test('a stream goes on by itself after the handler has returned, and the connection after the stream', async () => {
  const server = await serveApp(() => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const write = async (): Promise<void> => {
      const writer = writable.getWriter()
      for (const piece of ['one', 'two', 'three']) {
        await new Promise((resolve) => setImmediate(resolve))
        await writer.write(Buffer.from(piece))
      }
      await writer.close()
    }
    void write()
    return new Response(readable)
  })
  const client = await RawClient.connect(server)
  expect((await client.request()).text).toBe('onetwothree')
  expect((await client.request()).text).toBe('onetwothree')
})
