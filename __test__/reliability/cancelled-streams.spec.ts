/** Streams that their clients leave, again and again, while the collector is forced: nothing gathers, nothing is late. */
import { describe, expect, test } from 'vitest'

import { stream } from '../../dist/streaming.js'
import { atRest } from '../harness/app.ts'
import { startCrowd } from '../harness/crowd.ts'
import { collectGarbage } from '../harness/garbage.ts'
import { INTERFACES } from '../harness/interfaces.ts'
import { Balance, residentBytes, watchLoopDelay } from '../harness/measures.ts'
import { MODE } from '../harness/mode.ts'
import { serveResponse } from '../harness/responses.ts'
import { report, residentBound, scaled, timeLimit } from '../harness/scale.ts'

const MIB = 1024 * 1024
const ROUNDS = scaled(300, 10_000)
const EVERY = 100
const LANES = 10
/** In the short run other tests have the machine as well; the full one has it alone. */
const DELAY_MILLISECONDS = scaled(5000, 100)

describe.each(INTERFACES)('g05_cancel_drop: %s', (name) => {
  test(
    `${ROUNDS} streams that are cancelled in the middle leave nothing behind`,
    async () => {
      let returns = 0
      let finals = 0
      const balance = new Balance()
      const server = await serveResponse(name, () => {
        let wake: () => void = () => undefined
        const pieces = async function* (): AsyncGenerator<string> {
          try {
            for (let index = 0; ; index++) {
              yield `piece ${index}\n`
              await new Promise<void>((resolve) => {
                wake = resolve
              })
            }
          } finally {
            finals += 1
          }
        }
        const generator = pieces()
        const end = generator.return.bind(generator)
        generator.return = (value: unknown) => {
          returns += 1
          wake()
          return end(value)
        }
        const response = stream(generator)
        balance.watch(generator)
        balance.watch(response)
        return response
      })
      const clients = startCrowd()
      const port = Number(new URL(server.url).port)
      let before = 0
      let longest = 0
      for (let done = 0; done < ROUNDS; done += EVERY) {
        // In the first third the process itself comes to its size.
        if (before === 0 && done >= ROUNDS / 3) before = residentBytes()
        const delay = watchLoopDelay()
        expect(await clients.tell({ kind: 'leave', port, count: EVERY, lanes: LANES, at: 'piece 0\n' })).toBe(EVERY)
        longest = Math.max(longest, delay())
        expect(longest).toBeLessThan(DELAY_MILLISECONDS)
        collectGarbage()
      }
      await atRest(server)
      expect([returns, finals]).toEqual([ROUNDS, ROUNDS])
      expect(await balance.left()).toBe(0)
      expect(server.stats()).toMatchObject({ wrongThreadDrops: 0, panicsTotal: 0, requests: 0 })
      const growth = residentBytes() - before
      report(
        `${MODE}, ${name}: ${ROUNDS} streams, resident memory ${Math.round(growth / 1024)} KiB, loop delay ${longest.toFixed(1)} ms`,
      )
      expect(growth).toBeLessThan(residentBound(16 * MIB))
    },
    timeLimit(60_000),
  )
})
