/** `request.url` is what the URL standard makes of authority and target. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { RawClient, request as ask } from './harness/client.ts'

import type { ServerRequest } from '../dist/index.js'

describe('request.url', () => {
  const echo = (request: ServerRequest): Response => new Response(request.url)

  test.each([
    '/',
    '/a/b?c=d&e=%20',
    '//double//slash',
    '/a/../b',
    '/a/./b/.',
    '/a/..',
    '/..?x',
    '/.well-known/x',
    '/a/...',
    '/a/%2e%2E/b',
    '/a/.%2e/b',
    '/%2E',
    '/a%2eb',
    '/x?a=../b&c=/./',
    '/a"b<c>d`e{f}g|h^i',
    "/it's?it's",
    '/back\\slash\\..\\x',
    '/a%',
    '/a%zz',
    '/?',
    '/a??b?c',
    '/@:;=+$,!*()~_-',
    '/[a]',
  ])('of %s is what the URL standard makes of it', async (target) => {
    const server = await serveApp(echo)
    expect((await ask(server, { path: target })).text).toBe(new URL(`http://example.test${target}`).href)
  })

  test.each([
    'example.test',
    'EXAMPLE.test',
    'example.test:80',
    'example.test:8080',
    '127.0.0.1:3000',
    '[::1]:3000',
    'a_b.c-d',
  ])('has the authority of host %s, also the second time', async (host) => {
    const server = await serveApp(echo)
    const expected = new URL(`http://${host}/a`).href
    for (const _time of [1, 2])
      expect((await ask(server, { path: '/a', headers: [['host', host]] })).text).toBe(expected)
  })

  test('follows the host of each request on one connection', async () => {
    const server = await serveApp(echo)
    const client = await RawClient.connect(server)
    const urls: string[] = []
    for (const host of ['a.test', 'b.test', 'a.test'])
      urls.push((await client.request({ headers: [['host', host]] })).text)
    expect(urls).toEqual(['http://a.test/', 'http://b.test/', 'http://a.test/'])
  })

  test('has the address of the server when HTTP/1.0 names no host', async () => {
    const server = await serveApp(echo)
    const client = await RawClient.connect(server)
    await client.send('GET /a HTTP/1.0\r\n\r\n')
    expect((await client.read()).text).toBe(`${server.url}/a`)
  })

  test('has the address of the server in brackets on IPv6', async () => {
    const server = await serveApp(echo, { bind: '[::1]:0' })
    const client = await RawClient.connect(server)
    await client.send('GET /a HTTP/1.0\r\n\r\n')
    expect((await client.read()).text).toBe(`${server.url}/a`)
  })

  test('has localhost on a Unix socket when no host is named', async () => {
    const path = join(tmpdir(), `gneiss-url-${process.pid}.sock`)
    const server = await serveApp((request: ServerRequest) => new Response(`${request.url} ${request.ip}`), {
      bind: `unix:${path}`,
    })
    const client = await RawClient.connect(server)
    await client.send('GET /a HTTP/1.0\r\n\r\n')
    expect((await client.read()).text).toBe('http://localhost/a undefined')
  })

  test('has the authority of a target in absolute form', async () => {
    const server = await serveApp(echo)
    const { text } = await ask(server, { path: 'http://other.test/a?b', headers: [['host', 'example.test']] })
    expect(text).toBe('http://other.test/a?b')
  })

  test('of OPTIONS * is a URL all the same', async () => {
    const server = await serveApp(echo)
    expect((await ask(server, { method: 'OPTIONS', path: '*' })).text).toBe('http://example.test/*')
  })

  test.each(['1.2.3.400', ''])('of host %j, which is no authority, has the address of the server', async (host) => {
    const server = await serveApp(echo)
    expect((await ask(server, { path: '/a', headers: [['host', host]] })).text).toBe(`${server.url}/a`)
  })

  test('of a target and a host that both need parsing is parsed', async () => {
    const server = await serveApp(echo)
    const { text } = await ask(server, { path: '/a/../{b}', headers: [['host', 'EXAMPLE.test:80']] })
    expect(text).toBe('http://example.test/%7Bb%7D')
  })
})
