/** The program, run as a user runs it: what it prints, how it refuses, what it serves. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

import { describe, expect, onTestFinished, test } from 'vitest'

import { formatBanner } from '../dist/banner.js'
import { ROOT, childrenOf, runCli, startCli } from './harness/cli.ts'
import { request } from './harness/client.ts'
import { MODE } from './harness/mode.ts'
import { folderWith } from './harness/folder.ts'
import { soon } from './harness/scale.ts'

import type { Exit } from './harness/cli.ts'

const PROGRAM = '__test__/fixtures/program.js'
const LOCAL = ['--bind', '127.0.0.1:0'] as const

/** A start that fails says one line with its code, nothing on stdout. */
function expectFailure(exit: Exit, exitCode: number, code: string, message: string): void {
  const [line = '', ...rest] = exit.stderr.trimEnd().split('\n')
  expect({ code: exit.code, stdout: exit.stdout }).toEqual({ code: exitCode, stdout: '' })
  expect(line).toContain(message)
  expect(line).toMatch(new RegExp(`^gneiss: .*[^.] \\[${code}\\]$`))
  // What the application threw follows, and nothing else.
  expect(rest.filter((text) => !text.startsWith('    '))).toEqual([])
}

describe('a question', () => {
  test.each(['--help', '-h'])('%s prints the help', async (flag) => {
    const { code, stdout, stderr } = await runCli(['--wrokers=7', flag].slice(1))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^Usage: gneiss \[options\] APP\n/)
    expect(stdout).toContain('[GNEISS_BACKLOG; default 4096; 1 to 65535]')
  })

  test.each(['--version', '-v'])('%s prints the version', async (flag) => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
    expect(await runCli([flag])).toMatchObject({ code: 0, stdout: `gneiss ${version}\n`, stderr: '' })
  })

  test('--print-config needs no application and ends', async () => {
    const { code, stdout, stderr } = await runCli(['--print-config', '--keep-alive', '5m'], { cwd: folderWith({}) })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('\nkeepAlive = 300  # command line\n')
    expect(stdout).toContain('\nbacklog = 4096  # default\n')
  })

  test('--check-config loads the application, opens nothing, and ends whatever that keeps open', async () => {
    const folder = folderWith({
      'app.mjs': 'setInterval(() => {}, 1000)\nexport const app = async (scope, receive, send) => {}',
    })
    expect(await runCli(['--check-config', 'app'], { cwd: folder })).toMatchObject({
      code: 0,
      stdout: 'app is fine: app is served as asgi, because the export is a function with 3 arguments\n',
      stderr: '',
    })
  })

  test('--check-config and --print-config do both', async () => {
    const { code, stdout } = await runCli(['--check-config', '--print-config', PROGRAM])
    expect(code).toBe(0)
    expect(stdout).toContain('\ncheckConfig = true  # command line\n')
    expect(stdout).toMatch(/is fine: default is served as rsgi, because the export has an __rsgi__ function\n$/)
    expectFailure(
      await runCli(['--check-config', 'none.js'], { cwd: folderWith({}) }),
      4,
      'ERR_APP',
      'the file none.js does not exist',
    )
  })
})

