/** Whatever ends an answer early, its source is closed exactly once, also while it waits; nothing else happens. */
import { describe, expect, test } from 'vitest'

import { stream } from '../dist/streaming.js'
import { atRest } from './harness/app.ts'
import { ROOT, startCli } from './harness/cli.ts'
import { RawClient } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { INTERFACES } from './harness/interfaces.ts'
import { expectLog } from './harness/logs.ts'
import { pending } from './harness/promises.ts'
import { serveResponse } from './harness/responses.ts'
import { WATCHED } from './harness/watched-sources.ts'

import type { Options, Server } from './harness/app.ts'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

interface Cause {
  readonly options?: Options
  readonly end: (client: RawClient, server: Server) => unknown
}

const CAUSES: Readonly<Record<string, Cause>> = {
  'the client closes': { end: (client) => client.close() },
  'the client resets': { end: (client) => client.reset() },
  'the client closes its sending side': { end: (client) => client.finish() },
  'the server is closed': { end: (_client, server) => server.close({ timeout: 0 }) },
  'the answer is silent for too long': {
    options: { responseIdleTimeout: '100ms' },
    end: (client) => client.reader.ended,
  },
}

describe.each(INTERFACES)('%s', (name) => {
  describe.each(Object.entries(CAUSES))('%s', (_cause, { options = {}, end }) => {
    test.each(Object.entries(WATCHED))('%s is closed once', async (what, make) => {
      const release = pending()
      const source = make(['one', 'two', 'three'], release.promise)
      const server = await serveResponse(name, () => source.response, options)
      const client = await RawClient.connect(server)
      await client.send(GET)
      await client.reader.through('three')
      await end(client, server)
      await expect.poll(source.closes).toBe(1)
      // A generator that is within an await ends when that is over.
      if (what === 'a generator') expect(source.finals()).toBe(0)
      release.resolve()
      await expect.poll(source.finals).toBe(1)
      await atRest(server)
      expect([source.closes(), source.finals()]).toEqual([1, 1])
    })
  })

  test.each(Object.entries(WATCHED))(
    '%s that fails later cuts the answer and is not closed again',
    async (_what, make) => {
      expectLog('the source is broken')
      const release = pending<unknown>()
      const broken = release.promise.then(() => Promise.reject(new Error('the source is broken')))
      broken.catch(() => undefined)
      const source = make(['one', 'two', 'three'], broken)
      const server = await serveResponse(name, () => source.response)
      const client = await RawClient.connect(server)
      await client.send(GET)
      await client.reader.through('three')
      release.resolve(undefined)
      await client.reader.ended
      expect((await client.reader.exactly(client.reader.available)).toString()).not.toContain('\r\n0\r\n')
      await atRest(server)
      expect(source.closes()).toBeLessThanOrEqual(1)
    },
  )

  test('a source that hangs in return() holds nothing: not the client, not the server, not its stop', async () => {
    let returns = 0
    const iterator = {
      next: () => (returns === 0 ? Promise.resolve({ done: false, value: 'x'.repeat(1000) }) : new Promise(() => {})),
      return: () => {
        returns += 1
        return new Promise(() => {})
      },
    }
    const server = await serveResponse(name, () => stream({ [Symbol.asyncIterator]: () => iterator } as never))
    const client = await RawClient.connect(server)
    client.pause()
    await client.send(GET)
    await expect.poll(() => server.stats().responseBytes).toBeGreaterThan(0)
    client.reset()
    await atRest(server)
    expect(returns).toBe(1)
    await server.close({ timeout: 5 })
  })

  test('process.exit in a handler ends the process with its code, whatever streams are open', async () => {
    const folder = folderWith({
      'app.mjs': `
        import { sendAsgi, sendRsgi, sse } from '${new URL('dist/streaming.js', `file://${ROOT}`).href}'
        async function* ticks(path) {
          yield 'one'
          if (path === '/exit') setImmediate(() => process.exit(7))
          await new Promise(() => {})
        }
        const apps = {
          fetch: { fetch: (request) => sse(ticks(new URL(request.url).pathname)) },
          rsgi: { __rsgi__: (scope, protocol) => sendRsgi(sse(ticks(scope.path)), protocol) },
          asgi: async (scope, receive, send) => sendAsgi(sse(ticks(scope.path)), receive, send),
        }
        export default apps['${name}']`,
    })
    const cli = await startCli([`${folder}/app.mjs`, '--bind', '127.0.0.1:0', '--lifespan', 'off', '--workers', '0'])
    const clients = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(cli.url)))
    for (const client of clients) {
      await client.send('GET /wait HTTP/1.1\r\nhost: a\r\n\r\n')
      await client.reader.through('data: one')
    }
    const last = await RawClient.connect(cli.url)
    await last.send('GET /exit HTTP/1.1\r\nhost: a\r\n\r\n')
    expect(await cli.exited()).toMatchObject({ code: 7, signal: null, stderr: '' })
    for (const client of clients) {
      await client.reader.ended
      expect((await client.reader.exactly(client.reader.available)).toString()).not.toContain('0\r\n\r\n')
    }
  })
})
