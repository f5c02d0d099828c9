/** Worker classes of a user, around the server of a worker. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ROOT, runCli, startCli } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { LOCAL, logged } from './harness/pool.ts'

import type { Cli, CliOptions, Exit } from './harness/cli.ts'

/** Says a word on stderr, in a line of its own. */
const SAY = "const say = (what) => process.stderr.write('said ' + what + '\\n')\n"

const APP = `${SAY}say('app loaded')
export default {
  async __rsgi_init__() { await null; say('app started') },
  async __rsgi__(scope, protocol) {
    if (scope.path === '/hang') { say('hanging'); await new Promise((resolve) => setTimeout(resolve, 300)) }
    say('asked')
    protocol.responseStr(200, [], globalThis.prepared ?? 'nothing')
  },
  __rsgi_del__() { say('app stopped') },
}`

const HOOKS = `${SAY}export const postFork = () => say('postFork')
export const postWorkerInit = () => say('postWorkerInit')
export const workerExit = () => say('workerExit')`

const CLASS = `${SAY}
const turn = () => new Promise((resolve) => setTimeout(resolve, 20))
export class MyWorker {
  constructor({ worker, server, config }) {
    say('made ' + [worker.number, worker.pid === process.pid, server.log.level, config.gracefulTimeout].join(' '))
  }
  async init() { await turn(); globalThis.prepared = 'prepared'; say('init') }
  async start(server) { await turn(); say('start ' + server.addresses.length) }
  async drain() { say('drain'); await turn(); say('drained') }
  async stop() { await turn(); say('stop') }
}`

/** What was said, in order. */
function said({ stderr }: { readonly stderr: string }): string[] {
  return Array.from(stderr.matchAll(/^said (.*)$/gm), ([, what]) => what as string)
}

