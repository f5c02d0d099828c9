/** How the program's configuration comes together: file, environment, preloads, directory. */
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { runCli, startCli } from './harness/cli.ts'
import { folderWith } from './harness/folder.ts'

import type { CliOptions, Exit } from './harness/cli.ts'

type Files = Record<string, string>
type Printed = Record<string, { value: unknown; origin: string }>

/** Runs `--print-config=json` in a folder with these files. */
async function printed(files: Files, args: readonly string[] = [], options: CliOptions = {}): Promise<Printed> {
  const { code, stdout, stderr } = await runCli(['--print-config=json', ...args], {
    cwd: folderWith(files),
    ...options,
  })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout) as Printed
}

async function refused(files: Files, args: readonly string[] = [], options: CliOptions = {}): Promise<Exit> {
  const exit = await runCli(['--print-config', ...args], { cwd: folderWith(files), ...options })
  expect(exit.stdout).toBe('')
  return exit
}

describe('the configuration file', () => {
  test.each([
    ['gneiss.config.json', '{ "keepAlive": "5m" }'],
    ['gneiss.config.js', 'module.exports = { keepAlive: "5m" }'],
    ['gneiss.config.js', 'exports.__esModule = true; exports.default = { keepAlive: "5m" }'],
    ['gneiss.config.mjs', 'export default { keepAlive: "5m" }'],
    ['gneiss.config.mjs', 'export default () => ({ keepAlive: "5m" })'],
    ['gneiss.config.mjs', 'export default async () => ({ keep_alive: 300 })'],
    ['gneiss.config.ts', 'interface Options { keepAlive: string }\nexport default { keepAlive: "5m" } as Options'],
  ])('%s: %s', async (name, text) => {
    const { keepAlive } = await printed({ [name]: text })
    expect(keepAlive).toEqual({ value: 300, origin: `file ${name}` })
  })

  test('is the first of ts, js, mjs, json', async () => {
    const files = {
      'gneiss.config.json': '{ "procName": "json" }',
      'gneiss.config.mjs': 'export default { procName: "mjs" }',
      'gneiss.config.js': 'module.exports = { procName: "js" }',
    }
    expect((await printed(files)).procName).toEqual({ value: 'js', origin: 'file gneiss.config.js' })
  })

  test('is the one that --config or GNEISS_CONFIG names, relative to where gneiss was started', async () => {
    const files = {
      'gneiss.config.json': '{ "procName": "found" }',
      'etc/site.json': '{ "procName": "named" }',
      'site/a.txt': '',
    }
    expect((await printed(files, ['-c', 'etc/site.json'])).procName).toEqual({
      value: 'named',
      origin: 'file etc/site.json',
    })
    expect((await printed(files, ['-c', 'etc/site.json', '--chdir', 'site'])).procName?.value).toBe('named')
    expect((await printed(files, [], { env: { GNEISS_CONFIG: 'etc/site.json' } })).procName?.value).toBe('named')
  })

  test('is looked for in the directory of --chdir', async () => {
    const files = {
      'gneiss.config.json': '{ "procName": "outer" }',
      'site/gneiss.config.json': '{ "procName": "inner" }',
    }
    expect((await printed(files, ['--chdir', 'site'])).procName?.value).toBe('inner')
    expect((await printed(files, [], { env: { GNEISS_CHDIR: 'site' } })).procName?.value).toBe('inner')
  })

  test.each([
    ['that is not there', {}, 'site.json could not be read: Error: ENOENT'],
    ['that is no JSON', { 'site.json': '{' }, 'site.json could not be read: SyntaxError: '],
    [
      'that holds no object',
      { 'site.json': '[]' },
      'site.json does not export a configuration; write export default { ... }',
    ],
    ['that throws', { 'site.mjs': 'throw new Error("no secret")' }, 'site.mjs could not be read: Error: no secret'],
    [
      'whose function rejects',
      { 'site.mjs': 'export default async () => { throw new Error("no secret") }' },
      'site.mjs could not be read: Error: no secret',
    ],
    [
      'whose function returns nothing',
      { 'site.mjs': 'export default () => {}' },
      'site.mjs does not export a configuration',
    ],
    [
      'without a default export',
      { 'site.mjs': 'export const bind = ":1"' },
      'site.mjs does not export a configuration',
    ],
  ])('%s ends the start with 2 and names the file', async (_what, files: Files, message) => {
    const { code, stderr } = await refused(files, ['--config', Object.keys(files)[0] ?? 'site.json'])
    expect(code).toBe(2)
    expect(stderr.split('\n')[0]).toMatch(/^gneiss: .* \[ERR_CONFIG\]$/)
    expect(stderr).toContain(message)
  })

  test.each([
    ['{ "keepAlives": 1 }', 'unknown option keepAlives in gneiss.config.json; did you mean keepAlive?'],
    ['{ "keepAlive": "soon" }', 'keepAlive in gneiss.config.json is "soon"; it must be seconds'],
    ['{ "workers": 1025 }', 'workers in gneiss.config.json is 1025; it must be 0 to 1024, or auto'],
  ])('%s ends the start with 2', async (text, message) => {
    const { code, stderr } = await refused({ 'gneiss.config.json': text })
    expect({ code, stderr: stderr.trimEnd() }).toEqual({ code: 2, stderr: expect.stringContaining(message) as string })
    expect(stderr).toMatch(/^gneiss: .* \[ERR_OPTION\]\n$/)
  })
})

