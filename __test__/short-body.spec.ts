/** A stream that ends before its content-length is cut, and whoever waits is told. */
import { describe, expect, test } from 'vitest'

import { openExchanges } from '../dist/exchange.js'
import { serveApp } from './harness/app.ts'
import { RawClient, turns } from './harness/client.ts'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'
import { expectLog } from './harness/logs.ts'

import type { FetchInfo, ServerRequest } from '../dist/index.js'

describe.each(INTERFACES)('%s', (name) => {
  test('a stream that ends too early is cut, and the log says so', async () => {
    expectLog('ERR_BODY_LENGTH')
    const server = await serveHandler(name, async ({ stream }) => {
      const sink = await stream(200, [['content-length', '9']])
      await sink.write('half')
      await turns(1)
      await sink.end()
    })
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    await client.reader.through('half')
    await client.ended()
  })
})

test('info.completed rejects when the stream was too short, and the exchange is let go', async () => {
  expectLog('ERR_BODY_LENGTH')
  let completed: Promise<void> = Promise.resolve()
  const server = await serveApp(
    (_request: ServerRequest, info: FetchInfo) => {
      completed = info.completed
      const pieces = async function* (): AsyncGenerator<string> {
        yield 'half'
        await turns(1)
        yield 'half'
      }
      return new Response(pieces() as never, { headers: { 'content-length': '19' } })
    },
    { interface: 'fetch' },
  )
  const client = await RawClient.connect(server)
  await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
  await client.readHead()
  await client.reader.through('halfhalf')
  await client.ended()
  await expect(completed).rejects.toMatchObject({ code: 'ERR_BODY_LENGTH' })
  expect(openExchanges()).toBe(0)
})
