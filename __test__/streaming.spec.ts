/** `gneiss/streaming`: any source through any interface, and server-sent events. */
import { Readable } from 'node:stream'

import { describe, expect, test } from 'vitest'

import { sendAsgi, sendRsgi, stream, toReadableStream } from '../dist/streaming.js'
import { atRest, serveApp } from './harness/app.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { INTERFACES } from './harness/interfaces.ts'
import { expectLog } from './harness/logs.ts'
import { failureOf, pending, thrownCode } from './harness/promises.ts'
import { serveResponse } from './harness/responses.ts'

import type { AsgiApp, RsgiApp, RsgiProtocol } from '../dist/index.js'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const encoder = new TextEncoder()

const form = (): FormData => {
  const data = new FormData()
  data.set('field', 'value of the form')
  return data
}

const SOURCES: readonly (readonly [string, () => Parameters<typeof stream>[0], string])[] = [
  ['a string', () => 'grüße', 'grüße'],
  ['bytes', () => encoder.encode('grüße'), 'grüße'],
  ['an array buffer', () => encoder.encode('bytes').buffer as ArrayBuffer, 'bytes'],
  ['an array', () => ['one', encoder.encode('two'), '', 'three'], 'onetwothree'],
  ['an array of promises', () => [turns(1).then(() => 'one'), 'two'], 'onetwo'],
  ['a set', () => new Set(['one', 'two']), 'onetwo'],
  [
    'a generator',
    function* () {
      yield 'one'
      yield 'two'
    },
    'onetwo',
  ],
  [
    'an async generator',
    async function* () {
      yield 'one'
      await turns(1)
      yield 'two'
    },
    'onetwo',
  ],
  ['a web stream', () => ReadableStream.from(['one', 'two']), 'onetwo'],
  [
    'a byte stream',
    () => {
      const left = ['one', 'two']
      return new ReadableStream({
        type: 'bytes',
        async pull(to) {
          await turns(1)
          const piece = left.shift()
          if (piece === undefined) to.close()
          else to.enqueue(encoder.encode(piece))
        },
      })
    },
    'onetwo',
  ],
  ['a stream of Node', () => Readable.from(['one', Buffer.from('two')]), 'onetwo'],
  ['a blob', () => new Blob(['one', 'two']), 'onetwo'],
  ['a large blob', () => new Blob(['x'.repeat(200_000)]), 'x'.repeat(200_000)],
  ['a form', form, 'value of the form'],
]

describe.each(INTERFACES)('%s', (name) => {
  test.each(SOURCES)('%s arrives whole', async (what, make, text) => {
    const server = await serveResponse(name, () => stream(make() as never, { headers: { 'x-a': 'b' } }))
    const answer = await request(server)
    expect([answer.status, answer.header('x-a')]).toEqual([200, 'b'])
    if (what !== 'a form') expect(answer.text).toBe(text)
    else {
      expect(answer.header('content-type')).toContain('multipart/form-data; boundary=')
      expect(answer.text).toContain(text)
    }
    if (what === 'a large blob') expect(answer.header('content-length')).toBe('200000')
  })

  test('pieces of one turn leave in one write, whatever is awaited between them within it', async () => {
    const begun = pending()
    const server = await serveResponse(name, () => {
      const pieces = async function* (): AsyncGenerator<string> {
        // This is about the pieces of a later turn: the head and the first one have left before.
        yield 'begin'
        await begun.promise
        for (let index = 0; index < 10; index++) {
          await undefined
          yield 'x'.repeat(1024)
        }
      }
      return stream(pieces())
    })
    const client = await RawClient.connect(server)
    const reads: number[] = []
    client.socket.on('data', (bytes: Buffer) => reads.push(bytes.length))
    await client.send(GET)
    await client.reader.through('begin\r\n')
    reads.length = 0
    begun.resolve()
    await client.reader.through('0\r\n\r\n')
    expect(reads.map((size) => size > 10_240)).toEqual([true])
  })

  test('a piece leaves when its turn is over, although the next one never comes', async () => {
    const seen: (() => void)[] = []
    const server = await serveResponse(name, () => {
      const pieces = async function* (): AsyncGenerator<string> {
        for (let index = 0; index < 10; index++) {
          yield `piece${index};`
          // Only the client can let it go on: a piece that was held back would stop both.
          await new Promise<void>((resolve) => {
            seen.push(resolve)
          })
        }
      }
      return stream(pieces())
    })
    const client = await RawClient.connect(server)
    await client.send(GET)
    for (let index = 0; index < 10; index++) {
      await client.reader.through(`piece${index};`)
      await expect.poll(() => seen.length).toBe(index + 1)
      seen[index]?.()
    }
    await client.reader.through('0\r\n\r\n')
  })

  test.each(['HEAD', 'GET'] as const)('a source that nobody wants is closed: %s', async (method) => {
    let closes = 0
    const body = (): ReadableStream => new ReadableStream({ cancel: () => void (closes += 1) })
    const server = await serveResponse(name, () =>
      method === 'GET' ? ({ status: 304, headers: new Headers(), body: body() } as never) : stream(body()),
    )
    expect((await request(server, { method })).body.length).toBe(0)
    await expect.poll(() => closes).toBe(1)
  })

  test('a source that gives less than its content-length is cut, and the log says so', async () => {
    expectLog('ERR_BODY_LENGTH')
    const pieces = async function* (): AsyncGenerator<string> {
      yield 'half'
      await turns(1)
      yield 'half'
    }
    const server = await serveResponse(name, () => stream(pieces(), { headers: { 'content-length': '19' } }))
    const client = await RawClient.connect(server)
    await client.send(GET)
    await client.readHead()
    await client.reader.through('halfhalf')
    await client.ended()
  })

  test('a response that was read before, or is none, is a 500', async () => {
    for (const [make, code] of [
      [
        async () => {
          const response = stream(['one', 'two'])
          await response.text()
          return response
        },
        'ERR_BODY_USED',
      ],
      [() => 42 as never, 'ERR_RESPONSE'],
    ] as const) {
      expectLog(code)
      const server = await serveResponse(name, make)
      expect((await request(server)).status).toBe(500)
    }
  })

  test('a response of the platform, and one that was fetched, are sent as well', async () => {
    const origin = await serveApp(
      () => new Response('from the origin', { headers: { 'x-origin': '1', connection: 'close' } }),
    )
    const server = await serveResponse(name, () => fetch(origin.url))
    const answer = await request(server)
    expect([answer.text, answer.header('x-origin')]).toEqual(['from the origin', '1'])
  })
})

