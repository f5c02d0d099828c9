/** Workers with a listener each (SO_REUSEPORT), through real processes. Linux only. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { resolveServeOptions } from '../dist/options/resolve.js'
import { serveApp } from './harness/app.ts'
import { ROOT, childrenOf, cleanEnv, runCli, startCli } from './harness/cli.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { LOCAL, POOL, READY, gone, logged, pidOf, startPool } from './harness/pool.ts'
import { freePort } from './harness/ports.ts'
import { startSums } from './harness/sums.ts'

import type { Cli, CliOptions } from './harness/cli.ts'

const isLinux = process.platform === 'linux'

/** As the kernel of this machine has it. */
function migration(): string {
  try {
    return readFileSync('/proc/sys/net/ipv4/tcp_migrate_req', 'latin1').trim()
  } catch {
    return 'none'
  }
}

/** The warning of every start here, unless the kernel hands queues on. */
const WARNING =
  migration() === '1' ? [] : [/\[warn\] with --reuse-port, connections that wait for a worker are reset when it ends/]

function start(args: readonly string[], { expectLog = [], ...options }: CliOptions = {}): Promise<Cli> {
  return startPool(['--reuse-port', ...args], { expectLog: [...WARNING, ...expectLog], ...options })
}

describe.runIf(isLinux)('workers that share a port', () => {
  test('have a listener each, all of them on the port that the first got, and the master has none', async () => {
    const cli = await start(['-w', '3', '--backlog', '77'])
    const workers = childrenOf(cli.child.pid)
    const inodes = workers.map((pid) => listenersOf(pid, portOf(cli)))
    expect(inodes.map(({ length }) => length)).toEqual([1, 1, 1])
    expect(new Set(inodes.flat()).size).toBe(3)
    expect(listenersOf(cli.child.pid as number, portOf(cli))).toEqual([])
    expect(await served(cli, 64)).toEqual(new Set(workers))
    // The third column of a listener is its backlog.
    const rows = execFileSync('ss', ['-Hltn', `sport = :${portOf(cli)}`], { encoding: 'utf8' })
      .trim()
      .split('\n')
    expect(rows.map((row) => row.split(/\s+/)[2])).toEqual(['77', '77', '77'])
  })

  test('accept up to their connections and let others wait', async () => {
    const cli = await start(['-w', '1', '--worker-connections', '2'])
    const clients = await Promise.all(Array.from({ length: 2 }, () => RawClient.connect(cli)))
    for (const client of clients) expect((await client.request()).status).toBe(200)
    const late = await RawClient.connect(cli)
    const answer = late.request()
    expect((await clients[0]?.request())?.status).toBe(200)
    expect(late.reader.available).toBe(0)
    await clients[0]?.close()
    expect((await answer).status).toBe(200)
  })

  test('are given no connection before they are ready', async () => {
    const cwd = folderWith({ 'app.mjs': SLOW })
    const cli = await startCli(['app.mjs', ...LOCAL, '--reuse-port', '--log-level', 'debug'], {
      cwd,
      expectLog: WARNING,
    })
    const first = await pidOf(cli)
    writeFileSync(join(cwd, 'wait'), '')
    cli.child.kill('SIGTTIN')
    while (!existsSync(join(cwd, 'booting'))) await turns(1)
    expect(await served(cli, 64)).toEqual(new Set([first]))
    writeFileSync(join(cwd, 'go'), '')
    await logged(cli, READY, 2)
    expect(await served(cli, 64)).toEqual(new Set(childrenOf(cli.child.pid)))
  })

  test('refuse connections while none of them is ready', async () => {
    const cwd = folderWith({ 'app.mjs': SLOW, wait: '' })
    const port = await freePort()
    const started = startCli(['app.mjs', '-b', `127.0.0.1:${port}`, '--reuse-port'], { cwd, expectLog: WARNING })
    while (!existsSync(join(cwd, 'booting'))) await turns(1)
    expect(await isOpen(port)).toBe(false)
    writeFileSync(join(cwd, 'go'), '')
    expect((await request(await started)).status).toBe(200)
  })

  test.each([1, 2])('of which there are %i answer 100 connections that wait when SIGTERM comes', async (workers) => {
    const cli = await start(['-w', String(workers)])
    const answers = await queue(childrenOf(cli.child.pid), cli, 100, () => void cli.child.kill('SIGTERM'))
    expect(answers).toEqual(Array.from({ length: 100 }, () => 200))
    expect((await cli.exited()).code).toBe(0)
  })

  test('come and go with TTIN and TTOU, and one that goes answers what waits for it', async () => {
    const cli = await start(['-w', '1'])
    const [first] = childrenOf(cli.child.pid) as [number]
    cli.child.kill('SIGTTIN')
    await logged(cli, READY, 2)
    const both = childrenOf(cli.child.pid)
    expect(await served(cli, 64)).toEqual(new Set(both))
    const answers = await queue(both, cli, 64, () => void cli.child.kill('SIGTTOU'))
    expect(answers).toEqual(Array.from({ length: 64 }, () => 200))
    await Promise.all(both.filter((pid) => pid !== first).map(gone))
    expect(await served(cli, 16)).toEqual(new Set([first]))
  })

  test('that are killed are replaced by one with a new listener, and cost what waited for them alone', async () => {
    const cli = await start(['-w', '2', '--crash-loop', 'ignore'], {
      expectLog: [/was ended by SIGKILL/],
    })
    const master = cli.child.pid as number
    const descriptors = readdirSync(`/proc/${master}/fd`).length
    const load = startSums(cli.url, 10, 10, true)
    const killed: number[] = []
    for (let round = 1; round <= 3; round++) {
      await load.reached(load.answered + 200)
      const [pid] = childrenOf(master) as [number]
      killed.push(pid)
      process.kill(pid, 'SIGKILL')
      await logged(cli, READY, 2 + round)
    }
    await load.reached(load.answered + 200)
    const lost = await load.stop()
    expect(lost.filter(({ pid }) => pid !== undefined && !killed.includes(pid))).toEqual([])
    expect(lost.length).toBeLessThanOrEqual(3 * 20)
    const workers = childrenOf(master)
    expect(new Set(workers.flatMap((pid) => listenersOf(pid, portOf(cli)))).size).toBe(2)
    expect(await served(cli, 64)).toEqual(new Set(workers))
    expect(readdirSync(`/proc/${master}/fd`)).toHaveLength(descriptors)
  })

  test('that are all killed at once are all replaced', async () => {
    const cli = await start(['-w', '2', '--crash-loop', 'ignore'], { expectLog: [/was ended by SIGKILL/] })
    const [first, second] = childrenOf(cli.child.pid) as [number, number]
    for (const pid of [first, second]) process.kill(pid, 'SIGKILL')
    await logged(cli, READY, 4)
    expect(await served(cli, 64)).toEqual(new Set(childrenOf(cli.child.pid)))
  })

  test.runIf(process.getuid?.() === 0)('are replaced on a low port, although they may not bind one', async () => {
    const port = await freePort(600)
    const cwd = folderWith({
      'app.mjs': 'export default () => new Response(`${process.getuid()}:${process.pid}`)',
    })
    execFileSync('chmod', ['755', cwd])
    const cli = await startCli(
      [join(cwd, 'app.mjs'), '-b', `127.0.0.1:${port}`, '--reuse-port', '-u', '65534', '--log-level', 'debug'],
      { expectLog: [...WARNING, /was ended by SIGKILL/] },
    )
    const [uid, pid] = (await request(cli)).text.split(':')
    expect(uid).toBe('65534')
    process.kill(Number(pid), 'SIGKILL')
    await logged(cli, READY, 2)
    expect((await request(cli)).text).not.toBe(`${uid}:${pid}`)
  })

  test('that find the port taken when they are ready end the start with 5', async () => {
    const cwd = folderWith({ 'app.mjs': SLOW, wait: '' })
    const port = await freePort()
    const bind = ['-b', `127.0.0.1:${port}`]
    const starting = runCli(['app.mjs', ...bind, '--reuse-port'], { cwd })
    while (!existsSync(join(cwd, 'booting'))) await turns(1)
    // It does not share, and may listen as long as nobody else does.
    await startPool(bind)
    writeFileSync(join(cwd, 'go'), '')
    const { code, stderr } = await starting
    expect(stderr).toContain(`a port that was reserved cannot be opened: 127.0.0.1:${port}: Address already in use`)
    expect(stderr).toContain('[ERR_BIND]')
    expect(code).toBe(5)
  })
})

