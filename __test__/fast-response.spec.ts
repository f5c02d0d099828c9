/** What the `fastResponse` option does to the globals, and that a library call leaves them alone. */
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { describe, expect, test } from 'vitest'

import { Response as LightResponse } from '../dist/index.js'
import { serveApp } from './harness/app.ts'
import { RawClient, request as ask } from './harness/client.ts'

import type { ServerRequest } from '../dist/index.js'
import type { App } from './harness/app.ts'

const found = { Request: globalThis.Request, Response: globalThis.Response, fetch: globalThis.fetch }
const attributes = (name: string): unknown => {
  const { enumerable, configurable, writable } = Object.getOwnPropertyDescriptor(globalThis, name) ?? {}
  return { enumerable, configurable, writable }
}
const foundAttributes = Object.keys(found).map(attributes)

test('without the option no global changes', async () => {
  const server = await serveApp(() => new Response('x'))
  expect((await ask(server)).text).toBe('x')
  expect([globalThis.Request, globalThis.Response, globalThis.fetch]).toEqual([
    found.Request,
    found.Response,
    found.fetch,
  ])
})

/** The platform's fetch keeps its connections; a server at rest has none. */
const CLOSING = { headers: { connection: 'close' } }

describe('with the option', () => {
  const serveFast = (app: unknown): ReturnType<typeof serveApp> =>
    serveApp(app as App, { fastResponse: true, interface: 'fetch' })

  test('the global Response is the light one, and every Response is an instance of it', async () => {
    const server = await serveFast(() => new Response('x', CLOSING))
    expect(globalThis.Response).toBe(LightResponse)
    expect((await ask(server)).text).toBe('x')
    const fetched = await fetch(server.url)
    expect([
      fetched instanceof Response,
      new found.Response() instanceof Response,
      new Response() instanceof found.Response,
    ]).toEqual([true, true, true])
    expect(await fetched.text()).toBe('x')
  })

  test('the globals look as before', async () => {
    await serveFast(() => new Response('x'))
    await serveFast(() => new Response('x'))
    expect(Object.keys(found).map(attributes)).toEqual(foundAttributes)
    expect([globalThis.Request.name, globalThis.Response.name, globalThis.fetch.name]).toEqual([
      'Request',
      'Response',
      'fetch',
    ])
  })

  test('a request is an input for new Request on every Node', async () => {
    const server = await serveFast(async (request: ServerRequest) => {
      const copy = new Request(request, { headers: { 'x-b': '2' } })
      const seen = [
        copy instanceof Request,
        copy.method,
        copy.url,
        [...copy.headers],
        await copy.text(),
        request.bodyUsed,
      ]
      const again = new Request(new Request('http://localhost/x', { method: 'PUT', body: 'y' }))
      return Response.json([...seen, again.method, await again.text()])
    })
    const { text } = await ask(server, { method: 'POST', path: '/a', body: 'hello' })
    expect(JSON.parse(text)).toEqual([true, 'POST', 'http://example.test/a', [['x-b', '2']], 'hello', true, 'PUT', 'y'])
  })

  test('a request that was read is no input, unless it gets a new body', async () => {
    const server = await serveFast(async (request: ServerRequest) => {
      await request.text()
      let name = 'accepted'
      try {
        void new Request(request)
      } catch (error) {
        ;({ name } = error as Error)
      }
      return Response.json([name, await new Request(request, { method: 'PUT', body: 'new' }).text()])
    })
    const { text } = await ask(server, { method: 'POST', body: 'hello' })
    expect(JSON.parse(text)).toEqual(['TypeError', 'new'])
  })

  test('a request may be fetched: a proxy in one line', async () => {
    const upstream = await serveFast(async (request: ServerRequest) =>
      Response.json(
        [request.method, new URL(request.url).pathname, request.headers.get('x-a'), await request.text()],
        CLOSING,
      ),
    )
    const server = await serveFast((request: ServerRequest) => {
      const { pathname } = new URL(request.url)
      return fetch(new Request(`${upstream.url}${pathname}`, request))
    })
    const message = { method: 'POST', path: '/a', headers: [['x-a', '1']], body: 'hello' } as const
    expect(JSON.parse((await ask(server, message)).text)).toEqual(['POST', '/a', '1', 'hello'])
    // A request goes to its own URL, which is that of the server it came to.
    const direct = await serveFast((request: ServerRequest) =>
      request.headers.has('x-again')
        ? new Response('arrived', CLOSING)
        : fetch(request, { headers: { 'x-again': '1' } }),
    )
    const host = new URL(direct.url).host
    expect((await ask(direct, { headers: [['host', host]] })).text).toBe('arrived')
  })

  test('a class may extend the global ones', async () => {
    const server = await serveFast(() => {
      class MyRequest extends Request {}
      class MyResponse extends Response {}
      const request = new MyRequest('http://localhost/')
      return MyResponse.json([
        request instanceof MyRequest,
        request instanceof Request,
        new Request('http://localhost/') instanceof MyRequest,
        new MyResponse('x') instanceof Response,
        new Response('x') instanceof MyResponse,
      ])
    })
    expect(JSON.parse((await ask(server)).text)).toEqual([true, true, false, true, false])
  })

  test('middleware that puts another request in the place of ours', async () => {
    const app = new Hono()
    app.use(bodyLimit({ maxSize: 8 }))
    app.post('/', async (c) => c.text(await c.req.text()))
    const server = await serveFast(app)
    const client = await RawClient.connect(server)
    const head = 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n'
    await client.send(`${head}5\r\nshort\r\n0\r\n\r\n`)
    expect((await client.read()).text).toBe('short')
    await client.send(`${head}c\r\nfar too long\r\n0\r\n\r\n`)
    expect((await client.read()).status).toBe(413)
  })
})
