/** Whom the logs name behind a proxy: the client, if the proxy is trusted, and the peer of the connection if not. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'
import { capturedLog } from './harness/logs.ts'

import type { Options } from './harness/app.ts'
import type { Interface } from './harness/interfaces.ts'

const XFF = [['x-forwarded-for', '6.6.6.6, 192.0.2.1']] as const

/** The addresses that the log has for what `send` did. */
async function logged(
  name: Interface,
  options: Options,
  send: (to: { url: string }) => Promise<unknown>,
): Promise<string[]> {
  const file = join(folderWith({}), 'access.log')
  const server = await serveHandler(name, ({ respond }) => respond(200, [], 'hello'), {
    accessLog: file,
    accessLogFormat: '%(h)s %(s)s',
    ...options,
  })
  await send(server)
  await server.close()
  return readFileSync(file, 'utf8').split('\n').slice(0, -1)
}

describe.each(INTERFACES)('the access log of %s', (name) => {
  test.each<[string, Options, readonly (readonly [string, string])[], string]>([
    ['the client that a trusted proxy names', {}, XFF, '192.0.2.1 200'],
    ['the client in Forwarded', {}, [['forwarded', 'for="[2001:db8::1]:99"']], '2001:db8::1 200'],
    ['the client before a chain of proxies', { forwardedAllowIps: ['127.0.0.1', '192.0.2.0/24'] }, XFF, '6.6.6.6 200'],
    ['the peer that nobody trusts', { forwardedAllowIps: ['10.0.0.1'] }, XFF, '127.0.0.1 200'],
    ['the peer that names nobody', {}, [], '127.0.0.1 200'],
  ])('names %s', async (_what, options, headers, line) => {
    expect(await logged(name, options, (to) => request(to, { headers }))).toEqual([line])
  })

  test('names the client of a request on a Unix socket where its peers are trusted', async () => {
    const bind = `unix:${join(folderWith({}), 'app.sock')}`
    const ask = (): Promise<unknown> => request(bind, { headers: XFF })
    expect(await logged(name, { bind, forwardedAllowIps: 'unix' }, ask)).toEqual(['192.0.2.1 200'])
    expect(await logged(name, { bind }, ask)).toEqual(['unix: 200'])
  })
})

test('both logs name the client of a request that is refused once its head was understood, and the peer before that', async () => {
  const file = join(folderWith({}), 'access.log')
  const server = await serveApp(
    { __rsgi__: (_scope, protocol) => protocol.responseEmpty(204) },
    { accessLog: file, accessLogFormat: '%(h)s %(s)s', maxBody: 5 },
  )
  const head = 'POST /p HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.1\r\n'
  for (const rest of [
    'content-length: 6\r\n\r\n',
    'content-length: x\r\n\r\n',
    // What a proxy says against itself is believed of nobody.
    'x-forwarded-proto: https\r\nx-forwarded-ssl: off\r\n\r\n',
  ]) {
    const client = await RawClient.connect(server)
    await client.send(head + rest)
    await client.read()
  }
  await server.close()
  expect(readFileSync(file, 'utf8')).toBe('192.0.2.1 413\n127.0.0.1 400\n127.0.0.1 400\n')
  const lines = (): string[] => capturedLog().match(/\d{3} \w+: .* from [^,]+/g) ?? []
  while (lines().length < 3) await turns(1)
  expect(lines().map((line) => line.replace(/:.*from/, ''))).toEqual([
    '413 BodyTooLarge 192.0.2.1',
    '400 ContentLength 127.0.0.1',
    '400 Forwarded 127.0.0.1',
  ])
})
