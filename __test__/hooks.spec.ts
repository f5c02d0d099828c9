/** Hooks of a worker, through real processes: around requests, and at its end. */
import { describe, expect, test } from 'vitest'

import { defineConfig } from '../dist/index.js'
import { runCli, startCli } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { LOCAL, POOL, READY, logged, millisecondsOf, pidOf } from './harness/pool.ts'
import { scaled } from './harness/scale.ts'
import { timeLimit } from './harness/scale.ts'

import type { RequestInfo, ResponseInfo } from '../dist/index.js'
import type { Cli, CliOptions } from './harness/cli.ts'

/** One process for everything, and a worker behind a master. */
const WORKERS = ['0', '1'] as const

const SAY = "const say = (what) => process.stderr.write(JSON.stringify(what) + '\\n')\n"

const APP = `export default { async __rsgi__(scope, protocol) {
  switch (scope.path) {
    case '/stream': {
      const stream = protocol.responseStream(201, [])
      stream.sendStr('\\u00e9')
      await null
      stream.sendBytes(new Uint8Array(3))
      return stream.end()
    }
    case '/throw': throw new Error('thrown by the handler')
    case '/hang': return new Promise(() => {})
    case '/store': {
      await new Promise((resolve) => setTimeout(resolve, 10))
      return protocol.responseStr(200, [['x-seen', scope.requestId]], globalThis.store.getStore().id)
    }
    case '/hello world': return protocol.responseStr(200, [], 'hello')
    default: return protocol.responseEmpty(204)
  }
} }`

function start(config: string, args: readonly string[], options: CliOptions = {}): Promise<Cli> {
  const cwd = folderWith({ 'gneiss.config.mjs': SAY + config, 'app.mjs': APP })
  return startCli(['app.mjs', ...LOCAL, ...args], { ...options, cwd })
}

/** What the hooks have said so far. */
function said(cli: Cli): Record<string, unknown>[] {
  const lines = cli.output().stderr.split('\n')
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>)
}