describe.each(['0', '1'])('with --workers %s, a worker class', (workers) => {
  const WORKER = ['app.mjs', ...LOCAL, '-w', workers, '-k', './custom.mjs#MyWorker'] as const

  function start(custom: string, args: readonly string[] = [], options: CliOptions = {}): Promise<Cli> {
    const cwd = folderWith({ 'app.mjs': APP, 'custom.mjs': custom })
    return startCli([...WORKER, ...args], { ...options, cwd })
  }

  function run(custom: string, ...args: readonly string[]): Promise<Exit> {
    return runCli([...WORKER, ...args], { cwd: folderWith({ 'app.mjs': APP, 'custom.mjs': custom }) })
  }

  test('is called around the application and its server, in the order of their life', async () => {
    const cwd = folderWith({ 'app.mjs': APP, 'custom.mjs': CLASS, 'gneiss.config.mjs': HOOKS })
    const cli = await startCli([...WORKER, '--health-probe', '/health'], { cwd, expectLog: [/^said /] })
    expect((await request(cli)).text).toBe('prepared')
    expect(said(await cli.stop())).toEqual([
      'postFork',
      'made 1 true info 30',
      'init',
      'app loaded',
      'app started',
      'postWorkerInit',
      'start 1',
      // By the health probe, then by the client.
      'asked',
      'asked',
      'drain',
      'drained',
      'app stopped',
      'stop',
      'workerExit',
    ])
  })

  test('drains while open requests are answered, and the application stops behind both', async () => {
    const custom = `${SAY}export class MyWorker {
      drain() { say('drain'); return new Promise((resolve) => setTimeout(() => { say('drained'); resolve() }, 600)) }
    }`
    const cli = await start(custom, [], { expectLog: [/^said /] })
    const client = await RawClient.connect(cli)
    await client.send('GET /hang HTTP/1.1\r\nhost: a\r\n\r\n')
    await logged(cli, 'said hanging')
    const stopped = cli.stop()
    expect((await client.read()).status).toBe(200)
    expect(said(await stopped).slice(-5)).toEqual(['hanging', 'drain', 'asked', 'drained', 'app stopped'])
  })

  test('that never ends its drain or its stop is not waited for', async () => {
    const custom = `${SAY}const never = () => new Promise(() => setInterval(() => {}, 1000))
    export class MyWorker { drain() { say('drain'); return never() }  stop() { say('stop'); return never() } }`
    const cli = await start(custom, ['--graceful-timeout', '300ms', '--hook-timeout', '300ms'], {
      expectLog: [/^said /, /drain of .* was still at work/, /stop of .* takes longer than hookTimeout/],
    })
    expect(said(await cli.stop()).slice(-3)).toEqual(['drain', 'app stopped', 'stop'])
  })

  test('hears of a quick stop too', async () => {
    const cli = await start(CLASS, [], { expectLog: [/^said /] })
    expect(said(await cli.stop('SIGINT')).slice(-4)).toEqual(['drain', 'drained', 'app stopped', 'stop'])
  })

  test('whose drain and stop fail stops all the same', async () => {
    const custom = `export class MyWorker { drain() { throw new Error('no drain') }  async stop() { throw new Error('no stop') } }`
    const cli = await start(custom, [], {
      expectLog: [
        /^said /,
        /\[error\] drain of \.\/custom\.mjs#MyWorker failed\n {4}Error: no drain/,
        /\[error\] stop of \.\/custom\.mjs#MyWorker failed\n {4}Error: no stop/,
      ],
    })
    expect((await cli.stop()).code).toBe(0)
  })

  test.each([
    ['init', 'class MyWorker { async init() { throw new Error("no broker") } }', []],
    [
      'start',
      'class MyWorker { start() { throw new Error("no broker") } }',
      ['app loaded', 'app started', 'app stopped'],
    ],
    ['the constructor', 'class MyWorker { constructor() { throw new Error("no broker") }  init() {} }', []],
  ])('whose %s throws ends the start with 3', async (what, custom, words) => {
    const exit = await run(
      `${SAY}export ${custom.replace(/\}$/, " drain() { say('drain') }  stop() { say('stop') } }")}`,
    )
    expect(exit).toMatchObject({ code: 3, stdout: '' })
    expect(exit.stderr).toContain(`gneiss: ${what} of ./custom.mjs#MyWorker failed: Error: no broker [ERR_BOOT]\n`)
    expect(exit.stderr).toContain('custom.mjs:')
    expect(said(exit)).toEqual(words)
  })

  test.each([
    ['./custm.mjs#MyWorker', 'the file ./custm.mjs does not exist in ', '; did you mean custom.mjs?'],
    ['./custom.mjs#MyWorkr', './custom.mjs has no export MyWorkr; did you mean MyWorker?', 'MyWorker'],
    ['./custom.mjs#limit', 'limit of ./custom.mjs is no class', ''],
    ['./custom.mjs#make', 'make of ./custom.mjs is no class', ''],
    ['./custom.mjs#Empty', 'it has none of init, start, drain, stop, so that', ''],
    ['./custom.mjs#Odd', 'start is no function; leave it out', ''],
  ])('%s is a fault of the configuration: exit code 2', async (option, ...texts) => {
    const custom = `${CLASS}\nexport const limit = 5\nexport const make = () => ({ start() {} })
      export class Empty { onStart() {} }\nexport class Odd { start = 'now' }`
    const exit = await run(custom, '--worker-class', option)
    expect(exit).toMatchObject({ code: 2, stdout: '' })
    expect(exit.stderr).toContain(`gneiss: --worker-class is ${JSON.stringify(option)}: `)
    for (const text of texts) expect(exit.stderr).toContain(text)
    expect(exit.stderr).toMatch(/ \[ERR_OPTION\]\n$/)
    expect(said(exit)).toEqual([])
  })

  test('whose file throws ends the start with 4', async () => {
    const { code, stderr } = await run("throw new Error('not today')")
    expect(code).toBe(4)
    expect(stderr).toMatch(
      /^gneiss: \.\/custom\.mjs#MyWorker of --worker-class could not be loaded: Error: not today \[ERR_APP\]\n/,
    )
  })

  test.each(['sync', 'gthread', 'uvicorn.workers.UvicornWorker', '#MyWorker', './custom.mjs#', 'a#b#c'])(
    'is not %j',
    async (option) => {
      const { code, stderr } = await run(CLASS, '--worker-class', option)
      expect(code).toBe(2)
      expect(stderr).toContain('must be async, or FILE#EXPORT for a class of your own')
    },
  )

  test('in TypeScript and in CommonJS is one as well', async () => {
    const files = {
      'app.mjs': APP,
      'typed.ts': `import type { CustomWorker } from 'gneiss'
        export class Typed implements CustomWorker { init(): void { globalThis.prepared = 'typed' } }`,
      'common.cjs':
        "exports['default'] = {}; module.exports.deep = { Common: class { init() { globalThis.prepared = 'common' } } }",
    }
    for (const [option, text] of [
      ['typed#Typed', 'typed'],
      ['./common.cjs#deep.Common', 'common'],
    ] as const) {
      const cli = await startCli([...WORKER, '--worker-class', option], {
        cwd: folderWith(files),
        expectLog: [/^said /],
      })
      expect((await request(cli)).text).toBe(text)
      await cli.stop()
    }
  })
})

describe('--check-config', () => {
  const files = { 'app.mjs': 'export default () => new Response()', 'custom.mjs': 'export class MyWorker {}' }

  test('looks for the worker class', async () => {
    const { code, stdout } = await runCli(['app.mjs', '--check-config', '-k', 'custom.mjs#MyWorker'], {
      cwd: folderWith(files),
    })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^app\.mjs is fine: .*\ncustom\.mjs#MyWorker is fine: it is a class\n$/)
  })

  test.each(['custom.mjs#Another', 'none.mjs#MyWorker'])('refuses %s with 2', async (option) => {
    const { code, stderr } = await runCli(['app.mjs', '--check-config', '-k', option], { cwd: folderWith(files) })
    expect(code).toBe(2)
    expect(stderr).toMatch(new RegExp(`^gneiss: --worker-class is "${option}": .* \\[ERR_OPTION\\]\n$`))
  })
})

test('jobs.js of the examples does what it was given before it stops', async () => {
  const file = 'examples/jobs.js'
  expect(readFileSync(join(ROOT, file), 'utf8')).toContain(`gneiss ${file} --worker-class ${file}#JobWorker`)
  const cli = await startCli([file, ...LOCAL, '--worker-class', `${file}#JobWorker`])
  for (let job = 0; job < 5; job++)
    expect((await request(cli, { method: 'POST', path: '/jobs', body: 'a job' })).status).toBe(202)
  const { stderr } = await cli.stop()
  expect(stderr).toContain('worker 1 has done 5 jobs')
})
