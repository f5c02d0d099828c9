/** How an RSGI application answers. */
import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { RawClient, request } from './harness/client.ts'
import { expectLog } from './harness/logs.ts'
import { pending, thrownCode } from './harness/promises.ts'
import { GET, TEXT, serveRsgi } from './harness/rsgi.ts'

import type { RsgiProtocol, RsgiScope } from '../dist/index.js'

describe('one-shot responses', () => {
  test('responseEmpty has status and headers and no body', async () => {
    const server = await serveRsgi((_scope, protocol) => protocol.responseEmpty(202, [['x-a', 'b']]))
    const answer = await request(server)
    expect([answer.status, answer.header('x-a'), answer.header('content-length'), answer.text]).toEqual([
      202,
      'b',
      '0',
      '',
    ])
  })

  test('responseStr sends UTF-8', async () => {
    const server = await serveRsgi((_scope, protocol) => protocol.responseStr(200, TEXT, 'grüße €'))
    const answer = await request(server)
    expect(answer.text).toBe('grüße €')
    expect(answer.header('content-length')).toBe('11')
  })

  test('responseBytes sends the bytes of a view, and they may be changed afterwards', async () => {
    const server = await serveRsgi((_scope, protocol) => {
      const bytes = Buffer.from('--\0\xff--', 'latin1').subarray(2, 4)
      protocol.responseBytes(200, [], bytes)
      bytes.fill(0x2d)
    })
    expect((await request(server)).body).toEqual(Buffer.from([0x00, 0xff]))
  })

  test('headers keep their order and case and come before those of the server; values may be bytes', async () => {
    const server = await serveRsgi((_scope, protocol) =>
      protocol.responseStr(
        200,
        [
          ['X-Second', '2'],
          ['x-First', Buffer.from([0x31, 0xe9])],
          ['set-cookie', 'a=1'],
          ['set-cookie', 'b=2'],
          ['x-latin', '\u00ff'],
        ],
        '',
      ),
    )
    const { headers } = await request(server)
    expect(headers.slice(0, 5)).toEqual([
      ['X-Second', '2'],
      ['x-First', '1\u00e9'],
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
      ['x-latin', '\u00ff'],
    ])
    expect(
      headers
        .slice(5)
        .map(([name]) => name.toLowerCase())
        .toSorted(),
    ).toEqual(['content-length', 'date'])
  })

  test('what is no list of pairs, and bodies of another type, are refused at the call', async () => {
    const codes: unknown[] = []
    const server = await serveRsgi((_scope, protocol) => {
      const wrong = protocol as unknown as Record<string, (...rest: unknown[]) => unknown>
      const calls: (readonly [string, ...unknown[]])[] = [
        ['responseStr', 200, { 'x-a': 'b' }, ''],
        ['responseStr', 200, [['x-a']], ''],
        ['responseStr', 200, [['x-a', 1]], ''],
        ['responseStr', 200, [[1, 'b']], ''],
        ['responseStr', 200, ['x-a: b'], ''],
        ['responseStr', 200, [], Buffer.from('a')],
        ['responseStr', 200, [], undefined],
        ['responseBytes', 200, [], 'a'],
        ['responseBytes', 200, [], null],
        ['responseStr', '200', [], ''],
        ['responseStr', 200.5, [], ''],
        ['responseStr', Number.NaN, [], ''],
        ['responseStr', 100, [], ''],
        ['responseStr', 1000, [], ''],
        ['responseStream', 199, []],
        ['responseStream', 200, [['a b', 'c']]],
      ]
      for (const [method, ...rest] of calls) codes.push(thrownCode(() => wrong[method]?.call(protocol, ...rest)))
      protocol.responseStr(200, TEXT, 'still possible')
    })
    expect((await request(server)).text).toBe('still possible')
    expect(codes).toEqual([
      'ERR_HEADER_VALUE',
      'ERR_HEADER_VALUE',
      'ERR_HEADER_VALUE',
      'ERR_HEADER_NAME',
      'ERR_HEADER_VALUE',
      'ERR_BODY_TYPE',
      'ERR_BODY_TYPE',
      'ERR_BODY_TYPE',
      'ERR_BODY_TYPE',
      'ERR_STATUS',
      'ERR_STATUS',
      'ERR_STATUS',
      'ERR_STATUS',
      'ERR_STATUS',
      'ERR_STATUS',
      'ERR_HEADER_NAME',
    ])
  })

  test('a second response of any kind is ERR_RESPONSE_ALREADY_SENT', async () => {
    const codes: unknown[] = []
    const again = (protocol: RsgiProtocol): void => {
      codes.push(
        thrownCode(() => protocol.responseEmpty(204)),
        thrownCode(() => protocol.responseStr(200, TEXT, '')),
        thrownCode(() => protocol.responseBytes(200, TEXT, Buffer.alloc(0))),
        thrownCode(() => protocol.responseStream(200, TEXT)),
      )
    }
    const server = await serveRsgi(({ path }, protocol) => {
      if (path === '/stream') protocol.responseStream(200, TEXT).sendStr('first')
      else protocol.responseStr(200, TEXT, 'first')
      again(protocol)
    })
    expect((await request(server)).text).toBe('first')
    expect((await request(server, { path: '/stream' })).text).toBe('first')
    expect(codes).toEqual(Array.from({ length: 8 }, () => 'ERR_RESPONSE_ALREADY_SENT'))
  })

  test('files are not available yet: ERR_APP_INTERFACE', async () => {
    const codes: unknown[] = []
    const server = await serveRsgi((_scope, protocol) => {
      codes.push(
        thrownCode(() => protocol.responseFile(200, [], '/etc/hostname')),
        thrownCode(() => protocol.responseFileRange(206, [], '/etc/hostname', 0, 1)),
      )
      protocol.responseEmpty(204)
    })
    expect((await request(server)).status).toBe(204)
    expect(codes).toEqual(['ERR_APP_INTERFACE', 'ERR_APP_INTERFACE'])
  })
})