describe.each(WORKERS)('with --workers %s, hooks around requests', (workers) => {
  test('see what is asked, and what is answered', async () => {
    const config = `export const preRequest = (worker, req) => say({ pre: req.path, target: req.target, query: req.query, method: req.method,
        version: req.httpVersion, scheme: req.scheme, host: req.header('Host'), hidden: req.header('@peer'),
        count: req.headers.length, client: req.client.host, port: req.client.port > 0, number: worker.number })
      export const post_request = (worker, req, res) => say({ post: req.path, status: res.status, bodyBytes: res.bodyBytes,
        isTimed: res.duration >= 0 && res.duration < 60_000, code: res.error?.code ?? null })`
    const cli = await start(config, ['-w', workers, '--request-timeout', '300ms'], {
      expectLog: [/^\{"pre"/, /^\{"post"/, 'thrown by the handler'],
    })
    await request(cli, { method: 'BREW', path: '/hello%20world?a=1', headers: [['x-a', 'b']] })
    await request(cli, { path: '/stream' })
    await request(cli, { path: '/throw' })
    expect((await request(cli, { path: '/hang' })).status).toBe(504)
    const client = await RawClient.connect(cli)
    await client.send('GET /hang?gone HTTP/1.1\r\nhost: a\r\n\r\n')
    await logged(cli, '"target":"/hang?gone"')
    client.reset()
    await logged(cli, '"post"', 5)
    const [first, ...others] = said(cli)
    expect(first).toEqual({
      pre: '/hello world',
      target: '/hello%20world?a=1',
      query: 'a=1',
      method: 'BREW',
      version: '1.1',
      scheme: 'http',
      host: 'example.test',
      count: 2,
      client: '127.0.0.1',
      port: true,
      number: 1,
    })
    const isTimed = true
    expect(others.filter((line) => 'post' in line)).toEqual([
      { post: '/hello world', status: 200, bodyBytes: 5, isTimed, code: null },
      { post: '/stream', status: 201, bodyBytes: 5, isTimed, code: null },
      { post: '/throw', status: 500, bodyBytes: 21, isTimed, code: null },
      { post: '/hang', status: 504, bodyBytes: 0, isTimed, code: 'ERR_REQUEST_TIMEOUT' },
      { post: '/hang', status: null, bodyBytes: 0, isTimed, code: 'ERR_CLIENT_DISCONNECTED' },
    ])
  })

  test('share the async context of their request, which no other request sees', async () => {
    const config = `import { AsyncLocalStorage } from 'node:async_hooks'
      const store = globalThis.store = new AsyncLocalStorage()
      export const pre_request = (worker, req) => store.enterWith({ id: req.header('x-id') })
      export const postRequest = (worker, req) => say({ post: store.getStore().id, id: req.header('x-id'), requestId: req.requestId })`
    const cli = await start(config, ['-w', workers], { expectLog: [/^\{"post"/] })
    const ids = Array.from({ length: 20 }, (_, index) => `id-${index}`)
    const answers = await Promise.all(ids.map((id) => request(cli, { path: '/store', headers: [['x-id', id]] })))
    expect(answers.map(({ text }) => text)).toEqual(ids)
    await logged(cli, '"post"', 20)
    expect(said(cli).filter(({ post, id }) => post !== id)).toEqual([])
    const seen = new Map(answers.map((answer) => [answer.text, answer.header('x-seen')]))
    expect(new Set(seen.values()).size).toBe(20)
    expect(said(cli).filter(({ id, requestId }) => requestId !== seen.get(String(id)))).toEqual([])
  })

  test.each([
    ['preRequest', '', 'not today'],
    ['postRequest', '', 'not today'],
    ['preRequest', 'async', 'not today'],
    ['postRequest', 'async', 'not today'],
  ])('that fail cost a line in 10 s and no request: %s %s', async (name, kind, message) => {
    const config = `export const ${name} = ${kind} () => { throw new Error('${message}') }`
    const pattern = new RegExp(`\\[error\\] the hook ${name} failed, and the request goes on\\n {4}Error: ${message}`)
    const cli = await start(config, ['-w', workers], { expectLog: [pattern] })
    const client = await RawClient.connect(cli)
    for (let round = 0; round < 20; round++) expect((await client.request()).status).toBe(204)
    await logged(cli, `the hook ${name} failed`)
    const { stderr } = await cli.stop()
    expect(stderr.split('the hook')).toHaveLength(2)
  })
})

test('with --workers 0, all hooks but those of other processes are called, in the order of their life', async () => {
  const names = ['onStarting', 'postFork', 'postWorkerInit', 'whenReady', 'workerExit', 'onExit']
  const others = ['preFork', 'childExit', 'nworkersChanged', 'workerInt', 'workerAbort']
  const config = [...names, ...others].map((name) => `export const ${name} = () => say({ hook: '${name}' })`).join('\n')
  const cwd = folderWith({
    'gneiss.config.mjs': SAY + config,
    'app.mjs': `${SAY}say({ hook: 'loaded' })\nexport default () => new Response()`,
  })
  const cli = await startCli(['app.mjs', ...LOCAL, '-w', '0'], { cwd, expectLog: [/^\{"hook"/] })
  await request(cli)
  await cli.stop()
  const order = ['onStarting', 'postFork', 'loaded', 'postWorkerInit', 'whenReady', 'workerExit', 'onExit']
  expect(said(cli).map(({ hook }) => hook)).toEqual(order)
})

test.each(WORKERS)('with --workers %s, onStarting and postWorkerInit refuse the start', async (workers) => {
  const refusing = (name: string): string => `export const ${name} = () => { throw new Error('not today') }`
  const run = (name: string): ReturnType<typeof runCli> =>
    runCli(['app.mjs', ...LOCAL, '-w', workers], {
      cwd: folderWith({ 'gneiss.config.mjs': refusing(name), 'app.mjs': APP }),
    })
  const first = await run('onStarting')
  expect(first).toMatchObject({ code: 2, stdout: '' })
  expect(first.stderr).toMatch(/^gneiss: the hook onStarting failed: not today \[ERR_HOOK\]\n/)
  const second = await run('postWorkerInit')
  expect(second).toMatchObject({ code: 3, stdout: '' })
  expect(second.stderr).toMatch(/^gneiss: the hook postWorkerInit failed: not today \[ERR_BOOT\]\n/)
})

describe('workerInt', () => {
  const INT = 'export const workerInt = (worker) => say({ int: worker.number })'

  test.each(WORKERS)('with --workers %s hears once of a quick stop', async (workers) => {
    const cli = await start(INT, ['-w', workers], { expectLog: [/^\{"int"/] })
    await cli.stop('SIGINT')
    expect(said(cli)).toEqual([{ int: 1 }])
  })

  test('hears of a signal to its worker alone', async () => {
    const cwd = folderWith({ 'gneiss.config.mjs': SAY + INT })
    const cli = await startCli([POOL, ...LOCAL, '--log-level', 'debug'], { cwd, expectLog: [/^\{"int"/] })
    process.kill(await pidOf(cli), 'SIGINT')
    await logged(cli, READY, 2)
    expect(said(cli)).toEqual([{ int: 1 }])
  })
})

/** Milliseconds: 200 of grace, 2,000 until the kill, and what the processes take; in every run only that it ends. */
const STOP_MOST = scaled(15_000, 2700)

describe('workerAbort', () => {
  const ABORT = 'export const workerAbort = async (worker) => { await null; say({ abort: worker.number }) }\n'

  test('hears of it before a worker that does not end is killed', async () => {
    const config = `${ABORT}export const workerExit = () => new Promise(() => setInterval(() => {}, 1000))`
    const cli = await start(config, ['--graceful-timeout', '200ms'])
    const took = await millisecondsOf(async () => {
      cli.child.kill('SIGTERM')
      const { code, stderr } = await cli.exited()
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /^\{"abort":1\}\n.*\[critical\] worker 1 \(pid \d+\) did not end in time and was killed\n$/,
      )
    })
    expect(took).toBeLessThan(STOP_MOST)
  })

  test('is not waited for longer than 250 ms, and not called while the loop is blocked', async () => {
    const never =
      'export const workerAbort = () => { say({ abort: 1 }); return new Promise(() => setInterval(() => {}, 1000)) }'
    const blocked = 'export const workerExit = () => { say({ exit: 1 }); for (;;); }'
    for (const [config, text] of [
      [`${never}\nexport const workerExit = never => new Promise(() => setInterval(() => {}, 1000))`, '{"abort":1}\n'],
      [`${ABORT}\n${blocked}`, '{"exit":1}\n'],
    ] as const) {
      const cli = await start(config, ['--graceful-timeout', '200ms'])
      const took = await millisecondsOf(async () => {
        cli.child.kill('SIGTERM')
        const { code, stderr } = await cli.exited()
        expect(code).toBe(1)
        expect(stderr.startsWith(text)).toBe(true)
        expect(stderr.slice(text.length)).toMatch(/^\[.*was killed\n$/)
      })
      expect(took).toBeLessThan(STOP_MOST)
    }
  })

  test('hears of it when an application never starts', { timeout: timeLimit(60_000) }, async () => {
    const app = `${SAY}export default { __rsgi__() {}, __rsgi_init__() {
      say({ init: 1 })
      return new Promise(() => setInterval(() => {}, 1000))
    } }`
    const cwd = folderWith({ 'gneiss.config.mjs': SAY + ABORT, 'app.mjs': app })
    // The process itself has to be up by then, which takes as long as the machine likes.
    for (const timeout of ['1s', '3s', '12s']) {
      const { code, stderr } = await runCli(['app.mjs', ...LOCAL, '--boot-timeout', timeout], { cwd })
      expect(code).toBe(3)
      if (!stderr.includes('init')) continue
      expect(stderr).toBe('{"init":1}\n{"abort":1}\ngneiss: worker 1 was not ready within bootTimeout [ERR_BOOT]\n')
      return
    }
    expect.unreachable('the worker was never up in time')
  })

  test('hears of SIGABRT, which then does what it does without a hook', async () => {
    const cwd = folderWith({ 'gneiss.config.mjs': SAY + ABORT })
    const cli = await startCli([POOL, ...LOCAL, '--log-level', 'debug'], {
      cwd,
      expectLog: [/^\{"abort"/, /was ended by SIGABRT: nobody here has sent that; /],
    })
    process.kill(await pidOf(cli), 'SIGABRT')
    await logged(cli, READY, 2)
    const alone = await start(ABORT, ['-w', '0'])
    alone.child.kill('SIGABRT')
    expect(await alone.exited()).toMatchObject({ signal: 'SIGABRT', stderr: '{"abort":1}\n' })
  })
})

describe('a configuration file', () => {
  test('has its hooks typed', () => {
    const config = defineConfig({
      workers: 2,
      preRequest: (worker, req) => void [worker.number.toFixed(), req.path.length, req.client?.port.toFixed()],
      postRequest(_worker, { method }: RequestInfo, { status, error }: ResponseInfo) {
        void [method.length, status?.toFixed(), error?.message]
      },
      workerAbort: async ({ pid }) => void pid.toFixed(),
    })
    expect(Object.keys(config)).toEqual(['workers', 'preRequest', 'postRequest', 'workerAbort'])
  })

  test.each([
    ['export const tlsContext = () => {}', /the hook tlsContext is not available: it comes with TLS, /],
    ['export default { tlsContext() {} }', /the hook tlsContext is not available: it comes with TLS, /],
    ['export const tls_context = () => {}', /the hook tls_context is not available: it comes with TLS, /],
    ['export default { ssl_context() {} }', /the hook ssl_context is not available: it is called tlsContext here, /],
    ['export const onReload = () => {}', /the hook onReload is not available: it comes with reloading, /],
    ['export const pre_exec = () => {}', /the hook pre_exec is not available: it comes with the binary upgrade, /],
    ['export const onExit = 5', /the hook onExit is no function; export a function/],
    ['export default { whenRedy() {} }', /unknown option whenRedy in gneiss\.config\.mjs; did you mean whenReady\?/],
  ])('with %s ends the start with 2 and says why', async (config, message) => {
    const cwd = folderWith({ 'gneiss.config.mjs': config, 'app.mjs': APP })
    const { code, stdout, stderr } = await runCli(['app.mjs', ...LOCAL], { cwd })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr).toMatch(/^gneiss: .*gneiss\.config\.mjs.* \[ERR_OPTION\]\n/)
  })

  test('may export what it likes, but a function that is nearly a hook is doubted', async () => {
    const config = `export const whenRedy = () => {}
      export const shared = { a: 1 }
      export const answer = () => 42
      export default { keepAlive: 5 }`
    const cwd = folderWith({ 'gneiss.config.mjs': config, 'app.mjs': APP })
    const cli = await startCli(['app.mjs', ...LOCAL], {
      cwd,
      expectLog: [
        /\[warn\] gneiss\.config\.mjs exports whenRedy, which is no hook and is never called; did you mean whenReady\?/,
      ],
    })
    expect((await request(cli)).status).toBe(204)
  })
})
