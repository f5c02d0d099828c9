/** The ASGI interface: scope, receive, send, and when a response leaves. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'

import { describe, expect, onTestFinished, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { expectLog } from './harness/logs.ts'
import { CutError } from './harness/reader.ts'

import type { AsgiApp, HttpScope, Receive, ReceiveMessage, Send, SendMessage } from '../dist/index.js'
import type { Options, Server } from './harness/app.ts'

const TEXT = [['content-type', 'text/plain']] as const
const START = { type: 'http.response.start', status: 200, headers: TEXT } as const
const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const KEYS = [
  'type',
  'asgi',
  'http_version',
  'method',
  'scheme',
  'path',
  'raw_path',
  'query_string',
  'root_path',
  'headers',
  'client',
  'server',
  'state',
  'extensions',
]

type HttpApp = (scope: HttpScope, receive: Receive, send: Send) => unknown

function serveAsgi(app: HttpApp, options: Options = {}): Promise<Server> {
  const whole: AsgiApp = (scope, receive, send) => {
    if (scope.type !== 'http') throw new Error('http only')
    return app(scope, receive, send)
  }
  return serveApp(whole, options)
}

/** Serves an application that hands `read(scope)` of the last request to the test. */
async function serveReading<T>(
  read: (scope: HttpScope) => T,
  options: Options = {},
): Promise<{ server: Server; last: () => T }> {
  const results: T[] = []
  const server = await serveAsgi(async (scope, _receive, send) => {
    results.push(read(scope))
    await send({ type: 'http.response.start', status: 204 })
    await send({ type: 'http.response.body' })
  }, options)
  return { server, last: () => results.at(-1) as T }
}

function pending<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((yes) => {
    resolve = yes
  })
  return { promise, resolve }
}

/** The code with which a promise is rejected, or undefined. */
async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}

async function readBody(receive: Receive): Promise<string> {
  const pieces: Uint8Array[] = []
  for (;;) {
    const message = await receive()
    if (message.type !== 'http.request') throw new Error(`unexpected ${message.type}`)
    pieces.push(message.body)
    if (!message.more_body) return Buffer.concat(pieces).toString()
  }
}

