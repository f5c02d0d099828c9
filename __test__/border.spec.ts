/** What is written on both sides of the border says the same. */
import { readFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { METHODS, native } from '../dist/native.js'
import { toNativeConfig } from '../dist/options/native.js'
import { resolveServeOptions } from '../dist/options/resolve.js'
import { serveApp } from './harness/app.ts'
import { ROOT } from './harness/cli.ts'

test("the addon is of the package's version and knows the same methods", () => {
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string }
  expect(native.about()).toMatchObject({ version, methods: [...METHODS], hasLoop: true })
})

test("each documented default is the engine's own", () => {
  // Where to listen is the program's; the cap of connections follows the machine's limit on descriptors.
  const { bind: _bind, backlog: _backlog, workerConnections: cap, ...engine } = native.defaults()
  const { bind: _, backlog: __, workerConnections, ...documented } = toNativeConfig(resolveServeOptions().config)
  expect(documented).toEqual(engine)
  expect(workerConnections).toBeLessThanOrEqual(cap)
})

test('a call with arguments of any kind throws or says no, and nothing breaks', async () => {
  const server = await serveApp({ __rsgi__: () => {} })
  const calls = ['respond', 'start', 'chunk', 'end', 'reset', 'takeBody', 'extend'] as const
  const odd = [undefined, null, -1, 2 ** 53, Number.NaN, 'text', {}, [], Symbol('s'), new Uint8Array(3), 1n, () => {}]
  for (const name of calls) {
    const call = native[name] as (...given: unknown[]) => unknown
    for (const first of odd) {
      for (const second of odd) {
        let result: unknown
        try {
          result = call(first, second, second, first, second, first)
        } catch (error) {
          expect(error).toHaveProperty('code')
          continue
        }
        expect([false, 2]).toContain(result)
      }
    }
  }
  expect(server.stats().panicsTotal).toBe(0)
})
