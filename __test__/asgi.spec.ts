/** How an ASGI application answers, and when its answer leaves. */
import { describe, expect, test } from 'vitest'

import { atRest } from './harness/app.ts'
import { GET, START, serveAsgi } from './harness/asgi.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { expectLog } from './harness/logs.ts'
import { pending, rejectionCode } from './harness/promises.ts'
import { CutError } from './harness/reader.ts'

import type { Receive, Send, SendMessage } from '../dist/index.js'

async function readBody(receive: Receive): Promise<string> {
  const pieces: Uint8Array[] = []
  for (;;) {
    const message = await receive()
    if (message.type !== 'http.request') throw new Error(`unexpected ${message.type}`)
    pieces.push(message.body)
    if (!message.more_body) return Buffer.concat(pieces).toString()
  }
}

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
      expect(await rejectionCode(send(START))).toBe('ERR_CLIENT_DISCONNECTED')
    })
    const client = await RawClient.connect(server)
    await client.send('GET /leave HTTP/1.1\r\nhost: a\r\n\r\n')
    const send = await called.promise
    client.reset()
    await atRest(server)
    expect(await rejectionCode(send({ type: 'http.response.body', body: 'later still' }))).toBe(
      'ERR_CLIENT_DISCONNECTED',
    )
    expect((await request(server)).text).toBe('alive')
  })

  test('messages out of order are ERR_MESSAGE', async () => {
    const codes: unknown[] = []
    const server = await serveAsgi(async (_scope, _receive, send) => {
      codes.push(await rejectionCode(send({ type: 'http.response.body', body: 'early' })))
      await send(START)
      codes.push(await rejectionCode(send(START)))
      await send({ type: 'http.response.body', body: 'first', more_body: true })
      codes.push(await rejectionCode(send(START)))
      await send({ type: 'http.response.body' })
      codes.push(await rejectionCode(send({ type: 'http.response.body', body: 'late' })))
      codes.push(await rejectionCode(send(START)))
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
    ['trailers that were not promised', { type: 'http.response.trailers', headers: [] }],
  ])('%s is ERR_MESSAGE', async (_what, message) => {
    let code: unknown
    const server = await serveAsgi(async (_scope, _receive, send) => {
      code = await rejectionCode(send(message as SendMessage))
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
      code = await rejectionCode(send({ type: 'http.response.body', body: body as string }))
      await send({ type: 'http.response.body', body: 'refused' })
    })
    expect((await request(server)).text).toBe('refused')
    expect(code).toBe('ERR_BODY_TYPE')
  })

  test('a content-length that no body can have is refused at the start', async () => {
    const codes: unknown[] = []
    const server = await serveAsgi(async (_scope, _receive, send) => {
      for (const value of ['', 'five', '-1', '+5', '5, 5', '99999999999999999999']) {
        codes.push(await rejectionCode(send({ ...START, headers: [['content-length', value]] })))
      }
      await send({ ...START, headers: [['content-length', '2']] })
      await send({ type: 'http.response.body', body: 'ok' })
    })
    const answer = await request(server)
    expect([answer.text, answer.header('content-length')]).toEqual(['ok', '2'])
    expect(codes).toEqual(Array.from({ length: 6 }, () => expect.stringMatching(/^ERR_(HEADER_VALUE|BODY_LENGTH)$/)))
  })

  test('a name that was sent before is checked anew with each value', async () => {
    const values = ['one', 'two', 'b\n', 'v'.repeat(1000), 'two', Buffer.from('two'), 'b\u010a', 'one']
    let next = 0
    const server = await serveAsgi(async (_scope, _receive, send) => {
      const value = values[next++] as string
      const code = await rejectionCode(send({ ...START, headers: [['X-Again', value]] }))
      if (code !== undefined) await send({ ...START, headers: [['X-Again', code]] })
      await send({ type: 'http.response.body' })
    })
    const seen: unknown[] = []
    for (const _ of values) seen.push((await request(server)).header('x-again'))
    const refused = 'ERR_HEADER_VALUE'
    expect(seen).toEqual(['one', 'two', refused, 'v'.repeat(1000), 'two', 'two', refused, 'one'])
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