describe.runIf(isLinux)('servers that share a port', () => {
  test('with --workers 0 all get connections, and one that does not share is refused', async () => {
    const first = await start(['-w', '0'])
    const bind = ['-b', `127.0.0.1:${portOf(first)}`]
    const second = await startCli([POOL, ...bind, '-w', '0', '--reuse-port'], { expectLog: WARNING })
    const pids = [first, second].map(({ child }) => child.pid as number)
    expect(await served(first, 64)).toEqual(new Set(pids))
    const third = await runCli([POOL, ...bind, '-w', '0'])
    expect(third.code).toBe(5)
    expect(third.stderr).toContain('Address already in use')
    const answers = await queue(pids, first, 64, () => void second.child.kill('SIGTERM'))
    expect(answers).toEqual(Array.from({ length: 64 }, () => 200))
    expect((await second.exited()).code).toBe(0)
  })

  test('are allowed in one process, and one that does not share is refused there, too', async () => {
    const options = { interface: 'fetch', logLevel: 'error' } as const
    const first = await serveApp(() => new Response('first'), { ...options, reusePort: true })
    const bind = `127.0.0.1:${first.addresses[0]?.port}`
    const second = await serveApp(() => new Response('second'), { ...options, bind, reusePort: true })
    expect(second.addresses).toEqual(first.addresses)
    await expect(serveApp(() => new Response('third'), { ...options, bind })).rejects.toThrow('Address already in use')
  })
})

