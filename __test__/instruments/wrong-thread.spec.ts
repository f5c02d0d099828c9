/** A call on a thread that does not own its isolate: noticed in debug builds, impossible to make in what ships. */
import { readFileSync, readdirSync } from 'node:fs'

import { beforeAll, describe, expect, test } from 'vitest'

import { loadAddon } from '../../dist/native/binding.js'
import { ROOT } from '../harness/cli.ts'
import { MODE } from '../harness/mode.ts'
import { BUILD_TIME, probeDist, runNode } from './instrument.ts'

describe.runIf(MODE === 'loop')('a call on a foreign thread', () => {
  let dist = ''
  beforeAll(async () => {
    dist = await probeDist()
  }, BUILD_TIME)

  test('aborts the process and says that it is our fault', async () => {
    const ended = await runNode(addonOf(dist, 'addon.probeForeignCall()'))
    expect(ended.signal).toBe('SIGABRT')
    expect(ended.stderr).toContain('a call was made on a thread that does not own its isolate; this is a bug in gneiss')
  })

  test('is nothing that a call on the right thread is taken for', async () => {
    const ended = await runNode(addonOf(dist, 'console.log(addon.about().debug)'))
    expect([ended.code, ended.stdout.trim(), ended.stderr]).toEqual([0, 'true', ''])
  })
})

test('the addon that ships has neither faults on demand nor a function that makes one', () => {
  expect(Object.keys(loadAddon()).filter((name) => name.startsWith('probe'))).toEqual([])
  const files = readdirSync(`${ROOT}dist`).filter((name) => name.endsWith('.node'))
  expect(files).toHaveLength(1)
  expect(readFileSync(`${ROOT}dist/${files[0]}`).includes('GNEISS_FAIL')).toBe(false)
})

/** Arguments of Node for a program that has the addon of a `dist`. */
function addonOf(dist: string, program: string): string[] {
  const loading = `const addon = (await import('${dist}/native/binding.js')).loadAddon()`
  return ['--input-type=module', '--eval', `${loading}; ${program}`]
}
