/** The master and its workers, through real processes: signals, stop, orphans, pid file, user. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ROOT, childrenOf, cleanEnv, runCli, startCli, watch } from './harness/cli.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { startLoad } from './harness/load.ts'
import { LOCAL, POOL, READY, gone, logged, millisecondsOf, pidOf, startPool as start } from './harness/pool.ts'
import { report, scaled, soon } from './harness/scale.ts'
import { onTeardown } from './harness/teardown.ts'

import type { Cli } from './harness/cli.ts'

describe('signals of the master', () => {
  const HOOKS = `export const nworkersChanged = (server, next, previous) => process.stderr.write('changed ' + previous + ' to ' + next + '\\n')`

  test('TTIN three times and TTOU five times leave one worker, and the hook hears of each change', async () => {
    const cwd = folderWith({ 'gneiss.config.mjs': HOOKS })
    const cli = await startCli([POOL, ...LOCAL, '--log-level', 'debug'], { cwd, expectLog: [/^changed/] })
    for (let count = 2; count <= 4; count++) {
      cli.child.kill('SIGTTIN')
      await logged(cli, `${count} workers are wanted`)
    }
    await logged(cli, READY, 4)
    expect(childrenOf(cli.child.pid)).toHaveLength(4)
    for (const text of ['3 workers are wanted, 4', '2 workers are wanted, 3', '1 worker is wanted, 2']) {
      cli.child.kill('SIGTTOU')
      await logged(cli, text)
    }
    cli.child.kill('SIGTTOU')
    cli.child.kill('SIGTTOU')
    while (childrenOf(cli.child.pid).length > 1) await turns(1)
    expect((await request(cli)).status).toBe(200)
    const changes = Array.from(cli.output().stderr.matchAll(/^changed (.*)$/gm), ([, text]) => text)
    expect(changes).toEqual(['null to 1', '1 to 2', '2 to 3', '3 to 4', '4 to 3', '3 to 2', '2 to 1'])
  })

  test.each([
    ['SIGHUP', 'reloading is not available'],
    ['SIGUSR2', 'a binary upgrade is not available'],
  ] as const)('%s is answered by a line', async (signal, text) => {
    const cli = await startDetached()
    cli.child.kill(signal)
    await logged(cli, text)
    expect((await request(cli)).status).toBe(200)
  })

  test('WINCH without a terminal stops all workers, and TTIN brings one back', async () => {
    const cli = await startDetached()
    cli.child.kill('SIGWINCH')
    while (childrenOf(cli.child.pid).length > 0) await turns(1)
    const waiting = request(cli)
    cli.child.kill('SIGTTIN')
    expect((await waiting).status).toBe(200)
  })

  test('USR1 opens no inspector and disturbs nobody', async () => {
    const cli = await start(['-w', '1'])
    const pid = await pidOf(cli)
    for (const target of [cli.child.pid as number, pid]) process.kill(target, 'SIGUSR1')
    await logged(cli, 'log files are reopened')
    expect(await pidOf(cli)).toBe(pid)
    expect(cli.output().stderr).not.toContain('Debugger')
    expect(await isOpen(9229)).toBe(false)
  })

  test('HUP, TTIN, TTOU, WINCH, USR2 to a worker do nothing', async () => {
    const cli = await start(['-w', '1'])
    const pid = await pidOf(cli)
    for (const signal of ['SIGHUP', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH', 'SIGUSR2'] as const) process.kill(pid, signal)
    expect(await pidOf(cli)).toBe(pid)
  })

  /** In a session of its own, which has no terminal. */
  async function startDetached(): Promise<Cli> {
    const child = spawn(process.execPath, [`${ROOT}dist/cli.js`, POOL, ...LOCAL], {
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const running = watch(child)
    onTeardown('processes', async () => {
      child.kill('SIGTERM')
      expect(await running.exit).toMatchObject({ code: 0 })
    })
    const ready = (await running.line('ready')) as unknown as Cli['ready']
    return { child, url: ready.url, ready, output: running.output } as Cli
  }
})