describe.runIf(isLinux)('a port that is shared', () => {
  test.each([
    ['unix:/tmp/a.sock', 'has no port'],
    ['fd://9', 'was bound by somebody else'],
  ])('cannot be that of %s', async (bind, why) => {
    const exit = await runCli([POOL, '-b', '127.0.0.1:0', '-b', bind, '--reuse-port'])
    expect(exit).toMatchObject({ code: 2, stdout: '' })
    expect(exit.stderr).toBe(
      `gneiss: --reuse-port shares TCP ports, and ${bind} ${why}; bind HOST:PORT only, or leave it out [ERR_OPTION]\n`,
    )
    expect(() => resolveServeOptions({ bind, reusePort: true })).toThrow(
      `option reusePort shares TCP ports, and ${bind}`,
    )
  })

  test.runIf(migration() === '0')('is a warning that says what to do, and is said once', async () => {
    const text = (label: string): string =>
      `with ${label}, connections that wait for a worker are reset when it ends, because net.ipv4.tcp_migrate_req is 0; set it to 1 with sysctl, and the others get them`
    expect(resolveServeOptions({ reusePort: true }).warnings).toEqual([text('option reusePort')])
    expect(resolveServeOptions().warnings).toEqual([])
    const cli = await startPool(['-w', '2'], { env: { GNEISS_REUSE_PORT: '1' }, expectLog: [/tcp_migrate_req/] })
    const { stderr } = await cli.stop()
    expect(stderr.split(text('GNEISS_REUSE_PORT'))).toHaveLength(2)
  })

  test.runIf(canUnshare())('is none where the kernel hands on what waits', () => {
    const line = `echo 1 > /proc/sys/net/ipv4/tcp_migrate_req && exec "$0" "$@"`
    const args = [`${ROOT}dist/cli.js`, POOL, '--reuse-port', '--check-config']
    const { status, stderr } = spawnSync('unshare', ['-rn', 'sh', '-c', line, process.execPath, ...args], {
      env: cleanEnv(),
      encoding: 'utf8',
    })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })
})

/** Waits while it is loaded, from the moment on when there is a file `wait`, for a file `go`. */
const SLOW = `import { existsSync, writeFileSync } from 'node:fs'
  if (existsSync('wait')) {
    writeFileSync('booting', '')
    while (!existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  export default () => new Response(String(process.pid))`

/** Whether a network of our own can be had, to set what holds for the whole of it. */
function canUnshare(): boolean {
  const test = 'test -w /proc/sys/net/ipv4/tcp_migrate_req'
  return isLinux && spawnSync('unshare', ['-rn', 'sh', '-c', test]).status === 0
}

function portOf({ url }: Pick<Cli, 'url'>): number {
  return Number(new URL(url).port)
}

/** Inodes of the sockets with which a process listens on a port. */
function listenersOf(pid: number, port: number): string[] {
  const rows = readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const listening = rows.flatMap((row) => {
    const [, address, , state, , , , , , inode] = row.trim().split(/\s+/)
    return state === '0A' && address?.endsWith(local) === true && inode !== undefined ? [inode] : []
  })
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
  return listening.filter((inode) => links.includes(`socket:[${inode}]`))
}

/** The processes that answer so many new connections. */
async function served(cli: Cli, count: number): Promise<Set<number>> {
  const clients = await Promise.all(Array.from({ length: count }, () => RawClient.connect(cli)))
  const pids = await Promise.all(clients.map(async (client) => Number((await client.request()).text)))
  await Promise.all(clients.map((client) => client.close()))
  return new Set(pids)
}

/** Has connections with requests wait for processes that stand still while something happens; returns the answers. */
async function queue(pids: readonly number[], cli: Cli, count: number, meanwhile: () => void): Promise<number[]> {
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  const clients = await Promise.all(Array.from({ length: count }, () => RawClient.connect(cli)))
  const answers = clients.map((client) => client.request())
  meanwhile()
  for (const pid of pids) process.kill(pid, 'SIGCONT')
  return (await Promise.all(answers)).map(({ status }) => status)
}

function isOpen(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