describe('scope', () => {
  test('has every key of the protocol, with the values of the request', async () => {
    const { server, last } = await serveReading((scope) => scope, { rootPath: '/api' })
    const client = await RawClient.connect(server)
    await client.request({
      method: 'PUT',
      path: '/a%20b/%E2%82%AC?x=1%20y&z',
      headers: [
        ['Host', 'a'],
        ['X-Two', 'one'],
        ['x-two', '\u00e9'],
      ],
    })
    const expected = {
      type: 'http',
      asgi: { version: '3.0', spec_version: '2.5' },
      http_version: '1.1',
      method: 'PUT',
      scheme: 'http',
      path: '/a b/€',
      raw_path: '/a%20b/%E2%82%AC',
      query_string: 'x=1%20y&z',
      root_path: '/api',
      headers: [
        ['host', 'a'],
        ['x-two', 'one'],
        ['x-two', '\u00e9'],
      ],
      client: ['127.0.0.1', client.socket.localPort],
      server: ['127.0.0.1', server.addresses[0]?.port],
      state: {},
      extensions: {},
    }
    const scope = last()
    expect(Object.keys(scope)).toEqual(KEYS)
    for (const key of KEYS) expect(scope[key as keyof HttpScope]).toEqual(expected[key as keyof typeof expected])
  })

  test.each<[string, (scope: HttpScope) => unknown]>([
    ['spread', (scope) => ({ ...scope })],
    ['Object.assign', (scope) => Object.assign({}, scope)],
    ['JSON', (scope) => JSON.parse(JSON.stringify(scope))],
    ['Object.entries', (scope) => Object.fromEntries(Object.entries(scope))],
    [
      'for in',
      (scope) => {
        const copy: Record<string, unknown> = {}
        for (const key in scope) copy[key] = scope[key as keyof HttpScope]
        return copy
      },
    ],
  ])('%s gives all keys and values although nobody has read them', async (_how, copy) => {
    const { server, last } = await serveReading(copy)
    await request(server, { path: '/x?y', headers: [['host', 'a']] })
    expect(Object.keys(last() as object)).toEqual(KEYS)
    expect(last()).toMatchObject({ path: '/x', headers: [['host', 'a']], client: ['127.0.0.1', expect.any(Number)] })
  })

  test('console.log shows the values', async () => {
    const { server, last } = await serveReading((scope) => inspect(scope))
    await request(server, { headers: [['host', 'shown.test']] })
    expect(last()).toContain('shown.test')
  })

  test('may be changed, as middleware does, and is each request’s own', async () => {
    const { server, last } = await serveReading((scope) => {
      const before: unknown = JSON.parse(JSON.stringify(scope))
      scope.path = '/changed'
      scope.headers.push(['x-added', '1'])
      scope.state.user = 'me'
      scope.extensions['a.b'] = {}
      ;(scope as unknown as Record<string, unknown>).extra = 1
      scope.client = null
      Reflect.deleteProperty(scope, 'server')
      return { before, after: { ...scope, root_path: '/mounted' }, names: Object.keys(scope), has: 'server' in scope }
    })
    await request(server, { headers: [['host', 'a']] })
    const first = last()
    expect(first.after).toMatchObject({
      path: '/changed',
      root_path: '/mounted',
      state: { user: 'me' },
      extensions: { 'a.b': {} },
      extra: 1,
      client: null,
    })
    expect(first.after.headers).toEqual([
      ['host', 'a'],
      ['x-added', '1'],
    ])
    expect(first.names).toEqual([...KEYS.filter((key) => key !== 'server'), 'extra'])
    expect(first.has).toBe(false)
    await request(server, { headers: [['host', 'b']] })
    expect(last().before).toMatchObject({ path: '/', headers: [['host', 'b']], state: {}, extensions: {} })
  })

  test('gives the same object for a key each time', async () => {
    const { server, last } = await serveReading((scope) => [
      scope.headers === scope.headers,
      scope.state === scope.state,
      scope.client === scope.client,
      scope.extensions === { ...scope }.extensions,
    ])
    await request(server)
    expect(last()).toEqual([true, true, true, true])
  })

  test('http_version of HTTP/1.0 is 1.0', async () => {
    const { server, last } = await serveReading((scope) => scope.http_version)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.0\r\n\r\n')
    await client.read()
    expect(last()).toBe('1.0')
  })

  test('on a Unix socket, client is null and server its path', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gneiss-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'socket')
    const { server, last } = await serveReading(({ client, server: ours }) => ({ client, ours }), {
      bind: `unix:${path}`,
    })
    await request(server)
    expect(last()).toEqual({ client: null, ours: [path, null] })
  })
})

