/** The states of a connection in the real drivers: whatever it waits for, it is in the wheel of deadlines. */
import { expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { RawClient } from './harness/client.ts'

import type { RsgiProtocol, RsgiScope } from '../dist/index.js'

const HEAD = 'HTTP/1.1\r\nhost: a\r\n'
const MEGABYTE = new Uint8Array(1024 * 1024)

/** What a client does to lead its connection there, and what it does not read. */
const STATES: Readonly<Record<string, (client: RawClient) => Promise<unknown>>> = {
  'accepted, no byte yet': () => Promise.resolve(),
  'half a head': (client) => client.send(`GET / ${HEAD}`),
  'idle between two requests': (client) => client.request({ path: '/answer' }),
  'a handler that has not answered': (client) => client.send(`GET /never ${HEAD}\r\n`),
  'a handler that waits for the body': (client) => client.send(`POST /read ${HEAD}content-length: 9\r\n\r\n`),
  'half a body, of which nobody reads': (client) => client.send(`POST /never ${HEAD}content-length: 9\r\n\r\nhalf`),
  'a chunked body without its end': (client) =>
    client.send(`POST /read ${HEAD}transfer-encoding: chunked\r\n\r\n1\r\na\r\n`),
  'a body that is held back': (client) =>
    client.send(`POST /never ${HEAD}expect: 100-continue\r\ncontent-length: 9\r\n\r\n`),
  'a body that is read ahead as far as may be': (client) =>
    client.send(
      Buffer.concat([Buffer.from(`POST /never ${HEAD}content-length: 1048576\r\n\r\n`), MEGABYTE.subarray(0, 70_000)]),
    ),
  'an answer that is silent': async (client) => {
    await client.send(`GET /silent ${HEAD}\r\n`)
    await client.readHead()
  },
  'an answer that nobody reads': async (client) => {
    client.pause()
    await client.send(`GET /flood ${HEAD}\r\n`)
  },
  'a refusal, and what follows it': async (client) => {
    await client.send('nonsense\r\n\r\n')
    await client.read()
  },
  'an answer over a body that goes on': async (client) => {
    await client.send(`POST /answer ${HEAD}content-length: 9\r\n\r\nhalf`)
    await client.read()
  },
  'a pipeline behind a request that waits': (client) => client.send(`GET /never ${HEAD}\r\n`.repeat(3)),
}

async function handle(scope: RsgiScope, protocol: RsgiProtocol): Promise<void> {
  const gone = new Promise<void>((resolve) => protocol.signal.addEventListener('abort', () => resolve()))
  switch (scope.path) {
    case '/answer':
      return protocol.responseStr(200, [], 'hello')
    case '/read':
      await protocol.body().catch(() => undefined)
      return undefined
    case '/silent':
      protocol.responseStream(200, []).sendStr('half')
      return gone
    case '/flood': {
      const stream = protocol.responseStream(200, [])
      for (let left = 64; left > 0 && !protocol.signal.aborted; left--)
        await stream.sendBytes(MEGABYTE)?.catch(() => undefined)
      return gone
    }
    default:
      return gone
  }
}

/** States that end by themselves within a second. */
const SHORT = ['a refusal, and what follows it', 'an answer over a body that goes on']

test.each(Object.keys(STATES))('a connection owns a deadline in the state: %s', async (name) => {
  const server = await serveApp({ __rsgi__: handle })
  for (let count = 1; count <= 3; count++) {
    const client = await RawClient.connect(server)
    await STATES[name]?.(client)
    // A connection that is in no wheel would stay in this state for ever, and so would the difference.
    await expect
      .poll(() => {
        const { connections, connectionsTotal, timers } = server.stats()
        return [connectionsTotal, Number(connections) - Number(timers)]
      })
      .toEqual([count, 0])
    if (!SHORT.includes(name)) expect(server.stats().connections).toBe(count)
  }
})
