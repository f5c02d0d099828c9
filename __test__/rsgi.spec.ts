/** The RSGI interface: what an application reads of its request and how it answers. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, onTestFinished, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { RawClient, request } from './harness/client.ts'
import { expectLog } from './harness/logs.ts'

import type { RsgiApp, RsgiHandler, RsgiProtocol, RsgiScope } from '../dist/index.js'
import type { Options, Server } from './harness/app.ts'

const TEXT = [['content-type', 'text/plain']] as const
const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

function serveRsgi(app: RsgiApp, options: Options = {}): Promise<Server> {
  return serveApp(app, { interface: 'rsgi', ...options })
}

/** Serves an application that hands `read(scope, protocol)` of the last request to the test. */
async function serveReading<T>(
  read: (scope: RsgiScope, protocol: RsgiProtocol) => T,
  options: Options = {},
): Promise<{ server: Server; last: () => T }> {
  const results: T[] = []
  const server = await serveRsgi((scope, protocol) => {
    results.push(read(scope, protocol))
    protocol.responseEmpty(204, [])
  }, options)
  return { server, last: () => results.at(-1) as T }
}

/** A promise and what settles it. */
function pending<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((yes) => {
    resolve = yes
  })
  return { promise, resolve }
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}

describe('scope', () => {
  test('says what was asked, by whom and where', async () => {
    const { server, last } = await serveReading((scope) => scope)
    const client = await RawClient.connect(server)
    await client.request({ method: 'POST', path: '/a%20b/%E2%82%AC?x=1%20y&z=%3F' })
    const scope = last()
    expect(scope.proto).toBe('http')
    expect(scope.rsgiVersion).toBe('1.6')
    expect(scope.httpVersion).toBe('1.1')
    expect(scope.scheme).toBe('http')
    expect(scope.method).toBe('POST')
    expect(scope.path).toBe('/a b/€')
    expect(scope.rawPath).toBe('/a%20b/%E2%82%AC')
    expect(scope.queryString).toBe('x=1%20y&z=%3F')
    expect(scope.authority).toBe(null)
    expect(scope.client).toBe(`127.0.0.1:${client.socket.localPort}`)
    expect(scope.server).toBe(`127.0.0.1:${server.addresses[0]?.port}`)
    expect(scope.state).toEqual({})
  })

  test('stays readable after the request', async () => {
    const { server, last } = await serveReading((scope) => scope)
    await request(server, { path: '/late?q', headers: [['x-a', '1']] })
    await atRest(server)
    expect(last().headers.get('x-a')).toBe('1')
    expect(JSON.parse(JSON.stringify(last()))).toMatchObject({ path: '/late', queryString: 'q', authority: null })
  })

  test('httpVersion of HTTP/1.0 is 1', async () => {
    const { server, last } = await serveReading((scope) => scope.httpVersion)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.0\r\n\r\n')
    await client.read()
    expect(last()).toBe('1')
  })

  test('of a target in absolute form, rawPath is the path part', async () => {
    const { server, last } = await serveReading(({ path, rawPath, queryString }) => ({ path, rawPath, queryString }))
    const client = await RawClient.connect(server)
    await client.send('GET http://example.test/a%41?b HTTP/1.1\r\nhost: example.test\r\n\r\n')
    await client.read()
    expect(last()).toEqual({ path: '/aA', rawPath: '/a%41', queryString: 'b' })
  })

  test('the target of OPTIONS may be an asterisk', async () => {
    const { server, last } = await serveReading(({ method, rawPath }) => `${method} ${rawPath}`)
    await request(server, { method: 'OPTIONS', path: '*' })
    expect(last()).toBe('OPTIONS *')
  })

  test('a method that nobody has heard of keeps its spelling', async () => {
    const { server, last } = await serveReading(({ method }) => method)
    await request(server, { method: 'pUrGe' })
    expect(last()).toBe('pUrGe')
  })

  test('a path that is not UTF-8 is readable all the same', async () => {
    const { server, last } = await serveReading(({ path }) => path)
    await request(server, { path: '/%ff/%zz/%C3%A4/%' })
    expect(last()).toBe('/\uFFFD/%zz/ä/%')
  })

  test('addresses of IPv6 stand in brackets', async () => {
    const { server, last } = await serveReading(({ client, server: ours }) => ({ client, ours }), { bind: '[::1]:0' })
    const client = await RawClient.connect(server)
    await client.request()
    expect(last()).toEqual({ client: `[::1]:${client.socket.localPort}`, ours: `[::1]:${server.addresses[0]?.port}` })
  })

  test('on a Unix socket, server is its path', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gneiss-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'socket')
    const { server, last } = await serveReading(({ client, server: ours }) => ({ client, ours }), {
      bind: `unix:${path}`,
    })
    await request(server)
    expect(last()).toEqual({ client: 'unix:', ours: `unix:${path}` })
  })
})

