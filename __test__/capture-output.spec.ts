/** What the application writes to stdout and stderr, in the error log. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ROOT, cleanEnv, runCli, startCli, watch } from './harness/cli.ts'
import { request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { LOCAL, logged } from './harness/pool.ts'

import type { Cli } from './harness/cli.ts'

/** Says a word in every way there is: by both streams, by the console, by descriptor, by processes of its own. */
const APP = `import { spawnSync } from 'node:child_process'
import { writeSync } from 'node:fs'
const say = (word) => {
  process.stdout.write(word + ' by stdout\\n')
  process.stderr.write(word + ' by stderr\\n')
  console.log(word + ' by console')
  console.error(word + ' by console error')
  writeSync(1, word + ' by descriptor 1\\n')
  writeSync(2, word + ' by descriptor 2\\n')
  spawnSync('sh', ['-c', 'echo "$0 by child"; echo "$0 by child error" >&2', word], { stdio: 'inherit' })
}
say('loaded')
export default { __rsgi__(scope, protocol) {
  say('/' + scope.path.slice(1))
  protocol.responseStr(200, [], String(process.pid))
} }`

const WAYS = [
  'stdout',
  'stderr',
  'console',
  'console error',
  'descriptor 1',
  'descriptor 2',
  'child',
  'child error',
] as const

/** What the application has written when it has said a word. */
function linesOf(word: string): string {
  return WAYS.map((way) => `${word} by ${way}\n`).join('')
}

/** A file, once a text is in it. */
async function written(file: string, text: string): Promise<string> {
  for (;;) {
    const all = statSync(file, { throwIfNoEntry: false }) === undefined ? '' : readFileSync(file, 'utf8')
    if (all.includes(text)) return all
    await turns(1)
  }
}

/** The lines of the program itself. */
function eventsOf(stdout: string): string[] {
  const lines = stdout.trimEnd().split('\n')
  return lines.map((line) => (JSON.parse(line) as { event: string }).event)
}

/** Hides from the application that it is there, as no other process does. */
const SEEN_FIRST = "process.stdout.write(''); console.log('by a preload')"

