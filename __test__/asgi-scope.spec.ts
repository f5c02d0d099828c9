/** The scope of an ASGI application: lazy, and yet like a plain object. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'

import { describe, expect, onTestFinished, test } from 'vitest'

import { serveReadingAsgi } from './harness/asgi.ts'
import { RawClient, request } from './harness/client.ts'

import type { HttpScope } from '../dist/index.js'

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

describe('scope', () => {
  test('has every key of the protocol, with the values of the request', async () => {
    const { server, last } = await serveReadingAsgi((scope) => scope, { rootPath: '/api' })
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
      extensions: {
        'http.response.trailers': {},
        'gneiss.timeout': {},
        'gneiss.drain': {},
        'gneiss.request_id': { id: expect.stringMatching(/^[0-9a-f]{32}$/) as string },
      },
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
    const { server, last } = await serveReadingAsgi(copy)
    await request(server, { path: '/x?y', headers: [['host', 'a']] })
    expect(Object.keys(last() as object)).toEqual(KEYS)
    expect(last()).toMatchObject({ path: '/x', headers: [['host', 'a']], client: ['127.0.0.1', expect.any(Number)] })
  })

  test('console.log shows the values', async () => {
    const { server, last } = await serveReadingAsgi((scope) => inspect(scope))
    await request(server, { headers: [['host', 'shown.test']] })
    expect(last()).toContain('shown.test')
  })

  test('may be changed, as middleware does, and is each request’s own', async () => {
    const { server, last } = await serveReadingAsgi((scope) => {
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
    const { server, last } = await serveReadingAsgi((scope) => [
      scope.headers === scope.headers,
      scope.state === scope.state,
      scope.client === scope.client,
      scope.extensions === { ...scope }.extensions,
    ])
    await request(server)
    expect(last()).toEqual([true, true, true, true])
  })

  test('http_version of HTTP/1.0 is 1.0', async () => {
    const { server, last } = await serveReadingAsgi((scope) => scope.http_version)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.0\r\n\r\n')
    await client.read()
    expect(last()).toBe('1.0')
  })

  test('on a Unix socket, client is null and server its path', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gneiss-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'socket')
    const { server, last } = await serveReadingAsgi(({ client, server: ours }) => ({ client, ours }), {
      bind: `unix:${path}`,
    })
    await request(server)
    expect(last()).toEqual({ client: null, ours: [path, null] })
  })
})