describe('scope.headers', () => {
  const SENT = [
    ['Host', 'a'],
    ['X-Two', 'one'],
    ['Accept', ' */* '],
    ['x-two', 'two'],
    ['x-latin', '\u00e9'],
    ['x-empty', ''],
    ['x-colon', 'b:c'],
  ] as const

  const read = async <T>(look: (headers: RsgiScope['headers']) => T): Promise<T> => {
    const { server, last } = await serveReading(({ headers }) => look(headers))
    await request(server, { headers: SENT })
    return last()
  }

  test('get gives the first value, in any case, or undefined', async () => {
    expect(
      await read((headers) => [headers.get('x-two'), headers.get('X-TWO'), headers.get('x-none'), headers.get('two')]),
    ).toEqual(['one', 'one', undefined, undefined])
  })

  test('getAll gives all values in order', async () => {
    expect(await read((headers) => [headers.getAll('X-two'), headers.getAll('x-none')])).toEqual([['one', 'two'], []])
  })

  test('has answers', async () => {
    expect(await read((headers) => [headers.has('x-empty'), headers.has('X-Empty'), headers.has('x')])).toEqual([
      true,
      true,
      false,
    ])
  })

  test('values are trimmed Latin-1 and may be empty', async () => {
    expect(await read((headers) => [headers.get('accept'), headers.get('x-latin'), headers.get('x-empty')])).toEqual([
      '*/*',
      '\u00e9',
      '',
    ])
  })

  test('keys, values, entries and iteration give one item for each field, in order', async () => {
    const fields = SENT.map(([name, value]) => [name.toLowerCase(), value.trim()])
    expect(
      await read((headers) => [
        [...headers.keys()],
        [...headers.values()],
        [...headers.entries()],
        [...headers],
        headers.size,
      ]),
    ).toEqual([fields.map(([name]) => name), fields.map(([, value]) => value), fields, fields, fields.length])
  })

  test('a name that no field can have finds nothing, and nothing of the server is among them', async () => {
    const names = ['', '@peer', '@method', 'x-colon:b', 'host\n', '\n', 'a b']
    expect(
      await read((headers) => names.map((name) => [headers.get(name), headers.getAll(name), headers.has(name)])),
    ).toEqual(names.map(() => [undefined, [], false]))
  })

  test('what is done to a pair does not change the headers', async () => {
    const second = await read((headers) => {
      for (const pair of headers) pair[1] = 'changed'
      return headers.get('x-two') + [...headers.values()].join()
    })
    expect(second).not.toContain('changed')
  })
})

