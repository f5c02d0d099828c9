/** The fetch interface: shapes of applications, and what becomes of what they return. */
import { createServer } from 'node:http'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'

import { describe, expect, test } from 'vitest'

import { createFetchAdapter } from '../dist/fetch.js'
import { Response as LightResponse } from '../dist/index.js'
import { serveApp } from './harness/app.ts'
import { RawClient, request as ask } from './harness/client.ts'
import { expectLog } from './harness/logs.ts'
import { onTeardown } from './harness/teardown.ts'

import type { AddressInfo } from 'node:net'

import type { FetchInfo, ServerRequest } from '../dist/index.js'

const PlatformResponse = globalThis.Response
const classes = [
  ['light', LightResponse as unknown as typeof PlatformResponse],
  ['platform', PlatformResponse],
] as const

describe('application', () => {
  test('may be a function, synchronous or not', async () => {
    const server = await serveApp(() => new Response('now'))
    const other = await serveApp(async () => new Response('later'))
    expect([(await ask(server)).text, (await ask(other)).text]).toEqual(['now', 'later'])
  })

  test('may be an object: fetch is called as its method, with request and info', async () => {
    class Greeter {
      greeting = 'hello'
      fetch(request: ServerRequest, info: FetchInfo): Response {
        return new Response(`${this.greeting} ${request instanceof Request} ${info.remoteAddr.hostname}`)
      }
    }
    const app = new Greeter()
    const server = await serveApp(app)
    expect((await ask(server)).text).toBe('hello true 127.0.0.1')
    app.greeting = 'bye'
    app.fetch = () => new Response('replaced')
    expect((await ask(server)).text).toBe('replaced')
  })

  test('may be a class or a function that has fetch: that is called as its method', async () => {
    class Site {
      static greeting = 'hello'
      static fetch(): Response {
        return new Response(this.greeting)
      }
    }
    const handler = Object.assign(() => new Response('called'), { fetch: () => new Response('method') })
    const servers = [await serveApp(Site), await serveApp(handler)]
    expect(await Promise.all(servers.map(async (server) => (await ask(server)).text))).toEqual(['hello', 'method'])
  })

  test('anything else is ERR_APP', () => {
    for (const app of [undefined, null, 42, {}, { fetch: 'no' }]) {
      expect(() => createFetchAdapter(app as never)).toThrow(expect.objectContaining({ code: 'ERR_APP' }))
    }
  })

  test('may answer with any thenable', async () => {
    const server = await serveApp((() => ({
      // oxlint-disable-next-line unicorn/no-thenable -- it is one on purpose
      then: (resolve: (response: Response) => void) => resolve(new Response('then')),
    })) as never)
    expect((await ask(server)).text).toBe('then')
  })
})

test.each<[string, (resolve: (response: Response) => void, reject: (error: Error) => void) => void, number]>([
  ['throws', () => raise('no then'), 500],
  ['throws after it has answered', (resolve) => (resolve(new Response('then')), raise('too late')), 200],
  ['answers twice', (resolve, reject) => (resolve(new Response('then')), reject(new Error('too late'))), 200],
])('a thenable that %s is an answer like that of a promise', async (_what, then, status) => {
  if (status === 500) expectLog('no then')
  // oxlint-disable-next-line unicorn/no-thenable -- it is one on purpose
  const server = await serveApp((() => ({ then })) as never)
  expect((await ask(server)).status).toBe(status)
  expect((await ask(server)).status).toBe(status)
})

