/** The grid behind proxies: the two never disagree on how many requests there were. */
import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { RawClient, request } from './harness/client.ts'
import { LAST, ROWS, bytesOf, createApp } from './harness/grid.ts'
import { PROXIES, findProxy, startProxy } from './harness/proxy.ts'

import type { RsgiAppObject } from '../dist/index.js'
import type { Server } from './harness/app.ts'
import type { Variant } from './harness/grid.ts'
import type { Proxy } from './harness/proxy.ts'

describe.each(PROXIES)('behind %s', (name) => {
  const program = findProxy(name)
  if (program === undefined) process.stdout.write(`proxies.spec.ts: ${name} is not installed, its tests are skipped\n`)

  test.skipIf(program === undefined)('a request passes', async () => {
    const { server, proxy } = await start(name, program as string)
    expect((await request(proxy)).status).toBe(200)
    await expect.poll(() => [proxy.passed(), countOf(server)]).toEqual([1, 1])
  })

  test.skipIf(program === undefined).each(ROWS.map(({ row, title, variants }) => [row, title, variants] as const))(
    'row %i: %s',
    async (_row, _title, variants) => {
      const { server, proxy, use } = await start(name, program as string)
      const faults: string[] = []
      for (const variant of variants) {
        use(variant)
        const before = { passed: proxy.passed(), seen: countOf(server) }
        await sendAll(proxy, bytesOf(variant))
        // Whatever was sent before this one has been seen and logged when this one has.
        const marked = proxy.passed(MARK)
        expect((await request(proxy, { path: '/mark' })).status).toBe(MARK)
        await expect.poll(() => proxy.passed(MARK)).toBe(marked + 1)
        const after = { passed: proxy.passed() - before.passed, seen: countOf(server) - before.seen }
        if (after.seen !== after.passed) faults.push(`${variant.name}: ${after.passed} passed, ${after.seen} seen`)
      }
      expect(faults).toEqual([])
    },
  )
})

/** Status of the request that is sent behind a payload, on a connection of its own. */
const MARK = 299

/** Requests that the server has told apart, refused ones included. */
function countOf(server: Server): number {
  const { requestsTotal, refusedTotal } = server.stats()
  return Number(requestsTotal) + Number(refusedTotal)
}

async function start(
  name: (typeof PROXIES)[number],
  program: string,
): Promise<{ server: Server; proxy: Proxy; use: (variant: Variant) => void }> {
  let app: RsgiAppObject = createApp(GOOD).app
  const whole: RsgiAppObject = {
    __rsgi__(scope, protocol) {
      if (scope.path !== '/mark') return app.__rsgi__(scope, protocol)
      return protocol.responseEmpty(MARK, [])
    },
  }
  const server = await serveApp(whole, { interface: 'rsgi' })
  const proxy = await startProxy(name, program, server)
  return {
    server,
    proxy,
    use(variant) {
      app = createApp(variant).app
    },
  }
}

/** What stands in for a payload before the first one. */
const GOOD: Variant = { name: 'good', send: [], answers: [200], messages: 1, after: 'open' }

/** Sends the bytes and one request behind them; returns when the proxy has ended the connection. */
async function sendAll(proxy: Proxy, bytes: Uint8Array): Promise<void> {
  const client = await RawClient.connect(proxy)
  await client.send(Buffer.concat([bytes, Buffer.from(LAST)]))
  await client.reader.ended
  await client.close()
}
