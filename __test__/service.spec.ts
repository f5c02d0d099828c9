/** What surrounds a master: service managers, process 1, hooks that hang, few descriptors. */
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ROOT, childrenOf, cleanEnv, runCli, startCli, watch } from './harness/cli.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { LOCAL, POOL, logged, pidOf, startPool as start } from './harness/pool.ts'
import { soon } from './harness/scale.ts'
import { onTeardown } from './harness/teardown.ts'

import type { ChildProcess } from 'node:child_process'

const CLI = `${ROOT}dist/cli.js`

function has(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Follows a program that starts the server in another way than the harness does. */
async function follow(
  child: ChildProcess,
): Promise<{ url: string; pid: number; output: () => { stderr: string; stdout: string } }> {
  const running = watch(child)
  onTeardown('processes', async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    expect(await running.exit).toMatchObject({ code: 0 })
  })
  const { url, pid } = await running.line('ready')
  return { url: String(url), pid: Number(pid), output: running.output }
}

describe('a service manager', () => {
  // Prints each datagram as a line of JSON, and says first where it listens.
  const RECEIVER = `import json, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True: print(json.dumps(s.recv(4096).decode()), flush=True)
`

  test.runIf(has('python3')).each([
    ['a socket file', '2', (folder: string) => join(folder, 'notify'), (folder: string) => join(folder, 'notify')],
    ['an abstract socket', '2', (folder: string) => `\\0${folder}`, (folder: string) => `@${folder}`],
    ['a socket file', '0', (folder: string) => join(folder, 'notify'), (folder: string) => join(folder, 'notify')],
  ])(
    'at %s, with --workers %s, hears of the start, of signs of life, and of the stop',
    async (_what, workers, bound, named) => {
      const folder = folderWith({
        'receiver.py': RECEIVER.replace('sys.argv[1]', "sys.argv[1].replace('\\\\0', chr(0))"),
      })
      const receiver = spawn('python3', [join(folder, 'receiver.py'), bound(folder)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      onTeardown('processes', () => void receiver.kill())
      let heard = ''
      receiver.stdout.on('data', (chunk: Buffer) => {
        heard += chunk.toString()
      })
      const until = async (text: string): Promise<void> => {
        while (!heard.includes(text)) await turns(1)
      }
      await until('bound')
      const cli = await start(['-w', workers], { env: { NOTIFY_SOCKET: named(folder), WATCHDOG_USEC: '200000' } })
      await until(workers === '0' ? 'STATUS=serving' : '"STATUS=2 of 2 workers ready"')
      await until('"WATCHDOG=1"')
      expect(heard).toContain(`\\nMAINPID=${cli.child.pid}"`)
      expect(heard.indexOf('READY=1')).toBeGreaterThan(0)
      await cli.stop()
      await until('"STOPPING=1\\nSTATUS=stopping"')
    },
  )

  test.runIf(has('systemd-socket-activate'))('hands sockets down', async () => {
    const folder = folderWith({})
    const path = join(folder, 'app.sock')
    const child = spawn(
      'systemd-socket-activate',
      ['-l', path, ...Object.keys(cleanEnv()).flatMap((name) => ['-E', name]), process.execPath, CLI, POOL, '-w', '2'],
      { env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] },
    )
    const following = follow(child)
    // The first connection is what starts the server, and waits for it.
    const first = await connectWhenThere(`unix:${path}`)
    const answer = first.request()
    const { url } = await following
    expect(url).toBe(`unix:${path}`)
    expect((await answer).status).toBe(200)
    expect((await request(url)).status).toBe(200)
  })

  async function connectWhenThere(url: string): Promise<RawClient> {
    for (;;) {
      try {
        return await RawClient.connect(url)
      } catch {
        await turns(1)
      }
    }
  }
})

describe.runIf(has('unshare') && process.getuid?.() === 0)('process 1', () => {
  const APP = `import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
const run = (command) => new Promise((resolve) => execFile('sh', ['-c', command], (error, stdout) => resolve(error?.code ?? stdout.trim())))
const zombies = () => readdirSync('/proc').filter((name) => {
  try { return readFileSync('/proc/' + name + '/stat', 'latin1').includes(') Z ') } catch { return false }
})
export default { async __rsgi__(scope, protocol) {
  const answers = { '/orphan': () => run('(sleep 0.05; exit 3) >/dev/null 2>&1 & echo $!'), '/child': () => run('exit 7'),
    '/zombies': () => zombies().length, '/parent': () => process.ppid }
  protocol.responseStr(200, [], String(await answers[scope.path]()))
} }`

  test('reaps orphans, and takes nobody the exit codes of its children', async () => {
    const folder = folderWith({ 'app.mjs': APP })
    const child = spawn(
      'unshare',
      [
        '--pid',
        '--fork',
        '--mount-proc',
        '--kill-child',
        process.execPath,
        CLI,
        join(folder, 'app.mjs'),
        ...LOCAL,
        '-w',
        '2',
      ],
      { env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] },
    )
    const running = watch(child)
    const { url, pid } = await running.line('ready')
    expect(pid).toBe(1)
    const ask = async (path: string): Promise<string> => (await request(String(url), { path })).text
    expect(await ask('/parent')).toBe('1')
    for (let round = 0; round < 5; round++) {
      expect(Number(await ask('/orphan'))).toBeGreaterThan(1)
      expect(await ask('/child')).toBe('7')
    }
    // Each of them ends within 50 ms, and is looked for once a second at the latest.
    const began = performance.now()
    while (performance.now() - began < 1500) expect(await ask('/child')).toBe('7')
    await expect.poll(() => ask('/zombies')).toBe('0')
    const [inner] = childrenOf(child.pid)
    process.kill(inner as number, 'SIGTERM')
    expect(await running.exit).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('a hook', () => {
  test.each(['preFork', 'whenReady', 'childExit'])(
    '%s that never returns costs a warning, not the supervision',
    async (name) => {
      const cwd = folderWith({ 'gneiss.config.mjs': `export const ${name} = () => new Promise(() => {})` })
      const cli = await start(['--hook-timeout', '100ms'], {
        cwd,
        expectLog: [new RegExp(`the hook ${name} takes longer than hookTimeout`), /was ended by SIGKILL/],
      })
      const pid = await pidOf(cli)
      process.kill(pid, 'SIGKILL')
      expect(await pidOf(cli)).not.toBe(pid)
      await logged(cli, `the hook ${name} takes longer`)
      // One for each time it was called, and none for the waiting.
      const calls = name === 'preFork' ? 2 : 1
      const { stderr } = await cli.stop()
      expect(stderr.split(`the hook ${name} takes longer`)).toHaveLength(1 + calls)
    },
  )

  test('that throws is logged, and onStarting refuses the start', async () => {
    const throwing = (name: string): string => `export const ${name} = () => { throw new Error('not today') }`
    const cli = await start([], {
      cwd: folderWith({ 'gneiss.config.mjs': throwing('whenReady') }),
      expectLog: [/\[error\] the hook whenReady failed\n {4}Error: not today/],
    })
    expect((await request(cli)).status).toBe(200)
    const exit = await runCli([POOL, ...LOCAL], { cwd: folderWith({ 'gneiss.config.mjs': throwing('onStarting') }) })
    expect(exit).toMatchObject({ code: 2, stdout: '' })
    expect(exit.stderr).toMatch(/^gneiss: the hook onStarting failed: not today \[ERR_HOOK\]\n/)
  })

  test('of a worker runs there, in the order of its life', async () => {
    const names = ['postFork', 'postWorkerInit', 'workerExit']
    const hooks = names.map(
      (name) => `export const ${name} = () => process.stderr.write('${name} ' + process.title + '\\n')`,
    )
    const app = "process.stderr.write('loaded\\n')\nexport default () => new Response()"
    const cli = await startCli(['app.mjs', ...LOCAL], {
      cwd: folderWith({ 'gneiss.config.mjs': hooks.join('\n'), 'app.mjs': app }),
      expectLog: [/^post/, /^loaded/, /^workerExit/],
    })
    const { stderr } = await cli.stop()
    const title = 'gneiss: worker [gneiss]'
    expect(stderr).toBe(`postFork ${title}\nloaded\npostWorkerInit ${title}\nworkerExit ${title}\n`)
  })
})

describe.runIf(process.platform === 'linux')('few descriptors', () => {
  test('keep who is there, cost no CPU, and end with the first that leaves', async () => {
    const child = spawn(
      'sh',
      ['-c', `ulimit -n 60; exec "$0" "$@"`, process.execPath, CLI, POOL, ...LOCAL, '--worker-connections', '1000'],
      {
        env: cleanEnv(),
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    const { url } = await follow(child)
    const first = await RawClient.connect(url)
    const pid = Number((await first.request()).text)
    const clients = await Promise.all(Array.from({ length: 120 }, () => RawClient.connect(url)))
    expect((await first.request()).status).toBe(200)
    const before = cpuOf(pid)
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(cpuOf(pid) - before).toBeLessThan(100)
    await Promise.all(clients.slice(0, 100).map((client) => client.close()))
    const began = performance.now()
    expect((await request(url)).status).toBe(200)
    expect(performance.now() - began).toBeLessThan(soon(1500))
  })

  /** Milliseconds of CPU that a process has used, in steps of 10. */
  function cpuOf(pid: number): number {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * 10
  }
})
