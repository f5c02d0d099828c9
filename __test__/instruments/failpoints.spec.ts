/**
 * The n-th refusal of the system, the runtime or the isolate, for each n that there is: a request may fail by
 * it, the server and the process do not, and nothing is left behind.
 *
 * `memory` is every allocation whose size clients or an application decide; `push` is the room in the lane that an
 * exchange gets when it begins, so that nothing that is told of it later can fail for want of room.
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
  push: { modes: ['loop', 'thread'], may: ['503'] },
  memory: { modes: ['loop', 'thread'], may: ['500', '503', 'cut'] },
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
        const faults = faultsOf(found, may)
        if (faults.length > 0) throw new Error(`${name}:${number} of ${passes}: ${faults.join('; ')}`)
      }
      // A point that is never passed would prove nothing.
      expect(struck).toBeGreaterThan(0)
    },
    120_000,
  )
})

interface Found {
  /** Objects of requests that no collection has freed. */
  readonly alive: number
  readonly answers: readonly { readonly status: string; readonly isWhole: boolean }[]
  readonly error?: string
  readonly left?: Record<string, number>
  readonly passes: number
  readonly rejections: readonly string[]
}

/** What is not as it must be. */
function faultsOf({ alive, error, answers, left, rejections }: Found, may: readonly string[]): string[] {
  if (error !== undefined) return error === 'ERR_NATIVE' && may.includes('start') ? [] : [`serve failed with ${error}`]
  const bad = answers.filter(({ status, isWhole }) => status !== '200' || !isWhole)
  const kinds = bad.map(({ status, isWhole }) => (isWhole && status !== '200' ? status : 'cut'))
  const faults = kinds.filter((kind) => !may.includes(kind)).map((kind) => `an answer was ${kind}`)
  if (bad.length > 1) faults.push(`${bad.length} answers were hit`)
  if (alive > 0) faults.push(`${alive} objects of requests are left`)
  faults.push(...leftGauges(left ?? {}), ...rejections)
  return faults
}

async function strike(dist: string, name: string, number: number): Promise<Found> {
  const program = `${ROOT}__test__/fixtures/failpoints.mjs`
  const ended = await runNode([program, dist, MODE], { GNEISS_FAIL: `${name}:${number}` })
  if (ended.code !== 0) throw new Error(`${name}:${number}: exit ${ended.code ?? ended.signal}: ${ended.stderr}`)
  return JSON.parse(ended.stdout) as Found
}
