/** Named regressions around start and stop: every end has a bound, and nothing of it is done twice. */
import { readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

import { describe, expect, test } from 'vitest'

import { sse, stream } from '../../dist/streaming.js'
import { serveApp } from '../harness/app.ts'
import { serveBadEnd } from '../harness/bad-end.ts'
import { ROOT, startCli } from '../harness/cli.ts'
import { RawClient, request, turns } from '../harness/client.ts'
import { folderWith } from '../harness/folder.ts'
import { INTERFACES, serveHandler } from '../harness/interfaces.ts'
import { startLoad } from '../harness/load.ts'
import { expectLog } from '../harness/logs.ts'
import { responseApp, serveResponse } from '../harness/responses.ts'
import { scaled, soon, timeLimit } from '../harness/scale.ts'

import type { FetchInfo, ServerRequest } from '../../dist/index.js'
import type { Server } from '../harness/app.ts'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

const FETCH = { interface: 'fetch' } as const

function descriptors(): number {
  return readdirSync('/proc/self/fd').length
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => {
    probe.listen(0, '127.0.0.1', resolve)
  })
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => {
    probe.close(resolve)
  })
  return port
}

describe.each(INTERFACES)('%s', (name) => {
  const rounds = scaled(20, 100)

  test(
    `g16_fd_once: ${rounds} starts on one port accept each time and leave no descriptor`,
    async () => {
      const bind = `127.0.0.1:${await freePort()}`
      let before = 0
      for (let round = 0; round < rounds; round++) {
        const server = await serveHandler(name, ({ respond }) => respond(200, [], String(round)), { bind })
        expect((await request(server)).text).toBe(String(round))
        await server.close({ timeout: 1 })
        await turns(2)
        if (round === 1) before = descriptors()
      }
      expect(descriptors()).toBeLessThanOrEqual(before)
    },
    timeLimit(20_000),
  )

  test(
    `g36_embedded: ${rounds} servers one after the other in one process, two at a time, answer and stop`,
    async () => {
      const listeners = process.listenerCount('exit')
      let last: Server | undefined
      for (let round = 0; round < rounds; round++) {
        const server = await serveResponse(name, () => stream(['one', String(round)]))
        expect((await request(server)).text).toBe(`one${round}`)
        await last?.close({ timeout: 1 })
        last = server
      }
      await last?.close({ timeout: 1 })
      expect(process.listenerCount('exit')).toBe(listeners)
    },
    timeLimit(20_000),
  )

  describe('g38_bounded_stop', () => {
    const HANGING: Readonly<Record<string, () => Response | Promise<Response>>> = {
      'a handler that never answers': () => new Promise(() => {}),
      'a stream that never ends': () => stream(new ReadableStream({ start: (to) => to.enqueue('x') })),
      'events that never come': () => sse(new ReadableStream()),
      'a source that hangs when it is closed': () => {
        const iterator = { next: () => new Promise(() => {}), return: () => new Promise(() => {}) }
        return stream({ [Symbol.asyncIterator]: () => iterator } as never)
      },
      'a client that does not read': () =>
        stream(
          (function* () {
            for (;;) yield 'x'.repeat(65_536)
          })(),
        ),
    }

    test.each(Object.entries(HANGING))('%s holds the stop no longer than its timeout', async (_what, make) => {
      const server = await serveResponse(name, make)
      const clients = await Promise.all(Array.from({ length: 3 }, () => RawClient.connect(server)))
      for (const client of clients) {
        client.pause()
        await client.send(GET)
      }
      await expect.poll(() => server.stats().requests).toBe(3)
      const started = performance.now()
      await server.close({ timeout: 0.2 })
      expect(performance.now() - started).toBeLessThan(soon(2000))
    })
  })

  test(
    'g29_stop_busy_loop: a stop that is asked for while the loop is busy is heard when it is not',
    async () => {
      const folder = folderWith({
        'app.mjs': appText(name, `console.log('busy'); const end = Date.now() + 300; while (Date.now() < end);`),
      })
      for (let round = 0; round < scaled(2, 72); round++) {
        const cli = await startCli([`${folder}/app.mjs`, '--bind', '127.0.0.1:0', '--lifespan', 'off'])
        const client = await RawClient.connect(cli.url)
        await client.send(GET)
        await expect.poll(() => cli.output().stdout).toContain('busy')
        cli.child.kill('SIGTERM')
        // What was asked before the stop is answered.
        expect((await client.read()).text).toBe('answer')
        // Another signal would be the second one, which ends it at once.
        await cli.ended()
      }
    },
    timeLimit(30_000),
  )

  const stops = scaled(2, 200)
  test(
    `g28_stop_under_load: ${stops} stops under load end with 0 and say nothing`,
    async () => {
      const folder = folderWith({ 'app.mjs': appText(name, '') })
      for (let round = 0; round < stops; round++) {
        const cli = await startCli([`${folder}/app.mjs`, '--bind', '127.0.0.1:0', '--lifespan', 'off'])
        const load = startLoad(cli.url, 20)
        await load.reached(200 + round)
        expect((await cli.stop()).code).toBe(0)
        await load.finished()
      }
    },
    timeLimit(60_000),
  )

  test('g31_stop_every_state: idle, half a request, a handler, an event stream: TERM ends them all in time', async () => {
    const folder = folderWith({ 'app.mjs': appText(name, '') })
    const cli = await startCli(
      [`${folder}/app.mjs`, '--bind', '127.0.0.1:0', '--lifespan', 'off', '--graceful-timeout', '300ms'],
      { expectLog: [/cut|still open/] },
    )
    const clients = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(cli.url)))
    await clients[0]?.request()
    await clients[1]?.send(GET.slice(0, 10))
    await clients[2]?.send('GET /never HTTP/1.1\r\nhost: a\r\n\r\n')
    await clients[3]?.send('GET /events HTTP/1.1\r\nhost: a\r\n\r\n')
    await clients[3]?.reader.through('data: begin\n\n')
    const started = performance.now()
    await cli.stop().catch((error: Error) => {
      // A stop that cut says so or not: the bound is what is tested here.
      if (!error.message.includes('expected on stderr')) throw error
    })
    expect(performance.now() - started).toBeLessThan(soon(3000))
    for (const client of clients) await client.reader.ended
  })

  test('g35_wrappers: with every log and every limit on, an application sees and sends the same', async () => {
    const make = (path: string): Response => (path === '/stream' ? stream(['one', 'two', 'three']) : stream('whole'))
    const plain = await serveResponse(name, make)
    const wrapped = await serveResponse(name, make, {
      logLevel: 'debug',
      keepAlive: '1s',
      keepAliveMaxAge: '1h',
      bodyMinRate: 1,
      streamBuffer: 65_536,
      serverHeader: 'test',
      allowHalfOpen: true,
      fastResponse: true,
    })
    for (const path of ['/whole', '/stream']) {
      const [one, two] = await Promise.all([request(plain, { path }), request(wrapped, { path })])
      const fields = ({ headers }: typeof one): unknown => headers.filter(([key]) => !['date', 'server'].includes(key))
      expect([two.status, two.text, fields(two)]).toEqual([one.status, one.text, fields(one)])
    }
  })
})

