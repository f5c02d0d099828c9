/** The lifetime matrix: any two ways in which requests differ meet in a case, and nothing of a case stays. */
import { spawn } from 'node:child_process'

import { describe, expect, test } from 'vitest'

import { ROOT, cleanEnv, watch } from '../harness/cli.ts'
import { faultsOf } from '../harness/logs.ts'
import { MODE } from '../harness/mode.ts'
import { report, scaled } from '../harness/scale.ts'
import { theilSen } from '../harness/slope.ts'
import { COLLECTOR_FLAGS, DIMENSIONS } from './dimensions.js'
import { allPairs, missingPairs } from './pairs.js'

type Case = { [K in keyof typeof DIMENSIONS]: (typeof DIMENSIONS)[K][number] }

const CASES = allPairs(DIMENSIONS) as Case[]
const QUICK_CASES = 60
const TIMES = scaled(3, 1000)
/** Faults that handlers and sources of the matrix commit on purpose. */
const ON_PURPOSE = [
  'the handler throws',
  'the handler rejects',
  'the handler rejects late',
  'the source throws in the middle',
  'without a response',
  'a response source failed while it was closed',
]

interface Outcome {
  readonly case?: Case
  readonly faults?: readonly string[]
  readonly strays?: readonly string[]
  readonly resident?: readonly number[]
  readonly held?: readonly number[]
}

/** What a case adds in bytes: to resident memory, and to what the heap and its buffers hold after a collection. */
function slopes(series: { readonly resident: readonly number[]; readonly held: readonly number[] }): {
  readonly resident: number
  readonly held: number
  readonly text: string
} {
  const of = (values: readonly number[]): number => Math.round(theilSen(values.slice(Math.ceil(values.length / 3))))
  const [resident, held] = [of(series.resident), of(series.held)]
  return { resident, held, text: `resident ${resident}, held ${held}` }
}

test('the cases hold every pair of values of any two dimensions', () => {
  expect(missingPairs(DIMENSIONS, CASES)).toEqual([])
  expect(missingPairs(DIMENSIONS, CASES.slice(1)).length).toBeGreaterThan(0)
  expect(CASES.length).toBeGreaterThanOrEqual(QUICK_CASES)
})

describe.each([MODE])('%s', (runtimeMode) => {
  test.each(Object.entries(COLLECTOR_FLAGS))(
    `the collector comes %s: each case ${TIMES} times, and nothing stays`,
    async (collector, flags) => {
      const all = CASES.slice(0, scaled(QUICK_CASES, CASES.length)).filter((one) => one.collector === collector)
      expect(all.length).toBeGreaterThan(0)
      const child = spawn(process.execPath, ['--expose-gc', ...flags, `${ROOT}__test__/lifetime/run.js`], {
        env: cleanEnv(),
        stdio: ['pipe', 'pipe', 'pipe'],
      })
      const { exit } = watch(child)
      child.stdin.end(JSON.stringify({ cases: all, times: TIMES, settings: { runtimeMode } }))
      const { code, stdout, stderr } = await exit
      const outcomes = stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Outcome)
      expect(outcomes.filter(({ faults = [] }) => faults.length > 0)).toEqual([])
      expect(outcomes.filter((outcome) => outcome.case !== undefined).length).toBe(all.length)
      const { strays, resident = [], held = [] } = outcomes.at(-1) ?? {}
      expect([code, strays]).toEqual([0, []])
      expect(faultsOf(stderr, ON_PURPOSE).filter((fault) => fault.startsWith('unexpected'))).toEqual([])
      // The first cases load code; after them a case may not leave more than the allocator's own steps.
      const growth = slopes({ resident, held })
      report(`${runtimeMode}, collector ${collector}: ${all.length} cases x ${TIMES}; bytes a case: ${growth.text}`)
      expect(growth.resident, `resident after each case: ${resident.join(' ')}`).toBeLessThan(
        scaled(512 * 1024, 64 * 1024),
      )
    },
    // Most of it is the collector at each request, and a machine that does something else as well.
    scaled(120_000, 3_600_000),
  )
})
