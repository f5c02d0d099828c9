/** Three times as many requests as there is time for: who is taken is served in time, and the rest is told at once. */
import { describe, expect, test } from 'vitest'

import { startCli } from './harness/cli.ts'
import { RawClient, request } from './harness/client.ts'
import { report, scaled, timeLimit } from './harness/scale.ts'

/** The application computes for 10 ms a request. */
const CAPACITY = 100
const RATE = 3 * CAPACITY
const SECONDS = scaled(4, 30)
const WAIT = 1

/** One request of the load. */
interface Outcome {
  readonly status: number
  readonly milliseconds: number
  readonly retryAfter: string | undefined
}

/** Sends requests at a rate, whether they are answered or not; connections are used again when they are free. */
async function load(url: string): Promise<Outcome[]> {
  const free: RawClient[] = []
  const ask = async (): Promise<Outcome> => {
    const began = performance.now()
    const client = free.pop() ?? (await RawClient.connect(url))
    const answer = await client.request({ path: '/work' })
    if (answer.header('connection') === undefined) free.push(client)
    return { status: answer.status, milliseconds: performance.now() - began, retryAfter: answer.header('retry-after') }
  }
  const asked: Promise<Outcome>[] = []
  const began = performance.now()
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsed = performance.now() - began
      while (asked.length < (elapsed * RATE) / 1000) asked.push(ask())
      if (elapsed < SECONDS * 1000) return
      clearInterval(timer)
      resolve()
    }, 5)
  })
  return Promise.all(asked)
}

describe('at three times the capacity', () => {
  test(
    'accepted requests are served within maxQueueWait, the rest get 503 with Retry-After, and the loop turns',
    async () => {
      const server = await startCli([
        '__test__/fixtures/overload/app.mjs',
        '--bind',
        '127.0.0.1:0',
        '--max-queue-wait',
        `${WAIT}s`,
        '--shed-exempt',
        '/delay',
        '--log-level',
        'warn',
      ])
      const outcomes = await load(server.url)
      const served = outcomes.filter(({ status }) => status === 200)
      const shed = outcomes.filter(({ status }) => status === 503)
      const times = served.map(({ milliseconds }) => milliseconds).toSorted((a, b) => a - b)
      const p99 = times[Math.floor(times.length * 0.99)] ?? Infinity
      const worst = Number((await request(server.url, { path: '/delay' })).text)
      const figures = { served: served.length, shed: shed.length, p99, delay: worst }
      report(`three times the capacity: ${JSON.stringify(figures)}`)

      expect(served.length + shed.length).toBe(outcomes.length)
      // A machine that others use as well computes less.
      expect(served.length).toBeGreaterThan(CAPACITY * SECONDS * scaled(0.05, 0.5))
      expect(shed.length).toBeGreaterThan(outcomes.length / 3)
      // The figure is for the full run, which has the machine alone; here it is that nobody waits for ever.
      expect(p99).toBeLessThan(scaled(WAIT * 30_000, WAIT * 1000))
      for (const { retryAfter } of shed) {
        expect(Number(retryAfter)).toBeGreaterThanOrEqual(1)
        expect(Number(retryAfter)).toBeLessThanOrEqual(30)
      }
      expect(worst).toBeLessThan(scaled(5000, 250))
    },
    timeLimit(60_000),
  )
})
