/** Streams that their clients leave, again and again, while the collector is forced: nothing gathers, nothing is late. */
import { describe, expect, test } from 'vitest'

import { stream } from '../../dist/streaming.js'
import { atRest } from '../harness/app.ts'
import { RawClient } from '../harness/client.ts'
import { collectGarbage } from '../harness/garbage.ts'
import { INTERFACES } from '../harness/interfaces.ts'
import { Balance, residentBytes, watchLoopDelay } from '../harness/measures.ts'
import { serveResponse } from '../harness/responses.ts'
import { scaled, timeLimit } from '../harness/scale.ts'

const MIB = 1024 * 1024
/** The harness keeps every client with its socket until the test is over, in the same process. */
const CLIENT_BYTES = 4096
const ROUNDS = scaled(300, 10_000)
const EVERY = 100
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
      const lane = async (share: number): Promise<void> => {
        for (let round = 0; round < share; round++) {
          const client = await RawClient.connect(server)
          await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
          await client.reader.through('piece 0\n')
          client.reset()
        }
      }
      let before = 0
      for (let done = 0; done < ROUNDS; done += EVERY) {
        // In the first third the process itself, client and all, comes to its size.
        if (before === 0 && done >= ROUNDS / 3) before = residentBytes()
        const delay = watchLoopDelay()
        await Promise.all(Array.from({ length: 10 }, () => lane(EVERY / 10)))
        expect(delay()).toBeLessThan(DELAY_MILLISECONDS)
        collectGarbage()
      }
      await atRest(server)
      expect([returns, finals]).toEqual([ROUNDS, ROUNDS])
      expect(await balance.left()).toBe(0)
      expect(server.stats()).toMatchObject({ wrongThreadDrops: 0, panicsTotal: 0, requests: 0 })
      expect(residentBytes() - before).toBeLessThan(16 * MIB + ROUNDS * CLIENT_BYTES)
    },
    timeLimit(60_000),
  )
})
