/** The question that a worker asks itself before it counts as ready. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { cleanEnv, ROOT, runCli, startCli, watch } from './harness/cli.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { LOCAL, READY, gone, logged, pidOf } from './harness/pool.ts'

import type { Exit } from './harness/cli.ts'

/** Every request is a line on stderr, and how it is answered is written in its query. */
const APP = `import { existsSync } from 'node:fs'
const say = (what) => process.stderr.write(JSON.stringify(what) + '\\n')
export default {
  __rsgi_init__() { say({ event: 'started' }) },
  async __rsgi__(scope, protocol) {
    const agent = scope.headers.get('user-agent')
    say({ asked: scope.path, query: scope.queryString, client: scope.client, host: scope.headers.get('host'), agent })
    const query = new URLSearchParams(scope.queryString)
    if (query.has('never')) return new Promise(() => {})
    if (query.has('block')) for (;;);
    if (query.has('throw')) throw new Error('no database')
    if (query.has('cut')) {
      const stream = protocol.responseStream(200, [['content-length', '10']])
      await stream.sendStr('half')
      throw new Error('no more of it')
    }
    if (query.has('stream')) {
      const stream = protocol.responseStream(200, [])
      for (let piece = 0; piece < 5; piece++) {
        await stream.sendStr('x'.repeat(100_000))
        await new Promise(setImmediate)
      }
      return stream.end()
    }
    while (query.has('wait') && !existsSync(query.get('wait'))) await new Promise((resolve) => setTimeout(resolve, 5))
    protocol.responseStr(Number(query.get('status') ?? 200), [], String(process.pid))
  },
}`