describe.each(['0', '1'])('with --workers %s, --capture-output', (workers) => {
  const args = ['app.mjs', ...LOCAL, '-w', workers, '--capture-output'] as const

  test('has the output of the application in the error log, raw and in order, and its own lines on stdout', async () => {
    const cwd = folderWith({ 'app.mjs': APP })
    const cli = await startCli([...args, '--error-log', 'error.log'], { cwd })
    await request(cli, { path: '/asked' })
    expect(await written(join(cwd, 'error.log'), linesOf('/asked'))).toBe(linesOf('loaded') + linesOf('/asked'))
    const { stdout, stderr } = await cli.stop()
    expect(eventsOf(stdout)).toEqual(['ready', 'stopped'])
    expect(stderr).toBe('')
  })

  test('follows the file that SIGUSR1 opens anew', async () => {
    const cwd = folderWith({ 'app.mjs': APP })
    const file = join(cwd, 'error.log')
    const cli = await startCli([...args, '--error-log', 'error.log'], { cwd })
    renameSync(file, join(cwd, 'error.log.1'))
    cli.child.kill('SIGUSR1')
    for (let round = 0; ; round++) {
      await request(cli, { path: `/round-${round}` })
      if (existsSync(file) && readFileSync(file, 'utf8').includes(linesOf(`/round-${round}`))) break
    }
    expect(readFileSync(file, 'utf8')).not.toContain('loaded by')
    const { stdout, stderr } = await cli.stop()
    expect(eventsOf(stdout)).toEqual(['ready', 'stopped'])
    expect(stderr).toBe('')
  })

  test.each([[['--error-log', '-']], [[]]])('has stdout lead to stderr where the log is there: %j', async (log) => {
    const cwd = folderWith({ 'app.mjs': APP })
    const cli = await startCli([...args, ...log], { cwd, expectLog: [/^loaded by/, /^\/asked by/] })
    await request(cli, { path: '/asked' })
    const { stdout, stderr } = await cli.stop()
    expect(stderr).toBe(linesOf('loaded') + linesOf('/asked'))
    expect(eventsOf(stdout)).toEqual(['ready', 'stopped'])
  })

  test('leaves the access log on stdout', async () => {
    const cwd = folderWith({ 'app.mjs': APP })
    const log = ['--error-log', 'error.log', '--access-log', '-', '--access-log-format', '%(U)s was asked for']
    const cli = await startCli([...args, ...log], { cwd })
    await request(cli, { path: '/asked' })
    const { stdout } = await cli.stop()
    expect(stdout.split('\n').filter((line) => line.endsWith('was asked for'))).toEqual(['/asked was asked for'])
    expect(readFileSync(join(cwd, 'error.log'), 'utf8')).toBe(linesOf('loaded') + linesOf('/asked'))
  })

  test.runIf(existsSync('/dev/full'))('fails no request on a full disk', async () => {
    const app = `export default { __rsgi__(scope, protocol) {
      process.stdout.on('error', (error) => { throw error }).write('by stdout\\n')
      process.stderr.write('by stderr\\n', (error) => { if (error) throw error })
      console.log('by console')
      protocol.responseEmpty(200)
    } }`
    const cwd = folderWith({ 'app.mjs': app })
    const cli = await startCli([...args, '--error-log', '/dev/full'], { cwd })
    for (let round = 0; round < 20; round++) expect((await request(cli)).status).toBe(200)
    const { stdout, stderr } = await cli.stop()
    expect(eventsOf(stdout)).toEqual(['ready', 'stopped'])
    expect(stderr).toBe('')
  })

  test('says on stderr why a start has failed', async () => {
    const cwd = folderWith({ 'app.mjs': "console.log('loading'); throw new Error('no database')" })
    const { code, stdout, stderr } = await runCli([...args, '--error-log', 'error.log'], { cwd })
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' })
    expect(stderr).toMatch(/^gneiss: app\.mjs could not be loaded: Error: no database \[ERR_APP\]\n/)
    expect(readFileSync(join(cwd, 'error.log'), 'utf8')).toBe('loading\n')
  })

  test('takes the streams over from whoever has used them before', async () => {
    const cwd = folderWith({ 'app.mjs': APP, 'before.mjs': SEEN_FIRST })
    const cli = await startCli([...args, '--error-log', 'error.log', '--import', './before.mjs'], { cwd })
    const { stdout } = await cli.stop()
    expect(stdout.startsWith('by a preload\n')).toBe(true)
    expect(readFileSync(join(cwd, 'error.log'), 'utf8')).toContain(linesOf('loaded'))
  })

  test('takes what is written in a terminal, where the banner stays', async ({ skip }) => {
    if (!existsSync('/usr/bin/script')) skip('this machine has no terminals to give')
    const cwd = folderWith({ 'app.mjs': APP })
    const command = ['exec', process.execPath, `${ROOT}dist/cli.js`, ...args, '--error-log', 'error.log'].join(' ')
    const child = spawn('/usr/bin/script', ['-qefc', command, '/dev/null'], {
      cwd,
      env: cleanEnv({ NO_COLOR: '1' }),
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const { output, exit } = watch(child)
    while (!output().stdout.includes('ready in')) await once(child.stdout, 'data')
    const url = /serves (\S+)/.exec(output().stdout)?.[1] as string
    await request({ url } as Cli, { path: '/asked' })
    // The terminal sends SIGINT.
    child.stdin.write('\u0003')
    expect((await exit).code).toBe(0)
    expect(output().stdout).not.toContain(' by ')
    expect(readFileSync(join(cwd, 'error.log'), 'utf8')).toBe(linesOf('loaded') + linesOf('/asked'))
  })
})

test('gives the streams of a program back when its server has stopped', async () => {
  const program = `import { Application } from ${JSON.stringify(`${ROOT}dist/index.js`)}
    console.log('before')
    const app = () => { console.log('asked'); return new Response() }
    class Shop extends Application { load() { return app } }
    for (const round of [1, 2]) {
      const shop = new Shop({ workers: 0, bind: 'unix:app.sock', captureOutput: true, errorLog: 'error.log', args: [] })
      const code = shop.run()
      const { request } = await import('node:http')
      const ask = () => request({ socketPath: 'app.sock' }, (answer) => {
        answer.resume().on('end', () => process.kill(process.pid, 'SIGTERM'))
      }).on('error', () => setTimeout(ask, 5)).end()
      ask()
      console.log('round ' + round + ' has ended with ' + (await code))
    }`
  const cwd = folderWith({ 'program.mjs': program })
  const child = spawn(process.execPath, ['program.mjs'], { cwd, env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] })
  const { code, stdout, stderr } = await watch(child).exit
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: 'before\nround 1 has ended with 0\nround 2 has ended with 0\n',
    stderr: '',
  })
  expect(readFileSync(join(cwd, 'error.log'), 'utf8')).toBe('asked\nasked\n')
})

test('without --capture-output, the application writes where the program does', async () => {
  const cwd = folderWith({ 'app.mjs': APP })
  const cli = await startCli(['app.mjs', ...LOCAL, '--error-log', 'error.log'], {
    cwd,
    expectLog: [/^loaded by/],
  })
  await logged(cli, 'loaded by child error')
  const { stdout } = await cli.stop()
  expect(stdout).toContain('loaded by console\n')
  expect(readFileSync(join(cwd, 'error.log'), 'utf8')).toBe('')
})
