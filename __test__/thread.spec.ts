/** What only the threaded driver can promise: it goes on while JavaScript is blocked. */
import { readFileSync, readdirSync } from 'node:fs'

import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { startCli } from './harness/cli.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { MODE } from './harness/mode.ts'

import type { Cli } from './harness/cli.ts'

/** Blocks for as long as it is asked to; counts whom it has seen. */
const APP = `
const seen = []
export const app = {
  __rsgi__(scope, protocol) {
    if (scope.path === '/seen') return protocol.responseStr(200, [], seen.join())
    seen.push(scope.path)
    if (scope.path === '/block') {
      const end = performance.now() + Number(scope.queryString)
      while (performance.now() < end);
    }
    if (scope.path === '/big') {
      setImmediate(() => {
        const end = performance.now() + 1000
        while (performance.now() < end);
      })
    }
    protocol.responseStr(200, [], 'x'.repeat(scope.path === '/big' ? 20_000_000 : 1))
  },
}
`

function startBlocker(...flags: string[]): Promise<Cli> {
  return startCli(['app.mjs', '--bind', '127.0.0.1:0', '--runtime-mode', 'thread', ...flags], {
    cwd: folderWith({ 'app.mjs': APP }),
  })
}

/** What the application has seen, when it can be asked again. */
async function seenBy({ url }: Cli): Promise<string> {
  for (;;) {
    const { status, text } = await request(url, { path: '/seen' })
    if (status === 200) return text
  }
}

/** Threads of the driver in this process, by name. */
function threads(): string[] {
  return readdirSync('/proc/self/task').flatMap((task) => {
    try {
      const name = readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim()
      return name.startsWith('gneiss') ? [name] : []
    } catch {
      // It ended between the listing and the reading.
      return []
    }
  })
}

describe.runIf(MODE === 'thread')('while JavaScript is blocked', () => {
  test('a request that waits longer than requestTimeout is answered 504, and never reaches the application', async () => {
    const server = await startBlocker('--request-timeout', '200ms')
    const blocker = await RawClient.connect(server.url)
    const blocked = blocker.request({ path: '/block?1500' })
    const client = await RawClient.connect(server.url)
    // The blocker's own deadline passes as well: it has an answer although its handler never gave one in time.
    const [late, own] = await Promise.all([client.request({ path: '/late' }), blocked])
    expect([late.status, own.status]).toEqual([504, 504])
    expect(await seenBy(server)).toBe('/block')
  })

  test('a head that does not come to its end is closed at headTimeout, and a bad one is refused', async () => {
    const server = await startBlocker('--head-timeout', '200ms')
    const blocker = await RawClient.connect(server.url)
    const order: string[] = []
    const blocked = blocker.request({ path: '/block?1500' }).then(() => order.push('blocker'))
    const slow = await RawClient.connect(server.url)
    await slow.send('GET / HTTP/1.1\r\nhos')
    const bad = await RawClient.connect(server.url)
    await bad.send('GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n')
    expect((await bad.read()).status).toBe(400)
    order.push('bad')
    expect(await slow.ended()).toBe('fin')
    order.push('slow')
    await blocked
    expect(order).toEqual(['bad', 'slow', 'blocker'])
  })

  test('a request whose client has left meanwhile is dropped unread', async () => {
    const server = await startBlocker()
    const blocker = await RawClient.connect(server.url)
    const blocked = blocker.request({ path: '/block?1000' })
    const client = await RawClient.connect(server.url)
    await client.send('GET /gone HTTP/1.1\r\nhost: a\r\n\r\n')
    // Behind a request that is surely read, so that the driver has read the first one too.
    const other = await RawClient.connect(server.url)
    await other.send('GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n')
    expect((await other.read()).status).toBe(400)
    client.reset()
    await blocked
    expect(await seenBy(server)).toBe('/block')
  })

  test('an answer that was given goes on leaving', async () => {
    const server = await startBlocker()
    const order: string[] = []
    const client = await RawClient.connect(server.url)
    const other = await RawClient.connect(server.url)
    await client.send('GET /big HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    // Most of it is left, because the kernel does not take so much at once, and JavaScript is blocked by now.
    const big = client.reader.exactly(20_000_000).then(() => order.push('big'))
    await Promise.all([big, other.request().then(() => order.push('other'))])
    expect(order).toEqual(['big', 'other'])
  })
})

describe.runIf(MODE === 'thread')('threads', () => {
  test.runIf(process.platform === 'linux')('are as many as runtimeThreads says, and end with the server', async () => {
    const server = await serveApp(
      { __rsgi__: (_scope, protocol) => protocol.responseEmpty(204, []) },
      { runtimeThreads: 4 },
    )
    expect(threads()).toHaveLength(4)
    expect(server.stats()).toMatchObject({ mode: 'thread', threads: 4, doorbellRefs: 4 })
    const clients = await Promise.all(Array.from({ length: 32 }, () => RawClient.connect(server)))
    const answers = await Promise.all(clients.map((client) => client.request()))
    expect(answers.every(({ status }) => status === 204)).toBe(true)
    expect(server.stats()).toMatchObject({ connections: 32, requestsTotal: 32 })
    await Promise.all(clients.map((client) => client.close()))
    await server.close()
    expect(server.stats()).toMatchObject({ threads: 0, doorbellRefs: 0, tasks: 0, fileDescriptors: 0 })
    while (threads().length > 0) await turns(1)
  })

  test('an isolate that asks for more than it can have is told the limit', async () => {
    const app = { __rsgi__: () => {} }
    for (let count = 0; count < 3; count++) await serveApp(app, { runtimeThreads: 8 })
    await expect(serveApp(app, { runtimeThreads: 8 })).rejects.toThrow(/31 I\/O threads are the most/)
  })

  test('serve beside the loop driver in one isolate, each with its own exchanges', async () => {
    const serve = (name: string, runtimeMode: 'loop' | 'thread') =>
      serveApp(
        {
          async __rsgi__(scope, protocol) {
            await turns(2)
            protocol.responseStr(200, [], `${name} ${scope.path}`)
          },
        },
        { runtimeMode },
      )
    const servers = await Promise.all([
      serve('a', 'loop'),
      serve('b', 'thread'),
      serve('c', 'thread'),
      serve('d', 'loop'),
    ])
    const ask = async (index: number): Promise<string> => {
      const server = servers[index % servers.length] as (typeof servers)[number]
      return (await request(server, { path: `/${index}` })).text
    }
    const texts = await Promise.all(Array.from({ length: 40 }, (_, index) => ask(index)))
    expect(texts).toEqual(Array.from({ length: 40 }, (_, index) => `${'abcd'[index % 4]} /${index}`))
  })
})
