/** TypeScript applications, by Node's own stripping or by `oxc-transform`, run as the command line runs them. */
import { spawnSync } from 'node:child_process'
import { cpSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ROOT, runCli } from './harness/cli.ts'
import { folderWith } from './harness/folder.ts'

type Files = Record<string, string>

/** Loads an application in its own process and gives what it answers to a call without arguments. */
async function answerOf(files: Files, target: string): Promise<string> {
  const folder = folderWith({
    ...files,
    'answer.mjs': `
      import { loadApp } from ${JSON.stringify(`file://${ROOT}dist/loader.js`)}
      const { app } = await loadApp(${JSON.stringify(target)})
      process.stdout.write(String(await app()))`,
  })
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const { stdout, stderr } = spawnSync(process.execPath, ['answer.mjs'], { cwd: folder, encoding: 'utf8' })
  expect(stderr.replaceAll(/^.*(?:ExperimentalWarning|trace-warnings).*\n/gm, '')).toBe('')
  return stdout
}

const STRIP = "interface Named { name: string }\nconst it: Named = { name: 'typed' }\n"
const ESM = '{ "type": "module" }'

describe('a TypeScript application', () => {
  test.each<[string, Files, string, string]>([
    ['with types', { 'app.ts': `${STRIP}export default (): string => it.name` }, 'app', 'typed'],
    [
      'in a package of modules',
      { 'package.json': ESM, 'app.ts': `${STRIP}export default (): string => it.name` },
      'app.ts',
      'typed',
    ],
    ['as .mts', { 'app.mts': `${STRIP}export default (): string => it.name` }, 'app', 'typed'],
    ['as .cts', { 'app.cts': `${STRIP}module.exports = (): string => it.name` }, 'app', 'typed'],
    [
      'in CommonJS without a word about it',
      { 'app.ts': `${STRIP}module.exports = (): string => require('node:path').sep + it.name` },
      'app',
      '/typed',
    ],
    [
      'importing .ts',
      { 'app.ts': "import { n } from './b.ts'\nexport default (): number => n", 'b.ts': 'export const n: number = 1' },
      'app',
      '1',
    ],
    [
      'importing .js that is .ts',
      { 'app.ts': "import { n } from './b.js'\nexport default (): number => n", 'b.ts': 'export const n: number = 2' },
      'app',
      '2',
    ],
    [
      'importing .mjs that is .mts',
      {
        'app.mts': "import { n } from './b.mjs'\nexport default (): number => n",
        'b.mts': 'export const n: number = 3',
      },
      'app',
      '3',
    ],
    [
      'importing .js that is .js',
      { 'app.ts': "import { n } from './b.js'\nexport default (): number => n", 'b.js': 'exports.n = 4' },
      'app',
      '4',
    ],
    [
      'importing without extension',
      {
        'app.ts': "import { n } from './lib/b'\nexport default (): number => n",
        'lib/b.ts': "export { n } from '../c'",
        'c/index.ts': 'export const n: number = 5',
      },
      'app',
      '5',
    ],
    [
      'importing dynamically',
      {
        'app.ts': "export default async (): Promise<number> => (await import('./b.js')).n",
        'b.ts': 'export const n: number = 6',
      },
      'app',
      '6',
    ],
    [
      'requiring',
      {
        'app.cts': "const { n } = require('./b.cts')\nmodule.exports = (): number => n",
        'b.cts': 'exports.n = 7 as number',
      },
      'app',
      '7',
    ],
    [
      'importing a package',
      {
        'app.ts':
          "import { Hono } from 'hono'\nconst app: unknown = new Hono()\nexport default (): string => typeof app",
      },
      'app',
      'object',
    ],
  ])('%s', async (_what, files, target, answer) => {
    expect(await answerOf(files, target)).toBe(answer)
  })

  test.each<[string, Files, string]>([
    ['an enum', { 'app.ts': 'enum Color { Red, Green }\nexport default (): number => Color.Green' }, '1'],
    [
      'an exported const enum of another file',
      {
        'app.ts': "import { Color } from './b.ts'\nexport default (): number => Color.Green",
        'b.ts': 'export const enum Color { Red, Green }',
      },
      '1',
    ],
    [
      'an enum in CommonJS',
      { 'app.cts': 'enum Color { Red, Green }\nmodule.exports = (): number => Color.Green' },
      '1',
    ],
    [
      'a namespace',
      { 'app.ts': 'namespace Site { export const name = "site" }\nexport default (): string => Site.name' },
      'site',
    ],
    [
      'parameter properties',
      {
        'app.ts':
          'class Site { constructor(private readonly name: string, other: () => void = () => {}) {} get it() { return this.name } }\nexport default (): string => new Site("site").it',
      },
      'site',
    ],
    ['import =', { 'app.cts': 'import path = require("node:path")\nexport = (): string => path.sep' }, '/'],
    [
      'JSX',
      {
        'app.tsx': 'export default (): string => String(<b>bold</b>)',
        'tsconfig.json': '{ "compilerOptions": { "jsx": "react-jsx", "jsxImportSource": "hono/jsx" } }',
      },
      '<b>bold</b>',
    ],
    [
      'JSX of its own making',
      {
        'app.tsx':
          'const h = (name: string, _props: object, ...inner: string[]) => `${name}(${inner.join()})`\nexport default (): string => <b>bold</b>',
        'tsconfig.json': '{ "compilerOptions": { "jsx": "react", "jsxFactory": "h" } }',
      },
      'b(bold)',
    ],
    [
      'JSX in another file',
      {
        'app.ts': "import { view } from './view.js'\nexport default (): string => view()",
        'view.tsx': '/** @jsxImportSource hono/jsx */\nexport const view = (): string => String(<i>it</i>)',
      },
      '<i>it</i>',
    ],
    [
      'a type that is imported as a value',
      {
        'app.ts':
          "import { Named } from './b.ts'\nenum E { A }\nconst it: Named = { name: 'x' }\nexport default (): string => it.name + E.A",
        'b.ts': 'export interface Named { name: string }',
      },
      'x0',
    ],
  ])('is transformed where it holds %s', async (_what, files, answer) => {
    expect(await answerOf(files, `./app${'app.tsx' in files ? '.tsx' : ''}`)).toBe(answer)
  })

  test('has decorators, with the metadata its tsconfig.json asks for', async () => {
    const decorators = `
      const seen: string[] = []
      ;(Reflect as any).metadata = (key: string, value: any) => () => { seen.push(key + ':' + (value?.name ?? value?.map((item: any) => item.name))) }
      const mark = (name: string): any => (...place: unknown[]) => { seen.push(name + place.length) }
      @mark('class') class Site {
        @mark('field') name: string = 'site'
        @mark('method') hello(@mark('parameter') who: string): number { return who.length }
      }
      export default (): string => seen.join(' ') + ' ' + new Site().name`
    const tsconfig = '{ "compilerOptions": { "experimentalDecorators": true, "emitDecoratorMetadata": true } }'
    const answer = await answerOf({ 'app.ts': decorators, 'tsconfig.json': tsconfig }, 'app')
    expect(answer.split(' ').toSorted()).toEqual(
      [
        'class1',
        'design:paramtypes:String',
        'design:returntype:Number',
        'design:type:Function',
        'design:type:String',
        'field3',
        'method3',
        'parameter3',
        'site',
      ].toSorted(),
    )
    expect(await answerOf({ 'app.ts': decorators }, 'app')).not.toContain('design:')
  })

  test('keeps the semantics of fields that its tsconfig.json asks for', async () => {
    const app =
      'enum E { A }\nclass Base { constructor() { (this as any).name = "base" } }\nclass Site extends Base { name!: string }\nexport default (): string => String(new Site().name)'
    const old = '{ "compilerOptions": { "useDefineForClassFields": false } }'
    expect(await answerOf({ 'app.ts': app, 'tsconfig.json': old }, 'app')).toBe('base')
    expect(await answerOf({ 'app.ts': app }, 'app')).toBe('undefined')
  })

  test('resolves the paths of its tsconfig.json, with comments, extends and the longest prefix', async () => {
    const files = {
      'tsconfig.json': '{ /* site */ "extends": "./base", "compilerOptions": { // more\n "strict": true, }, }',
      'base.json':
        '{ "compilerOptions": { "paths": { "@/*": ["./src/*"], "@/lib/*": ["./none/*", "./lib/*"], "config": ["./src/config.ts"] } } }',
      'src/main.ts':
        "import { a } from '@/a'\nimport { b } from '@/lib/b.js'\nimport { c } from 'config'\nimport { sep } from 'path'\nexport default (): string => a + b + c + sep",
      'src/a.ts': "export const a: string = 'a'",
      'lib/b.ts': "export const b: string = 'b'",
      'src/config.ts': "export const c: string = 'c'",
    }
    expect(await answerOf(files, 'src/main')).toBe('abc/')
  })

  test('resolves from baseUrl, and packages where that has no file', async () => {
    const files = {
      'tsconfig.json': '{ "compilerOptions": { "baseUrl": "./src" } }',
      'src/main.ts':
        "import { a } from 'inner/a'\nimport { Hono } from 'hono'\nexport default (): string => a + typeof Hono",
      'src/inner/a.ts': "export const a: string = 'a'",
    }
    expect(await answerOf(files, 'src/main')).toBe('afunction')
  })
})

describe('what is said when TypeScript fails', () => {
  async function refusal(files: Files, target = 'app', ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await runCli(['--check-config', target, ...args], { cwd: folderWith(files) })
    expect(stdout).toBe('')
    expect(code).toBe(4)
    return stderr
  }

  test('an error has the place of the source in its stack, also behind a transform', async () => {
    const app =
      'interface A { a: 1 }\nenum E { A }\n\nfunction start(count: number): void {\n  throw new Error("no " + E.A + count)\n}\nstart(1)\n'
    const stderr = await refusal({ 'app.ts': app })
    expect(stderr).toMatch(/^gneiss: app\.ts could not be loaded: Error: no 01 \[ERR_APP\]\n/)
    expect(stderr).toMatch(/at start \(.*app\.ts:5:9\)/)
    expect(stderr).not.toMatch(/node:internal|dist\/loader/)
  })

  test('a syntax error has its place', async () => {
    expect(await refusal({ 'app.tsx': 'export default () => <b>\n  const x: = 3' }, 'app.tsx')).toContain('app.tsx')
  })

  test('decorators of the standard, which nothing here runs, are named', async () => {
    const app =
      'const mark = (value: unknown, context: unknown) => {}\n@mark class Site {}\nexport default () => new Site()'
    const stderr = await refusal({ 'app.ts': app, 'tsconfig.json': '{}' })
    expect(stderr).toContain('uses standard decorators')
    expect(stderr).toContain('experimentalDecorators')
  })

  test('a tsconfig.json that cannot be read is named', async () => {
    const broken = await refusal({
      'app.ts': 'enum E { A }\nexport default () => E.A',
      'tsconfig.json': '{ "compilerOptions": ',
    })
    expect(broken).toContain('tsconfig.json cannot be read')
    const missing = await refusal({
      'app.ts': 'enum E { A }\nexport default () => E.A',
      'tsconfig.json': '{ "extends": "no-such-config" }',
    })
    expect(missing).toContain('extends no-such-config, which cannot be found')
    const circle = await refusal({
      'app.ts': 'enum E { A }\nexport default () => E.A',
      'tsconfig.json': '{ "extends": "./tsconfig.json" }',
    })
    expect(circle).toContain('extends itself')
  })

  test.each([
    ['an enum', 'app.ts', 'enum E { A }\nexport default () => E.A'],
    [
      'decorators',
      'app.ts',
      'const mark = (target: unknown) => {}\n@mark class Site {}\nexport default () => new Site()',
    ],
    ['JSX', 'app.tsx', 'export default () => <b/>'],
  ])('without oxc-transform, %s is refused with what to install', async (_what, name, app) => {
    // A copy of the package outside of this checkout finds no peer.
    const folder = folderWith({ [name]: app })
    cpSync(join(ROOT, 'dist'), join(folder, 'gneiss/dist'), { recursive: true })
    writeFileSync(join(folder, 'gneiss/package.json'), ESM)
    const cli = join(folder, 'gneiss/dist/cli.js')
    const { status, stdout, stderr } = spawnSync(process.execPath, [cli, '--check-config', name], {
      cwd: folder,
      encoding: 'utf8',
    })
    expect({ status, stdout }).toEqual({ status: 4, stdout: '' })
    expect(stderr).toContain('run `npm install --save-dev oxc-transform`, or pass --import with a loader of yours')
  })

  test('a loader of the user comes first', async () => {
    const hooks = `export async function load(url, context, next) {
      return url.endsWith('app.ts') ? { format: 'module', source: 'export const fetch = () => {}', shortCircuit: true } : next(url, context)
    }`
    const register = "import { register } from 'node:module'\nregister('./hooks.mjs', import.meta.url)"
    const folder = folderWith({ 'app.ts': 'enum E { A }', 'hooks.mjs': hooks, 'register.mjs': register })
    const { code, stdout } = await runCli(['--check-config', 'app.ts', '--import', './register.mjs'], { cwd: folder })
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: 'app.ts is fine: fetch is served as fetch, because the export is named fetch\n',
    })
  })
})