describe('responseStream', () => {
  test('sends text and bytes in order, and end completes it', async () => {
    const server = await serveRsgi(async (_scope, protocol) => {
      const stream = protocol.responseStream(200, TEXT)
      expect(stream.sendStr('é')).toBe(undefined)
      expect(stream.sendBytes(Buffer.from([0x00]))).toBe(undefined)
      expect(stream.sendStr('')).toBe(undefined)
      await new Promise((resolve) => setImmediate(resolve))
      stream.sendStr('later')
      stream.end()
      stream.end()
    })
    const answer = await request(server)
    expect(answer.text).toBe('é\0later')
    expect(answer.header('transfer-encoding')).toBe('chunked')
  })

  test('ends when the application returns, also without a piece', async () => {
    const server = await serveRsgi(({ path }, protocol) => {
      const stream = protocol.responseStream(200, TEXT)
      if (path === '/piece') stream.sendStr('piece')
    })
    const client = await RawClient.connect(server)
    expect((await client.request({ path: '/piece' })).text).toBe('piece')
    expect((await client.request()).text).toBe('')
  })

  test('its head leaves before the first piece', async () => {
    const release = pending()
    const server = await serveRsgi(async (_scope, protocol) => {
      protocol.responseStream(200, [['x-early', 'yes']])
      await release.promise
    })
    const client = await RawClient.connect(server)
    await client.send(GET)
    expect((await client.readHead()).headers).toContainEqual(['x-early', 'yes'])
    release.resolve()
  })

  test('a send is a promise only while the client is slower, and it settles when there is room', async () => {
    const full = pending()
    const server = await serveRsgi(async (_scope, protocol) => {
      const stream = protocol.responseStream(200, TEXT)
      let room: Promise<void> | undefined
      while (room === undefined) {
        room = stream.sendBytes(Buffer.alloc(65_536, 'x'))
        await new Promise((resolve) => setImmediate(resolve))
      }
      full.resolve()
      await room
      expect(stream.sendStr('end')).toBe(undefined)
    })
    const client = await RawClient.connect(server)
    client.pause()
    await client.send(GET)
    await full.promise
    client.resume()
    expect((await client.read()).text.endsWith('xend')).toBe(true)
  })

  test('the promise of a send rejects when the client leaves, and nobody has to look at it', async () => {
    const full = pending()
    const left = pending<unknown>()
    const server = await serveRsgi(async (_scope, protocol) => {
      const stream = protocol.responseStream(200, TEXT)
      // The first promise may only say that the driver is slower than we are, and be kept.
      for (;;) {
        const room = stream.sendBytes(Buffer.alloc(65_536, 'x'))
        if (room !== undefined) {
          full.resolve()
          const error: unknown = await room.then(undefined, (reason: unknown) => reason)
          if (error !== undefined) return left.resolve(error)
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
    })
    const client = await RawClient.connect(server)
    client.pause()
    await client.send(GET)
    await full.promise
    client.reset()
    expect(await left.promise).toMatchObject({ code: 'ERR_CLIENT_DISCONNECTED' })
  })

  test('after the client has gone sends reject, responses do nothing, and neither ends the process', async () => {
    const called = pending<RsgiProtocol>()
    const finish = pending()
    const server = await serveRsgi(async ({ path }, protocol) => {
      if (path !== '/leave') {
        protocol.responseStr(200, TEXT, 'alive')
        return
      }
      called.resolve(protocol)
      await finish.promise
    })
    const client = await RawClient.connect(server)
    await client.send('GET /leave HTTP/1.1\r\nhost: a\r\n\r\n')
    const protocol = await called.promise
    const gone = protocol.clientDisconnect()
    client.reset()
    await gone
    expect(thrownCode(() => protocol.responseEmpty(204))).toBe(undefined)
    expect(thrownCode(() => protocol.responseStr(200, TEXT, 'late'))).toBe(undefined)
    const stream = protocol.responseStream(200, TEXT)
    const send = stream.sendStr('late')
    void stream.sendBytes(Buffer.from('late'))
    stream.end()
    await expect(send).rejects.toMatchObject({ code: 'ERR_CLIENT_DISCONNECTED' })
    finish.resolve()
    expect((await request(server)).text).toBe('alive')
  })

  test('a send after the end is ERR_RESPONSE_ALREADY_SENT, a piece of another type ERR_BODY_TYPE', async () => {
    const codes: unknown[] = []
    const server = await serveRsgi((_scope, protocol) => {
      const stream = protocol.responseStream(200, TEXT)
      codes.push(
        thrownCode(() => stream.sendStr(Buffer.from('a') as never)),
        thrownCode(() => stream.sendBytes('a' as never)),
        thrownCode(() => stream.sendBytes(undefined as never)),
      )
      stream.end()
      codes.push(
        thrownCode(() => stream.sendStr('late')),
        thrownCode(() => stream.sendStr('')),
      )
    })
    expect((await request(server)).text).toBe('')
    expect(codes).toEqual([
      'ERR_BODY_TYPE',
      'ERR_BODY_TYPE',
      'ERR_BODY_TYPE',
      'ERR_RESPONSE_ALREADY_SENT',
      'ERR_RESPONSE_ALREADY_SENT',
    ])
  })
})

describe('application', () => {
  test('may be an object, whose methods are called on it', async () => {
    class App {
      readonly greeting = 'hello'
      __rsgi__(_scope: RsgiScope, protocol: RsgiProtocol): void {
        protocol.responseStr(200, TEXT, this.greeting)
      }
    }
    const server = await serveApp(new App())
    expect(server.interface).toBe('rsgi')
    expect((await request(server)).text).toBe('hello')
  })

  test('that answers in a callback after it has returned has not answered', async () => {
    expectLog('the application returned without a response')
    const release = pending()
    const server = await serveRsgi((_scope, protocol) => {
      setImmediate(() => {
        expect(thrownCode(() => protocol.responseStr(200, TEXT, 'late'))).toBe('ERR_RESPONSE_ALREADY_SENT')
        release.resolve()
      })
    })
    expect((await request(server)).status).toBe(500)
    await release.promise
  })

  test('may answer and work on, and a failure after the answer is only logged', async () => {
    expectLog('after the answer')
    const server = await serveRsgi(async (_scope, protocol) => {
      protocol.responseStr(200, TEXT, 'answered')
      await new Promise((resolve) => setImmediate(resolve))
      throw new Error('after the answer')
    })
    const client = await RawClient.connect(server)
    expect((await client.request()).text).toBe('answered')
    expect((await client.request()).text).toBe('answered')
  })
})
