/** When a worker that died is started again: the state machine, over a clock of the test. */
import { describe, expect, test } from 'vitest'

import { RestartPolicy } from '../dist/workers/policy.js'

import type { PolicyOptions } from '../dist/workers/policy.js'

function policy(options: Partial<PolicyOptions> = {}): RestartPolicy {
  return new RestartPolicy({
    workers: 1,
    cpus: () => 2,
    crashLoop: 'exit',
    crashLoopGrace: 10_000,
    random: () => 0.5,
    ...options,
  })
}

const SHORT = { uptime: 50, hasProved: true }

describe('the delay of one worker', () => {
  test('doubles from 100 ms to 15 s', () => {
    const restart = policy()
    const delays = Array.from({ length: 10 }, () => restart.delayAfter(1, SHORT))
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000])
  })

  test('is scattered by a fifth', () => {
    expect(policy({ random: () => 0 }).delayAfter(1, SHORT)).toBeCloseTo(80)
    expect(policy({ random: () => 1 }).delayAfter(1, SHORT)).toBeCloseTo(120)
  })

  test('is another one for each worker', () => {
    const restart = policy()
    restart.delayAfter(1, SHORT)
    expect(restart.delayAfter(1, SHORT)).toBe(200)
    expect(restart.delayAfter(2, SHORT)).toBe(100)
  })

  test('is none after 30 s, and begins anew only for one that has answered somebody', () => {
    const restart = policy()
    for (let death = 0; death < 3; death++) restart.delayAfter(1, SHORT)
    expect(restart.delayAfter(1, { uptime: 30_000, hasProved: false })).toBe(0)
    expect(restart.delayAfter(1, SHORT)).toBe(800)
    expect(restart.delayAfter(1, { uptime: 30_000, hasProved: true })).toBe(0)
    expect(restart.delayAfter(1, SHORT)).toBe(100)
  })
})

describe('a crash loop', () => {
  test.each([
    [1, 5],
    [2, 5],
    [3, 6],
    [8, 16],
  ])('of %i workers is %i deaths within 60 s', (workers, threshold) => {
    const restart = policy({ workers })
    for (let death = 1; death < threshold; death++) expect(restart.countDeath(death)).toBe(death)
    expect(restart.isCrashLoop(threshold)).toBe(false)
    expect(restart.countDeath(threshold)).toBe(threshold)
    expect(restart.isCrashLoop(threshold)).toBe(true)
    expect(restart.isCrashLoop(60_001)).toBe(false)
  })

  function looping(options: Partial<PolicyOptions> = {}): RestartPolicy {
    const restart = policy(options)
    restart.noteReady(0, 1)
    for (let death = 0; death < 5; death++) restart.countDeath(1000)
    restart.spawned(1000)
    return restart
  }

  test.each(['exit', 'degrade'] as const)('with %s starts one worker in 15 s', (crashLoop) => {
    const restart = looping({ crashLoop })
    expect(restart.waitForSpawn(1000)).toBe(15_000)
    expect(restart.waitForSpawn(16_000)).toBe(0)
    restart.spawned(16_000)
    expect(restart.waitForSpawn(20_000)).toBe(11_000)
  })

  test('with ignore leaves it to the delays', () => {
    expect(looping({ crashLoop: 'ignore' }).waitForSpawn(1000)).toBe(0)
  })

  test('with exit gives up when none has been ready for the grace', () => {
    const restart = looping()
    expect(restart.giveUpAt(1000)).toBeUndefined()
    restart.noteReady(2000, 0)
    expect(restart.giveUpAt(2000)).toBe(12_000)
    // The first to be ready starts the time again.
    restart.noteReady(5000, 1)
    expect(restart.giveUpAt(5000)).toBeUndefined()
    restart.noteReady(6000, 0)
    restart.noteReady(7000, 0)
    expect(restart.giveUpAt(7000)).toBe(16_000)
  })

  test.each(['degrade', 'ignore'] as const)('with %s never gives up', (crashLoop) => {
    const restart = looping({ crashLoop })
    restart.noteReady(2000, 0)
    expect(restart.giveUpAt(50_000)).toBeUndefined()
  })

  test('is not what the deaths of more than a minute ago make', () => {
    const restart = policy()
    for (let death = 0; death < 4; death++) restart.countDeath(0)
    expect(restart.countDeath(60_000)).toBe(1)
    expect(restart.giveUpAt(60_000)).toBeUndefined()
  })

  test('of one worker that dies at once costs 12 starts in its first minute at most, without any limit but the delays', () => {
    const restart = policy({ crashLoop: 'ignore', random: () => 0 })
    let starts = 1
    for (let now = 0; ; starts++) {
      now += restart.delayAfter(1, SHORT)
      if (now > 60_000) break
    }
    expect(starts).toBeLessThanOrEqual(12)
  })
})

describe('starts', () => {
  test('are twice as many as cpus in a second', () => {
    const restart = policy({ cpus: () => 2 })
    for (let start = 0; start < 4; start++) {
      expect(restart.waitForSpawn(0)).toBe(0)
      restart.spawned(0)
    }
    expect(restart.waitForSpawn(0)).toBe(250)
    expect(restart.waitForSpawn(250)).toBe(0)
    restart.spawned(250)
    expect(restart.waitForSpawn(250)).toBe(250)
  })

  test('are saved up for a second and no longer', () => {
    const restart = policy({ cpus: () => 1 })
    for (let start = 0; start < 2; start++) restart.spawned(3_600_000)
    expect(restart.waitForSpawn(3_600_000)).toBe(500)
  })
})