describe('receive', () => {
  test('gives a body that is here at once, without waiting for the loop', async () => {
    let isLater = false
    const messages: ReceiveMessage[] = []
    const server = await serveAsgi(async (_scope, receive, send) => {
      setImmediate(() => {
        isLater = true
      })
      messages.push(await receive())
      expect(isLater).toBe(false)
      await send(START)
      await send({ type: 'http.response.body', body: 'ok' })
    })
    expect((await request(server, { method: 'POST', body: 'all of it' })).text).toBe('ok')
    expect(messages).toEqual([{ type: 'http.request', body: expect.any(Uint8Array), more_body: false }])
    expect(Buffer.from((messages[0] as { body: Uint8Array }).body).toString()).toBe('all of it')
  })

  test('gives one empty http.request when there is no body', async () => {
    const messages: ReceiveMessage[] = []
    const server = await serveAsgi(async (_scope, receive, send) => {
      messages.push(await receive())
      await send(START)
      await send({ type: 'http.response.body' })
    })
    await request(server)
    expect(messages).toEqual([{ type: 'http.request', body: new Uint8Array(0), more_body: false }])
  })

  test('gives the pieces as they arrive, and more_body until the last one', async () => {
    const seen: [string, boolean][] = []
    let wake = pending()
    const server = await serveAsgi(async (_scope, receive, send) => {
      for (;;) {
        const message = await receive()
        if (message.type !== 'http.request') throw new Error(message.type)
        seen.push([Buffer.from(message.body).toString(), message.more_body])
        wake.resolve()
        if (!message.more_body) break
      }
      await send(START)
      await send({ type: 'http.response.body', body: 'done' })
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n')
    for (const piece of ['one', 'two']) {
      wake = pending()
      await client.send(`3\r\n${piece}\r\n`)
      await wake.promise
    }
    await client.send('0\r\n\r\n')
    expect((await client.read()).text).toBe('done')
    expect(seen).toEqual([
      ['one', true],
      ['two', true],
      ['', false],
    ])
  })

  test('then waits, and gives http.disconnect when the response is complete, and that again for ever', async () => {
    const messages: unknown[] = []
    const finished = pending()
    const server = await serveAsgi(async (_scope, receive, send) => {
      await receive()
      const next = receive()
      const isEarly = await Promise.race([next.then(() => true), turns(3).then(() => false)])
      messages.push(isEarly)
      await send(START)
      await send({ type: 'http.response.body', body: 'ok' })
      messages.push(await next, await receive(), await receive())
      finished.resolve()
    })
    expect((await request(server)).text).toBe('ok')
    await finished.promise
    const disconnect = { type: 'http.disconnect' }
    expect(messages).toEqual([false, disconnect, disconnect, disconnect])
  })

  test('gives http.disconnect to a synchronous application that asked before it answered', async () => {
    const told = pending<ReceiveMessage>()
    const server = await serveAsgi((_scope, receive, send) => {
      void receive()
      void receive().then(told.resolve)
      void send(START)
      void send({ type: 'http.response.body', body: 'ok' })
    })
    expect((await request(server)).text).toBe('ok')
    expect(await told.promise).toEqual({ type: 'http.disconnect' })
  })

  test('gives http.disconnect when the client leaves an idle application', async () => {
    const called = pending()
    const told = pending<ReceiveMessage[]>()
    const server = await serveAsgi(async (_scope, receive) => {
      await receive()
      called.resolve()
      told.resolve([await receive(), await receive()])
    })
    const client = await RawClient.connect(server)
    await client.send(GET)
    await called.promise
    client.reset()
    expect(await told.promise).toEqual([{ type: 'http.disconnect' }, { type: 'http.disconnect' }])
  })

  test('gives http.disconnect instead of the rest of a body that does not come', async () => {
    const called = pending()
    const told = pending<ReceiveMessage[]>()
    const server = await serveAsgi(async (_scope, receive) => {
      const first = await receive()
      called.resolve()
      told.resolve([first, await receive(), await receive()])
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf')
    await called.promise
    client.reset()
    expect(await told.promise).toMatchObject([
      { type: 'http.request', more_body: true },
      { type: 'http.disconnect' },
      { type: 'http.disconnect' },
    ])
  })

  test('gives http.disconnect to a task of an application that has failed', async () => {
    expectLog('on purpose')
    const told = pending<ReceiveMessage>()
    const server = await serveAsgi(async (_scope, receive) => {
      await receive()
      void receive().then(told.resolve)
      throw new Error('on purpose')
    })
    expect((await request(server)).status).toBe(500)
    expect(await told.promise).toEqual({ type: 'http.disconnect' })
  })
})

describe('send', () => {
  test('answers with status, headers and body in the order of the application', async () => {
    const server = await serveAsgi(async (_scope, receive, send) => {
      await send({
        type: 'http.response.start',
        status: 201,
        headers: [
          ['X-Second', '2'],
          [Buffer.from('x-first'), Buffer.from([0x31, 0xe9])],
          ['set-cookie', 'a=1'],
          ['set-cookie', 'b=2'],
        ],
      })
      await send({ type: 'http.response.body', body: await readBody(receive) })
    })
    const answer = await request(server, { method: 'POST', body: 'grüße' })
    expect([answer.status, answer.text, answer.header('content-length')]).toEqual([201, 'grüße', '7'])
    expect(answer.headers.slice(0, 4)).toEqual([
      ['X-Second', '2'],
      ['x-first', '1\u00e9'],
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
    ])
  })

  test('headers may be left out, and a body too', async () => {
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send({ type: 'http.response.start', status: 200 })
      await send({ type: 'http.response.body' })
    })
    const answer = await request(server)
    expect([answer.status, answer.text, answer.header('content-length')]).toEqual([200, '', '0'])
  })

  test('an answer in one go has a content-length, also after a few awaits of nothing', async () => {
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send(START)
      for (let count = 0; count < 20; count++) await undefined
      await send({ type: 'http.response.body', body: Buffer.from('whole') })
    })
    const answer = await request(server)
    expect([answer.text, answer.header('content-length'), answer.header('transfer-encoding')]).toEqual([
      'whole',
      '5',
      undefined,
    ])
  })

  test('a synchronous application needs no promise', async () => {
    const server = await serveAsgi((_scope, _receive, send) => {
      void send(START)
      void send({ type: 'http.response.body', body: 'sync' })
    })
    expect((await request(server)).text).toBe('sync')
  })

  test('pieces leave as they are sent', async () => {
    let next = pending()
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send(START)
      for (const body of ['one', Buffer.from('two'), '']) {
        await send({ type: 'http.response.body', body, more_body: true })
        await next.promise
        next = pending()
      }
      await send({ type: 'http.response.body', body: 'end' })
    })
    const client = await RawClient.connect(server)
    await client.send(GET)
    await client.readHead()
    expect((await client.reader.exactly(8)).toString()).toBe('3\r\none\r\n')
    next.resolve()
    expect((await client.reader.exactly(8)).toString()).toBe('3\r\ntwo\r\n')
    next.resolve()
    await turns(2)
    next.resolve()
    expect((await client.reader.exactly(13)).toString()).toBe('3\r\nend\r\n0\r\n\r\n')
  })

  test('a head is held while the application may still answer in one go, and leaves when it waits longer', async () => {
    const release = pending()
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send(START)
      await release.promise
      await send({ type: 'http.response.body', body: 'later' })
    })
    const client = await RawClient.connect(server)
    await client.send(GET)
    // The head has come although the body waits for the test.
    expect((await client.readHead()).headers).toContainEqual(['transfer-encoding', 'chunked'])
    release.resolve()
    expect((await client.reader.exactly(15)).toString()).toBe('5\r\nlater\r\n0\r\n\r\n')
  })

  test('a head that is followed by its body within a macrotask is still held', async () => {
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send(START)
      await new Promise((resolve) => setImmediate(resolve))
      await send({ type: 'http.response.body', body: 'whole' })
    })
    expect((await request(server)).header('content-length')).toBe('5')
  })

  test.each(['text/event-stream', 'Text/Event-Stream; charset=utf-8'])(
    'g21_early_head: the head of %s leaves at once, with no chunk',
    async (type) => {
      const release = pending()
      let isOneGo = true
      const server = await serveAsgi(async (_scope, _receive, send) => {
        await send({ type: 'http.response.start', status: 200, headers: [['Content-Type', type]] })
        await send({ type: 'http.response.body', body: isOneGo ? 'one go' : 'data: x\n\n', more_body: !isOneGo })
        if (isOneGo) return
        await release.promise
        await send({ type: 'http.response.body' })
      })
      const client = await RawClient.connect(server)
      // Even with the body in the same turn, framing tells that the head did not wait for it.
      expect((await client.request()).header('transfer-encoding')).toBe('chunked')
      isOneGo = false
      await client.send(GET)
      await client.readHead()
      release.resolve()
      await client.reader.through('0\r\n\r\n')
    },
  )

  test('waits while the client is slower, and goes on when it reads', async () => {
    const stalled = pending()
    const piece = Buffer.alloc(65_536, 'x')
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send(START)
      for (let hasStalled = false; !hasStalled;) {
        const sent = send({ type: 'http.response.body', body: piece, more_body: true })
        hasStalled = await Promise.race([sent.then(() => false), turns(5).then(() => true)])
        if (hasStalled) stalled.resolve()
        await sent
      }
      await send({ type: 'http.response.body', body: 'end' })
    })
    const client = await RawClient.connect(server)
    client.pause()
    await client.send(GET)
    await stalled.promise
    client.resume()
    expect((await client.read()).text.endsWith('xend')).toBe(true)
  })

  test('after the client has gone it rejects with ERR_CLIENT_DISCONNECTED, and nobody has to look', async () => {
    const called = pending<Send>()
    const server = await serveAsgi(async ({ path }, receive, send) => {
      if (path !== '/leave') {
        await send(START)
        await send({ type: 'http.response.body', body: 'alive' })
        return
      }
      await receive()
      called.resolve(send)
      await receive()
      void send(START)
      void send({ type: 'http.response.body', body: 'late' })
      expect(await codeOf(send(START))).toBe('ERR_CLIENT_DISCONNECTED')
    })
    const client = await RawClient.connect(server)
    await client.send('GET /leave HTTP/1.1\r\nhost: a\r\n\r\n')
    const send = await called.promise
    client.reset()
    await atRest(server)
    expect(await codeOf(send({ type: 'http.response.body', body: 'later still' }))).toBe('ERR_CLIENT_DISCONNECTED')
    expect((await request(server)).text).toBe('alive')
  })

  test('messages out of order are ERR_MESSAGE', async () => {
    const codes: unknown[] = []
    const server = await serveAsgi(async (_scope, _receive, send) => {
      codes.push(await codeOf(send({ type: 'http.response.body', body: 'early' })))
      await send(START)
      codes.push(await codeOf(send(START)))
      await send({ type: 'http.response.body', body: 'first', more_body: true })
      codes.push(await codeOf(send(START)))
      await send({ type: 'http.response.body' })
      codes.push(await codeOf(send({ type: 'http.response.body', body: 'late' })))
      codes.push(await codeOf(send(START)))
    })
    expect((await request(server)).text).toBe('first')
    expect(codes).toEqual(Array.from({ length: 5 }, () => 'ERR_MESSAGE'))
  })

  test.each([
    ['undefined', undefined],
    ['null', null],
    ['text', 'http.response.start'],
    ['a message without a type', { status: 200 }],
    ['a message of another protocol', { type: 'websocket.accept' }],
    ['a message of lifespan', { type: 'lifespan.startup.complete' }],
    ['an extension that is not there', { type: 'http.response.pathsend', path: '/etc/hostname' }],
    ['early hints', { type: 'http.response.early_hint', links: [] }],
    ['trailers', { type: 'http.response.trailers', headers: [] }],
    ['a start that promises trailers', { ...START, trailers: true }],
  ])('%s is ERR_MESSAGE', async (_what, message) => {
    let code: unknown
    const server = await serveAsgi(async (_scope, _receive, send) => {
      code = await codeOf(send(message as SendMessage))
      await send(START)
      await send({ type: 'http.response.body', body: 'refused' })
    })
    expect((await request(server)).text).toBe('refused')
    expect(code).toBe('ERR_MESSAGE')
  })

  test.each<[string, object, string]>([
    ['a status of text', { status: '200' }, 'ERR_STATUS'],
    ['no status', { status: undefined }, 'ERR_STATUS'],
    ['an interim status', { status: 103 }, 'ERR_STATUS'],
    ['headers as an object', { headers: { a: 'b' } }, 'ERR_HEADER_VALUE'],
    ['a number as a value', { headers: [['a', 1]] }, 'ERR_HEADER_VALUE'],
    ['a line feed in a value', { headers: [['a', 'b\nc: d']] }, 'ERR_HEADER_VALUE'],
    ['U+010A in a value', { headers: [['a', 'b\u010a']] }, 'ERR_HEADER_VALUE'],
    ['a colon in a name', { headers: [['a:b', 'c']] }, 'ERR_HEADER_NAME'],
    ['a space in a name', { headers: [['a b', 'c']] }, 'ERR_HEADER_NAME'],
    ['bytes that are no name', { headers: [[Buffer.from('a\n'), 'c']] }, 'ERR_HEADER_NAME'],
    ['transfer-encoding', { headers: [['Transfer-Encoding', 'chunked']] }, 'ERR_HEADER_FORBIDDEN'],
    ['keep-alive', { headers: [['keep-alive', 'timeout=5']] }, 'ERR_HEADER_FORBIDDEN'],
    ['upgrade', { headers: [['upgrade', 'websocket']] }, 'ERR_HEADER_FORBIDDEN'],
    ['a connection other than close', { headers: [['connection', 'upgrade']] }, 'ERR_HEADER_FORBIDDEN'],
  ])('%s is refused with a TypeError at the call that brings it', async (_what, fields, code) => {
    let caught: unknown
    const server = await serveAsgi(async (_scope, _receive, send) => {
      caught = await send({ ...START, ...fields }).catch((error: unknown) => error)
      await send(START)
      await send({ type: 'http.response.body', body: 'refused' })
    })
    expect((await request(server)).text).toBe('refused')
    expect(caught).toBeInstanceOf(TypeError)
    expect(caught).toMatchObject({ code })
  })

  test.each<[string, unknown]>([
    ['null', null],
    ['a number', 1],
    ['an array', ['a']],
  ])('%s as a body is refused with ERR_BODY_TYPE, and another body may follow', async (_what, body) => {
    let code: unknown
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send(START)
      code = await codeOf(send({ type: 'http.response.body', body: body as string }))
      await send({ type: 'http.response.body', body: 'refused' })
    })
    expect((await request(server)).text).toBe('refused')
    expect(code).toBe('ERR_BODY_TYPE')
  })

  test('a content-length that no body can have is refused at the start', async () => {
    const codes: unknown[] = []
    const server = await serveAsgi(async (_scope, _receive, send) => {
      for (const value of ['', 'five', '-1', '+5', '5, 5', '99999999999999999999']) {
        codes.push(await codeOf(send({ ...START, headers: [['content-length', value]] })))
      }
      await send({ ...START, headers: [['content-length', '2']] })
      await send({ type: 'http.response.body', body: 'ok' })
    })
    const answer = await request(server)
    expect([answer.text, answer.header('content-length')]).toEqual(['ok', '2'])
    expect(codes).toEqual(Array.from({ length: 6 }, () => expect.stringMatching(/^ERR_(HEADER_VALUE|BODY_LENGTH)$/)))
  })

  test('a refused message that nobody awaited is in the log, and the request is answered 500', async () => {
    expectLog('ERR_HEADER_VALUE')
    const server = await serveAsgi((_scope, _receive, send) => {
      void send({ ...START, headers: [['a', 'b\n']] })
      void send({ type: 'http.response.body', body: 'never' })
    })
    expect((await request(server)).status).toBe(500)
  })

  test('a head that was held when the application threw is not sent', async () => {
    expectLog('on purpose')
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send({ ...START, headers: [['x-half', '1']] })
      throw new Error('on purpose')
    })
    const answer = await request(server)
    expect([answer.status, answer.header('x-half'), answer.text]).toEqual([500, undefined, 'Internal Server Error'])
  })

  test('an application that returns after a held start has not answered: 500', async () => {
    expectLog('after http.response.start without a body')
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send({ ...START, headers: [['x-half', '1']] })
    })
    const answer = await request(server)
    expect([answer.status, answer.header('x-half')]).toEqual([500, undefined])
  })

  test('an application that returns with its head out and its body open is cut', async () => {
    expectLog('before its last http.response.body')
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send(START)
      await send({ type: 'http.response.body', body: 'half', more_body: true })
    })
    await expect(request(server)).rejects.toThrow(CutError)
  })

  test('an application that returns after its held head has left is cut', async () => {
    expectLog('before its last http.response.body')
    const server = await serveAsgi(async (_scope, _receive, send) => {
      await send(START)
      await turns(5)
    })
    await expect(request(server)).rejects.toThrow(CutError)
  })

  test('many at once: each held head belongs to its own request', async () => {
    const server = await serveAsgi(async ({ path }, _receive, send) => {
      await send({ ...START, headers: [['x-path', path]] })
      if (path.length % 2 === 0) await turns(3)
      await send({ type: 'http.response.body', body: path })
    })
    const paths = Array.from({ length: 40 }, (_, index) => `/${'x'.repeat(index)}`)
    const answers = await Promise.all(paths.map((path) => request(server, { path })))
    expect(answers.map((answer) => [answer.header('x-path'), answer.text])).toEqual(paths.map((path) => [path, path]))
  })
})
