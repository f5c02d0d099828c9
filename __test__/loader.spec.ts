/** From a module to an application: export, factory, and what is said when there is none. */
import { describe, expect, test } from 'vitest'

import { loadApp } from '../dist/loader.js'
import { folderWith } from './harness/folder.ts'

import type { LoadOptions, LoadedApp } from '../dist/loader.js'

type Files = Record<string, string>

const FETCH = '(request) => new Response(request.url)'
const ASGI = 'async (scope, receive, send) => {}'

function load(files: Files, target: string, options: LoadOptions = {}): Promise<LoadedApp> {
  return loadApp(target, { chdir: folderWith(files), ...options })
}

async function refusal(files: Files, target: string, options: LoadOptions = {}): Promise<Error> {
  try {
    await load(files, target, options)
  } catch (error) {
    expect(error).toMatchObject({ name: 'GneissError', code: 'ERR_APP', exitCode: 4 })
    return error as Error
  }
  throw new Error('it was accepted')
}

describe('the export', () => {
  test.each<[string, Files, string, Partial<LoadedApp>]>([
    [
      'default',
      { 'a.mjs': `export default ${FETCH}; export const app = ${ASGI}` },
      'a.mjs',
      { exportName: 'default', interface: 'fetch' },
    ],
    [
      'app',
      { 'a.mjs': `export const handler = ${FETCH}; export const app = ${ASGI}` },
      'a.mjs',
      { exportName: 'app', interface: 'asgi' },
    ],
    [
      'handler',
      { 'a.mjs': `export const handler = ${FETCH}; export const fetch = ${ASGI}` },
      'a.mjs',
      { exportName: 'handler', interface: 'fetch' },
    ],
    [
      'a bare fetch, whatever its arity',
      { 'a.mjs': 'export const fetch = (a, b, c) => {}' },
      'a.mjs',
      { exportName: 'fetch', interface: 'fetch', why: 'because the export is named fetch' },
    ],
    [
      'a named fetch, whatever its arity',
      { 'a.mjs': 'export default 1; export const fetch = (a, b) => {}' },
      'a.mjs:fetch',
      { exportName: 'fetch', interface: 'fetch' },
    ],
    [
      'a named export',
      { 'a.mjs': `export default ${FETCH}; export const other = ${ASGI}` },
      'a.mjs:other',
      { exportName: 'other', interface: 'asgi' },
    ],
    [
      'default by name',
      { 'a.mjs': `export const app = ${ASGI}; export default ${FETCH}` },
      'a.mjs:default',
      { exportName: 'default', interface: 'fetch' },
    ],
    [
      'a path into an export',
      { 'a.mjs': `export const server = { inner: { app: ${ASGI} } }` },
      'a.mjs:server.inner.app',
      { exportName: 'server.inner.app', interface: 'asgi' },
    ],
    ['module.exports', { 'a.cjs': `module.exports = ${ASGI}` }, 'a.cjs', { exportName: 'default', interface: 'asgi' }],
    [
      'module.exports that is no application: app inside it',
      { 'a.cjs': `const it = { port: 1, app: ${ASGI} }; module.exports = it` },
      'a.cjs',
      { exportName: 'app', interface: 'asgi' },
    ],
    [
      'module.exports.handler found inside',
      { 'a.cjs': `const it = { handler: ${FETCH} }; module.exports = it` },
      'a.cjs',
      { exportName: 'handler', interface: 'fetch' },
    ],
    [
      'a name inside module.exports',
      { 'a.cjs': `const it = { other: ${ASGI} }; module.exports = it` },
      'a.cjs:other',
      { exportName: 'other', interface: 'asgi' },
    ],
    [
      'a double default',
      { 'a.cjs': `exports.__esModule = true; exports.default = ${ASGI}` },
      'a.cjs',
      { exportName: 'default', interface: 'asgi' },
    ],
    [
      'a double default by name',
      { 'a.cjs': `exports.__esModule = true; exports.default = ${ASGI}` },
      'a.cjs:default',
      { exportName: 'default', interface: 'asgi' },
    ],
    [
      'a double default with app beside it',
      { 'a.cjs': `exports.__esModule = true; exports.default = 5; exports.app = ${ASGI}` },
      'a.cjs',
      { exportName: 'app', interface: 'asgi' },
    ],
    [
      'a default that is no application: the next name',
      { 'a.mjs': `export default { port: 1 }; export const app = ${ASGI}` },
      'a.mjs',
      { exportName: 'app', interface: 'asgi' },
    ],
    [
      'a class is no application: the next name',
      { 'a.mjs': `export default class App {}; export const handler = ${FETCH}` },
      'a.mjs',
      { exportName: 'handler', interface: 'fetch' },
    ],
    [
      'inside an object: app of the default export',
      { 'a.mjs': `export default { app: ${ASGI} }` },
      'a.mjs',
      { exportName: 'app', interface: 'asgi' },
    ],
    [
      'a promise of an application',
      { 'a.mjs': `export default Promise.resolve(${ASGI})` },
      'a.mjs',
      { exportName: 'default', interface: 'asgi' },
    ],
    [
      'an object with fetch',
      { 'a.mjs': 'export default { fetch(a, b, c) {} }' },
      'a.mjs',
      { exportName: 'default', interface: 'fetch', why: 'because the export has a fetch function' },
    ],
  ])('%s', async (_what, files, target, expected) => {
    await expect(load(files, target)).resolves.toMatchObject(expected)
  })

  test('a method is called on the object it was found on', async () => {
    const module = 'class Site { name = "mine"; app(a, b, c) { return this.name } }; export const site = new Site()'
    const { app } = await load({ 'a.mjs': module }, 'a.mjs:site.app')
    expect((app as () => string)()).toBe('mine')
  })

  test('a function with properties of its own is served as it is', async () => {
    const module = `const inner = Object.assign(() => {}, { fetch: ${FETCH} }); export const it = { inner }`
    const { app } = await load({ 'a.mjs': module }, 'a.mjs:it.inner')
    expect(Object.keys(app as object)).toEqual(['fetch'])
  })

  test('an interface that was asked for decides what is an application', async () => {
    const files = { 'a.mjs': `export default { fetch: ${FETCH} }; export const app = (scope, protocol) => {}` }
    await expect(load(files, 'a.mjs', { interface: 'rsgi' })).resolves.toMatchObject({
      exportName: 'app',
      interface: 'rsgi',
    })
    await expect(load(files, 'a.mjs', { interface: 'fetch' })).resolves.toMatchObject({
      exportName: 'default',
      interface: 'fetch',
    })
  })

  test.each<[string, Files, string, string[]]>([
    [
      'a name that is not there',
      { 'a.mjs': `export const application = ${FETCH}; export const port = 1` },
      'a.mjs:aplication',
      [
        'a.mjs has no export aplication; did you mean application?',
        'It exports application (the function application with 1 argument), port (a number).',
      ],
    ],
    [
      'a name far from all others',
      { 'a.mjs': 'export const port = 1' },
      'a.mjs:zzzzzz',
      ['a.mjs has no export zzzzzz. It exports port (a number).'],
    ],
    [
      'a property that is not there',
      { 'a.mjs': 'export const server = { handler: 1 }' },
      'a.mjs:server.handlr',
      ['server of a.mjs has no property handlr: it is an object with handler; did you mean handler?'],
    ],
    [
      'a property of nothing',
      { 'a.mjs': 'export const server = null' },
      'a.mjs:server.app',
      ['server of a.mjs has no property app: it is null'],
    ],
    [
      'a name that every object has',
      { 'a.mjs': 'export const port = 1' },
      'a.mjs:toString',
      ['has no export toString'],
    ],
    ['a name that every function has', { 'a.cjs': 'module.exports = () => {}' }, 'a.cjs:call', ['has no export call']],
    [
      'nothing that is an application',
      { 'a.mjs': 'export const port = 1; export default class App {}' },
      'a.mjs',
      [
        'a.mjs exports no application. It exports ',
        'port (a number)',
        'default (the class App, not an instance of it)',
      ],
    ],
    ['no exports at all', { 'a.mjs': '' }, 'a.mjs', ['a.mjs exports no application. It exports nothing.']],
    ['an empty CommonJS module', { 'a.cjs': '' }, 'a.cjs', ['a.cjs exports no application. It exports nothing.']],
    [
      'a named export that is no application',
      { 'a.mjs': 'export const port = 1' },
      'a.mjs:port',
      ['port of a.mjs is no application: it is a number'],
    ],
    [
      'a function with too many arguments',
      { 'a.mjs': 'export const app = (a, b, c, d) => {}' },
      'a.mjs:app',
      ['app of a.mjs is no application: it is the function app with 4 arguments'],
    ],
    [
      'a class, by name',
      { 'a.mjs': 'export class App {}' },
      'a.mjs:App',
      ['it is the class App, not an instance of it'],
    ],
  ])('%s is refused', async (_what, files, target, messages) => {
    const { message } = await refusal(files, target)
    for (const part of messages) expect(message).toContain(part)
  })
})

