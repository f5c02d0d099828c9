/** The lifetime matrix: any two ways in which requests differ meet in a case, and nothing of a case stays. */
import { spawn } from 'node:child_process'

import { describe, expect, test } from 'vitest'

import { ROOT, cleanEnv, watch } from '../harness/cli.ts'
import { faultsOf } from '../harness/logs.ts'
import { MODE } from '../harness/mode.ts'
import { report, residentBound, scaled } from '../harness/scale.ts'
import { theilSen } from '../harness/slope.ts'
import { COLLECTOR_FLAGS, DIMENSIONS } from './dimensions.js'
import { allPairs, missingPairs } from './pairs.js'

type Case = { [K in keyof typeof DIMENSIONS]: (typeof DIMENSIONS)[K][number] }

const CASES = allPairs(DIMENSIONS) as Case[]
const QUICK_CASES = 60
/** Times that each case runs, and in how many passes over all of them. */
const TIMES = scaled(3, 1000)
const PASSES = scaled(1, 8)
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

/** What a pass over all cases adds, in bytes. */
interface Growth {
  /** To the peak of resident memory. */
  readonly resident: number
  /** To what the heap and its buffers hold after a case and a collection: the median of the cases. */
  readonly held: number
}

/** The allocator and the heap move in steps; an object that each round of any case leaves would show in every pass. */
const MOST: Growth = { resident: 2 * 1024 * 1024, held: 128 * 1024 }

/**
 * Cases differ in what they need, so that a case is compared with itself, one pass earlier. The first two
 * passes load code and bring the allocator to its size; of the others the one that adds least counts.
 */
function growthOf({ resident = [], held = [] }: Outcome, count: number): Growth {
  const passes = Array.from({ length: PASSES }, (_value, pass) => pass * count)
  const least = (added: (from: number, before: number) => number): number =>
    Math.min(...passes.slice(2).map((from) => added(from, from - count)))
  const peak = (from: number): number => Math.max(...resident.slice(from, from + count))
  return {
    resident: least((from, before) => peak(from) - peak(before)),
    held: least((from, before) =>
      median(held.slice(from, from + count).map((value, index) => value - (held[before + index] ?? NaN))),
    ),
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
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
      const [cases, times] = [Array.from({ length: PASSES }, () => all).flat(), TIMES / PASSES]
      child.stdin.end(JSON.stringify({ cases, times, settings: { runtimeMode } }))
      const { code, stdout, stderr } = await exit
      const outcomes = stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Outcome)
      expect(outcomes.filter(({ faults = [] }) => faults.length > 0)).toEqual([])
      expect(outcomes.filter((outcome) => outcome.case !== undefined).length).toBe(cases.length)
      const last = outcomes.at(-1) ?? {}
      expect([code, last.strays]).toEqual([0, []])
      expect(faultsOf(stderr, ON_PURPOSE).filter((fault) => fault.startsWith('unexpected'))).toEqual([])
      if (PASSES > 1) {
        const growth = growthOf(last, all.length)
        report(`${runtimeMode}, collector ${collector}: ${all.length} cases x ${TIMES}, ${JSON.stringify(growth)}`)
        const beyond = Object.entries(MOST).filter(([name, most]) => !(growth[name as keyof Growth] < most))
        expect(beyond.length > 0 ? { beyond, growth, last } : {}).toEqual({})
        return
      }
      // The first cases load code; after them a case may not leave more than the allocator's own steps.
      const settled = last.resident?.slice(Math.ceil(all.length / 3)) ?? []
      expect(settled.length).toBeGreaterThan(0)
      expect(theilSen(settled)).toBeLessThan(residentBound(2 * 1024 * 1024))
    },
    // Most of it is the collector at each request, and a machine that does something else as well.
    scaled(120_000, 3_600_000),
  )
})
