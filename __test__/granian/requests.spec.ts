/** Named regressions within a request: waits, collections, bytes, arguments, contexts. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { Worker } from 'node:worker_threads'

import { describe, expect, test } from 'vitest'

import { native } from '../../dist/native.js'
import { atRest, serveApp } from '../harness/app.ts'
import { serveAsgi } from '../harness/asgi.ts'
import { ROOT } from '../harness/cli.ts'
import { RawClient, request, turns } from '../harness/client.ts'
import { collectGarbage } from '../harness/garbage.ts'
import { INTERFACES, serveHandler } from '../harness/interfaces.ts'
import { expectLog } from '../harness/logs.ts'
import { pending } from '../harness/promises.ts'
import { serveRsgi } from '../harness/rsgi.ts'
import { scaled, soon, timeLimit } from '../harness/scale.ts'

import type { ServerRequest } from '../../dist/index.js'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

function heap(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

describe('g02_cancelled_receive', () => {
  const waits = scaled(20_000, 100_000)
  const limit = 2 * 1024 * 1024
  const gaveUp = Promise.resolve('gave up')

  /** Waits and gives up, again and again, and says by how much the heap has grown meanwhile. */
  async function giveUp(wait: () => Promise<unknown>): Promise<number> {
    await Promise.race([gaveUp, wait()])
    const before = heap()
    for (let count = 0; count < waits; count++) {
      // A race itself leaves its reaction on the promise that lost: the wait alone is measured.
      void wait()
      if (count % 1000 === 0) await turns(1)
    }
    return heap() - before
  }

  test(`asgi: ${waits} waits for the disconnect that are given up leave nothing on the request`, async () => {
    let growth = Infinity
    const server = await serveAsgi(async (_scope, receive, send) => {
      await receive()
      growth = await giveUp(receive)
      await send({ type: 'http.response.start', status: 200 })
      await send({ type: 'http.response.body', body: 'done' })
    })
    expect((await request(server)).text).toBe('done')
    expect(growth).toBeLessThan(limit)
  })

  test(`rsgi: ${waits} waits for the disconnect that are given up leave nothing on the request`, async () => {
    let growth = Infinity
    const server = await serveRsgi(async (_scope, protocol) => {
      growth = await giveUp(() => protocol.clientDisconnect())
      protocol.responseStr(200, [], 'done')
    })
    expect((await request(server)).text).toBe('done')
    expect(growth).toBeLessThan(limit)
  })

  test(`fetch: ${waits} looks at the signal leave nothing on the request`, async () => {
    let growth = Infinity
    const server = await serveApp(async (request: ServerRequest) => {
      growth = await giveUp(() => Promise.resolve(request.signal))
      return new Response('done')
    })
    expect((await request(server)).text).toBe('done')
    expect(growth).toBeLessThan(limit)
  })
})