describe('a factory', () => {
  test.each<[string, string, string, LoadOptions, string]>([
    ['written as a call', `export const create = () => ${ASGI}`, 'a.mjs:create()', {}, 'create()'],
    ['async', `export const create = async () => ${ASGI}`, 'a.mjs:create()', {}, 'create()'],
    ['by option', `export const create = () => ${ASGI}`, 'a.mjs:create', { factory: true }, 'create()'],
    ['by option and call', `export const create = () => ${ASGI}`, 'a.mjs:create()', { factory: true }, 'create()'],
    ['by option, default export', `export default () => ${ASGI}`, 'a.mjs', { factory: true }, 'default()'],
    [
      'by option, first function of the names',
      `export default 1; export const app = () => ${ASGI}`,
      'a.mjs',
      { factory: true },
      'app()',
    ],
    [
      'that is a method',
      `export const site = { app: ${ASGI}, create() { return this.app } }`,
      'a.mjs:site.create()',
      {},
      'site.create()',
    ],
  ])('%s', async (_what, module, target, options, exportName) => {
    await expect(load({ 'a.mjs': module }, target, options)).resolves.toMatchObject({ interface: 'asgi', exportName })
  })

  test('is called once', async () => {
    const module = `let calls = 0; export const create = () => { calls++; return { fetch: () => calls } }`
    const { app } = await load({ 'a.mjs': module }, 'a.mjs:create()')
    expect((app as { fetch: () => number }).fetch()).toBe(1)
  })

  test('that throws or rejects is refused with its cause', async () => {
    for (const body of [
      '() => { throw new RangeError("no database") }',
      'async () => { throw new RangeError("no database") }',
    ]) {
      const error = await refusal({ 'a.mjs': `export const create = ${body}` }, 'a.mjs:create()')
      expect(error.message).toBe('create() of a.mjs failed: RangeError: no database')
      expect(error.cause).toBeInstanceOf(RangeError)
    }
  })

  test('that is none, or makes none, is refused', async () => {
    expect((await refusal({ 'a.mjs': 'export const create = 1' }, 'a.mjs:create()')).message).toContain(
      'create of a.mjs cannot be called to make the application: it is a number',
    )
    expect((await refusal({ 'a.mjs': 'export const create = () => 1' }, 'a.mjs:create()')).message).toContain(
      'create() of a.mjs is no application: it is a number',
    )
    expect((await refusal({ 'a.mjs': `export const fetch = ${FETCH}` }, 'a.mjs', { factory: true })).message).toContain(
      'exports no application',
    )
  })
})

