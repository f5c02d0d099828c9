/** What an ASGI application receives, and when. */
import { describe, expect, test } from 'vitest'

import { GET, START, serveAsgi } from './harness/asgi.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { expectLog } from './harness/logs.ts'
import { pending } from './harness/promises.ts'

import type { ReceiveMessage } from '../dist/index.js'

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
