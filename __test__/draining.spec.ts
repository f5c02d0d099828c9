/** What open requests hear of a stop: at once that it begins, and after four fifths of its time that they should end. */
import { describe, expect, test } from 'vitest'

import { sse, stream } from '../dist/streaming.js'
import { serveApp } from './harness/app.ts'
import { GET, serveAsgi } from './harness/asgi.ts'
import { startCli } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { LOCAL, POOL, logged } from './harness/pool.ts'
import { pending } from './harness/promises.ts'
import { scaled } from './harness/scale.ts'

import type { FetchInfo, RsgiProtocol, RsgiScope, ServerRequest } from '../dist/index.js'
import type { Server } from './harness/app.ts'
import type { Cli } from './harness/cli.ts'

/** Seconds; four fifths of it are long enough to be told from the beginning and from the end. */
const TIMEOUT = 3
/** Milliseconds a stop may take: what is promised, and in every run only that it comes to an end. */
const STOP_MOST = scaled(15_000, 3000)

/** When something happened since `began`, as a word. */
function momentOf(began: number): string {
  const share = (performance.now() - began) / (TIMEOUT * 1000)
  if (share < 0.5) return 'at once'
  return share < 0.79 ? 'early' : share < 1 ? 'late' : 'over'
}

/** Sends a request and waits until the application has it. */
async function open(server: Server, isThere: Promise<unknown>): Promise<RawClient> {
  const client = await RawClient.connect(server)
  await client.send(GET)
  await isThere
  return client
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

describe('an application', () => {
  test('of rsgi hears it by two signals, and ends its stream as a whole one', async () => {
    const there = pending()
    const heard: unknown[] = []
    let began = 0
    let isGone = false
    const server = await serveApp(
      async (_scope: RsgiScope, protocol: RsgiProtocol) => {
        const { draining, signal } = protocol
        expect(protocol.draining).toBe(draining)
        void protocol.clientDisconnect().then(() => (isGone = true))
        const body = protocol.responseStream(200, [])
        body.sendStr('a')
        there.resolve()
        await aborted(draining)
        heard.push(momentOf(began), draining.reason)
        body.sendStr('b')
        await aborted(signal)
        heard.push(momentOf(began), signal.reason)
        body.sendStr('c')
        body.end()
      },
      { interface: 'rsgi' },
    )
    const client = await open(server, there.promise)
    began = performance.now()
    const closing = server.close({ timeout: TIMEOUT })
    expect((await client.read()).text).toBe('abc')
    await closing
    const shutdown = expect.objectContaining({ code: 'ERR_SHUTDOWN', message: expect.stringMatching(/^shutdown: /) })
    expect(heard).toEqual(['at once', shutdown, 'late', shutdown])
    expect(isGone).toBe(false)
  })

  test('of fetch hears it by two signals, and what waits in vain is answered 503 without a word in the log', async () => {
    const there = pending()
    const heard: unknown[] = []
    let began = 0
    const server = await serveApp(
      async (incoming: ServerRequest, info: FetchInfo) => {
        expect(info.draining).toBe(incoming.draining)
        there.resolve()
        await aborted(info.draining)
        heard.push(momentOf(began), incoming.signal.aborted)
        await aborted(incoming.signal)
        const { name, cause } = incoming.signal.reason as Error
        heard.push(momentOf(began), name, (cause as { code?: string }).code)
        throw incoming.signal.reason
      },
      { interface: 'fetch' },
    )
    const client = await open(server, there.promise)
    began = performance.now()
    const closing = server.close({ timeout: TIMEOUT })
    const answer = await client.read()
    expect([answer.status, answer.text, answer.header('connection')]).toEqual([503, 'Service Unavailable', 'close'])
    await closing
    expect(heard).toEqual(['at once', false, 'late', 'AbortError', 'ERR_SHUTDOWN'])
  })

  test('of asgi hears the beginning if it asks, then the disconnect, and may complete its response', async () => {
    const there = pending()
    const heard: unknown[] = []
    let began = 0
    const server = await serveAsgi(async (_scope, receive, send) => {
      await send({ type: 'gneiss.drain' })
      heard.push((await receive()).type)
      await send({ type: 'http.response.start', status: 200 })
      await send({ type: 'http.response.body', body: 'a', more_body: true })
      there.resolve()
      // A wait that is given up takes nothing away.
      void receive()
      heard.push((await receive()).type, momentOf(began))
      heard.push((await receive()).type, momentOf(began), (await receive()).type)
      await send({ type: 'http.response.body', body: 'b' })
    })
    const client = await open(server, there.promise)
    began = performance.now()
    const closing = server.close({ timeout: TIMEOUT })
    expect((await client.read()).text).toBe('ab')
    await closing
    const late = ['http.disconnect', 'late', 'http.disconnect']
    expect(heard).toEqual(['http.request', 'gneiss.drain', 'at once', ...late])
  })

  test('of asgi that has not asked hears of the disconnect only, also while it waits for a body', async () => {
    const there = pending()
    const heard: unknown[] = []
    let began = 0
    const server = await serveAsgi(async (_scope, receive) => {
      there.resolve()
      heard.push((await receive()).type, (await receive()).type, momentOf(began))
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc')
    await there.promise
    began = performance.now()
    const closing = server.close({ timeout: TIMEOUT })
    // It returns without an answer, as it may after a disconnect: no error in the log.
    expect((await client.read()).status).toBe(503)
    await closing
    expect(heard).toEqual(['http.request', 'http.disconnect', 'late'])
  })

  test('hears at once what began before it asked', async () => {
    const there = pending()
    const go = pending()
    const seen: boolean[] = []
    const server = await serveApp(
      async (_scope: RsgiScope, protocol: RsgiProtocol) => {
        there.resolve()
        await go.promise
        seen.push(protocol.draining.aborted, protocol.signal.aborted)
        protocol.responseEmpty(204)
      },
      { interface: 'rsgi' },
    )
    const client = await open(server, there.promise)
    const closing = server.close({ timeout: TIMEOUT })
    go.resolve()
    expect((await client.read()).status).toBe(204)
    await closing
    expect(seen).toEqual([true, false])
  })

  test('hears of the end sooner when the time is shortened', async () => {
    const there = pending<AbortSignal>()
    const server = await serveApp(
      async (_scope: RsgiScope, protocol: RsgiProtocol) => {
        there.resolve(protocol.signal)
        await aborted(protocol.signal)
        protocol.responseEmpty(204)
      },
      { interface: 'rsgi' },
    )
    const client = await open(server, there.promise)
    const began = performance.now()
    const closing = [server.close({ timeout: 60 }), server.close({ timeout: 1 })]
    expect((await client.read()).status).toBe(204)
    await Promise.all(closing)
    expect(performance.now() - began).toBeGreaterThan(750)
    expect(performance.now() - began).toBeLessThan(5000)
  })
})

describe('a body that the server sends', () => {
  async function* forever(there: () => void, ended: () => void): AsyncGenerator<string> {
    try {
      yield 'first'
      there()
      await new Promise(() => {})
    } finally {
      ended()
    }
  }

  test.each(['fetch', 'rsgi', 'asgi'] as const)('of events is ended as a whole one, through %s', async (name) => {
    const { sendAsgi, sendRsgi } = await import('../dist/streaming.js')
    const there = pending()
    const events = (): Response =>
      sse(
        forever(there.resolve, () => {}),
        { keepAlive: 0 },
      )
    const apps = {
      fetch: () => events(),
      rsgi: (_scope: RsgiScope, protocol: RsgiProtocol) => sendRsgi(events(), protocol),
      asgi: (_scope: unknown, receive: never, send: never) => sendAsgi(events(), receive, send),
    }
    const server = await serveApp(apps[name] as never, { interface: name, lifespan: 'off' })
    const client = await open(server, there.promise)
    const began = performance.now()
    const closing = server.close({ timeout: TIMEOUT })
    expect((await client.read()).text).toBe('data: first\n\n')
    expect(momentOf(began)).toBe('late')
    await closing
  })

  test('of anything else has all of the time, and never looks complete', async () => {
    const there = pending()
    const ended = pending<string>()
    const steps = [Promise.resolve<IteratorResult<string>>({ done: false, value: 'half' })]
    let began = 0
    const server = await serveApp(
      () =>
        stream({
          [Symbol.asyncIterator]: () => ({
            next: (): Promise<IteratorResult<string>> => steps.shift() ?? (there.resolve(), new Promise(() => {})),
            return: (): Promise<IteratorResult<string>> => {
              ended.resolve(momentOf(began))
              return Promise.resolve({ done: true, value: undefined })
            },
          }),
        }),
      { interface: 'fetch' },
    )
    const client = await open(server, there.promise)
    began = performance.now()
    const closing = server.close({ timeout: TIMEOUT })
    expect((await client.reader.toEnd().catch(() => Buffer.from(''))).toString()).not.toContain('\r\n0\r\n')
    expect(await ended.promise).toBe('over')
    await closing
  })
})

describe.each(['0', '1'])('with --workers %s, an event stream that never ends', (workers) => {
  async function start(gracefulTimeout: string): Promise<Cli> {
    const cli = await startCli([POOL, ...LOCAL, '-w', workers, '--graceful-timeout', gracefulTimeout])
    const client = await RawClient.connect(cli)
    await client.send('GET /events HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    await client.reader.through('open')
    return cli
  }

  test('hears of SIGTERM twice, and is cut within gracefulTimeout and 2 s', async () => {
    const cli = await start('1s')
    const began = performance.now()
    cli.child.kill('SIGTERM')
    await logged(cli, 'draining\n')
    await logged(cli, 'aborted ERR_SHUTDOWN\n')
    expect(performance.now() - began).toBeGreaterThan(750)
    const exit = await cli.exited()
    expect(exit).toMatchObject({ code: 0, stderr: 'draining\naborted ERR_SHUTDOWN\n' })
    expect(performance.now() - began).toBeLessThan(STOP_MOST)
  })

  test('hears of a second SIGTERM, and is cut within 3 s', async () => {
    const cli = await start('60s')
    cli.child.kill('SIGTERM')
    await logged(cli, 'draining\n')
    const began = performance.now()
    cli.child.kill('SIGTERM')
    await logged(cli, 'aborted ERR_SHUTDOWN\n')
    expect(await cli.exited()).toMatchObject({ code: 143, stderr: 'draining\naborted ERR_SHUTDOWN\n' })
    expect(performance.now() - began).toBeLessThan(STOP_MOST)
  })

  test('hears of SIGINT, and is cut within 3 s', async () => {
    const cli = await start('60s')
    const began = performance.now()
    cli.child.kill('SIGINT')
    expect(await cli.exited()).toMatchObject({ code: 0, stderr: 'draining\naborted ERR_SHUTDOWN\n' })
    expect(performance.now() - began).toBeLessThan(STOP_MOST)
  })

  test('that listens to its signal ends the stop before its time is over', async () => {
    const cli = await startCli([POOL, ...LOCAL, '-w', workers, '--graceful-timeout', '2s'])
    const client = await RawClient.connect(cli)
    await client.send('GET /listening HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    cli.child.kill('SIGTERM')
    expect((await client.reader.toEnd()).toString()).toBe('4\r\nopen\r\n3\r\nend\r\n0\r\n\r\n')
    expect(await cli.exited()).toMatchObject({ code: 0, stderr: '' })
    await expect(request(cli)).rejects.toThrow('ECONNREFUSED')
  })
})