test('g38_bounded_stop: promises given to waitUntil hold the stop no longer than its timeout', async () => {
  expectLog('waitUntil')
  const server = await serveBadEnd((_request: ServerRequest, info: FetchInfo) => {
    info.waitUntil(new Promise(() => {}))
    return new Response('ok')
  }, FETCH)
  await request(server)
  const started = performance.now()
  await server.close({ timeout: 0.2 }).catch(() => undefined)
  expect(performance.now() - started).toBeLessThan(soon(2000))
})

test('g17_init_order: the module first, then the start of the application, then the port, then requests, then the end', async () => {
  const folder = folderWith({
    'app.mjs': `
      console.log('module')
      export const app = {
        async __rsgi_init__() { await new Promise((resolve) => setTimeout(resolve, 20)); console.log('init') },
        __rsgi__(scope, protocol) { console.log('request'); protocol.responseStr(200, [], 'ok') },
        async __rsgi_del__() { await null; console.log('del') },
      }`,
  })
  const cli = await startCli([`${folder}/app.mjs`, '--bind', '127.0.0.1:0'])
  await request(cli.url)
  const { stdout } = await cli.stop()
  const words = stdout
    .split('\n')
    .map((line) => (line.startsWith('{') ? (JSON.parse(line) as { event: string }).event : line))
  expect(words.filter((word) => ['module', 'init', 'ready', 'request', 'del', 'stopped'].includes(word))).toEqual([
    'module',
    'init',
    'ready',
    'request',
    'del',
    'stopped',
  ])
})

test.each(INTERFACES)(
  'g34_mixed_soak: %s serves whole answers, streams, uploads and people who leave, side by side',
  async (name) => {
    const server = await serveApp(
      responseApp(name, async (path) => {
        if (path !== '/stream') return stream(path)
        return stream(
          (async function* () {
            for (let index = 0; index < 10; index++) {
              yield 'x'.repeat(10_000)
              if (index % 3 === 0) await turns(1)
            }
          })(),
        )
      }),
      { interface: name, lifespan: 'off' },
    )
    const rounds = scaled(100, 20_000)
    const lane = async (number: number): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        const kind = (number + round) % 4
        const client = await RawClient.connect(server)
        if (kind === 0) expect((await client.request({ path: '/whole' })).text).toBe('/whole')
        else if (kind === 1) expect((await client.request({ path: '/stream' })).body.length).toBe(100_000)
        else if (kind === 2) {
          const answer = await client.request({ method: 'POST', path: '/up', body: 'y'.repeat(100_000) })
          expect(answer.text).toBe('/up')
        } else {
          await client.send('GET /stream HTTP/1.1\r\nhost: a\r\n\r\n')
          if (round % 2 === 0) await client.reader.any()
          client.reset()
        }
        await client.close()
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_value, number) => lane(number)))
    expect(server.stats()).toMatchObject({ panicsTotal: 0, wrongThreadDrops: 0 })
  },
  timeLimit(30_000),
)

/** An application of the interface that answers after `work`, and has streams that never end. */
function appText(name: string, work: string): string {
  const streaming = new URL('dist/streaming.js', `file://${ROOT}`).href
  return `
    import { sendAsgi, sendRsgi, sse, stream } from '${streaming}'
    async function* events() { yield 'begin'; await new Promise(() => {}) }
    function respond(path) {
      if (path === '/never') return new Promise(() => {})
      if (path === '/events') return sse(events())
      ${work}
      return stream('answer')
    }
    const apps = {
      fetch: { fetch: (request) => respond(new URL(request.url).pathname) },
      rsgi: { __rsgi__: async (scope, protocol) => sendRsgi(await respond(scope.path), protocol) },
      asgi: async (scope, receive, send) => sendAsgi(await respond(scope.path), receive, send),
    }
    export default apps['${name}']`
}