describe('a stop', () => {
  test('answers a request of 2 s and ends within 50 ms of that', async () => {
    const cli = await start(['-w', '2'])
    const client = await RawClient.connect(cli)
    await client.send('GET /wait/2000 HTTP/1.1\r\nhost: a\r\n\r\n')
    await request(cli)
    cli.child.kill('SIGTERM')
    const exit = cli.exited()
    expect((await client.read()).status).toBe(200)
    const late = await millisecondsOf(async () => expect((await exit).code).toBe(0))
    expect(late).toBeLessThan(scaled(5000, 50))
    report(`it ended ${late.toFixed(1)} ms after its last answer`)
  })

  test.each(['0', '1'])('with --workers %s serves on for shutdownDelay first', async (workers) => {
    const delay = scaled(2000, 5000)
    const cli = await start(['-w', workers, '--shutdown-delay', `${delay}ms`])
    const began = performance.now()
    cli.child.kill('SIGTERM')
    while (performance.now() - began < delay - 500) expect((await request(cli)).status).toBe(200)
    expect((await cli.exited()).code).toBe(0)
    expect(performance.now() - began).toBeGreaterThan(delay - 50)
  })

  test('cuts an open stream at the end of gracefulTimeout, and the application hears of it', async () => {
    const cli = await start(['--graceful-timeout', '500ms'], { expectLog: ['aborted'] })
    const client = await RawClient.connect(cli)
    await client.send('GET /stream HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    const took = await millisecondsOf(() => cli.stop())
    expect(took).toBeGreaterThan(400)
    expect(took).toBeLessThan(soon(2500))
  })

  test('by a signal to the whole process group replaces nobody and says nothing', async () => {
    const child = spawn(process.execPath, [`${ROOT}dist/cli.js`, POOL, ...LOCAL, '-w', '2'], {
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const { line, exit } = watch(child)
    await line('ready')
    process.kill(-(child.pid as number), 'SIGINT')
    expect(await exit).toMatchObject({ code: 0, stderr: '' })
  })

  test('kills a worker whose loop is blocked at the end of its time, and says so', async () => {
    const cli = await start(['--graceful-timeout', '300ms'])
    const client = await RawClient.connect(cli)
    await client.send('GET /block/20000 HTTP/1.1\r\nhost: a\r\n\r\n')
    await logged(cli, 'blocked\n')
    const took = await millisecondsOf(async () => {
      cli.child.kill('SIGTERM')
      const { code, stderr } = await cli.exited()
      expect(code).toBe(1)
      expect(stderr).toContain('did not end in time and was killed')
    })
    expect(took).toBeLessThan(soon(300 + 2000 + 500))
  })

  test('leaves no process, no socket file, no pid file', async () => {
    const folder = folderWith({})
    const socket = join(folder, 'app.sock')
    const pidfile = join(folder, 'app.pid')
    const cli = await startCli([POOL, '-b', `unix:${socket}`, '-w', '2', '--pid', pidfile])
    expect(readFileSync(pidfile, 'utf8')).toBe(`${cli.child.pid}\n`)
    expect(statSync(socket).mode & 0o777).toBe(0o660)
    const children = childrenOf(cli.child.pid)
    await cli.stop()
    await Promise.all(children.map(gone))
    expect(readdirSync(folder)).toEqual([])
  })
})

describe.runIf(process.platform === 'linux')('the end of the master', () => {
  /** Runs a command, takes in what that leaves behind, and tells how each process has ended. */
  const SUBREAPER = `import ctypes, json, os, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
subprocess.Popen(sys.argv[1:])
while True:
    try:
        pid, status = os.wait()
    except ChildProcessError:
        break
    print(json.dumps({'event': 'ended ' + str(pid), 'code': os.waitstatus_to_exitcode(status)}), flush=True)
`

  test('is noticed at once, and ends its workers with 6 although the loop of one is blocked', async () => {
    const args = [`${ROOT}dist/cli.js`, POOL, ...LOCAL, '-w', '2', '--graceful-timeout', '1s']
    const child = spawn('python3', ['-c', SUBREAPER, process.execPath, ...args], {
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const { line, exit, output } = watch(child)
    const ready = await line('ready')
    const master = Number(ready['pid'])
    const workers = childrenOf(master)
    const client = await RawClient.connect(String(ready['url']))
    const blocked = Number((await client.request()).text)
    void client.send('GET /block/20000 HTTP/1.1\r\nhost: a\r\n\r\n')
    await logged({ output }, 'blocked\n')
    const ended = Promise.all(workers.map((pid) => line(`ended ${pid}`)))
    const began = performance.now()
    process.kill(master, 'SIGKILL')
    while (stateOf(blocked) !== DRAINING) await turns(1)
    const noticed = performance.now() - began
    expect((await ended).map(({ code }) => code)).toEqual([6, 6])
    const took = performance.now() - began
    expect(noticed).toBeLessThan(scaled(1000, 100))
    expect(took).toBeLessThan(soon(2000))
    expect((await exit).code).toBe(0)
    report(`the lifeline was noticed after ${noticed.toFixed(1)} ms, the last worker ended after ${took.toFixed(0)} ms`)
  })

  /** Of a worker that accepts nothing more; see `Cell` in gate.rs. */
  const DRAINING = 4

  /** The state of a worker as it stands in the memory that it shares with the others. */
  function stateOf(pid: number): number | undefined {
    const folder = `/proc/${pid}/fd`
    const cells = readdirSync(folder).find((fd) => readlinkSync(`${folder}/${fd}`).startsWith('/memfd:'))
    const memory = readFileSync(`${folder}/${cells}`)
    for (let cell = 0; cell < memory.length; cell += 64)
      if (memory.readUInt32LE(cell + 48) === pid) return memory.readUInt32LE(cell + 40)
    return undefined
  }
})

describe('a pid file', () => {
  test('refuses a second start, and a dead owner does not', async () => {
    const pidfile = join(folderWith({}), 'app.pid')
    const first = await start(['--pid', pidfile, '--graceful-timeout', '100ms'])
    const second = await runCli([POOL, ...LOCAL, '--pid', pidfile])
    expect(second).toMatchObject({ code: 2, stdout: '' })
    expect(second.stderr).toMatch(/^gneiss: another process holds the pid file .*app\.pid; .* \[ERR_PIDFILE\]\n$/)
    const workers = childrenOf(first.child.pid)
    first.child.kill('SIGKILL')
    await first.exited()
    await Promise.all(workers.map(gone))
    expect(existsSync(pidfile)).toBe(true)
    const third = await start(['--pid', pidfile])
    expect(readFileSync(pidfile, 'utf8')).toBe(`${third.child.pid}\n`)
  })
})

describe.runIf(process.getuid?.() === 0)('user and group', () => {
  test('are those of the workers, the socket is theirs, and the master stays what it is', async () => {
    const folder = folderWith({})
    chmodSync(folder, 0o755)
    const socket = join(folder, 'app.sock')
    const app = `export default { __rsgi__(scope, protocol) {
      protocol.responseStr(200, [], [process.getuid(), process.getgid(), process.getgroups().join('+'), process.umask().toString(8)].join(':')) } }`
    writeFileSync(join(folder, 'app.mjs'), app)
    const cli = await startCli([
      join(folder, 'app.mjs'),
      '-b',
      `unix:${socket}`,
      '--user',
      '65534',
      '--group',
      '65533',
      '-m',
      '027',
    ])
    expect((await request(cli)).text).toBe('65534:65533:65533:27')
    expect({ uid: statSync(socket).uid, gid: statSync(socket).gid, mode: statSync(socket).mode & 0o777 }).toEqual({
      uid: 65_534,
      gid: 65_533,
      mode: 0o750,
    })
    expect(statSync(`/proc/${cli.child.pid}`).uid).toBe(0)
  })
})

describe('start, load, stop', () => {
  // Half of them with each driver.
  const rounds = scaled(50, 5_000)
  test(
    `${rounds} times leaves nothing and says nothing`,
    async () => {
      for (let round = 0; round < rounds; round++) {
        const cli = await startCli([POOL, ...LOCAL, '-w', String(round % 3)])
        const children = childrenOf(cli.child.pid)
        const load = startLoad(cli.url, 8)
        await load.reached(20)
        await cli.stop()
        await load.finished()
        await Promise.all(children.map(gone))
      }
    },
    scaled(300_000, 12 * 3_600_000),
  )
})

async function isOpen(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
