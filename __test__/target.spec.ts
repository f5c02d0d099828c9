/** The argument APP: what it names, which file that is, and what is said when there is none. */
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { loadApp } from '../dist/loader.js'
import { parseTarget } from '../dist/loader/target.js'
import { folderWith } from './harness/folder.ts'

import type { LoadedApp } from '../dist/loader.js'

const FETCH = '(request) => new Response(request.url)'

function load(files: Record<string, string>, target: string): Promise<LoadedApp> {
  return loadApp(target, { chdir: folderWith(files) })
}

describe('a target', () => {
  test.each([
    ['app.js', 'app.js', undefined, false],
    ['app', 'app', undefined, false],
    ['app.js:app', 'app.js', ['app'], false],
    ['app.js:server.app', 'app.js', ['server', 'app'], false],
    ['app.js:create()', 'app.js', ['create'], true],
    ['app.js:server.create()', 'app.js', ['server', 'create'], true],
    ['src/a:b.js:app', 'src/a:b.js', ['app'], false],
    ['dir:with/app.js', 'dir:with/app.js', undefined, false],
    ['C:\\site\\app.js', 'C:\\site\\app.js', undefined, false],
    ['C:\\site\\app.js:app', 'C:\\site\\app.js', ['app'], false],
    ['C:/site/app.js', 'C:/site/app.js', undefined, false],
    ['file:///site/app.js', 'file:///site/app.js', undefined, false],
    ['file:///site/app.js:app', 'file:///site/app.js', ['app'], false],
  ])('%s', (target, file, path, isCall) => {
    expect(parseTarget(target)).toEqual({ file, path, isCall })
  })

  test.each(['app.js:', 'app.js:.a', 'app.js:a..b', 'app.js:()', ':app', ''])('%j names too little', (target) => {
    expect(() => parseTarget(target)).toThrow(/names no (export|file)/)
  })
})

describe('the file', () => {
  test('is relative to chdir, or absolute, or a URL', async () => {
    const folder = folderWith({ 'src/app.mjs': `export default ${FETCH}` })
    const file = join(folder, 'src/app.mjs')
    await expect(loadApp('src/app.mjs', { chdir: folder })).resolves.toMatchObject({ file, exportName: 'default' })
    await expect(loadApp(file)).resolves.toMatchObject({ file })
    await expect(loadApp(`file://${file}:default`)).resolves.toMatchObject({ file })
  })

  test('may be named without its extension: .ts .mts .js .mjs .cts .cjs, in this order', async () => {
    const module = `export default ${FETCH}`
    const script = `module.exports = ${FETCH}`
    const loaded = await load({ 'app.mjs': module, 'app.cjs': script, 'app.cts': script }, 'app')
    expect(loaded.file).toMatch(/app\.mjs$/)
    await expect(load({ 'app.js': script, 'app.mjs': module }, 'app')).resolves.toMatchObject({
      file: expect.stringMatching(/app\.js$/) as string,
    })
    await expect(load({ 'app.cjs': script }, 'app')).resolves.toMatchObject({ interface: 'fetch' })
    await expect(load({ 'my.app.mjs': module }, 'my.app')).resolves.toMatchObject({ interface: 'fetch' })
  })

  test('may be a directory: main of its package.json, else its index', async () => {
    const files = {
      'site/package.json': '{ "main": "lib/main" }',
      'site/lib/main.mjs': `export default ${FETCH}`,
      'plain/index.mjs': `export default ${FETCH}`,
    }
    await expect(load(files, 'site')).resolves.toMatchObject({
      file: expect.stringMatching(/lib\/main\.mjs$/) as string,
    })
    await expect(load(files, './plain')).resolves.toMatchObject({
      file: expect.stringMatching(/index\.mjs$/) as string,
    })
  })

  test.each([
    ['ap.js', 'the file ap.js does not exist in ', 'did you mean app.js?'],
    ['app.ts', 'the file app.ts does not exist in ', 'did you mean app.js?'],
    ['servr', 'the file servr does not exist in ', 'did you mean server?'],
    ['nothing-like-it', 'the file nothing-like-it does not exist in ', ''],
    ['lib/app.js', 'the file lib/app.js does not exist in ', 'lib does not exist'],
    ['empty', 'the file empty does not exist in ', ''],
  ])('%s that is missing is named, with the nearest one', async (target, what, nearest) => {
    const loading = load({ 'app.js': '', 'server.mjs': '', 'empty/note.txt': '' }, target)
    const error = (await loading.catch((reason: unknown) => reason)) as Error
    expect(error).toMatchObject({ code: 'ERR_APP', exitCode: 4 })
    const { message } = error
    expect(message).toContain(what)
    expect(message).toContain(nearest)
    if (nearest === '') expect(message).not.toContain('did you mean')
  })
})