const SAID = [/^\{"asked"/, /^\{"event"/]

function linesOf(text: string): Record<string, unknown>[] {
  const lines = text.split('\n').filter((line) => line.startsWith('{"'))
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

describe.each(['0', '1'])('with --workers %s, --health-probe', (workers) => {
  const args = ['app.mjs', ...LOCAL, '-w', workers] as const

  function run(target: string, ...more: readonly string[]): Promise<Exit> {
    return runCli([...args, '--health-probe', target, ...more], { cwd: folderWith({ 'app.mjs': APP }) })
  }

  test.each(['/health', '/health?deep=1', '/?status=204', '/a?status=301', '/big?stream'])(
    'asks the application for %s before the program is ready',
    async (target) => {
      const cwd = folderWith({ 'app.mjs': APP })
      const cli = await startCli([...args, '--health-probe', target], { cwd, expectLog: SAID })
      const [path, query = ''] = target.split('?')
      expect(linesOf(cli.output().stderr)).toEqual([
        { event: 'started' },
        { asked: path, query, client: '127.0.0.1:0', host: 'localhost', agent: 'gneiss-health-probe' },
      ])
      expect((await request(cli)).status).toBe(200)
      expect((await cli.stop()).code).toBe(0)
    },
  )

  test.each([
    ['/health?status=503', 'was answered with 503; it has to be 2xx or 3xx'],
    ['/health?status=404', 'was answered with 404; it has to be 2xx or 3xx'],
    ['/health?throw', 'was answered with 500; it has to be 2xx or 3xx'],
    ['/health?never', 'was not answered within bootTimeout'],
    ['/health?cut', 'was not answered as a whole: aborted'],
  ])('ends the start with 3 for %s, and says why', async (target, why) => {
    const { code, stdout, stderr } = await run(target, '--boot-timeout', '2s')
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
    expect(stderr).toContain(`gneiss: the health probe ${target} ${why} [ERR_BOOT]\n`)
  })

  test('ends the start with 3 when the server itself gives up', async () => {
    const { code, stderr } = await run('/health?never', '--request-timeout', '300ms')
    expect(code).toBe(3)
    expect(stderr).toContain('gneiss: the health probe /health?never was answered with 504; ')
  })

  test('stops the application that has started', async () => {
    const app = `export default { __rsgi__(scope, protocol) { protocol.responseEmpty(500) },
      __rsgi_del__() { process.stderr.write('stopped\\n') } }`
    const { code, stderr } = await runCli([...args, '--health-probe', '/'], { cwd: folderWith({ 'app.mjs': app }) })
    expect(code).toBe(3)
    expect(stderr).toContain('stopped\n')
  })

  test.each(['health', '/a b', '/a#b', 'http://localhost/a'])('takes no %j', async (target) => {
    const { code, stderr } = await run(target)
    expect(code).toBe(2)
    expect(stderr).toMatch(/must be a path such as \/health.* \[ERR_OPTION\]\n$/)
  })

  test('lets nobody else in before it is answered', async () => {
    const cwd = folderWith({ 'app.mjs': APP })
    const socket = ['--bind', 'unix:app.sock', '--health-probe', '/health?wait=well']
    const child = spawn(process.execPath, [`${ROOT}dist/cli.js`, 'app.mjs', '-w', workers, ...socket], {
      cwd,
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const { output, exit, line } = watch(child)
    const ready = line('ready')
    while (!output().stderr.includes('"/health"')) await once(child.stderr, 'data')
    const client = await RawClient.connect(`unix:${join(cwd, 'app.sock')}`)
    await client.send('GET /early HTTP/1.1\r\nhost: a\r\n\r\n')
    // Nothing happens for a while, which no event tells of.
    for (let turn = 0; turn < 50; turn++) await turns(1)
    expect(linesOf(output().stderr).map(({ asked }) => asked)).not.toContain('/early')
    writeFileSync(join(cwd, 'well'), '')
    await ready
    expect((await client.read()).status).toBe(200)
    await client.close()
    child.kill('SIGTERM')
    expect((await exit).code).toBe(0)
    expect(linesOf(output().stderr).map(({ asked }) => asked)).toEqual([undefined, '/health', '/early'])
  })
})

test('each worker is asked, and a successor as well: one that is not well does not get the place', async () => {
  const cwd = folderWith({ 'app.mjs': APP, well: '' })
  const app = `import { existsSync } from 'node:fs'
export default { __rsgi__(scope, protocol) {
  if (scope.path === '/health') process.stderr.write('asked ' + process.pid + '\\n')
  protocol.responseStr(scope.path !== '/health' || existsSync('well') ? 200 : 503, [], String(process.pid))
} }`
  writeFileSync(join(cwd, 'app.mjs'), app)
  const cli = await startCli(['app.mjs', ...LOCAL, '-w', '2', '--health-probe', '/health', '--log-level', 'debug'], {
    cwd,
    expectLog: [
      /^asked \d+$/,
      /worker \d .*SIGKILL/,
      /the health probe \/health was answered with 503/,
      /worker \d .*code 3: it could not start/,
    ],
  })
  await logged(cli, READY, 2)
  await logged(cli, 'asked ', 2)
  rmSync(join(cwd, 'well'))
  const lost = await pidOf(cli)
  process.kill(lost, 'SIGKILL')
  await gone(lost)
  await logged(cli, 'the health probe /health was answered with 503')
  expect((await request(cli)).status).toBe(200)
  writeFileSync(join(cwd, 'well'), '')
  await logged(cli, READY, 3)
  const asked = new Set(cli.output().stderr.match(/(?<=^asked )\d+$/gm))
  expect(asked.size).toBeGreaterThanOrEqual(4)
})

test('a handler that blocks is ended with the worker, when bootTimeout is over', async () => {
  const args = ['app.mjs', ...LOCAL, '-w', '1', '--health-probe', '/health?block', '--boot-timeout', '1s']
  const { code, stderr } = await runCli(args, { cwd: folderWith({ 'app.mjs': APP }) })
  expect(code).toBe(3)
  expect(stderr).toContain('gneiss: worker 1 was not ready within bootTimeout [ERR_BOOT]\n')
})

test('its path is never turned away, and what lies below it is', async () => {
  // Blocks until everybody has asked, and then for longer than anybody may wait.
  const app = `import { existsSync } from 'node:fs'
export default { __rsgi__(scope, protocol) {
  if (scope.path === '/block') {
    process.stderr.write('blocked\\n')
    while (!existsSync('asked'));
    const end = performance.now() + 600
    while (performance.now() < end);
  }
  protocol.responseStr(200, [], scope.path)
} }`
  const args = ['app.mjs', ...LOCAL, '-w', '0', '--health-probe', '/health', '--max-queue-wait', '200ms']
  const cwd = folderWith({ 'app.mjs': app })
  const cli = await startCli(args, { cwd, expectLog: ['blocked'] })
  const targets = ['/health', '/health?deep', '/health/db', '/other']
  const clients = await Promise.all(targets.map(() => RawClient.connect(cli)))
  const blocking = request(cli, { path: '/block' })
  await logged(cli, 'blocked')
  for (const [index, client] of clients.entries())
    await client.send(`GET ${targets[index]} HTTP/1.1\r\nhost: a\r\n\r\n`)
  writeFileSync(join(cwd, 'asked'), '')
  const answers = await Promise.all(clients.map((client) => client.read()))
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 503, 503])
  expect((await blocking).status).toBe(200)
})
