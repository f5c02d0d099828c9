/** How the program ends: signals, errors that nobody handled, readers that have gone. */
import { connect } from 'node:net'

import { describe, expect, test } from 'vitest'

import { runCli, startCli } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { logged } from './harness/pool.ts'
import { soon } from './harness/scale.ts'

import type { Cli } from './harness/cli.ts'

const PROGRAM = '__test__/fixtures/program.js'
const LOCAL = ['--bind', '127.0.0.1:0'] as const

/** Without a master, and behind one: what a user sees is the same. */
const WORKERS = ['0', '1'] as const

function start(...args: string[]): Promise<Cli> {
  return startCli([PROGRAM, ...LOCAL, ...args])
}

/** The numbers of the last line. */
function lastNumbersOf(stdout: string): unknown {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) as string)
}

/** A request that is half sent and being echoed; `finish` sends the rest and reads the end of the answer. */
async function openEcho(cli: Cli): Promise<{ finish: () => Promise<string> }> {
  const client = await RawClient.connect(cli)
  await client.send('POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\na')
  await client.readHead()
  await client.reader.through('1\r\na\r\n')
  return {
    finish: async () => {
      await client.send('b')
      return (await client.reader.toEnd()).toString('latin1')
    },
  }
}

/** A request that is never answered; `ended` settles when the server has cut it. */
async function openHang(cli: Cli): Promise<{ ended: Promise<unknown> }> {
  const client = await RawClient.connect(cli)
  await client.send('GET /hang HTTP/1.1\r\nhost: a\r\n\r\n')
  // The answer to a later request on another connection says that this one has been read.
  await request(cli)
  return { ended: client.ended().catch((error: unknown) => error) }
}

/** Settles when nobody listens any more: the signal has been heard. */
async function refused(cli: Cli): Promise<void> {
  const { hostname, port } = new URL(cli.url)
  const tryOnce = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect({ host: hostname, port: Number(port) })
      socket.once('connect', () => socket.destroy()).once('error', () => {})
      socket.once('close', (hadError) => resolve(!hadError))
    })
  while (await tryOnce());
}

async function secondsOf(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await action()
  return (performance.now() - start) / 1000
}

describe.each(WORKERS)('with --workers %s, the first signal', (workers) => {
  test.each(['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)(
    '%s refuses new connections, finishes open requests, ends with 0',
    async (signal) => {
      const cli = await start('-w', workers)
      const echo = await openEcho(cli)
      cli.child.kill(signal)
      await refused(cli)
      expect(await echo.finish()).toBe('1\r\nb\r\n0\r\n\r\n')
      const exit = await cli.exited()
      expect(exit).toMatchObject({ code: 0, signal: null, stderr: '' })
      expect(exit.stdout.trimEnd().split('\n').at(-1)).toMatch(/^\{"event":"stopped",.*"requests":0,/)
    },
  )

  test('SIGTERM cuts what is open after gracefulTimeout, and ends with 0', async () => {
    const cli = await start('-w', workers, '--graceful-timeout', '300ms')
    const hang = await openHang(cli)
    const seconds = await secondsOf(async () => {
      cli.child.kill('SIGTERM')
      await hang.ended
      expect((await cli.exited()).code).toBe(0)
    })
    expect(seconds).toBeGreaterThan(0.25)
    expect(seconds).toBeLessThan(soon(2.3))
  })

  test('SIGINT cuts what is open after 2 s, whatever gracefulTimeout says', async () => {
    const cli = await start('-w', workers)
    const hang = await openHang(cli)
    const seconds = await secondsOf(async () => {
      cli.child.kill('SIGINT')
      await hang.ended
      expect((await cli.exited()).code).toBe(0)
    })
    expect(seconds).toBeGreaterThan(1.9)
    expect(seconds).toBeLessThan(soon(3))
  })
})

describe.each(WORKERS)('with --workers %s, the second signal', (workers) => {
  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGQUIT', 131],
  ] as const)('%s cuts what is left within 3 s and says so in the exit code', async (signal, code) => {
    const cli = await start('-w', workers)
    const hang = await openHang(cli)
    cli.child.kill('SIGTERM')
    await refused(cli)
    const seconds = await secondsOf(async () => {
      cli.child.kill(signal)
      await hang.ended
      expect(await cli.exited()).toMatchObject({ code, signal: null })
    })
    expect(seconds).toBeLessThan(soon(3))
  })

  test('ends with 0 when nothing was cut', async () => {
    const cli = await start('-w', workers)
    const echo = await openEcho(cli)
    cli.child.kill('SIGTERM')
    await refused(cli)
    cli.child.kill('SIGINT')
    expect(await echo.finish()).toBe('1\r\nb\r\n0\r\n\r\n')
    expect((await cli.exited()).code).toBe(0)
  })

  test('a third ends at once', async () => {
    const cli = await start('-w', workers)
    await openHang(cli)
    cli.child.kill('SIGTERM')
    await refused(cli)
    const seconds = await secondsOf(async () => {
      cli.child.kill('SIGTERM')
      // Two of a kind that wait to be heard are one.
      cli.child.kill('SIGINT')
      cli.child.kill('SIGQUIT')
      expect([130, 131, 143]).toContain((await cli.exited()).code)
    })
    expect(seconds).toBeLessThan(soon(1.5))
  })
})