describe.each(INTERFACES)('%s', (name) => {
  test('g06_gc_pending: a handler that waits while the collector runs goes on as if nothing had been', async () => {
    const go = pending()
    let waiting = 0
    const server = await serveHandler(name, async ({ respond, path }) => {
      waiting += 1
      await go.promise
      return respond(200, [], path)
    })
    const answers = Array.from({ length: 50 }, (_value, index) => request(server, { path: `/${index}` }))
    await expect.poll(() => waiting).toBe(50)
    for (let round = 0; round < 3; round++) {
      collectGarbage()
      await turns(2)
    }
    go.resolve()
    expect((await Promise.all(answers)).map(({ text }) => text)).toEqual(answers.map((_answer, index) => `/${index}`))
  })

  test('g09_bad_utf8: any byte in path, query and headers is answered, or refused by the server', async () => {
    const server = await serveHandler(name, ({ respond, path }) => respond(200, [], path.slice(0, 1)))
    const refused: number[] = []
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCodePoint(byte)
      const hex = `%${byte.toString(16).padStart(2, '0')}`
      const messages = [
        `GET /a${char}b HTTP/1.1\r\nhost: a\r\n\r\n`,
        `GET /?a=${char} HTTP/1.1\r\nhost: a\r\n\r\n`,
        `GET / HTTP/1.1\r\nhost: a\r\nx-value: a${char}b\r\n\r\n`,
        `GET /a${hex}b?a=${hex}${hex} HTTP/1.1\r\nhost: a\r\n\r\n`,
      ]
      const statuses = await Promise.all(
        messages.map(async (message) => {
          const client = await RawClient.connect(server)
          await client.send(message)
          // A line feed ends a line, and what follows is another request or none.
          if (byte === 0x0a) await client.finish()
          const { status } = await client.read()
          await client.close()
          return status
        }),
      )
      expect(statuses.filter((status) => ![200, 400, 505].includes(status))).toEqual([])
      // What is escaped is no byte of the line.
      expect(statuses[3]).toBe(200)
      if (statuses[2] === 400) refused.push(byte)
    }
    // Controls but the tab, and nothing of Latin-1.
    expect(refused).toEqual([...Array(32).keys(), 127].filter((byte) => byte !== 9))
  })

  test('g14_real_promises: what an application waits for are the promises and streams of the language', async () => {
    const kinds: boolean[] = []
    const server = await serveHandler(name, async (call) => {
      kinds.push(call.read() instanceof Promise)
      await call.respond(200, [], 'ok')
    })
    await request(server, { method: 'POST', body: 'x' })
    if (name === 'fetch') {
      const own = await serveApp(async (request: ServerRequest) => {
        kinds.push(request.body instanceof ReadableStream, request.signal instanceof AbortSignal)
        kinds.push(request.clone().text() instanceof Promise)
        const [one, two] = (request.body as ReadableStream<Uint8Array>).tee()
        return new Response(`${await new Response(one).text()} ${await new Response(two).text()}`)
      })
      expect((await request(own, { method: 'POST', body: 'x' })).text).toBe('x x')
    }
    expect(kinds.every(Boolean)).toBe(true)
  })

  test(
    'g26_handle_count: no kind of waiting leaves a handle or an object behind',
    async () => {
      const gone: Promise<void>[] = []
      const server = await serveHandler(name, async (call) => {
        while ((await call.read()) !== undefined);
        gone.push(new Promise((resolve) => call.onAbort(resolve)))
        const sink = await call.stream(200, [])
        await sink.write('x')
        await sink.end()
      })
      const round = async (): Promise<void> => {
        const client = await RawClient.connect(server)
        await client.request({ method: 'POST', body: 'body' })
        await client.close()
        await atRest(server)
        gone.length = 0
      }
      for (let count = 0; count < 20; count++) await round()
      const resources = process.getActiveResourcesInfo().length
      const before = heap()
      const rounds = scaled(200, 5000)
      for (let count = 0; count < rounds; count++) await round()
      expect(process.getActiveResourcesInfo().length).toBeLessThanOrEqual(resources)
      expect((heap() - before) / rounds).toBeLessThan(4096)
    },
    timeLimit(20_000),
  )

  test('g33_async_context: a store that is entered in a request is seen in each of its callbacks, and by no other', async () => {
    const storage = new AsyncLocalStorage<string>()
    const seen: [string, string | undefined][] = []
    const server = await serveHandler(name, async (call) => {
      const { path } = call
      const note = (): void => void seen.push([path, storage.getStore()])
      seen.push(['before', storage.getStore()])
      storage.enterWith(path)
      await call.read()
      note()
      // In ASGI both are messages of one queue.
      call.onAbort(note)
      const sink = await call.stream(200, [])
      await sink.write('x')
      note()
      await new Promise((resolve) => setTimeout(resolve, 1))
      note()
      if (path === '/left') await new Promise(() => {})
      await sink.end()
    })
    const message = (path: string): string => `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n`
    const clients = await Promise.all(['/one', '/two', '/left'].map(() => RawClient.connect(server)))
    for (const [index, path] of ['/one', '/two', '/left'].entries()) await clients[index]?.send(message(path))
    await turns(3)
    for (const client of clients) await client.send('body')
    for (const client of clients) await client.reader.through('x')
    await expect.poll(() => seen.filter(([path]) => path === '/left').length).toBe(3)
    clients[2]?.reset()
    await expect.poll(() => seen.filter(([path]) => path === '/left').length).toBe(4)
    expect(seen.filter(([path, store]) => store !== (path === 'before' ? undefined : path))).toEqual([])
    for (const client of clients) await client.close()
  })

  test('g25_stalled_send: sends that wait for a client hold up nobody, and are let go with it', async () => {
    let rejected = 0
    const server = await serveHandler(name, async (call) => {
      if (call.path === '/quick') return call.respond(200, [], 'quick')
      const sink = await call.stream(200, [])
      let room: Promise<unknown> | undefined
      // Two sends that nobody awaits, and the application is over.
      const piece = 'x'.repeat(2 * 1024 * 1024)
      for (let count = 0; count < 8; count++) {
        room = sink.write(piece)
        room?.catch(() => (rejected += 1))
        await turns(1)
      }
      call.onAbort(() => undefined)
      await room?.catch(() => undefined)
      return undefined
    })
    const stalled = await Promise.all([RawClient.connect(server), RawClient.connect(server)])
    for (const client of stalled) {
      client.pause()
      await client.send(GET)
    }
    await expect.poll(() => server.stats().responseBytes).toBeGreaterThan(0)
    const started = performance.now()
    expect((await request(server, { path: '/quick' })).text).toBe('quick')
    expect(performance.now() - started).toBeLessThan(soon(1000))
    for (const client of stalled) client.reset()
    await atRest(server)
    expect(rejected).toBeGreaterThanOrEqual(name === 'fetch' ? 0 : 1)
  })
})