describe('a start that fails', () => {
  test.each([
    ['without an application', [], 'no application was named; write gneiss app.js'],
    ['with an unknown flag', ['--wrokers', '2', PROGRAM], 'unknown option --wrokers; did you mean --workers?'],
    ['with a bad value', ['--backlog', 'x', PROGRAM], '--backlog is "x"; it must be an integer, 1 to 65535'],
    ['with too many workers', ['-w', '1025', PROGRAM], '-w is "1025"; it must be 0 to 1024, or auto'],
    [
      'with a driver that is none',
      ['--runtime-mode=fast', PROGRAM],
      '--runtime-mode is "fast"; it must be one of auto|loop|thread',
    ],
    ['with an option of Gunicorn', ['--certfile', 'a.pem', PROGRAM], '--certfile is not an option of gneiss'],
    [
      'with a class of worker of Gunicorn',
      ['-k', 'gevent', PROGRAM],
      '-k is "gevent"; it must be async, or FILE#EXPORT for a class of your own',
    ],
    ['with two applications', [PROGRAM, PROGRAM], 'one application is served at a time'],
  ])('%s ends with 2', async (_what, args, message) => {
    expectFailure(await runCli(args), 2, 'ERR_OPTION', message)
  })

  test.each([
    ['a missing file', 'none.js', {}, 'ERR_APP', 'the file none.js does not exist'],
    ['a missing export', 'app.mjs:ap', { 'app.mjs': 'export const app = () => {}' }, 'ERR_APP', 'did you mean app?'],
    [
      'a module that throws',
      'app.mjs',
      { 'app.mjs': 'throw new Error("no database")' },
      'ERR_APP',
      'could not be loaded: Error: no database',
    ],
    [
      'a module that throws later',
      'app.mjs',
      { 'app.mjs': 'setImmediate(() => { throw new Error("no database") }); await new Promise(() => {})' },
      'ERR_APP',
      'uncaught error while the application was loaded: Error: no database',
    ],
    [
      'a rejection that nobody handles',
      'app.mjs',
      { 'app.mjs': 'Promise.reject(new Error("no database")); await new Promise(() => {})' },
      'ERR_APP',
      'no database',
    ],
    [
      'a module that never ends',
      'app.mjs',
      { 'app.mjs': 'await new Promise(() => {})' },
      'ERR_APP',
      'never finished loading: a top-level await in it does not settle',
    ],
    [
      'a module that keeps a handle open',
      'app.mjs',
      { 'app.mjs': 'setInterval(() => {}, 1000); export const port = 1' },
      'ERR_APP',
      'exports no application',
    ],
    [
      'a function of node:http',
      'app.mjs',
      { 'app.mjs': 'export default (req, res) => {}' },
      'ERR_APP_INTERFACE',
      'not available in this version; a function (scope, protocol) is served with --interface rsgi',
    ],
    [
      'a server of its own',
      'app.mjs',
      { 'app.mjs': 'import { createServer } from "node:http"; export default createServer()' },
      'ERR_APP_INTERFACE',
      'because the export is an http.Server',
    ],
    [
      'a module that listens by itself',
      'app.mjs',
      { 'app.mjs': 'import { createServer } from "node:http"; createServer().listen(0, "127.0.0.1")' },
      'ERR_APP_INTERFACE',
      'app.mjs exports no application but listens by itself',
    ],
  ])('%s ends with 4', async (_what, target, files, code, message) => {
    expectFailure(
      await runCli([target, ...LOCAL], { cwd: folderWith(files as Record<string, string>) }),
      4,
      code,
      message,
    )
  })

  test('a module that throws shows the stack of the application and of nobody else', async () => {
    const { stderr } = await runCli(['app.mjs', ...LOCAL], {
      cwd: folderWith({ 'app.mjs': 'function open() { throw new Error("no database") }\nopen()' }),
    })
    expect(stderr).toMatch(
      /\n    Error: no database\n\s+at open \(file:.*app\.mjs:1:\d+\)\n\s+at file:.*app\.mjs:2:1\n$/,
    )
  })

  test('an application that fails to start ends with 3', async () => {
    const app = 'export default { __rsgi__() {}, async __rsgi_init__() { throw new Error("no database") } }'
    const exit = await runCli(['app.mjs', ...LOCAL], { cwd: folderWith({ 'app.mjs': app }) })
    expectFailure(exit, 3, 'ERR_LIFESPAN_STARTUP', '__rsgi_init__ of the application failed')
    expect(exit.stderr).toContain('    Error: no database\n')
  })

  test('an error of nobody while the application starts ends with 3', async () => {
    const app =
      'export default { __rsgi__() {}, __rsgi_init__: () => new Promise(() => { setImmediate(() => { throw new Error("no database") }) }) }'
    const exit = await runCli(['app.mjs', ...LOCAL], { cwd: folderWith({ 'app.mjs': app }) })
    expectFailure(
      exit,
      3,
      'ERR_LIFESPAN_STARTUP',
      'uncaught error while the application was started: Error: no database',
    )
  })

  test('a port in use ends with 5 and names the address', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void other.close())
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    const { code, stdout, stderr } = await runCli([PROGRAM, '--bind', `127.0.0.1:${port}`])
    expect({ code, stdout }).toEqual({ code: 5, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^gneiss: .*127\\.0\\.0\\.1:${port}.* \\[ERR_BIND\\]\n$`))
  })

  test('says so within 2 s, whatever it is', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void other.close())
    await new Promise((resolve) => other.once('listening', resolve))
    const { port } = other.address() as AddressInfo
    const app = 'export default { __rsgi__() {}, async __rsgi_init__() { throw new Error("no database") } }'
    const cwd = folderWith({ 'app.mjs': app })
    for (const [code, args] of [
      [2, ['app.mjs', '--wrokers', '2']],
      [3, ['app.mjs', ...LOCAL]],
      [4, ['none.js', ...LOCAL]],
      [5, ['app.mjs', '--bind', `127.0.0.1:${port}`]],
    ] as const) {
      const began = performance.now()
      expect((await runCli(args, { cwd })).code).toBe(code)
      expect(performance.now() - began).toBeLessThan(soon(2000))
    }
  })

  test('control bytes of a name do not reach the terminal', async () => {
    const { stderr } = await runCli(['\u001b[2Jnone.js', ...LOCAL], { cwd: folderWith({}) })
    expect(stderr).toContain('\\x1b[2Jnone.js')
    expect(stderr).not.toContain('\u001b')
  })
})

describe('a server', () => {
  test.each([0, 1, 2])(
    'with %i workers says that it is ready in one line of JSON, and that it has stopped in another',
    async (workers) => {
      const cli = await startCli([PROGRAM, ...LOCAL, '--workers', String(workers)])
      expect(Object.keys(cli.ready)).toEqual([
        'event',
        'url',
        'addresses',
        'interface',
        'why',
        'mode',
        'pid',
        'readyMs',
        ...(workers === 0 ? [] : ['workers']),
      ])
      expect(cli.ready).toMatchObject({
        ...(workers === 0 ? {} : { workers }),
        addresses: [{ host: '127.0.0.1', port: Number(new URL(cli.url).port), family: 'IPv4' }],
        interface: 'rsgi',
        why: 'because the export has an __rsgi__ function',
        mode: MODE,
        pid: cli.child.pid,
      })
      expect(Number.isInteger(cli.ready['readyMs'])).toBe(true)
      expect((await request(cli)).text).toBe('hello')
      const { code, stdout, stderr } = await cli.stop()
      const [, stopped, end, ...more] = stdout.split('\n')
      expect({ code, end, more, stderr }).toEqual({ code: 0, end: '', more: [], stderr: '' })
      expect(JSON.parse(stopped ?? '')).toMatchObject({
        event: 'stopped',
        mode: MODE,
        connections: 0,
        requestsTotal: 1,
      })
    },
  )

  test('listens on every address', async () => {
    const socket = join(folderWith({}), 'app.sock')
    const cli = await startCli([PROGRAM, '-b', `unix:${socket}`, '-b', '127.0.0.1:0'])
    expect(cli.url).toBe(`unix:${socket}`)
    const [, tcp] = cli.ready['addresses'] as { host: string; port: number }[]
    for (const target of [cli.url, `http://127.0.0.1:${tcp?.port}`]) expect((await request(target)).status).toBe(200)
  })

  test('serves a factory with the environment and directory it was given', async () => {
    const app = 'export const create = async () => () => new Response(process.env.WHO + process.cwd())'
    const folder = folderWith({ 'site/app.mjs': app })
    const cli = await startCli(['app:create', '--factory', '--chdir', 'site', '-e', 'WHO=me:', ...LOCAL], {
      cwd: folder,
    })
    expect((await request(cli)).text).toBe(`me:${join(folder, 'site')}`)
  })

  test('serves through the interface that was asked for', async () => {
    const folder = folderWith({
      'app.mjs': 'export default (scope, protocol) => protocol.responseStr(200, [], scope.proto)',
    })
    const cli = await startCli(['app', '--interface', 'rsgi', ...LOCAL], { cwd: folder })
    expect((await request(cli)).text).toBe('http')
    expect(cli.ready).toMatchObject({ interface: 'rsgi', why: 'because the interface option says so' })
  })

  test('passes its options on', async () => {
    const cli = await startCli([PROGRAM, ...LOCAL, '--server-header', 'mine', '--max-body', '1k'])
    expect((await request(cli)).header('server')).toBe('mine')
    expect((await request(cli, { method: 'POST', path: '/echo', body: 'x'.repeat(2000) })).status).toBe(413)
  })

  test('has the light Response before the application is loaded, unless that is off', async () => {
    const app =
      'const Kept = Response\nexport default () => new Response(String(Kept === globalThis.Response) + Function.prototype.toString.call(Kept).includes("webidl"))'
    const folder = folderWith({ 'app.mjs': app })
    expect((await request(await startCli(['app', ...LOCAL], { cwd: folder }))).text).toBe('truefalse')
    expect((await request(await startCli(['app', '--no-fast-response', ...LOCAL], { cwd: folder }))).text).toBe(
      'truetrue',
    )
  })

  test.runIf(process.versions.node.startsWith('20.'))(
    'does not load the Fetch of the platform for nothing',
    async () => {
      const app = 'export default (scope, protocol) => protocol.responseStr(200, [], process.moduleLoadList.join())'
      const asking = app.replace('export', 'Response.json\nexport')
      const folder = folderWith({ 'app.mjs': app, 'asking.mjs': asking })
      const listOf = async (name: string): Promise<string> =>
        (await request(await startCli([name, '--interface', 'rsgi', ...LOCAL], { cwd: folder }))).text
      expect(await listOf('app')).not.toContain('undici')
      expect(await listOf('asking')).toContain('undici')
    },
  )

  test.runIf(process.platform === 'linux')('has a title that says its name', async () => {
    const titleOf = (pid: number | undefined): string =>
      readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', '').trim()
    expect(titleOf((await startCli([PROGRAM, ...LOCAL, '-w', '0'])).child.pid)).toBe('gneiss: [gneiss]')
    const { child } = await startCli([PROGRAM, ...LOCAL, '-n', 'shop'])
    expect(titleOf(child.pid)).toBe('gneiss: master [shop]')
    const [worker] = childrenOf(child.pid)
    expect(titleOf(worker)).toBe('gneiss: worker [shop]')
  })

  test('warns of unknown variables and serves', async () => {
    const cli = await startCli([PROGRAM, ...LOCAL], {
      env: { GNEISS_WROKERS: '1' },
      expectLog: ['unknown environment variable GNEISS_WROKERS'],
    })
    expect((await request(cli)).status).toBe(200)
  })

  test('is started by the file that the package names as its program', () => {
    const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { bin: { gneiss: string } }
    expect(readFileSync(join(ROOT, bin.gneiss), 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/)
  })
})

describe('a terminal', () => {
  // Ends the program as soon as it has said that it is ready.
  const preload = `
    const { stdout } = process
    const write = stdout.write.bind(stdout)
    Object.defineProperty(stdout, 'isTTY', { value: true })
    stdout.hasColors = () => true
    stdout.write = (text) => {
      setImmediate(() => process.kill(process.pid, 'SIGTERM'))
      return write(text)
    }`

  test.each([
    ['in colour', {}, true],
    ['without, where NO_COLOR says so', { NO_COLOR: '1' }, false],
  ])('gets a banner, %s', async (_what, env, hasColors) => {
    const folder = folderWith({
      'terminal.mjs': preload,
      'app.mjs': 'export default () => new Response()',
    })
    const { code, stdout } = await runCli(['app', ...LOCAL], {
      cwd: folder,
      env,
      nodeArgs: ['--import', './terminal.mjs'],
    })
    expect(code).toBe(0)
    expect(stdout.includes('\u001b[')).toBe(hasColors)
    expect(stdout).not.toContain('{')
    const plain = stdout.replaceAll(/\u001b\[\d+m/g, '')
    expect(plain).toMatch(
      /^gneiss serves http:\/\/127\.0\.0\.1:\d+\n  fetch, because the export is a function with no arguments\n  1 ready worker, \w+ mode, pid \d+, ready in \d+ ms\n$/,
    )
    expect(plain).toContain(`, ${MODE} mode, `)
  })

  test('sees every address', () => {
    const address = { host: '127.0.0.1', port: 1, family: 'IPv4' }
    const addresses = [address, { host: '::1', port: 2, family: 'IPv6' }, { host: '/a', port: 0, family: 'unix' }]
    const how = { interface: 'asgi', why: 'because it is', mode: 'loop', readyMs: 1 } as const
    const workers = { ready: 3, wanted: 4 }
    expect(formatBanner({ url: 'http://127.0.0.1:1', addresses, ...how, workers }, false)).toMatch(
      /^gneiss serves http:\/\/127\.0\.0\.1:1, \[::1\]:2, unix:\/a\n.*\n  3 of 4 ready workers, loop mode/,
    )
  })
})
