/** What an RSGI application reads of its request. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, onTestFinished, test } from 'vitest'

import { atRest } from './harness/app.ts'
import { RawClient, request } from './harness/client.ts'
import { serveReadingRsgi } from './harness/rsgi.ts'

import type { RsgiScope } from '../dist/index.js'

describe('scope', () => {
  test('says what was asked, by whom and where', async () => {
    const { server, last } = await serveReadingRsgi((scope) => scope)
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
    const { server, last } = await serveReadingRsgi((scope) => scope)
    await request(server, { path: '/late?q', headers: [['x-a', '1']] })
    await atRest(server)
    expect(last().headers.get('x-a')).toBe('1')
    expect(JSON.parse(JSON.stringify(last()))).toMatchObject({ path: '/late', queryString: 'q', authority: null })
  })

  test('httpVersion of HTTP/1.0 is 1', async () => {
    const { server, last } = await serveReadingRsgi((scope) => scope.httpVersion)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.0\r\n\r\n')
    await client.read()
    expect(last()).toBe('1')
  })

  test('of a target in absolute form, rawPath is the path part', async () => {
    const { server, last } = await serveReadingRsgi(({ path, rawPath, queryString }) => ({
      path,
      rawPath,
      queryString,
    }))
    const client = await RawClient.connect(server)
    await client.send('GET http://example.test/a%41?b HTTP/1.1\r\nhost: example.test\r\n\r\n')
    await client.read()
    expect(last()).toEqual({ path: '/aA', rawPath: '/a%41', queryString: 'b' })
  })

  test('the target of OPTIONS may be an asterisk', async () => {
    const { server, last } = await serveReadingRsgi(({ method, rawPath }) => `${method} ${rawPath}`)
    await request(server, { method: 'OPTIONS', path: '*' })
    expect(last()).toBe('OPTIONS *')
  })

  test('a method that nobody has heard of keeps its spelling', async () => {
    const { server, last } = await serveReadingRsgi(({ method }) => method)
    await request(server, { method: 'pUrGe' })
    expect(last()).toBe('pUrGe')
  })

  test('a path that is not UTF-8 is readable all the same', async () => {
    const { server, last } = await serveReadingRsgi(({ path }) => path)
    await request(server, { path: '/%ff/%zz/%C3%A4/%' })
    expect(last()).toBe('/\uFFFD/%zz/ä/%')
  })

  test('addresses of IPv6 stand in brackets', async () => {
    const { server, last } = await serveReadingRsgi(({ client, server: ours }) => ({ client, ours }), {
      bind: '[::1]:0',
    })
    const client = await RawClient.connect(server)
    await client.request()
    expect(last()).toEqual({ client: `[::1]:${client.socket.localPort}`, ours: `[::1]:${server.addresses[0]?.port}` })
  })

  test('on a Unix socket, server is its path', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gneiss-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'socket')
    const { server, last } = await serveReadingRsgi(({ client, server: ours }) => ({ client, ours }), {
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
    const { server, last } = await serveReadingRsgi(({ headers }) => look(headers))
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