describe('g10_wrong_thread', () => {
  test('the calls of another thread for a request of this one are refused and change nothing', async () => {
    const server = await serveRsgi(async (_scope, protocol) => {
      const worker = new Worker(
        `const { native } = await import(${JSON.stringify(`file://${ROOT}dist/native.js`)})
         const { parentPort } = await import('node:worker_threads')
         const results = []
         for (let id = 0; id < 64; id++) {
           results.push(native.respond(id, 200, '', 0, 'stolen', 0), native.start(id, 200, '', 0, 0), native.reset(id),
             native.extend(id, 1000), native.chunk(id, 'x', 0), native.end(id, 0), native.takeBody(id))
         }
         parentPort.postMessage([...new Set(results)])`,
        { eval: true, execArgv: ['--input-type=module'] },
      )
      const results = await new Promise<unknown>((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
      await worker.terminate()
      protocol.responseStr(200, [], JSON.stringify(results))
    })
    // False, and "gone" in the calls that answer with a number.
    expect(JSON.parse((await request(server)).text)).toEqual([false, 2])
  })
})

describe('g22_bad_arguments', () => {
  const ODD: readonly unknown[] = [undefined, null, -1, 1.5, NaN, Infinity, 2 ** 60, '', '\ud800', 'x', true, [], {}, () => 1, Symbol('s'), 10n, new Date(), new Map(), Object.create(null), new Uint8Array(0), new DataView(new ArrayBuffer(2))] // prettier-ignore

  test('every call of the addon takes anything for an argument: an error or a refusal, and the process goes on', async () => {
    const server = await serveRsgi((_scope, protocol) => protocol.responseStr(200, [], 'ok'))
    const calls = [native.respond, native.start, native.chunk, native.end, native.reset, native.takeBody, native.extend]
    for (const call of calls as unknown as ((...args: unknown[]) => unknown)[]) {
      for (const first of ODD) {
        for (const second of ODD) {
          for (const args of [
            [],
            [first],
            [first, second],
            [first, second, first, second, first, second, first, second],
          ]) {
            try {
              expect([false, 2, undefined]).toContain(call(...args))
            } catch (error) {
              if ((error as Error).name === 'AssertionError') throw error
              expect(error).toBeInstanceOf(Error)
            }
          }
        }
      }
    }
    expect((await request(server)).text).toBe('ok')
    expect(server.stats().panicsTotal).toBe(0)
  })

  test('asgi: no message breaks anything but its own request', async () => {
    expectLog('unhandled error in the application')
    expectLog(/the application returned|ERR_|TypeError/)
    const server = await serveAsgi(async (scope, _receive, send) => {
      const odd = ODD[Number(scope.path.slice(2))]
      const headers = [[odd, odd]]
      const messages: unknown[] = [
        odd,
        { type: odd },
        { type: 'http.response.start', status: odd },
        { type: 'http.response.start', status: 200, headers: odd },
        { type: 'http.response.start', status: 200, headers },
        { type: 'http.response.body', body: odd, more_body: odd },
        { type: 'http.response.trailers', headers },
      ]
      for (const message of messages) await send(message as never).catch(() => undefined)
    })
    for (let index = 0; index < ODD.length; index++) {
      const client = await RawClient.connect(server)
      await client.send(`GET /a${index} HTTP/1.1\r\nhost: a\r\n\r\n`)
      await client.reader.any()
      await client.close()
    }
    expect(server.stats().panicsTotal).toBe(0)
  })

  test('rsgi: no argument breaks anything but its own request', async () => {
    const server = await serveRsgi((scope, protocol) => {
      const odd = ODD[Number(scope.path.slice(2))] as never
      for (const call of [
        () => protocol.responseEmpty(odd, odd),
        () => protocol.responseStr(200, [[odd, odd]], odd),
        () => protocol.responseBytes(200, odd, odd),
        () => protocol.responseStream(odd, [odd]),
      ]) {
        try {
          call()
        } catch (error) {
          expect(error).toBeInstanceOf(Error)
        }
      }
      try {
        protocol.responseStr(200, [], 'ok')
      } catch {
        // One of the odd ones was an answer.
      }
    })
    for (let index = 0; index < ODD.length; index++) {
      expect((await request(server, { path: `/a${index}` })).status).toBeGreaterThanOrEqual(200)
    }
    expect(server.stats().panicsTotal).toBe(0)
  })
})