describe.each(classes)('a %s response', (kind, R) => {
  test('has status, headers in order, each set-cookie, and a content-length', async () => {
    const headers: [string, string][] = [
      ['X-B', '2'],
      ['Set-Cookie', 'a=1'],
      ['x-a', 'caf\u00E9'],
      ['set-cookie', 'b=2'],
    ]
    const server = await serveApp(() => new R('grüße', { status: 203, headers }))
    const response = await ask(server)
    expect([response.status, response.text, response.header('content-length')]).toEqual([203, 'grüße', '7'])
    expect(response.headerAll('set-cookie')).toEqual(['a=1', 'b=2'])
    expect([response.header('x-b'), response.header('x-a'), response.header('content-type')]).toEqual([
      '2',
      'caf\u00E9',
      'text/plain;charset=UTF-8',
    ])
  })

  const bodies: Record<string, [() => unknown, string, string | undefined]> = {
    'an empty string': [() => '', '', 'text/plain;charset=UTF-8'],
    bytes: [() => new Uint8Array([104, 105]), 'hi', undefined],
    'an ArrayBuffer': [() => new Uint8Array([104, 105]).buffer, 'hi', undefined],
    URLSearchParams: [
      () => new URLSearchParams({ a: '1 2' }),
      'a=1+2',
      'application/x-www-form-urlencoded;charset=UTF-8',
    ],
    'a small Blob': [() => new Blob(['a{}'], { type: 'text/css' }), 'a{}', 'text/css'],
    'a large Blob': [() => new Blob(['x'.repeat(200_000)]), 'x'.repeat(200_000), undefined],
    'a stream of one piece': [() => ReadableStream.from([Buffer.from('one')]), 'one', undefined],
    'a stream of pieces': [
      () => ReadableStream.from([Buffer.from('one'), Buffer.from('two'), Buffer.from('three')]),
      'onetwothree',
      undefined,
    ],
    'a stream of nothing': [() => ReadableStream.from([]), '', undefined],
    'an async generator': [() => piecesOf('one', 'two', 'three'), 'onetwothree', undefined],
    'an async generator of one piece': [() => piecesOf('one'), 'one', undefined],
    'an async generator of nothing': [() => piecesOf(), '', undefined],
    null: [() => null, '', undefined],
  }

  test.each(Object.entries(bodies))('of %s', async (_what, [make, text, type]) => {
    const server = await serveApp(() => new R(make() as never))
    const client = await RawClient.connect(server)
    // Twice, to see that the connection goes on behind it.
    for (const _time of [1, 2]) {
      const response = await client.request()
      expect([response.status, response.text, response.header('content-type')]).toEqual([200, text, type])
    }
  })

  test('of what has ended when it is asked has a length; of what goes on has chunks', async () => {
    const server = await serveApp((request: ServerRequest) => {
      const count = Number(new URL(request.url).pathname.slice(1))
      return new R(piecesOf(...Array.from({ length: count }, (_value, index) => String(index))) as never)
    })
    const framings: unknown[] = []
    for (const count of [0, 1, 2, 3]) {
      const response = await ask(server, { path: `/${count}` })
      framings.push([response.header('content-length'), response.chunks.length])
    }
    expect(framings).toEqual([
      ['0', 0],
      ['1', 0],
      [undefined, 2],
      [undefined, 3],
    ])
  })

  test('a slow stream has its head at once, and each piece when it comes', async () => {
    let controller!: ReadableStreamDefaultController<Uint8Array>
    const body = new ReadableStream<Uint8Array>({
      start(own) {
        controller = own
      },
    })
    const server = await serveApp(() => new R(body, { headers: { 'content-type': 'text/event-stream' } }))
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    expect((await client.readHead()).status).toBe(200)
    for (const piece of ['one', 'two']) {
      controller.enqueue(Buffer.from(piece))
      expect((await client.reader.through('\r\n')).toString()).toBe('3\r\n')
      expect((await client.reader.through('\r\n')).toString()).toBe(`${piece}\r\n`)
    }
    controller.close()
    expect((await client.reader.through('\r\n\r\n')).toString()).toBe('0\r\n\r\n')
  })

  test('to HEAD has the head of GET and no body', async () => {
    const server = await serveApp((request: ServerRequest) => new R(request.url.endsWith('/null') ? null : 'hello'))
    const client = await RawClient.connect(server)
    const head = await client.request({ method: 'HEAD' })
    expect([head.status, head.header('content-type')]).toEqual([200, 'text/plain;charset=UTF-8'])
    // The length of a platform's body is known to those only who read it.
    expect(head.header('content-length')).toBe(kind === 'light' ? '5' : undefined)
    // Of the answer to GET nothing is known here, so nothing is said.
    expect((await client.request({ method: 'HEAD', path: '/null' })).header('content-length')).toBe(undefined)
    expect((await client.request()).text).toBe('hello')
  })

  test.each([204, 304])('with status %i has no body and no content-length', async (status) => {
    const server = await serveApp(() => new R(null, { status, headers: { etag: '"1"' } }))
    const client = await RawClient.connect(server)
    for (const _time of [1, 2]) {
      const response = await client.request()
      expect([response.status, response.header('etag'), response.header('content-length')]).toEqual([
        status,
        '"1"',
        undefined,
      ])
    }
  })

  test('fields of the connection are dropped, but close', async () => {
    const fields = {
      'transfer-encoding': 'chunked',
      'Keep-Alive': 'timeout=5',
      upgrade: 'h2c',
      connection: 'keep-alive, upgrade',
    }
    const server = await serveApp((request: ServerRequest) =>
      request.url.endsWith('/close')
        ? new R('x', { headers: { connection: 'Keep-Alive, Close' } })
        : new R('x', { headers: { ...fields, 'x-a': '1' } }),
    )
    const client = await RawClient.connect(server)
    const response = await client.request()
    const names = response.headers.map(([name]) => name.toLowerCase())
    expect(names.toSorted()).toEqual(['content-length', 'content-type', 'date', 'x-a'])
    expect((await client.request({ path: '/close' })).header('connection')).toBe('close')
    await client.ended()
  })

  test('a content-length that is right is kept, one that is wrong is a 500', async () => {
    expectLog('ERR_BODY_LENGTH')
    const server = await serveApp((request: ServerRequest) => {
      const length = new URL(request.url).pathname.slice(1)
      return new R('hello', { headers: { 'content-length': length } })
    })
    expect((await ask(server, { path: '/5' })).header('content-length')).toBe('5')
    expect((await ask(server, { path: '/4' })).status).toBe(500)
  })

  test('Response.error() is a 500 and a line that says so', async () => {
    expectLog('the application returned Response.error()')
    const server = await serveApp(() => R.error())
    const { status, text } = await ask(server)
    expect([status, text]).toEqual([500, 'Internal Server Error'])
  })

  test('Response.json and Response.redirect are answers', async () => {
    const server = await serveApp((request: ServerRequest) =>
      request.url.endsWith('/json') ? R.json({ a: 1 }, { status: 201 }) : R.redirect('http://other.test/x', 303),
    )
    const json = await ask(server, { path: '/json' })
    expect([json.status, json.text, json.header('content-type')]).toEqual([201, '{"a":1}', 'application/json'])
    const redirect = await ask(server)
    expect([redirect.status, redirect.text, redirect.header('location')]).toEqual([303, '', 'http://other.test/x'])
  })

  test.each(['read', 'locked'])('whose stream was %s is a 500 and a line that says so', async (how) => {
    expectLog('ERR_BODY_USED')
    const server = await serveApp(async () => {
      const response = new R(ReadableStream.from([Buffer.from('x')]) as never)
      if (how === 'read') await response.text()
      else response.body?.getReader()
      return response
    })
    expect((await ask(server)).status).toBe(500)
  })

  test('made of another one is sent without a stream between, and headers set later are sent', async () => {
    const server = await serveApp(() => {
      const first = new R('hello', { headers: { 'x-a': '1' } })
      const second = new R(first.body, first)
      second.headers.set('x-b', '2')
      second.headers.append('set-cookie', 'a=1')
      second.headers.append('set-cookie', 'b=2')
      return second
    })
    const response = await ask(server)
    expect([response.text, response.header('x-a'), response.header('x-b'), response.header('content-length')]).toEqual([
      'hello',
      '1',
      '2',
      '5',
    ])
    expect(response.headerAll('set-cookie')).toEqual(['a=1', 'b=2'])
  })

  test('of a clone may be sent, and the clone read', async () => {
    let copy: Promise<string> | undefined
    const server = await serveApp(() => {
      const response = new R(ReadableStream.from([Buffer.from('one'), Buffer.from('two')]) as never)
      copy = response.clone().text()
      return response
    })
    expect([(await ask(server)).text, await copy]).toEqual(['onetwo', 'onetwo'])
  })
})

