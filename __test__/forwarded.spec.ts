/** What proxies say about the client, as every interface sees it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { request } from './harness/client.ts'

import type { AsgiApp, RsgiProtocol, RsgiScope } from '../dist/index.js'
import type { App, Options, Server } from './harness/app.ts'
import type { Target } from './harness/client.ts'

type Fields = readonly (readonly [string, string])[]

/** Each answers with client, scheme and host, in the words of its interface. */
const apps = {
  asgi: (async (scope, _receive, send) => {
    if (scope.type !== 'http') return
    const host = scope.headers.filter(([name]) => name === 'host').map(([, value]) => value)
    await send({ type: 'http.response.start', status: 200 })
    await send({ type: 'http.response.body', body: JSON.stringify([scope.client, scope.scheme, host]) })
  }) satisfies AsgiApp,
  rsgi: {
    __rsgi__: ({ client, scheme, headers }: RsgiScope, protocol: RsgiProtocol) =>
      protocol.responseStr(200, [], JSON.stringify([client, scheme, headers.getAll('host')])),
  },
  fetch: ({ url, headers }: Request) => new Response(JSON.stringify([url, headers.get('host')])),
}
type Name = keyof typeof apps

function serveNamed(name: Name, options: Options = {}): Promise<Server> {
  return serveApp(apps[name] as App, { interface: name, lifespan: 'off', ...options })
}

async function seen(to: Target, headers: Fields): Promise<unknown> {
  const { status, text } = await request(to, { path: '/p?q', headers })
  return status === 200 ? JSON.parse(text) : status
}

const PROXIED: Fields = [
  ['host', 'inner'],
  ['x-forwarded-for', '6.6.6.6, 192.0.2.1'],
  ['x-forwarded-proto', 'https'],
  ['x-forwarded-host', 'outer.example'],
]

test.each<[Name, unknown]>([
  ['asgi', [['192.0.2.1', 0], 'https', ['outer.example']]],
  ['rsgi', ['192.0.2.1:0', 'https', ['outer.example']]],
  ['fetch', ['https://outer.example/p?q', 'outer.example']],
])('%s sees the client, scheme and host that a trusted proxy names', async (name, expected) => {
  const server = await serveNamed(name)
  expect(await seen(server, PROXIED)).toEqual(expected)
})

test.each<[Name, (server: Server) => unknown]>([
  ['asgi', () => [['127.0.0.1', expect.any(Number) as number], 'http', ['inner']]],
  ['rsgi', () => [expect.stringMatching('^127\\.0\\.0\\.1:[1-9]'), 'http', ['inner']]],
  ['fetch', () => ['http://inner/p?q', 'inner']],
])('%s sees the peer itself when nobody trusts it', async (name, expected) => {
  const server = await serveNamed(name, { forwardedAllowIps: ['192.0.2.0/24', '::1'] })
  expect(await seen(server, PROXIED)).toEqual(expected(server))
})

describe('whom to believe', () => {
  test('Forwarded is read as the X-Forwarded fields are', async () => {
    const server = await serveNamed('asgi')
    const fields: Fields = [['forwarded', 'for=6.6.6.6, for="[2001:db8::1]:99";proto=https;host="a.example:8443"']]
    expect(await seen(server, [['host', 'inner'], ...fields])).toEqual([
      ['2001:db8::1', 99],
      'https',
      ['a.example:8443'],
    ])
  })

  test('proxies that are trusted are skipped, in one list of Gunicorn as well', async () => {
    const server = await serveNamed('rsgi', { forwardedAllowIps: '127.0.0.1, 10.0.0.0/8' })
    const fields: Fields = [['x-forwarded-for', '6.6.6.6, 192.0.2.1, 10.1.1.1, 10.2.2.2']]
    expect(await seen(server, fields)).toEqual(['192.0.2.1:0', 'http', ['example.test']])
  })

  test('fields that contradict each other are refused before the application is called', async () => {
    const server = await serveNamed('fetch')
    const fields: Fields = [
      ['x-forwarded-proto', 'https'],
      ['x-forwarded-ssl', 'off'],
    ]
    expect(await seen(server, fields)).toBe(400)
    expect(server.stats()).toMatchObject({ requestsTotal: 0, refusedTotal: 1 })
  })

  test('the peers of a Unix socket are a word of their own', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gneiss-'))
    try {
      const bind = `unix:${join(folder, 'app.sock')}`
      const trusting = await serveNamed('asgi', { bind, forwardedAllowIps: 'unix' })
      expect(await seen(bind, PROXIED)).toEqual([['192.0.2.1', 0], 'https', ['outer.example']])
      await trusting.close({ timeout: 1 })
      await serveNamed('asgi', { bind })
      expect(await seen(bind, PROXIED)).toEqual([null, 'http', ['inner']])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
