/** The program without a master: pid file, sockets, user and title, in one process. */
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { describe, expect, onTestFinished, test, vi } from 'vitest'

import { identityOf } from '../dist/workers/identity.js'
import { runCli, startCli } from './harness/cli.ts'
import { request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { LOCAL, POOL } from './harness/pool.ts'

import type { Config } from '../dist/options.js'

const ALONE = ['-w', '0'] as const
const IDENTITY = "[process.getuid(), process.getgid(), process.getgroups().join('+')].join(':')"
const APP = `const loadedAs = ${IDENTITY}
export default { __rsgi__(scope, protocol) {
  protocol.responseStr(200, [], [loadedAs, ${IDENTITY}, process.umask().toString(8)].join(' '))
} }`

describe('a pid file', () => {
  test('names the process, refuses a second start, and goes with the process', async () => {
    const pidfile = join(folderWith({}), 'app.pid')
    const first = await startCli([POOL, ...LOCAL, ...ALONE, '--pid', pidfile])
    expect(readFileSync(pidfile, 'utf8')).toBe(`${first.child.pid}\n`)
    const second = await runCli([POOL, ...LOCAL, ...ALONE, '--pid', pidfile])
    expect(second).toMatchObject({ code: 2, stdout: '' })
    expect(second.stderr).toMatch(/^gneiss: another process holds the pid file .*app\.pid; .* \[ERR_PIDFILE\]\n$/)
    await first.stop()
    expect(existsSync(pidfile)).toBe(false)
  })

  test('of a process that was killed is taken over', async () => {
    const pidfile = join(folderWith({}), 'app.pid')
    const first = await startCli([POOL, ...LOCAL, ...ALONE, '--pid', pidfile])
    first.child.kill('SIGKILL')
    await first.exited()
    const second = await startCli([POOL, ...LOCAL, ...ALONE, '--pid', pidfile])
    expect(readFileSync(pidfile, 'utf8')).toBe(`${second.child.pid}\n`)
  })

  test('that cannot be written ends the start with 2, before the application is loaded', async () => {
    const folder = folderWith({ 'app.mjs': "process.stderr.write('loaded')" })
    const { code, stderr } = await runCli([
      join(folder, 'app.mjs'),
      ...LOCAL,
      ...ALONE,
      '--pid',
      join(folder, 'no/pid'),
    ])
    expect(code).toBe(2)
    expect(stderr).toMatch(/^gneiss: the pid file .* cannot be written: No such file.* \[ERR_PIDFILE\]\n/)
  })

  test.each([
    ['cannot be loaded', 'throw new Error("no database")', 4],
    ['cannot start', 'export default { __rsgi__() {}, __rsgi_init__() { throw new Error("no database") } }', 3],
    ['ends the process while it is loaded', 'process.exit(7)', 7],
  ])('and the file of a socket go when the application %s', async (_what, app, exitCode) => {
    const folder = folderWith({ 'app.mjs': app })
    const args = ['app.mjs', ...ALONE, '--bind', 'unix:app.sock', '--pid', 'app.pid']
    expect((await runCli(args, { cwd: folder })).code).toBe(exitCode)
    expect(readdirSync(folder)).toEqual(['app.mjs'])
  })
})

describe('a Unix socket', () => {
  test.each([
    [[], 0o660],
    [['--umask', '027'], 0o750],
  ])('has its mode with %j, and goes with the process', async (args, mode) => {
    const folder = folderWith({ 'app.mjs': APP })
    const socket = join(folder, 'app.sock')
    const cli = await startCli([join(folder, 'app.mjs'), ...ALONE, '--bind', `unix:${socket}`, ...args])
    expect(cli.url).toBe(`unix:${socket}`)
    expect(statSync(socket).mode & 0o777).toBe(mode)
    const { text } = await request(cli)
    if (args.length > 0) expect(text.split(' ').at(-1)).toBe('27')
    await cli.stop()
    expect(existsSync(socket)).toBe(false)
  })
})

test('the title of the process has its name', async () => {
  const cli = await startCli([POOL, ...LOCAL, ...ALONE, '--name', 'shop'])
  expect(readFileSync(`/proc/${cli.child.pid}/cmdline`, 'latin1')).toMatch(/^gneiss: \[shop\]\0*$/)
})

test('an address in use ends the start with 5, before the application is loaded', async () => {
  const cli = await startCli([POOL, ...LOCAL, ...ALONE])
  const cwd = folderWith({ 'app.mjs': "process.stderr.write('loaded')" })
  const { code, stderr } = await runCli(['app.mjs', ...ALONE, '--bind', cli.url.slice('http://'.length)], { cwd })
  expect(code).toBe(5)
  expect(stderr).toMatch(/^gneiss: cannot listen on 127\.0\.0\.1:\d+: .* \[ERR_BIND\]\n$/)
})

describe.runIf(process.getuid?.() === 0)('user and group', () => {
  test('are those of the process when the application is loaded, and the socket is theirs', async () => {
    const folder = folderWith({ 'app.mjs': APP })
    chmodSync(folder, 0o777)
    const socket = join(folder, 'app.sock')
    const args = ['--user', '65534', '--group', '65533']
    const cli = await startCli([join(folder, 'app.mjs'), ...ALONE, '--bind', `unix:${socket}`, ...args])
    const them = '65534:65533:65533'
    expect((await request(cli)).text).toMatch(new RegExp(`^${them} ${them} `))
    const { uid, gid, mode } = statSync(socket)
    expect({ uid, gid, mode: mode & 0o777 }).toEqual({ uid: 65_534, gid: 65_533, mode: 0o660 })
    expect(statSync(`/proc/${cli.child.pid}`).uid).toBe(65_534)
    await cli.stop()
    expect(existsSync(socket)).toBe(false)
  })

  test('keep a port that only root may bind', async () => {
    const folder = folderWith({ 'app.mjs': APP })
    chmodSync(folder, 0o755)
    const port = await freeLowPort()
    const bind = ['--bind', `127.0.0.1:${port}`]
    const cli = await startCli([join(folder, 'app.mjs'), ...ALONE, ...bind, '--user', '65534', '--initgroups'])
    expect((await request(cli)).text).toMatch(/^65534:/)
  })

  test('that nobody has, or that are not root in the first place, end the start with 2', async () => {
    const { code, stderr } = await runCli([POOL, ...LOCAL, ...ALONE, '--user', 'nobody-has-this-name'])
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'gneiss: --user is "nobody-has-this-name"; this machine has no such user [ERR_OPTION]\n',
    })
    vi.spyOn(process, 'getuid').mockReturnValue(65_534)
    onTestFinished(() => void vi.restoreAllMocks())
    const refusal = /^--user and --group need a process that runs as root; /
    expect(() => identityOf({ user: '0', group: null } as Config)).toThrow(refusal)
  })
})

/** Below 1024, and bound by nobody. */
async function freeLowPort(): Promise<number> {
  for (let port = 600 + (process.pid % 200); port < 1000; port++) {
    const server = createServer()
    try {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      return port
    } catch {
      // The next one.
    } finally {
      await new Promise<void>((resolve) => server.close(() => resolve()))
    }
  }
  throw new Error('no port below 1000 is free')
}
