/** The master and its workers, through real processes: start, deaths, crash loops. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'

import { describe, expect, test } from 'vitest'

import { ROOT, childrenOf, cleanEnv, runCli, startCli, watch } from './harness/cli.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { freePort } from './harness/ports.ts'
import { LOCAL, POOL, READY, gone, logged, millisecondsOf, pidOf, startPool as start } from './harness/pool.ts'
import { report, scaled, soon, timeLimit } from './harness/scale.ts'
import { startSums } from './harness/sums.ts'
import { onTeardown } from './harness/teardown.ts'

/** A sanitizer has memory of its own in every process. */
const isSanitized = process.env.LD_PRELOAD !== undefined

describe('a start', () => {
  test('says how many workers are ready, and each of them serves', async () => {
    const cli = await start(['-w', '3'])
    expect(cli.ready['workers']).toBe(3)
    const clients = await Promise.all(Array.from({ length: 12 }, () => RawClient.connect(cli)))
    const pids = await Promise.all(clients.map(async (client) => (await client.request()).text))
    expect(new Set(pids).size).toBe(3)
    expect(new Set(pids.map(Number))).toEqual(new Set(childrenOf(cli.child.pid)))
  })

  // One that the machine does not let run for 50 ms loses its turn, as it should; without a gate no try comes out even.
  test('spreads 64 connections over 4 workers, each within 2 of the mean', { retry: 3 }, async () => {
    const cli = await start(['-w', '4'])
    const clients = await Promise.all(Array.from({ length: 64 }, () => RawClient.connect(cli)))
    const counts = new Map<string, number>()
    for (const client of clients) {
      const { text } = await client.request()
      counts.set(text, (counts.get(text) ?? 0) + 1)
    }
    expect(counts.size).toBe(4)
    for (const count of counts.values()) expect(Math.abs(count - 16)).toBeLessThanOrEqual(2)
  })

  test('gives the application the arguments and the directory of the program', async () => {
    const cli = await start(['-w', '1'])
    expect((await request(cli, { path: '/argv' })).text).toBe(`${POOL} --bind 127.0.0.1:0 --log-level debug -w 1`)
  })

  test('keeps the application out of the master', async () => {
    const folder = folderWith({
      'app.mjs': 'process.stderr.write(`loaded in ${process.pid}\\n`)\nexport default () => new Response()',
    })
    const cli = await startCli([join(folder, 'app.mjs'), ...LOCAL, '-w', '2'], { expectLog: [/^loaded in/] })
    const pids = Array.from(cli.output().stderr.matchAll(/loaded in (\d+)/g), ([, pid]) => Number(pid))
    expect(new Set(pids)).toEqual(new Set(childrenOf(cli.child.pid)))
  })

  test('serves on with those that could start when others could not', async () => {
    // The second one to come finds the mark of the first.
    const app = `import { mkdirSync, existsSync } from 'node:fs'
      try { mkdirSync('first') } catch { if (!existsSync('later')) { mkdirSync('later'); throw new Error('no database') } }
      export default () => new Response('hello')`
    const cli = await startCli(['app.mjs', ...LOCAL, '-w', '2'], {
      cwd: folderWith({ 'app.mjs': app }),
      expectLog: [
        /app\.mjs could not be loaded: Error: no database/,
        /worker \d \(pid \d+\) ended with code 4: it could not start; /,
      ],
    })
    while (childrenOf(cli.child.pid).length < 2 || !cli.output().stderr.includes(READY)) await turns(1)
    expect((await request(cli)).text).toBe('hello')
  })

  test.each([
    ['before it is ready', 'process.exit(0)', 'ended with code 0 before it was ready'],
    ['by a signal', "process.kill(process.pid, 'SIGKILL')", 'was ended by SIGKILL before it was ready'],
  ])('ends with 3 when the only worker ends %s', async (_what, app, message) => {
    const { code, stdout, stderr } = await runCli(['app.mjs', ...LOCAL], { cwd: folderWith({ 'app.mjs': app }) })
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
    expect(stderr).toBe(`gneiss: worker 1 ${message} [ERR_BOOT]\n`)
  })

  test('ends with 3 when no worker is ready within bootTimeout, also while its loop is blocked', async () => {
    const folder = folderWith({ 'app.mjs': 'for (;;);' })
    const seconds = await millisecondsOf(async () => {
      const { code, stderr } = await runCli(['app.mjs', ...LOCAL, '--boot-timeout', '300ms'], { cwd: folder })
      expect({ code, stderr }).toEqual({
        code: 3,
        stderr: 'gneiss: worker 1 was not ready within bootTimeout [ERR_BOOT]\n',
      })
    })
    expect(seconds).toBeLessThan(soon(3500))
  })
})

