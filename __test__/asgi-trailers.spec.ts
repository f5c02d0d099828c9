/** ASGI trailers: `http.response.trailers` behind the last body message of a response that promised them. */
import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { RawClient, request } from './harness/client.ts'
import { expectLog } from './harness/logs.ts'

import type { Scope, Send, SendMessage } from '../dist/index.js'
import type { Server } from './harness/app.ts'

const START = {
  type: 'http.response.start',
  status: 200,
  headers: [['content-type', 'text/plain']],
  trailers: true,
} as const
const BODY = { type: 'http.response.body', body: 'hello' } as const

function serveSend(run: (send: Send) => Promise<void>): Promise<Server> {
  return serveApp(async (_scope: unknown, _receive: unknown, send: Send) => run(send), {
    interface: 'asgi',
    lifespan: 'off',
  })
}

describe('http.response.trailers', () => {
  test('is listed in scope.extensions', async () => {
    const server = await serveApp(
      async (scope: Scope, _receive: unknown, send: Send) => {
        await send({ ...START, trailers: false })
        await send({
          type: 'http.response.body',
          body: 'extensions' in scope ? Object.keys(scope.extensions).join() : '',
        })
      },
      { interface: 'asgi', lifespan: 'off' },
    )
    expect((await request(server)).text).toBe('http.response.trailers,gneiss.timeout,gneiss.drain,gneiss.request_id')
  })

  test('the fields of all messages follow the last chunk', async () => {
    const server = await serveSend(async (send) => {
      await send(START)
      await send({ ...BODY, more_body: true })
      await send({ type: 'http.response.body', body: ' world' })
      await send({ type: 'http.response.trailers', headers: [['x-sum', '11']], more_trailers: true })
      await send({ type: 'http.response.trailers', headers: [['server-timing', new TextEncoder().encode('db;dur=1')]] })
    })
    const client = await RawClient.connect(server)
    for (let round = 0; round < 2; round++) {
      const response = await client.request()
      expect(response.text).toBe('hello world')
      expect(response.trailers).toEqual([
        ['x-sum', '11'],
        ['server-timing', 'db;dur=1'],
      ])
    }
  })

  test('an answer that is not chunked drops them and is complete', async () => {
    const server = await serveSend(async (send) => {
      await send({ ...START, headers: [['content-length', '5']] })
      await send(BODY)
      await send({ type: 'http.response.trailers', headers: [['x-sum', '5']] })
    })
    const response = await request(server)
    expect(response.text).toBe('hello')
    expect(response.trailers).toEqual([])
  })

  test.each([
    ['a field that frames the body', 'content-length', '5', 'ERR_HEADER_FORBIDDEN'],
    ['a line feed', 'x', 'a\nb: c', 'ERR_HEADER_VALUE'],
    ['a character above U+00FF', 'x', '\u010a', 'ERR_HEADER_VALUE'],
    ['a name that is no token', 'a b', 'c', 'ERR_HEADER_NAME'],
  ])('%s is refused, and the answer can still end well', async (_what, name, value, code) => {
    let seen: unknown
    const server = await serveSend(async (send) => {
      await send(START)
      await send(BODY)
      await send({ type: 'http.response.trailers', headers: [[name, value]] }).catch((error: { code: string }) => {
        seen = error.code
      })
      await send({ type: 'http.response.trailers' })
    })
    const response = await request(server)
    expect(response.text).toBe('hello')
    expect(response.trailers).toEqual([])
    expect(seen).toBe(code)
  })

  test('before the body is complete, and twice, they are out of order', async () => {
    const codes: unknown[] = []
    const trailers: SendMessage = { type: 'http.response.trailers', headers: [] }
    const server = await serveSend(async (send) => {
      const note = (message: SendMessage): Promise<void> =>
        send(message).catch((error: { code: string }) => void codes.push(error.code))
      await note(trailers)
      await send(START)
      await note(trailers)
      await send(BODY)
      await note(BODY)
      await send(trailers)
      await note(trailers)
    })
    expect((await request(server)).text).toBe('hello')
    expect(codes).toEqual(['ERR_MESSAGE', 'ERR_MESSAGE', 'ERR_MESSAGE', 'ERR_MESSAGE'])
  })

  test('an application that promised them and returns without is cut', async () => {
    expectLog('before its last http.response.trailers')
    const server = await serveSend(async (send) => {
      await send(START)
      await send(BODY)
    })
    const client = await RawClient.connect(server)
    await expect(client.request()).rejects.toThrow('the connection was cut')
  })
})