describe('a light response', () => {
  test.each([
    ['a string', 'hello'],
    ['bytes', Buffer.from('hello')],
    ['nothing', null],
  ])('of %s may be returned again', async (_what, body) => {
    const response = new LightResponse(body, { headers: { 'x-a': '1' } })
    const server = await serveApp(() => response)
    const client = await RawClient.connect(server)
    const answers = [await client.request(), await client.request(), await client.request()]
    expect(answers.map(({ text }) => text)).toEqual(Array(3).fill(body === null ? '' : 'hello'))
    expect(answers.map((answer) => answer.headers.length)).toEqual(Array(3).fill(answers[0]?.headers.length))
  })

  test('made of the body of another one may be returned again too, while nobody has read it', async () => {
    const first = new LightResponse('hello')
    const response = new LightResponse(first.body, first)
    const server = await serveApp(() => response)
    expect([(await ask(server)).text, (await ask(server)).text]).toEqual(['hello', 'hello'])
  })

  test('keeps the order of its headers on the wire, before those of the server', async () => {
    const server = await serveApp(
      () => new LightResponse('x', { headers: { 'x-b': '1', 'x-a': '2', 'content-type': 'a/b' } }),
    )
    const names = (await ask(server)).headers.map(([name]) => name.toLowerCase())
    expect(names.slice(0, 3)).toEqual(['x-b', 'x-a', 'content-type'])
  })
})