describe('precedence', () => {
  const file = { 'gneiss.config.json': '{ "bind": ":3", "gracefulTimeout": 3 }' }
  const platform = { PORT: '2' }
  const own = { GNEISS_BIND: ':4', GNEISS_GRACEFUL_TIMEOUT: '4' }

  test.each<[string, Files, Record<string, string>, string[], [string, string]]>([
    ['the default', {}, {}, [], ['127.0.0.1:8000', 'default']],
    ['PORT over the default', {}, platform, [], ['0.0.0.0:2', 'env PORT']],
    ['the file over PORT', file, platform, [], ['0.0.0.0:3', 'file gneiss.config.json']],
    ['GNEISS_BIND over the file', file, { ...platform, ...own }, [], ['0.0.0.0:4', 'env GNEISS_BIND']],
    ['the command line over everything', file, { ...platform, ...own }, ['-b', ':5'], ['0.0.0.0:5', 'command line']],
  ])('%s', async (_what, files, env, args, [value, origin]) => {
    expect((await printed(files, args, { env })).bind).toEqual({ value: [value], origin })
  })
})

describe('the environment', () => {
  test('an unknown GNEISS_ name is a warning with the nearest name, and starts all the same', async () => {
    const { code, stderr } = await runCli(['--print-config'], { cwd: folderWith({}), env: { GNEISS_WROKERS: '1' } })
    expect(code).toBe(0)
    expect(stderr).toMatch(/\[warn\] unknown environment variable GNEISS_WROKERS; did you mean GNEISS_WORKERS\?\n$/)
  })

  test('files are read in dotenv syntax, in order, and never over the real environment', async () => {
    const files = {
      '.env': '# site\nPORT=1\nGNEISS_NAME="from file"\nexport GNEISS_BACKLOG=7 # few\n',
      'more.env': 'PORT=2\nGNEISS_ROOT_PATH=/more\n',
    }
    const config = await printed(files, ['--env-file', '.env', '--env-file=more.env'], { env: { GNEISS_BACKLOG: '9' } })
    expect(config).toMatchObject({
      bind: { value: ['0.0.0.0:1'], origin: 'env PORT' },
      procName: { value: 'from file', origin: 'env GNEISS_NAME' },
      backlog: { value: 9 },
      rootPath: { value: '/more' },
    })
    expect((await printed(files, [], { env: { GNEISS_ENV_FILE: '.env,more.env' } })).rootPath?.value).toBe('/more')
  })

  test('single variables go over the real environment', async () => {
    const config = await printed({}, ['-e', 'GNEISS_NAME=a=b', '-ePORT=3'], { env: { GNEISS_NAME: 'real' } })
    expect(config).toMatchObject({ procName: { value: 'a=b' }, bind: { value: ['0.0.0.0:3'] } })
  })

  test('what the file sets is there for the application', async () => {
    const files = {
      'gneiss.config.json':
        '{ "chdir": "site", "envFiles": "site.env", "rawEnv": ["B=raw", "C=raw"], "imports": "./preload.mjs" }',
      'site/site.env': 'A=file\nB=file\n',
      'site/preload.mjs': 'globalThis.seen = [process.env.A, process.env.B, process.env.C].join()',
      'site/app.mjs':
        'export const name = globalThis.seen; if (name !== "file,raw,raw") throw new Error(name)\nexport default () => {}',
    }
    const { code, stderr } = await runCli(['--check-config', 'app'], { cwd: folderWith(files), env: { C: 'real' } })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  test('a file that cannot be read ends the start with 2', async () => {
    // Node reads the flag of this name itself, wherever it stands, and ends before any script runs.
    const { code, stderr } = await refused({}, [], { env: { GNEISS_ENV_FILE: 'none.env' } })
    expect(code).toBe(2)
    expect(stderr).toMatch(
      /^gneiss: the environment file none\.env could not be read: Error: ENOENT.* \[ERR_CONFIG\]\n$/,
    )
  })
})

describe('preloads', () => {
  test('are imported in order, before the configuration file, from the directory of gneiss', async () => {
    const files = {
      'a.mjs': 'globalThis.seen = ["a"]',
      'lib/b.cjs': 'globalThis.seen.push("b")',
      'node_modules/agent/package.json': '{ "name": "agent", "exports": "./main.mjs", "type": "module" }',
      'node_modules/agent/main.mjs': 'globalThis.seen.push("agent")',
      'gneiss.config.mjs': 'export default { procName: globalThis.seen.join() }',
    }
    const args = ['--import', './a.mjs', '--import', './lib/b.cjs', '--import=agent']
    expect((await printed(files, args)).procName?.value).toBe('a,b,agent')
    expect((await printed(files, [], { env: { GNEISS_IMPORT: './a.mjs,./lib/b.cjs,agent' } })).procName?.value).toBe(
      'a,b,agent',
    )
  })

  test('may be absolute, a URL, or TypeScript', async () => {
    const folder = folderWith({
      'a.mjs': 'globalThis.seen = "a"',
      'b.ts': 'const more: string = "b"\n;(globalThis as any).seen += more',
    })
    const files = { 'gneiss.config.mjs': 'export default { procName: globalThis.seen }' }
    const args = ['--import', join(folder, 'a.mjs'), '--import', `${join(folder, 'b.ts')}`]
    expect((await printed(files, args)).procName?.value).toBe('ab')
    expect((await printed(files, ['--import', `file://${join(folder, 'a.mjs')}`])).procName?.value).toBe('a')
  })

  test('that fail end the start with 4', async () => {
    for (const [name, message] of [
      ['./none.mjs', './none.mjs of --import could not be loaded: Error: '],
      ['no-such-package', 'no-such-package of --import could not be loaded: Error: '],
      ['./throws.mjs', './throws.mjs of --import could not be loaded: Error: no agent'],
    ] as const) {
      const { code, stderr } = await refused({ 'throws.mjs': 'throw new Error("no agent")' }, ['--import', name])
      expect(code).toBe(4)
      expect(stderr).toContain(`gneiss: ${message}`)
    }
  })
})

describe('the directory', () => {
  test('that cannot be entered ends the start with 2', async () => {
    const { code, stderr } = await refused({}, ['--chdir', 'none'])
    expect(code).toBe(2)
    expect(stderr).toMatch(
      /^gneiss: the directory none of --chdir cannot be entered: Error: ENOENT.* \[ERR_OPTION\]\n$/,
    )
  })
})

describe('hooks in the configuration file', () => {
  test('are named exports or keys, in both spellings, and no options', async () => {
    const file = `export const on_starting = () => process.stderr.write('on starting\\n')
      export default { keepAlive: 5, onExit: () => process.stderr.write('on exit\\n') }`
    const app = 'export default () => new Response()'
    const cli = await startCli(['app.mjs', '--bind', '127.0.0.1:0'], {
      cwd: folderWith({ 'gneiss.config.mjs': file, 'app.mjs': app }),
      expectLog: ['on starting', 'on exit'],
    })
    await cli.stop()
  })
})
