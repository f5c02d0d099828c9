/** A cut that nobody can see: a stream without framing, over a socket whose reset reads as an end. */
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { RawClient, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { createWaiter } from '../dist/waiter.js'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'
import { capturedLog, expectLog } from './harness/logs.ts'

import type { Options } from './harness/app.ts'
import type { Interface } from './harness/interfaces.ts'

const CUT = 'cut an answer, SilentCut: HTTP/1.0 over a Unix socket'

/** Serves a stream that fails in the middle, and asks for it over a Unix socket or over TCP. */
async function ask(
  name: Interface,
  message: string,
  options: Options,
  headers: [string, string][] = [],
): Promise<string> {
  expectLog('the source is broken')
  const { promise: isRead, resolve: fail } = createWaiter()
  const server = await serveHandler(
    name,
    async ({ stream }) => {
      const sink = await stream(200, headers)
      await sink.write('half')
      await isRead
      throw new Error('the source is broken')
    },
    options,
  )
  const client = await RawClient.connect(typeof options.bind === 'string' ? options.bind : server)
  await client.send(message)
  await client.readHead()
  await client.reader.through(message.includes('HTTP/1.1') ? 'half\r\n' : 'half')
  fail()
  const ending = await client.ended()
  await turns(5)
  return ending
}

describe.each(INTERFACES)('%s', (name) => {
  const onSocket = (): Options => ({ bind: `unix:${join(folderWith({}), 'app.sock')}` })

  test('a stream to HTTP/1.0 that is cut on a Unix socket is a line in the log', async () => {
    await ask(name, 'GET / HTTP/1.0\r\n\r\n', onSocket())
    while (!capturedLog().includes(CUT)) await turns(1)
    expect(capturedLog()).toContain('[info] cut an answer')
  })

  test('a cut that shows is none', async () => {
    await ask(name, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n', onSocket())
    await ask(name, 'GET / HTTP/1.0\r\n\r\n', onSocket(), [['content-length', '9']])
    expect(await ask(name, 'GET / HTTP/1.0\r\n\r\n', {})).toBe('reset')
    expect(capturedLog()).not.toContain('cut an answer')
  })
})