describe('a response of another maker', () => {
  test('from fetch() is passed on, with what fetch has undone left out', async () => {
    const upstream = createServer((_request, response) => {
      const body = gzipSync('hello')
      response.writeHead(418, {
        'content-encoding': 'gzip',
        'content-length': body.length,
        'x-a': '1',
        'set-cookie': ['a=1', 'b=2'],
      })
      response.end(body)
    })
    await new Promise<void>((resolve) => {
      upstream.listen(0, '127.0.0.1', resolve)
    })
    onTeardown('processes', () => {
      upstream.closeAllConnections()
      upstream.close()
    })
    const { port } = upstream.address() as AddressInfo
    const server = await serveApp(() => fetch(`http://127.0.0.1:${port}/`))
    const response = await ask(server)
    expect([response.status, response.text, response.header('x-a')]).toEqual([418, 'hello', '1'])
    expect(response.headerAll('set-cookie')).toEqual(['a=1', 'b=2'])
    expect(response.header('content-encoding')).toBe(undefined)
  })

  test('is taken by its members', async () => {
    const server = await serveApp((() => ({
      status: 202,
      headers: new Map([['x-a', '1']]),
      body: piecesOf('one', 'two'),
    })) as never)
    const response = await ask(server)
    expect([response.status, response.text, response.header('x-a')]).toEqual([202, 'onetwo', '1'])
  })

  test('of another realm is taken, and its promise too', async () => {
    const server = await serveApp(
      () =>
        runInNewContext(
          'Promise.resolve({ status: 202, headers: [["x-a", "1"]], body: new Uint8Array([104, 105]) })',
        ) as Promise<Response>,
    )
    const response = await ask(server)
    expect([response.status, response.text, response.header('x-a')]).toEqual([202, 'hi', '1'])
  })
})

async function* piecesOf(...pieces: string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece)
}

function raise(message: string): never {
  throw new Error(message)
}