describe('a module that fails', () => {
  test.each([
    ['throws', 'throw new TypeError("first\\nsecond")', 'a.mjs could not be loaded: TypeError: first'],
    ['throws what is no error', 'throw 5', 'a.mjs could not be loaded: 5'],
    [
      'throws what cannot be shown',
      'throw Object.create(null)',
      'a.mjs could not be loaded: a value that cannot be shown',
    ],
    ['rejects', 'await Promise.reject(new Error("late"))', 'a.mjs could not be loaded: Error: late'],
    [
      'has a syntax error',
      'export default 1\nconst = 2',
      "a.mjs could not be loaded: SyntaxError: Unexpected token '=' in line 2",
    ],
    ['imports what is not there', 'import "./b.mjs"', 'a.mjs could not be loaded: Error: Cannot find module'],
    ['imports a package that is not installed', 'import "no-such-package"', "Cannot find package 'no-such-package'"],
    [
      'imports a name that is not there',
      'import { nothing } from "node:path"',
      "does not provide an export named 'nothing'",
    ],
  ])('%s', async (_what, module, message) => {
    const error = await refusal({ 'a.mjs': module }, 'a.mjs')
    expect(error.message).toContain(message)
    expect(error.message).not.toContain('\n')
    expect('cause' in error).toBe(true)
  })
})
