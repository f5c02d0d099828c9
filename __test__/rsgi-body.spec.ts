/** How an RSGI application reads a body, and how it learns that nobody waits for the answer. */
import { once } from 'node:events'

import { describe, expect, test } from 'vitest'

import { atRest } from './harness/app.ts'
import { RawClient, request } from './harness/client.ts'
import { pending, thrownCode } from './harness/promises.ts'
import { GET, TEXT, serveRsgi } from './harness/rsgi.ts'

import type { RsgiHandler, RsgiProtocol } from '../dist/index.js'

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
      codes.push(thrownCode(() => protocol[Symbol.asyncIterator]()))
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
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nhalf')
    expect((await client.read()).text).toBe('half')
    await client.send('rest')
    expect(await client.ended()).toBe('fin')
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
