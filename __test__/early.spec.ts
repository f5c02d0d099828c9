/** A first worker that is started before the configuration is complete: when it may be, and what becomes of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { parseArguments } from '../dist/options/arguments.js'
import { layerOfEnvironment, layerOfPlatform } from '../dist/options/environment.js'
import { EarlyWorker, canStartEarly } from '../dist/workers/spawn.js'
import { ROOT, childrenOf, cleanEnv, runCli } from './harness/cli.ts'
import { folderWith } from './harness/folder.ts'
import { POOL, READY, gone, logged, pidOf, startPool } from './harness/pool.ts'

const WORKER = join(ROOT, 'dist', 'worker.js')

function isEarly(argv: readonly string[], env: Record<string, string> = {}, hasFile = false): boolean {
  const { settings } = parseArguments(argv)
  return canStartEarly([layerOfPlatform(env, 1), layerOfEnvironment(env), { settings, warnings: [] }], hasFile)
}

describe('a worker may be started early', () => {
  test('when nothing could change its process', () => {
    expect(isEarly(['app.js'])).toBe(true)
    expect(isEarly(['app.js', '--workers', '4', '--bind', '127.0.0.1:0', '--user', 'nobody'])).toBe(true)
    expect(isEarly([], { GNEISS_APP: 'app.js', PORT: '3000' })).toBe(true)
    expect(isEarly(['app.js', '--workers', '2'], { WEB_CONCURRENCY: '0' })).toBe(true)
  })

  test.each([
    ['no application', [], {}],
    ['no workers', ['app.js', '--workers', '0'], {}],
    ['no workers by the environment', ['app.js'], { WEB_CONCURRENCY: '0' }],
    ['a configuration file', ['app.js', '--config', 'x.js'], {}],
    ['another directory', ['app.js', '--chdir', '/'], {}],
    ['variables', ['app.js', '--env', 'A=B'], {}],
    ['a file of variables', ['app.js'], { GNEISS_ENV_FILE: '.env' }],
    ['modules to import first', ['app.js', '--import', 'x'], {}],
    ['a check', ['app.js', '--check-config'], {}],
    ['a print', ['app.js', '--print-config'], {}],
    ['a descriptor to listen on', ['app.js', '--bind', 'fd://3'], {}],
    ['descriptors of a service manager', ['app.js'], { LISTEN_PID: '1', LISTEN_FDS: '1' }],
  ])('but not with %s', (_what, argv, env) => {
    expect(isEarly(argv, env as Record<string, string>)).toBe(false)
  })

  test('but not with a configuration file in the directory', () => {
    expect(isEarly(['app.js'], {}, true)).toBe(false)
  })
})

describe('a worker that was started early', () => {
  test('has what it was sent, and its successor what it is born with', async () => {
    const cli = await startPool(['--crash-loop', 'ignore'], { expectLog: [/worker 1 .*SIGKILL/] })
    const first = await pidOf(cli)
    expect(childrenOf(cli.child.pid)).toEqual([first])
    // What it was sent has numbers behind those that Node has taken.
    expect(placeOf(first, 6)).not.toMatch(/^socket:/)
    process.kill(first, 'SIGKILL')
    await logged(cli, READY, 2)
    const second = await pidOf(cli)
    expect(second).not.toBe(first)
    expect(placeOf(second, 6)).toMatch(/^socket:/)
  })

  test('is gone with a master that cannot start', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const { port } = holder.address() as { port: number }
    // `close` of the pipes: everybody who could write there is gone.
    const ended = await runCli([POOL, '--bind', `127.0.0.1:${port}`])
    expect(ended.code).toBe(5)
    expect(ended.stderr.trim().split('\n')).toHaveLength(1)
    holder.close()
  })

  test('ends without a word when its master is killed before it has said anything', async () => {
    const script = `
      import { EarlyWorker } from ${JSON.stringify(join(ROOT, 'dist/workers/spawn.js'))}
      const command = { file: ${JSON.stringify(WORKER)}, argv: ['of-nobody'], startDirectory: process.cwd() }
      const { process: child } = new EarlyWorker(command)
      process.stdout.write(String(child.pid))
      setInterval(() => {}, 1000)
    `
    // A file, because a worker gets the arguments of Node.
    const master = spawn(process.execPath, [join(folderWith({ 'master.mjs': script }), 'master.mjs')], {
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let errors = ''
    master.stderr.on('data', (data: Buffer) => {
      errors += data.toString()
    })
    const [pid] = (await once(master.stdout, 'data')) as [Buffer]
    master.kill('SIGKILL')
    // The pipes end with the last process that has them.
    await once(master, 'close')
    await gone(Number(pid))
    expect(errors).toBe('')
  })

  test('is not taken when it has ended already, and what it said is not lost', async () => {
    const folder = folderWith({ 'ends.cjs': "process.send({ gneiss: 'failed' }, () => process.exit(3))" })
    const early = new EarlyWorker({ file: join(folder, 'ends.cjs'), argv: [], startDirectory: folder })
    await once(early.process, 'close')
    expect(early.said).toEqual([{ gneiss: 'failed' }])
    let sent = 0
    expect(early.adopt(() => sent++)).toBe(false)
    expect(sent).toBe(0)
  })

  test('is ended when the descriptors cannot be handed over', async () => {
    const early = new EarlyWorker({ file: WORKER, argv: [], startDirectory: ROOT })
    const ended = once(early.process, 'close')
    const refused = early.adopt(() => {
      throw new Error('no descriptor')
    })
    expect(refused).toBe(false)
    expect(await ended).toEqual([null, 'SIGKILL'])
  })
})

/** What is behind a descriptor of a process. Linux only. */
function placeOf(pid: number, descriptor: number): string {
  return readlinkSync(`/proc/${pid}/fd/${descriptor}`)
}