describe.each(WORKERS)('with --workers %s, a signal before the server is ready', (workers) => {
  // The one that was started: the master, if there is one.
  const kill = `process.kill(process.${workers === '0' ? 'pid' : 'ppid'}, 'SIGTERM')`
  const heard = workers === '0' ? "process.once('SIGTERM'" : "process.once('message'"
  const wait = `${kill}; await new Promise((resolve) => setTimeout(resolve, 100_000))`

  test('ends with 0 while the application is loaded', async () => {
    const exit = await runCli(['app.mjs', ...LOCAL, '-w', workers], { cwd: folderWith({ 'app.mjs': wait }) })
    expect(exit).toMatchObject({ code: 0, stdout: '', stderr: '' })
  })

  test('lets an application that starts finish that, and stops it', async () => {
    const app = `export default {
      __rsgi__() {},
      async __rsgi_init__() {
        // Something has to be waited for: a start that waits for nothing is over.
        setInterval(() => {}, 1000)
        ${kill}
        await new Promise((resolve) => ${heard}, () => setImmediate(resolve)))
        process.stderr.write('started\\n')
      },
      __rsgi_del__() { process.stderr.write('stopped\\n') },
    }`
    const exit = await runCli(['app.mjs', ...LOCAL, '-w', workers], { cwd: folderWith({ 'app.mjs': app }) })
    expect(exit).toMatchObject({ code: 0, stderr: 'started\nstopped\n' })
    expect(exit.stdout).not.toContain('ready')
  })

  test('ends an application that never starts, with 3', async () => {
    const app = `export default { __rsgi__() {}, __rsgi_init__: () => { setInterval(() => {}, 1000); ${kill}; return new Promise(() => {}) } }`
    const folder = folderWith({ 'app.mjs': app })
    const exit = await runCli(['app.mjs', ...LOCAL, '-w', workers, '--graceful-timeout', '100ms'], { cwd: folder })
    expect(exit).toMatchObject({ code: 3, stdout: '' })
  })
})

describe('an application that does not stop', () => {
  test('is left after gracefulTimeout and a second, with 1 and a line that says so', async () => {
    const app = 'export default { __rsgi__() {}, __rsgi_del__: () => new Promise(() => {}) }'
    const cli = await startCli(['app.mjs', ...LOCAL, '--graceful-timeout', '100ms'], {
      cwd: folderWith({ 'app.mjs': app }),
    })
    cli.child.kill('SIGTERM')
    const { code, stderr } = await cli.exited()
    expect(code).toBe(1)
    expect(stderr).toMatch(/\[error\] the application failed to stop/)
  })

  test('does not keep the process by what it has left open', async () => {
    const app = 'setInterval(() => {}, 1000)\nexport default () => new Response()'
    const cli = await startCli(['app.mjs', ...LOCAL], { cwd: folderWith({ 'app.mjs': app }) })
    expect((await cli.stop()).code).toBe(0)
  })
})

