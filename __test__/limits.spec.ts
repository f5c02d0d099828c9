/** Each limit and deadline, set where a user sets it, and felt where a client feels it. */
import { describe, expect, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { RawClient, request } from './harness/client.ts'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'
import { CutError } from './harness/reader.ts'

import type { RsgiProtocol, RsgiScope } from '../dist/index.js'
import type { Options, Server } from './harness/app.ts'

type Handler = (scope: RsgiScope, protocol: RsgiProtocol) => unknown

const hello: Handler = (_scope, protocol) => protocol.responseStr(200, [], 'hello')
const POST = 'POST / HTTP/1.1\r\nhost: a\r\n'

function serve(handler: Handler, options: Options): Promise<Server> {
  return serveApp({ __rsgi__: handler }, options)
}

async function statusOf(server: Server, message: string): Promise<number> {
  const client = await RawClient.connect(server)
  await client.send(message)
  return (await client.read()).status
}

describe('a request head at its limit is answered, one above it is refused', () => {
  test.each<[keyof Options, number, (size: number) => string, number]>([
    ['limitRequestHead', 300, (size) => `GET / HTTP/1.1\r\nhost: ${'h'.repeat(size - 26)}\r\n\r\n`, 431],
    ['limitRequestLine', 40, (size) => `GET /${'p'.repeat(size - 14)} HTTP/1.1\r\nhost: a\r\n\r\n`, 414],
    ['limitRequestFieldSize', 40, (size) => `GET / HTTP/1.1\r\nhost: a\r\nx: ${'v'.repeat(size - 3)}\r\n\r\n`, 431],
    ['limitRequestFields', 5, (count) => `GET / HTTP/1.1\r\nhost: a\r\n${'x: y\r\n'.repeat(count - 1)}\r\n`, 431],
  ])('%s', async (option, limit, make, status) => {
    const server = await serve(hello, { [option]: limit })
    expect([await statusOf(server, make(limit)), await statusOf(server, make(limit + 1))]).toEqual([200, status])
  })
})

describe('a request body at its limit is answered, one above it is refused', () => {
  const chunked = (trailers: string): string =>
    `${POST}transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${trailers}\r\n`

  test.each<[keyof Options, number, (size: number) => string, number]>([
    ['maxBody', 5, (size) => `${POST}content-length: ${size}\r\n\r\n${'b'.repeat(size)}`, 413],
    ['limitTrailers', 20, (size) => chunked(`t: ${'v'.repeat(size - 5)}\r\n`), 400],
    ['limitTrailerFields', 2, (count) => chunked('t: v\r\n'.repeat(count)), 400],
  ])('%s', async (option, limit, make, status) => {
    const echo: Handler = async (_scope, protocol) => protocol.responseBytes(200, [], await protocol.body())
    const server = await serve(echo, { [option]: limit })
    expect([await statusOf(server, make(limit)), await statusOf(server, make(limit + 1))]).toEqual([200, status])
  })
})

describe.each(INTERFACES)('%s', (name) => {
  test('maxBodyRoutes: each path has its own limit, however it is spelled', async () => {
    const seen: string[] = []
    const server = await serveHandler(
      name,
      async ({ path, read, respond }) => {
        seen.push(path)
        let length = 0
        for (let piece = await read(); piece !== undefined; piece = await read()) length += piece.length
        return respond(200, [], String(length))
      },
      { maxBody: 5, maxBodyRoutes: ['/up=20', '/up/small=2'] },
    )
    const sized = (path: string, size: number): string =>
      `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: ${size}\r\n\r\n${'b'.repeat(size)}`
    const inChunks = (path: string, size: number): string =>
      `POST ${path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${size.toString(16)}\r\n${'b'.repeat(size)}\r\n0\r\n\r\n`
    for (const [path, limit] of [
      ['/', 5],
      ['/up', 20],
      ['/%75p/x?y', 20],
      ['/upper', 5],
      ['/up/small', 2],
      ['/up/../up', 2],
    ] as const) {
      for (const make of [sized, inChunks]) {
        seen.length = 0
        const statuses = [await statusOf(server, make(path, limit)), await statusOf(server, make(path, limit + 1))]
        // What is too large and comes as a whole is never heard of.
        expect([path, ...statuses, seen.length]).toEqual([path, 200, 413, 1])
      }
    }
  })
})

describe('a deadline ends what it is for', () => {
  test('bodyIdleTimeout: a body that stops is answered 408, and its reader is told why', async () => {
    const codes: unknown[] = []
    const server = await serve(
      async (_scope, protocol) => {
        await protocol.body().catch((error: unknown) => codes.push((error as { code?: unknown }).code))
      },
      { bodyIdleTimeout: '100ms' },
    )
    const client = await RawClient.connect(server)
    await client.send(`${POST}content-length: 9\r\n\r\nhalf`)
    expect((await client.read()).status).toBe(408)
    await client.close()
    await atRest(server)
    expect(codes).toEqual(['ERR_BODY_TIMEOUT'])
  })

  test('responseIdleTimeout: an answer that stops is cut, and the application is told why', async () => {
    const reasons: unknown[] = []
    const server = await serve(
      async (_scope, protocol) => {
        protocol.responseStream(200, []).sendStr('half')
        const { signal } = protocol
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        reasons.push((signal.reason as { code?: unknown }).code)
      },
      { responseIdleTimeout: '100ms' },
    )
    await expect(request(server)).rejects.toThrow(CutError)
    await atRest(server)
    expect(reasons).toEqual(['ERR_RESPONSE_TIMEOUT'])
  })

  test('writeTimeout: a client that does not read is reset, and the application is told', async () => {
    const reasons: unknown[] = []
    const server = await serve(
      async (_scope, protocol) => {
        const stream = protocol.responseStream(200, [])
        const piece = new Uint8Array(1024 * 1024)
        try {
          while (!protocol.signal.aborted) await stream.sendBytes(piece)
        } catch (error) {
          reasons.push((error as { code?: unknown }).code)
        }
      },
      { writeTimeout: '200ms' },
    )
    const client = await RawClient.connect(server)
    client.pause()
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await expect.poll(() => reasons).toEqual(['ERR_CLIENT_DISCONNECTED'])
    await expect.poll(() => server.stats()).toMatchObject({ connections: 0, timeoutsTotal: 1 })
  })

  test('keepAliveMaxAge: the answer to the first request of an old connection closes it', async () => {
    const server = await serve(hello, { keepAliveMaxAge: '200ms' })
    const client = await RawClient.connect(server)
    const first = await client.request()
    expect(first.header('connection')).toBeUndefined()
    const started = performance.now()
    let last = first
    while (last.header('connection') === undefined) last = await client.request()
    expect(performance.now() - started).toBeGreaterThan(100)
    expect([last.header('connection'), await client.ended()]).toEqual(['close', 'fin'])
  })
})