describe('body', () => {
  const echo: RsgiHandler = async (_scope, protocol) => {
    protocol.responseBytes(200, [], await protocol.body())
  }

  test('gives all of it, when it came with the head', async () => {
    const server = await serveRsgi(echo)
    expect((await request(server, { method: 'POST', body: 'all at once' })).text).toBe('all at once')
  })

  test('gives all of it, when it comes in pieces', async () => {
    const server = await serveRsgi(echo)
    const client = await RawClient.connect(server)
    await client.sendSplit(['POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n', 'one', 'two', 'end'])
    expect((await client.read()).text).toBe('onetwoend')
  })

  test('is empty when there is none', async () => {
    const server = await serveRsgi(echo)
    const answer = await request(server)
    expect([answer.status, answer.header('content-length')]).toEqual([200, '0'])
  })

  test('is bytes of its own: a Uint8Array that may be kept and changed', async () => {
    const bodies: Uint8Array[] = []
    const server = await serveRsgi(async (_scope, protocol) => {
      bodies.push(await protocol.body())
      protocol.responseEmpty(204)
    })
    await request(server, { method: 'POST', body: 'first' })
    bodies[0]?.fill(0x2d)
    await request(server, { method: 'POST', body: 'other' })
    expect(bodies.map((body) => [body instanceof Uint8Array, Buffer.from(body).toString()])).toEqual([
      [true, '-----'],
      [true, 'other'],
    ])
  })

  test('may be read once: the second time is ERR_BODY_USED', async () => {
    const codes: unknown[] = []
    const server = await serveRsgi(async (_scope, protocol) => {
      await protocol.body()
      await protocol.body().catch((error: { code: string }) => codes.push(error.code))
      codes.push(codeOf(() => protocol[Symbol.asyncIterator]()))
      protocol.responseEmpty(204)
    })
    await request(server, { method: 'POST', body: 'x' })
    expect(codes).toEqual(['ERR_BODY_USED', 'ERR_BODY_USED'])
  })

  test('rejects with ERR_CLIENT_DISCONNECTED when the client leaves in the middle of it', async () => {
    const called = pending()
    const failed = pending<unknown>()
    const server = await serveRsgi(async (_scope, protocol) => {
      called.resolve()
      await protocol.body().catch(failed.resolve)
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf')
    await called.promise
    client.reset()
    expect(await failed.promise).toMatchObject({ code: 'ERR_CLIENT_DISCONNECTED', fault: 'peer' })
  })

  test('that is larger than maxBody rejects with ERR_BODY_TOO_LARGE', async () => {
    const called = pending()
    const failed = pending<unknown>()
    const server = await serveRsgi(
      async (_scope, protocol) => {
        called.resolve()
        await protocol.body().catch(failed.resolve)
      },
      { maxBody: 10 },
    )
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n')
    await called.promise
    await client.send('6\r\nworlds\r\n')
    expect((await client.read()).status).toBe(413)
    expect(await failed.promise).toMatchObject({ code: 'ERR_BODY_TOO_LARGE' })
  })

  test('that was answered over cannot be read as if it were whole', async () => {
    const failed = pending<unknown>()
    const server = await serveRsgi(async (_scope, protocol) => {
      const body = protocol.body()
      protocol.responseStr(200, TEXT, 'early')
      await body.catch(failed.resolve)
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf')
    expect((await client.read()).text).toBe('early')
    expect(await failed.promise).toMatchObject({ code: 'ERR_RESPONSE_ALREADY_SENT' })
  })
})

describe('iteration over the body', () => {
  test('gives the pieces as they arrive', async () => {
    const seen: string[] = []
    let wake = pending()
    const server = await serveRsgi(async (_scope, protocol) => {
      for await (const chunk of protocol) {
        seen.push(Buffer.from(chunk).toString())
        wake.resolve()
      }
      protocol.responseStr(200, TEXT, seen.join('|'))
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n')
    for (const piece of ['one', 'two', 'three']) {
      wake = pending()
      await client.send(`${piece.length}\r\n${piece}\r\n`)
      await wake.promise
    }
    await client.send('0\r\n\r\n')
    expect((await client.read()).text).toBe('one|two|three')
  })

  test('ends at once when there is no body', async () => {
    const server = await serveRsgi(async (_scope, protocol) => {
      let count = 0
      for await (const _chunk of protocol) count += 1
      protocol.responseStr(200, TEXT, String(count))
    })
    expect((await request(server)).text).toBe('0')
  })

  test('may stop early: the rest is discarded', async () => {
    const server = await serveRsgi(async (_scope, protocol) => {
      for await (const chunk of protocol) {
        protocol.responseStr(200, TEXT, Buffer.from(chunk).toString())
        break
      }
    })
    const client = await RawClient.connect(server)
    await client.sendSplit(['POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nhalf', 'rest'])
    expect((await client.read()).text).toBe('half')
  })
})

describe('signal', () => {
  test('aborts once when the client leaves an idle application, with the reason', async () => {
    const called = pending<AbortSignal>()
    let aborts = 0
    const server = await serveRsgi(async (_scope, { signal }) => {
      signal.addEventListener('abort', () => {
        aborts += 1
      })
      called.resolve(signal)
      await once(signal, 'abort')
    })
    const client = await RawClient.connect(server)
    await client.send(GET)
    const signal = await called.promise
    expect(signal).toBeInstanceOf(AbortSignal)
    expect(signal.aborted).toBe(false)
    const aborted = once(signal, 'abort')
    client.reset()
    await aborted
    await atRest(server)
    expect(aborts).toBe(1)
    expect(signal.reason).toMatchObject({ code: 'ERR_CLIENT_DISCONNECTED' })
  })

  test('is one object, and aborted already when it is read after the client has gone', async () => {
    const called = pending<RsgiProtocol>()
    const server = await serveRsgi(async (_scope, protocol) => {
      called.resolve(protocol)
      await protocol.clientDisconnect()
    })
    const client = await RawClient.connect(server)
    await client.send(GET)
    const protocol = await called.promise
    const gone = protocol.clientDisconnect()
    client.reset()
    await gone
    expect(protocol.signal.aborted).toBe(true)
    expect(protocol.signal).toBe(protocol.signal)
  })

  test('does not abort after a normal end, and clientDisconnect stays pending', async () => {
    const signals: AbortSignal[] = []
    let disconnects = 0
    const server = await serveRsgi((_scope, protocol) => {
      signals.push(protocol.signal)
      void protocol.clientDisconnect().then(() => {
        disconnects += 1
      })
      protocol.responseEmpty(204)
    })
    const client = await RawClient.connect(server)
    await client.request()
    await client.close()
    await atRest(server)
    expect(signals.map(({ aborted }) => aborted)).toEqual([false])
    expect(disconnects).toBe(0)
  })
})

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
      for (const [method, ...rest] of calls) codes.push(codeOf(() => wrong[method]?.call(protocol, ...rest)))
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
        codeOf(() => protocol.responseEmpty(204)),
        codeOf(() => protocol.responseStr(200, TEXT, '')),
        codeOf(() => protocol.responseBytes(200, TEXT, Buffer.alloc(0))),
        codeOf(() => protocol.responseStream(200, TEXT)),
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
        codeOf(() => protocol.responseFile(200, [], '/etc/hostname')),
        codeOf(() => protocol.responseFileRange(206, [], '/etc/hostname', 0, 1)),
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
    const full = pending<{ room: Promise<void> }>()
    const server = await serveRsgi(async (_scope, protocol) => {
      const stream = protocol.responseStream(200, TEXT)
      let room: Promise<void> | undefined
      while (room === undefined) {
        room = stream.sendBytes(Buffer.alloc(65_536, 'x'))
        await new Promise((resolve) => setImmediate(resolve))
      }
      full.resolve({ room })
      await protocol.clientDisconnect()
    })
    const client = await RawClient.connect(server)
    client.pause()
    await client.send(GET)
    const { room } = await full.promise
    client.reset()
    await expect(room).rejects.toMatchObject({ code: 'ERR_CLIENT_DISCONNECTED' })
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
    expect(codeOf(() => protocol.responseEmpty(204))).toBe(undefined)
    expect(codeOf(() => protocol.responseStr(200, TEXT, 'late'))).toBe(undefined)
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
        codeOf(() => stream.sendStr(Buffer.from('a') as never)),
        codeOf(() => stream.sendBytes('a' as never)),
        codeOf(() => stream.sendBytes(undefined as never)),
      )
      stream.end()
      codes.push(
        codeOf(() => stream.sendStr('late')),
        codeOf(() => stream.sendStr('')),
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
        expect(codeOf(() => protocol.responseStr(200, TEXT, 'late'))).toBe('ERR_RESPONSE_ALREADY_SENT')
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