describe('without a master, an error that nobody handled', () => {
  test.each([
    ['/throw', 'thrown outside of a handler'],
    ['/reject', 'rejected outside of a handler'],
  ])('%s: is logged, open requests are finished, the process ends with 1', async (path, message) => {
    const cli = await start('-w', '0')
    const echo = await openEcho(cli)
    expect((await request(cli, { path })).status).toBe(200)
    await refused(cli)
    expect(await echo.finish()).toBe('1\r\nb\r\n0\r\n\r\n')
    const { code, stdout, stderr } = await cli.exited()
    expect(code).toBe(1)
    expect(lastNumbersOf(stdout)).toMatchObject({ event: 'stopped', uncaughtExceptionsTotal: 1 })
    expect(stderr).toMatch(new RegExp(`\\[critical\\] uncaught error of the application.*\\n    Error: ${message}\\n`))
  })

  test('a client that leaves does not end the server, even when the application forgot that it may', async () => {
    const cli = await start('--log-level', 'debug')
    const client = await RawClient.connect(cli)
    await client.send('GET /forget HTTP/1.1\r\nhost: a\r\n\r\n')
    await request(cli)
    client.reset()
    while (!cli.output().stderr.includes('only says that a request has ended')) await request(cli)
    expect((await request(cli)).text).toBe('hello')
    expect((await cli.stop()).code).toBe(0)
  })
})

describe.each(WORKERS)('with --workers %s, --on-uncaught keep', (workers) => {
  test.each(['/throw', '/reject'])('logs what nobody handled, and goes on: %s', async (path) => {
    const cli = await startCli([PROGRAM, ...LOCAL, '-w', workers, '--on-uncaught', 'keep'], {
      expectLog: [
        /\[error\] uncaught error of the application: the process goes on, because onUncaught is keep\n {4}Error: /,
      ],
    })
    for (let round = 0; round < 3; round++) expect((await request(cli, { path })).status).toBe(200)
    expect((await request(cli)).text).toBe('hello')
    await logged(cli, 'because onUncaught is keep', 3)
    const { code, stdout } = await cli.stop()
    expect(code).toBe(0)
    expect(lastNumbersOf(stdout)).toMatchObject({ uncaughtExceptionsTotal: 3 })
  })

  test('does not keep an application that fails while it is loaded', async () => {
    const app =
      "setImmediate(() => { throw new Error('no database') })\nawait new Promise(() => setInterval(() => {}, 1000))"
    const args = ['app.mjs', ...LOCAL, '-w', workers, '--on-uncaught', 'keep']
    const { code, stderr } = await runCli(args, { cwd: folderWith({ 'app.mjs': app }) })
    expect(code).toBe(4)
    expect(stderr).toMatch(/^gneiss: uncaught error while the application was loaded: Error: no database \[ERR_APP\]\n/)
  })
})

describe('a reader that has gone', () => {
  test('of stdout ends neither the server nor its stop', async () => {
    const cli = await start()
    cli.child.stdout?.destroy()
    expect((await request(cli)).text).toBe('hello')
    cli.child.kill('SIGTERM')
    expect(await cli.exited()).toMatchObject({ code: 0, signal: null, stderr: '' })
  })

  test('of stderr does not end the server that logs', async () => {
    const cli = await start('-w', '0')
    cli.child.stderr?.destroy()
    const echo = await openEcho(cli)
    expect((await request(cli, { path: '/throw' })).status).toBe(200)
    await refused(cli)
    expect(await echo.finish()).toBe('1\r\nb\r\n0\r\n\r\n')
    expect(await cli.exited()).toMatchObject({ code: 1, signal: null })
  })
})