describe('what others have wrapped', () => {
  const waiting = (): { response: Response; closes: () => number } => {
    let closes = 0
    const body = new ReadableStream({
      start: (to) => to.enqueue(encoder.encode('one')),
      cancel: () => void (closes += 1),
    })
    return { response: stream(body), closes: () => closes }
  }

  test('a receive that gives messages only tells of the disconnect, after the body', async () => {
    const { response, closes } = waiting()
    let isSettled = false
    const app: AsgiApp = async (scope, receive, send) => {
      if (scope.type !== 'http') throw new Error('http only')
      await sendAsgi(response, () => receive(), send)
      isSettled = true
    }
    const server = await serveApp(app, { lifespan: 'off' })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc')
    await client.reader.through('one')
    await client.close()
    await atRest(server)
    expect([closes(), isSettled]).toEqual([1, true])
  })

  test('a send that adds a header is gone through', async () => {
    const app: AsgiApp = async (scope, receive, send) => {
      if (scope.type !== 'http') throw new Error('http only')
      await sendAsgi(stream(['one', 'two']), receive, (message) =>
        send(
          message.type === 'http.response.start'
            ? { ...message, headers: [...(message.headers ?? []), ['x-middleware', 'on']] }
            : message,
        ),
      )
    }
    const server = await serveApp(app, { lifespan: 'off' })
    expect((await request(server)).header('x-middleware')).toBe('on')
  })

  test('a protocol that was wrapped closes the source too', async () => {
    const { response, closes } = waiting()
    const app: RsgiApp = {
      __rsgi__: (_scope, protocol) => {
        const wrapped = {
          responseStream: (...args: Parameters<RsgiProtocol['responseStream']>) => protocol.responseStream(...args),
          clientDisconnect: () => protocol.clientDisconnect(),
        }
        return sendRsgi(response, wrapped as unknown as RsgiProtocol)
      },
    }
    const server = await serveApp(app)
    const client = await RawClient.connect(server)
    await client.send(GET)
    await client.reader.through('one')
    client.reset()
    await atRest(server)
    await expect.poll(closes).toBe(1)
  })
})

test.each(INTERFACES)('%s: a failure that the application catches cuts the answer all the same', async (name) => {
  if (name === 'fetch') expectLog('the source is broken')
  const pieces = async function* (): AsyncGenerator<string> {
    yield 'one'
    await turns(2)
    throw new Error('the source is broken')
  }
  const caught = pending<unknown>()
  const app = {
    asgi: (async (_scope, receive, send) => {
      await sendAsgi(stream(pieces()), receive, send).catch(caught.resolve)
    }) satisfies AsgiApp,
    rsgi: {
      __rsgi__: async (_scope, protocol) => {
        await sendRsgi(stream(pieces()), protocol).catch(caught.resolve)
      },
    } satisfies RsgiApp,
    fetch: () => stream(pieces()),
  }[name]
  const server = await serveApp(app, { lifespan: 'off', interface: name })
  const client = await RawClient.connect(server)
  await client.send(GET)
  await expect(client.read()).rejects.toThrow('the connection was cut')
  if (name !== 'fetch') expect(await caught.promise).toMatchObject({ message: 'the source is broken' })
})

describe('toReadableStream', () => {
  test('asks for nothing before somebody reads, and for no more than is read', async () => {
    let asked = 0
    const pieces = async function* (): AsyncGenerator<string> {
      for (;;) yield String((asked += 1))
    }
    const reader = toReadableStream(pieces()).getReader()
    await turns(1)
    expect(asked).toBe(0)
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('1')
    expect(asked).toBe(1)
    await reader.cancel()
  })

  test('closes its source once when it is cancelled, and fails when the source does', async () => {
    let finals = 0
    const pieces = async function* (): AsyncGenerator<unknown> {
      try {
        yield ''
        yield 'one'
        yield 42
      } finally {
        finals += 1
      }
    }
    const reader = toReadableStream(pieces()).getReader()
    await reader.read()
    await reader.cancel()
    await reader.cancel()
    expect(finals).toBe(1)
    expect(await failureOf(new Response(toReadableStream(pieces())).text())).toMatchObject({ code: 'ERR_BODY_TYPE' })
    expect(finals).toBe(2)
  })

  test('reads into a buffer of the reader, to the end', async () => {
    const reader = toReadableStream(['ab', 'c']).getReader({ mode: 'byob' })
    let text = ''
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(1))
      if (done) break
      text += String.fromCodePoint(...value)
    }
    expect(text).toBe('abc')
  })

  test('gives a web stream back as it is, and refuses what is no source', () => {
    const body = new ReadableStream()
    expect(toReadableStream(body)).toBe(body)
    expect(thrownCode(() => toReadableStream(42))).toBe('ERR_BODY_TYPE')
    expect(thrownCode(() => stream(null as never))).toBe('ERR_BODY_TYPE')
  })
})
