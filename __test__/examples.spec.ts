/** Every example runs from the command line and does what its first lines say. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { ROOT, startCli } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'

import type { Cli } from './harness/cli.ts'

function start(example: string): Promise<Cli> {
  return startCli([`examples/${example}`, '--bind', '127.0.0.1:0'])
}

const JSON_TYPE = [['content-type', 'application/json']] as const

test.each([
  ['fetch', 'ts', '{"hello":"you"}'],
  ['rsgi', 'mjs', 'hello a test'],
  ['asgi', 'mjs', 'hello'],
])('the %s application of the README answers', async (name, extension, text) => {
  const blocks = readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/```[jt]s\n(export [\s\S]*?)```/g)
  const applications = Array.from(blocks, ([, block = '']) => block)
  const source = applications.find((block) =>
    block.includes({ fetch: 'Request', rsgi: '__rsgi__', asgi: 'send' }[name] ?? ''),
  )
  const folder = folderWith({ [`app.${extension}`]: source ?? '' })
  const { url, ready } = await startCli([join(folder, 'app'), '--bind', '127.0.0.1:0'])
  expect(ready['interface']).toBe(name)
  expect((await request(url, { path: '/?name=you', headers: [['user-agent', 'a test']] })).text).toBe(text)
})

test('asgi.js sends events as they happen', async () => {
  const { url } = await start('asgi.js')
  const client = await RawClient.connect(url)
  await client.send('GET /events?count=3&interval=100 HTTP/1.1\r\nhost: a\r\n\r\n')
  const answer = await client.read()
  expect(answer.header('content-type')).toBe('text/event-stream')
  expect(answer.text.split('\n\n').map((event) => event.slice(0, 5))).toEqual(['id: 1', 'id: 2', 'id: 3', ''])
  expect(answer.chunks).toHaveLength(3)
})

test('asgi.js ends its events when the client has gone', async () => {
  const cli = await start('asgi.js')
  const client = await RawClient.connect(cli.url)
  await client.send('GET /events HTTP/1.1\r\nhost: a\r\n\r\n')
  await client.readHead()
  await client.reader.through('\r\n')
  client.reset()
  // An event stream without an end would hold the stop until it is forced, and a gauge would tell.
  expect((await cli.stop()).code).toBe(0)
})

test('asgi.js hashes an upload while it comes', async () => {
  const { url } = await start('asgi.js')
  const body = Buffer.alloc(3 * 1024 * 1024, 'gneiss')
  const answer = await request(url, { method: 'POST', path: '/upload', body })
  const sha256 = createHash('sha256').update(body).digest('hex')
  expect(JSON.parse(answer.text)).toEqual({ size: body.length, sha256 })
})

test('asgi.js has its lifespan state in every scope', async () => {
  const { url } = await start('asgi.js')
  const { startedAt } = JSON.parse((await request(url)).text) as { startedAt: string }
  expect(Date.parse(startedAt)).toBeLessThanOrEqual(Date.now())
})

test('rsgi.js answers, reads a body and streams', async () => {
  const { url } = await start('rsgi.js')
  const client = await RawClient.connect(url)
  expect(JSON.parse((await client.request({ headers: [['user-agent', 'spec']] })).text)).toEqual({
    visits: 1,
    agent: 'spec',
  })
  expect((await client.request({ path: '/empty' })).status).toBe(204)
  expect((await client.request({ method: 'POST', path: '/upper', body: 'shout' })).text).toBe('SHOUT')
  expect((await client.request({ path: '/lines?count=3' })).text).toBe('line 1\nline 2\nline 3\n')
  expect((await client.request({ path: '/nowhere' })).status).toBe(404)
})

test('hono.ts runs as TypeScript: JSON, parameters, middleware, streaming', async () => {
  const { url } = await start('hono.ts')
  const client = await RawClient.connect(url)
  const hello = await client.request({ path: '/hello/you', headers: [['user-agent', 'spec']] })
  expect(JSON.parse(hello.text)).toEqual({ hello: 'you', agent: 'spec' })
  expect(hello.header('server-timing')).toContain('app;dur=')

  const created = await client.request({ method: 'POST', path: '/notes', headers: JSON_TYPE, body: '{"title":"one"}' })
  expect([created.status, JSON.parse(created.text)]).toEqual([201, { id: 1, title: 'one' }])
  expect((await client.request({ method: 'POST', path: '/notes', headers: JSON_TYPE, body: '{}' })).status).toBe(400)
  expect(JSON.parse((await client.request({ path: '/notes' })).text)).toEqual([{ id: 1, title: 'one' }])

  expect((await client.request({ path: '/count/3?interval=0' })).text).toBe('1\n2\n3\n')
  expect((await client.request({ path: '/nowhere' })).status).toBe(404)
})

test('fetch.js answers and echoes a body as it comes', async () => {
  const { url } = await start('fetch.js')
  const client = await RawClient.connect(url)
  expect(JSON.parse((await client.request({ path: '/?name=you' })).text)).toEqual({ hello: 'you', from: '127.0.0.1' })
  const body = 'x'.repeat(1024 * 1024)
  expect((await client.request({ method: 'POST', path: '/echo', body })).text).toBe(body)
})

test('fetch.js ends its ticks when the client has gone', async () => {
  const cli = await start('fetch.js')
  const client = await RawClient.connect(cli.url)
  await client.send('GET /ticks HTTP/1.1\r\nhost: a\r\n\r\n')
  await client.readHead()
  await client.reader.through('1\n')
  client.reset()
  expect((await cli.stop()).stdout).toContain('the ticks have ended')
})

test('sse.js sends a token at a time, and ends when its reader has left', async () => {
  const cli = await start('sse.js')
  const answer = await request(cli.url, { path: '/tokens?prompt=hello&interval=1' })
  expect(answer.header('content-type')).toBe('text/event-stream')
  expect(answer.text).toContain('retry: 3000\n\nevent: token\nid: 0\ndata: {"word":"hello"}\n\n')
  expect(answer.text.endsWith('event: done\ndata: \n\n')).toBe(true)
  const client = await RawClient.connect(cli.url)
  await client.send('GET /clock HTTP/1.1\r\nhost: a\r\n\r\nGET /tokens HTTP/1.1\r\nhost: a\r\n\r\n')
  await client.reader.through('data: 20')
  client.reset()
  const reader = await RawClient.connect(cli.url)
  await reader.send('GET /tokens?interval=20 HTTP/1.1\r\nhost: a\r\n\r\n')
  await reader.reader.through('id: 1\n')
  reader.reset()
  await expect.poll(() => cli.output().stdout).toContain('the reader has left')
  expect((await request(cli.url)).text).toContain('GET /clock')
})