describe.runIf(process.platform === 'linux' && !isSanitized)('the memory of the master', () => {
  test('is that of a bare process of Node and 10 MiB at most', async () => {
    const bare = spawn(process.execPath, ['-e', "setInterval(() => {}, 1e6); console.log('up')"], {
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTeardown('processes', () => void bare.kill())
    await once(bare.stdout as Readable, 'data')
    const cli = await start(['-w', '2'])
    await request(cli)
    expect(ownMemoryOf(cli.child.pid) - ownMemoryOf(bare.pid)).toBeLessThan(10 * 2 ** 20)
  })

  /** Bytes that are resident without the pages of Node's own file, which the workers have as well. */
  function ownMemoryOf(pid: number | undefined): number {
    const line = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    return Number(line) * 1024
  }
})

describe('a worker that dies', () => {
  test('is replaced, and one line says all that is known of it', async () => {
    const cli = await start(['-w', '1'], {
      expectLog: [
        /\[warn\] worker 1 \(pid \d+\) was ended by SIGKILL: nobody here has sent that; up \d+\.\d\d s, [12] requests? in flight, 1 death within 60 s, next start in 0\.\d\d s$/,
      ],
    })
    const pid = await pidOf(cli)
    const client = await RawClient.connect(cli)
    await client.send('GET /hang HTTP/1.1\r\nhost: a\r\n\r\n')
    await request(cli)
    process.kill(pid, 'SIGKILL')
    await client.ended()
    expect(await pidOf(cli)).not.toBe(pid)
  })

  test.each([
    ['/exit/7', [/ended with code 7: it ended without a word; /]],
    // Node prints a native stack.
    ['/abort', [/was ended by SIGABRT: nobody here has sent that; /, /^(?!\[20)/]],
  ])('by %s is a crash like any other', async (path, lines) => {
    const cli = await start(['-w', '1'], { expectLog: lines })
    await request(cli, { path }).catch(() => undefined)
    await logged(cli, READY, 2)
    expect((await request(cli)).status).toBe(200)
  })

  test('of an error that nobody handled finishes what is open, and has a successor meanwhile', async () => {
    const cli = await start(['-w', '1'], {
      expectLog: [
        /\[critical\] uncaught error/,
        /\[warn\] worker 1 \(pid \d+\) leaves: an error of the application that nobody handled; /,
      ],
    })
    const go = join(folderWith({}), 'go')
    const slow = await RawClient.connect(cli)
    await slow.send(`GET /until/${Buffer.from(go).toString('base64url')} HTTP/1.1\r\nhost: a\r\n\r\n`)
    const first = await pidOf(cli)
    await request(cli, { path: '/throw' })
    await logged(cli, 'leaves: ')
    // The successor answers before the slow request is answered.
    while ((await pidOf(cli)) === first);
    expect(slow.reader.available).toBe(0)
    writeFileSync(go, '')
    expect((await slow.read()).text).toBe(String(first))
    await gone(first)
  })

  test('by SIGTERM of somebody is replaced at once and is no crash', async () => {
    const cli = await start(['-w', '1'])
    const first = await pidOf(cli)
    process.kill(first, 'SIGTERM')
    await logged(cli, READY, 2)
    expect(await pidOf(cli)).not.toBe(first)
    await gone(first)
    expect(cli.output().stderr).toMatch(
      /\[info\] worker 1 \(pid \d+\) (?:leaves|ended with code 0): it was asked to; .*next start in 0\.00 s/,
    )
  })

  test(
    'of two under load costs each of its clients one request at most, and its place is taken within 200 ms and a boot, six times',
    async () => {
      const cli = await start(['-w', '2', '--crash-loop', 'ignore'], {
        expectLog: [/was ended by SIGKILL/, /crash loop/],
      })
      const load = startSums(cli.url, 20, 20)
      await load.reached(200)
      const kills: { readonly pid: number; readonly gap: number; readonly delay: number }[] = []
      for (let round = 1; round <= 6; round++) {
        const pid = await pidOf(cli)
        const at = Date.now()
        process.kill(pid, 'SIGKILL')
        await logged(cli, READY, 2 + round)
        const { stderr } = cli.output()
        const death = stderr.split('\n').find((line) => line.includes(`(pid ${pid}) was ended`)) ?? ''
        const ready =
          stderr
            .split('\n')
            .filter((line) => line.includes(READY))
            .at(-1) ?? ''
        const boot = Number(/after (\d+) ms$/.exec(ready)?.[1])
        const delay = Number(/next start in ([\d.]+) s$/.exec(death)?.[1]) * 1000
        kills.push({ pid, gap: timeOf(ready) - boot - at, delay })
        await load.reached(load.answered + 200)
      }
      const lost = await load.stop()
      // Each connection that is cut ends, and so loses no more than the one request that it waited for.
      const killed = new Set(kills.map(({ pid }) => pid))
      expect(lost.filter(({ pid }) => pid !== undefined && !killed.has(pid))).toEqual([])
      for (const { pid } of kills) expect(lost.filter((loss) => loss.pid === pid).length).toBeLessThanOrEqual(40)
      expect(load.slowest).toBeLessThan(scaled(20_000, 2000))
      // The first death of a place costs 100 ms and a fifth; the next ones cost what the log says.
      for (const { gap, delay } of kills) expect(gap - delay).toBeLessThan(scaled(5000, 100))
      const shortest = Math.min(...kills.map(({ gap }) => gap))
      expect(shortest).toBeLessThan(scaled(5000, 200))
      report(JSON.stringify({ kills, lost: lost.length, slowest: load.slowest, answered: load.answered }))
    },
    timeLimit(60_000),
  )
})

/** Milliseconds of the wall clock at which a line was logged. */
function timeOf(line: string): number {
  return Date.parse(/^\[([^\]]+)\]/.exec(line)?.[1] ?? '')
}

describe.runIf(process.platform === 'linux')('a worker that cannot start', () => {
  test('leaves who waits to be let in to the others', async () => {
    // The first one to come fails when it is told to, and the other starts when it is told to.
    const app = `import { existsSync, mkdirSync } from 'node:fs'
      let isFirst = true
      try { mkdirSync('first') } catch { isFirst = false }
      export default {
        async __rsgi_init__() {
          while (!existsSync(isFirst ? 'fail' : 'go')) await new Promise((resolve) => setTimeout(resolve, 5))
          if (isFirst && !existsSync('go')) throw new Error('no database')
        },
        __rsgi__: (scope, protocol) => protocol.responseStr(200, [], 'hello'),
      }`
    const cwd = folderWith({ 'app.mjs': app })
    const port = await freePort()
    const starting = startCli(['app.mjs', '-b', `127.0.0.1:${port}`, '-w', '2', '--crash-loop', 'ignore'], {
      cwd,
      expectLog: [/Error: no database/, /it could not start/],
    })
    while (!existsSync(join(cwd, 'first'))) await turns(1)
    const client = await RawClient.connect(`http://127.0.0.1:${port}`)
    const answer = client.request()
    const workers = mastersOf(port).flatMap(childrenOf)
    expect(workers).toHaveLength(2)
    writeFileSync(join(cwd, 'fail'), '')
    await Promise.race(workers.map(gone))
    writeFileSync(join(cwd, 'go'), '')
    expect((await answer).status).toBe(200)
    await starting
  })

  test.each<[string, string[], RegExp[]]>([
    ['a process', [], [/\[error\] worker 1 cannot be started: spawn .* EMFILE/, /it could not start/]],
    [
      'a listener',
      ['--reuse-port'],
      [/\[error\] worker 1 cannot be started; it is tried again in 1 s/, /tcp_migrate_req/],
    ],
  ])('because the system refuses %s is started later', async (_what, flags, lines) => {
    const hooks = `import { closeSync, openSync } from 'node:fs'
      export function childExit() {
        const all = []
        try { for (;;) all.push(openSync('/dev/null')) } catch { setTimeout(() => all.forEach(closeSync), 500) }
      }`
    const cwd = folderWith({ 'gneiss.config.mjs': hooks })
    const cli = await start(flags, {
      cwd,
      expectLog: [/was ended by SIGKILL/, ...lines],
    })
    execFileSync('prlimit', ['--pid', String(cli.child.pid), '--nofile=100:100'])
    process.kill(await pidOf(cli), 'SIGKILL')
    await logged(cli, 'cannot be started')
    await logged(cli, READY, 2)
    expect((await request(cli)).status).toBe(200)
  })

  test('because the system refuses ends the start', async () => {
    const hooks = `import { openSync } from 'node:fs'
      export function preFork() { try { for (;;) openSync('/dev/null') } catch {} }`
    const cwd = folderWith({ 'gneiss.config.mjs': hooks })
    const command = `ulimit -n 100; exec "${process.execPath}" "${ROOT}dist/cli.js" "${POOL}" ${LOCAL.join(' ')}`
    const child = spawn('sh', ['-c', command], { cwd, env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] })
    const { code, stderr } = await watch(child).exit
    expect(stderr).toContain('EMFILE')
    expect(code).toBe(1)
  })

  /** Processes that listen on a port of this machine. */
  function mastersOf(port: number): number[] {
    const rows = execFileSync('ss', ['-Hltnp', `sport = :${port}`], { encoding: 'utf8' })
    return [...new Set(Array.from(rows.matchAll(/pid=(\d+)/g), ([, pid]) => Number(pid)))]
  }
})

describe('a crash loop', () => {
  /** Ends 50 ms after it has told its master that it is ready. */
  const DYING = `const send = process.send.bind(process)
    process.send = (message, ...rest) => {
      if (message.gneiss === 'ready') setTimeout(() => process.exit(9), 50)
      return send(message, ...rest)
    }
    export default () => new Response('hello')`
  const folder = (): string => folderWith({ 'app.mjs': DYING })

  test('with exit ends with 7 when none has been ready for the grace', async () => {
    const { code, stderr } = await runCli(['app.mjs', ...LOCAL, '--crash-loop-grace', '1s'], { cwd: folder() })
    expect(code).toBe(7)
    const lines = stderr.trimEnd().split('\n')
    expect(lines.at(-1)).toBe('gneiss: workers keep dying, and none has been ready for crashLoopGrace [ERR_CRASH_LOOP]')
    expect(stderr).toContain('5 deaths within 60 s are a crash loop')
    expect(stderr.split('ended with code 9').length - 1).toBeLessThanOrEqual(6)
  })

  test('with degrade lives on, and waits', async () => {
    const cli = await startCli(['app.mjs', ...LOCAL, '--crash-loop', 'degrade', '--crash-loop-grace', '100ms'], {
      cwd: folder(),
    })
    await logged(cli, 'are a crash loop')
    expect(cli.output().stderr).toMatch(/5 deaths within 60 s, next start in 1\d\.\d s/)
    cli.child.kill('SIGTERM')
    expect((await cli.exited()).code).toBe(0)
  })
})

describe('a failure to start after the first was ready', () => {
  test('is a crash with a delay: the others serve, and it recovers by itself', async () => {
    const app = `import { existsSync } from 'node:fs'
      if (existsSync('down')) throw new Error('no database')
      export default () => new Response(String(process.pid))`
    const cwd = folderWith({ 'app.mjs': app })
    const cli = await startCli(['app.mjs', ...LOCAL, '-w', '2', '--crash-loop', 'ignore'], {
      cwd,
      expectLog: [/was ended by SIGKILL/, /Error: no database/, /it could not start/],
    })
    writeFileSync(join(cwd, 'down'), '')
    process.kill(await pidOf(cli), 'SIGKILL')
    await logged(cli, 'it could not start', 3)
    for (let round = 0; round < 20; round++) expect((await request(cli)).status).toBe(200)
    rmSync(join(cwd, 'down'))
    await logged(cli, READY)
    expect((await request(cli)).status).toBe(200)
  })
})
