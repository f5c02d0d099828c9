/** Named regressions of what is around an application: deadlines, descriptors, memory, frameworks, locks. */
import { spawn } from 'node:child_process'

import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import { describe, expect, test } from 'vitest'

import { atRest, serveApp } from '../harness/app.ts'
import { ROOT, cleanEnv, startCli, watch } from '../harness/cli.ts'
import { RawClient, formatRequest, request } from '../harness/client.ts'
import { folderWith } from '../harness/folder.ts'
import { INTERFACES, serveHandler } from '../harness/interfaces.ts'
import { expectLog } from '../harness/logs.ts'
import { MODE } from '../harness/mode.ts'
import { report, residentBound, scaled, soon, timeLimit } from '../harness/scale.ts'
import { codeOf, sourcesIn } from '../harness/sources.ts'

import type { Options } from '../harness/app.ts'

const MIB = 1024 * 1024

describe.each(INTERFACES)('%s', (name) => {
  test.each<[string, string, Options]>([
    ['nothing', '', { firstByteTimeout: '200ms' }],
    ['half a head', 'GET / HT', { headTimeout: '200ms' }],
    ['half a body', 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf', { bodyIdleTimeout: '200ms' }],
    ['an idle connection', 'GET /idle HTTP/1.1\r\nhost: a\r\n\r\n', { keepAlive: '200ms' }],
  ])('g11_slow_head: %s ends at its deadline', async (_what, bytes, options) => {
    const server = await serveHandler(
      name,
      async (call) => {
        if (call.path !== '/idle') while ((await call.read().catch(() => undefined)) !== undefined);
        await Promise.resolve(call.respond(200, [], 'ok')).catch(() => undefined)
      },
      options,
    )
    const started = performance.now()
    const client = await RawClient.connect(server)
    await client.send(bytes)
    await client.reader.ended
    const elapsed = performance.now() - started
    expect(elapsed).toBeGreaterThanOrEqual(190)
    expect(elapsed).toBeLessThan(soon(1200))
    // Else the server waits for a while: what the client sends on must not reset the answer that it has not read.
    await client.close()
    await atRest(server)
  })

  test('g23_no_lock_call: a handler may use the server that calls it, in any way, and everybody is answered', async () => {
    const server = await serveHandler(name, async (call) => {
      if (call.path === '/inner') return call.respond(200, [], 'inner')
      server.stats()
      server.unref().ref()
      const own = await serveHandler(name, ({ respond }) => respond(200, [], 'other'))
      const texts = await Promise.all([request(own), request(server, { path: '/inner' })])
      await own.close({ timeout: 1 })
      return call.respond(200, [], texts.map(({ text }) => text).join(' '))
    })
    const answers = await Promise.all(Array.from({ length: 5 }, () => request(server)))
    expect(answers.map(({ text }) => text)).toEqual(Array(5).fill('other inner'))
  })
})

test('g23_no_lock_call: the loop driver and the calls of a request have no lock to hold', () => {
  const files = ['calls.rs', 'dispatch.rs', 'driver.rs', 'peer.rs', 'phases.rs'].map(
    (file) => `crates/node/src/${file}`,
  )
  const found = sourcesIn('crates/node/src', '.rs').filter(({ path }) => files.includes(path))
  expect(found.map(({ path }) => path)).toEqual(files)
  expect(found.filter(({ text }) => /\b(?:Mutex|RwLock|Condvar)\b/.test(codeOf(text))).map(({ path }) => path)).toEqual(
    [],
  )
})

test(
  'g04_upload_memory: memory that uploads have taken comes back',
  async () => {
    // What is freed goes back to the system at once: else glibc keeps up to 32 MiB at the end of its heap and what
    // lies below a piece that is in use, and gives it back when it likes (51 MiB were seen, with 4 in use as before).
    const env = { MALLOC_MMAP_THRESHOLD_: '4096' }
    const cli = await startCli(['__test__/fixtures/uploads.mjs', '--bind', '127.0.0.1:0', '--max-body', '64m'], {
      nodeArgs: ['--expose-gc'],
      env,
    })
    const resident = async (): Promise<number> => Number((await request(cli.url, { path: '/resident' })).text)
    const upload = async (): Promise<void> => {
      const client = await RawClient.connect(cli.url)
      const piece = Buffer.alloc(MIB, 'x')
      await client.send(formatRequest({ method: 'POST', headers: [['content-length', String(16 * MIB)]] }))
      for (let sent = 0; sent < 16; sent++) await client.send(piece)
      expect((await client.read()).text).toBe(String(16 * MIB))
      await client.close()
    }
    const before = await resident()
    for (let count = 0; count < scaled(6, 64); count++) await upload()
    const growth = (await resident()) - before
    report(
      `${MODE}: ${scaled(6, 64)} uploads of 16 MiB, resident memory from a cold start ${Math.round(growth / 1024)} KiB`,
    )
    // No more than one of them: V8 makes its heap larger, and nothing else stays.
    expect(growth).toBeLessThan(residentBound(16 * MIB))
  },
  timeLimit(30_000),
)

test('g18_accept_error: without descriptors nothing is accepted, and with some everything again', async () => {
  const program = `ulimit -n 64; exec "$0" "$@"`
  const folder = folderWith({ 'app.mjs': `export const fetch = () => new Response('ok')` })
  const args = [`${ROOT}dist/cli.js`, `${folder}/app.mjs`, '--bind', '127.0.0.1:0', '--worker-connections', '1000']
  const running = watch(
    spawn('sh', ['-c', program, process.execPath, ...args], { env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] }),
  )
  const ready = await Promise.race([running.line('ready'), running.exit])
  if (!('event' in ready)) throw new Error(`it did not start: ${JSON.stringify(ready)}`)
  const url = String(ready['url'])
  const crowd = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(url)))
  const first = crowd[0] as RawClient
  expect((await first.request()).text).toBe('ok')
  for (const client of crowd.slice(1)) await client.close()
  // Those that waited behind the crowd are accepted when it has gone.
  expect((await request(url)).text).toBe('ok')
  await first.close()
  running.child.kill('SIGTERM')
  expect((await running.exit).code).toBe(0)
}, 20_000)

describe('g15_frameworks', () => {
  test('a framework that streams events hears once that its client has gone', async () => {
    let aborts = 0
    let finals = 0
    const app = new Hono().get('/', (context) =>
      streamSSE(context, async (stream) => {
        stream.onAbort(() => {
          aborts += 1
        })
        try {
          while (!stream.aborted) {
            await stream.writeSSE({ data: 'tick' })
            await stream.sleep(5)
          }
        } finally {
          finals += 1
        }
      }),
    )
    const server = await serveApp(app)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.reader.through('data: tick')
    client.reset()
    await atRest(server)
    await expect.poll(() => [aborts, finals]).toEqual([1, 1])
  })

  test('a pipeline of web streams is torn down from its end', async () => {
    let cancels = 0
    const server = await serveApp(() => {
      const source = new ReadableStream({
        start: (to) => to.enqueue('one'),
        cancel: () => {
          cancels += 1
        },
      })
      return new Response(source.pipeThrough(new TextEncoderStream()))
    })
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.reader.through('one')
    client.reset()
    await atRest(server)
    await expect.poll(() => cancels).toBe(1)
  })

  test('a framework whose stream fails does not end the process', async () => {
    expectLog('the source is broken')
    const server = await serveApp(
      () =>
        new Response(
          new ReadableStream({
            pull() {
              throw new Error('the source is broken')
            },
          }),
        ),
    )
    expect((await request(server)).status).toBe(500)
  })
})
