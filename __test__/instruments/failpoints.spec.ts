/**
 * The n-th refusal of the system, the runtime or the isolate, for each n that there is: a request may fail by
 * it, the server and the process do not, and nothing is left behind.
 */
import { beforeAll, describe, expect, test } from 'vitest'

import { ROOT } from '../harness/cli.ts'
import { leftGauges } from '../harness/gauges.ts'
import { MODE } from '../harness/mode.ts'
import { BUILD_TIME, probeDist, runNode } from './instrument.ts'

/** What a fault at a point may do. `start`: the server cannot be started. The others: what becomes of the one request. */
const POINTS: Readonly<Record<string, { readonly modes: readonly string[]; readonly may: readonly string[] }>> = {
  thread: { modes: ['thread'], may: ['start'] },
  runtime: { modes: ['thread'], may: ['start'] },
  bell: { modes: ['thread'], may: ['start'] },
  hook: { modes: ['loop', 'thread'], may: ['start'] },
  handle: { modes: ['loop'], may: ['start'] },
  reference: { modes: ['loop', 'thread'], may: ['start'] },
  watch: { modes: ['loop', 'thread'], may: ['start', 'cut'] },
  accept: { modes: ['loop', 'thread'], may: ['delay'] },
  slot: { modes: ['loop', 'thread'], may: ['503'] },
  send: { modes: ['loop', 'thread'], may: ['cut'] },
  handles: { modes: ['loop', 'thread'], may: ['delay'] },
  callback: { modes: ['loop'], may: ['delay'] },
  call: { modes: ['loop', 'thread'], may: ['500', 'cut'] },
  array: { modes: ['loop', 'thread'], may: ['500'] },
}

/** A point that is passed more often than this would make the test long. */
const MOST = 40

describe('a fault at the point', () => {
  let dist = ''
  beforeAll(async () => {
    dist = await probeDist()
  }, BUILD_TIME)

  const names = Object.keys(POINTS).filter((name) => POINTS[name]?.modes.includes(MODE))
  test.each(names)(
    '%s fails what it must and nothing else, whenever it strikes',
    async (name) => {
      const may = POINTS[name]?.may ?? []
      let passes = Infinity
      let struck = 0
      for (let number = 1; number <= Math.min(passes, MOST); number++) {
        const found = await strike(dist, name, number)
        passes = found.passes
        if (passes < number) break
        struck++
        const context = `${name}:${number} of ${passes}: ${JSON.stringify(found)}`
        if (found.error !== undefined) {
          expect(may, context).toContain('start')
          expect(found.error, context).toBe('ERR_NATIVE')
          continue
        }
        const bad = found.answers.filter(({ status, isWhole }) => status !== '200' || !isWhole)
        expect(bad.length, context).toBeLessThanOrEqual(may.includes('delay') ? 0 : 1)
        for (const { status, isWhole } of bad)
          expect(may, context).toContain(isWhole && status !== '200' ? status : 'cut')
        expect(leftGauges(found.left ?? {}), context).toEqual([])
        expect(found.rejections, context).toEqual([])
      }
      expect(struck, `${name} is never passed`).toBeGreaterThan(0)
    },
    120_000,
  )
})

interface Found {
  readonly answers: readonly { readonly status: string; readonly isWhole: boolean }[]
  readonly error?: string
  readonly left?: Record<string, number>
  readonly passes: number
  readonly rejections: readonly string[]
}

async function strike(dist: string, name: string, number: number): Promise<Found> {
  const program = `${ROOT}__test__/fixtures/failpoints.mjs`
  const ended = await runNode([program, dist, MODE], { GNEISS_FAIL: `${name}:${number}` })
  expect([ended.code, ended.signal], `${name}:${number}: ${ended.stderr}${ended.stdout}`).toEqual([0, null])
  return JSON.parse(ended.stdout) as Found
}
