/** What ships: few files to load at a start, every module once and in its place, nothing of where it was built. */
import { readFileSync, readdirSync } from 'node:fs'
import { join, posix } from 'node:path'

import { describe, expect, test } from 'vitest'

import { GneissError as InternalError } from '../dist/errors.js'
import { Response } from '../dist/fetch/response.js'
import { GneissError, Response as PublicResponse } from '../dist/index.js'
import { ROOT } from './harness/cli.ts'
import { sourcesIn } from './harness/sources.ts'

const DIST = join(ROOT, 'dist')
const modules = sourcesIn('src', '.ts').map(({ path }) => path.slice('src/'.length, -'.ts'.length))
const shipped = new Map(
  readdirSync(DIST, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(?:js|cjs|ts)$/.test(path))
    .map((path) => [path, readFileSync(join(DIST, path), 'utf8')]),
)

describe('the JavaScript that ships', () => {
  test.each([
    [
      'without workers',
      ['cli.js', 'chunks/serve.js'],
      ['chunks/addon.js', 'chunks/serve.js', 'chunks/start.js', 'cli.js'],
    ],
    [
      'of a master',
      ['cli.js', 'chunks/master.js'],
      ['chunks/addon.js', 'chunks/master.js', 'chunks/start.js', 'cli.js'],
    ],
    [
      'of a worker',
      ['worker.js', 'chunks/serve.js'],
      ['chunks/addon.js', 'chunks/serve.js', 'chunks/start.js', 'worker.js'],
    ],
  ])('a start %s loads these files and no others', (_what, first, files) => {
    const loaded = new Set(first)
    for (const file of loaded) for (const imported of importsOf(file)) loaded.add(imported)
    expect([...loaded].toSorted()).toEqual(files)
    // They take as long to load as a good part of ours, and few programs need them at once.
    const slow = /from "node:(?:crypto|https?|http2|tls|zlib|worker_threads|perf_hooks)"/
    expect([...loaded].filter((file) => slow.test(shipped.get(file) ?? ''))).toEqual([])
  })

  test.each([
    'options/help',
    'options/print',
    'options/completion',
    'loader/typescript',
    'loader/hooks',
    'loader/transform',
  ])('%s waits in a file of its own until it is needed', (module) => {
    expect(filesWith(module)).toEqual([`${module}.js`])
  })

  test('every module is there once', () => {
    const places = modules.map((module) => [module, filesWith(module)] as const)
    expect(places.filter(([, files]) => files.length > 1)).toEqual([])
  })

  test('every module is to be had under its own path, with its types', () => {
    const missing = modules.flatMap((module) => [`${module}.js`, `${module}.d.ts`].filter((path) => !shipped.has(path)))
    expect(missing).toEqual([])
  })

  test('who asks for its own URL gets that of its own file', () => {
    const asked: string[] = []
    for (const [path, text] of shipped) {
      if (!path.endsWith('.js')) continue
      let module = ''
      for (const line of text.split('\n')) {
        module = /^\/\/ src\/(.+)\.ts$/.exec(line)?.[1] ?? module
        if (!/[(,] ?import\.meta\.url[),\]]/.test(line)) continue
        const stood = /new URL\("([^"]+)", import\.meta\.url\)\.href/.exec(line)?.[1]
        asked.push(module)
        expect(stood === undefined ? path : posix.join(posix.dirname(path), stood)).toBe(`${module}.js`)
      }
    }
    expect(asked).toEqual(expect.arrayContaining(['cli', 'failure', 'native/binding', 'loader/transform']))
  })

  test('what is imported when it is needed is behind no door that is one more file to open', () => {
    const doors = [...shipped].flatMap(([path]) =>
      importsOf(path, /\bimport\("(\.[^"]+)"/g).filter((file) => !/^\/\/ src\//m.test(shipped.get(file) ?? '')),
    )
    expect(doors).toEqual([])
  })

  test('a module and the public door show the same thing, under its own name', () => {
    expect(GneissError).toBe(InternalError)
    expect(PublicResponse).toBe(Response)
    expect([GneissError.name, PublicResponse.name]).toEqual(['GneissError', 'Response'])
  })

  test('nothing says where it was built', () => {
    expect([...shipped].filter(([, text]) => text.includes(ROOT.slice(0, -1))).map(([path]) => path)).toEqual([])
  })

  test('nothing is left of a module that is gone', () => {
    const known = new Set(['addon', 'master', 'serve', 'start'].map((name) => `chunks/${name}.js`))
    for (const module of modules) known.add(`${module}.js`).add(`${module}.d.ts`)
    expect([...shipped.keys()].filter((path) => !known.has(path))).toEqual([])
  })
})

/** Files that hold the code of a module: the bundler heads it with the name of its source. */
function filesWith(module: string): string[] {
  return [...shipped].filter(([, text]) => text.split('\n').includes(`// src/${module}.ts`)).map(([path]) => path)
}

/** What a file imports, statically unless said otherwise, as paths from `dist`. */
function importsOf(file: string, pattern = /^(?:import|export)\b[^"'\n]*"(\.[^"]+)"/gm): string[] {
  return Array.from((shipped.get(file) ?? '').matchAll(pattern), ([, target = '']) =>
    posix.join(posix.dirname(file), target),
  )
}
