/** An application as those around language models are: a token each 20 ms, many clients, half of whom leave early. */
import { describe, expect, test } from 'vitest'

import { sse } from '../../dist/streaming.js'
import { atRest } from '../harness/app.ts'
import { RawClient, turns } from '../harness/client.ts'
import { INTERFACES } from '../harness/interfaces.ts'
import { Balance } from '../harness/measures.ts'
import { serveResponse } from '../harness/responses.ts'
import { scaled, timeLimit } from '../harness/scale.ts'

const CLIENTS = scaled(50, 1000)
const TOKENS = 20
const TOKEN_MILLISECONDS = 20
/** Requests that wait for the application at once: more of them for a while are an overload, and not what is asked here. */
const ARRIVING = 16

interface Generation {
  returns: number
  finals: number
  /** Tokens that were made after the client was known to be gone. */
  late: number
}

describe.each(INTERFACES)('%s', (name) => {
  test(
    `${CLIENTS} clients: every generator is closed once, and its finally runs by its next token`,
    async () => {
      const generations: Generation[] = []
      const balance = new Balance()
      let begin!: () => void
      const everybody = new Promise<void>((resolve) => {
        begin = resolve
      })
      let end!: () => void
      const halfIsGone = new Promise<void>((resolve) => {
        end = resolve
      })
      let gone = 0
      const server = await serveResponse(name, () => {
        const generation = { returns: 0, finals: 0, late: 0 }
        generations.push(generation)
        if (generations.length === CLIENTS) begin()
        const tokens = async function* (): AsyncGenerator<{ event: string; data: object }> {
          try {
            await everybody
            for (let index = 0; index < TOKENS; index++) {
              await new Promise((resolve) => setTimeout(resolve, TOKEN_MILLISECONDS))
              // Nobody who leaves can have been served whole before the server knew.
              if (index === TOKENS - 1) await halfIsGone
              if (generation.returns > 0) generation.late += 1
              yield { event: 'token', data: { index } }
            }
          } finally {
            generation.finals += 1
          }
        }
        const generator = tokens()
        const close = generator.return.bind(generator)
        generator.return = (value: unknown) => {
          generation.returns += 1
          if (generation.returns === 1) gone += 1
          if (gone === CLIENTS / 2) end()
          return close(value)
        }
        balance.watch(generator)
        return sse(generator)
      })
      let whole = 0
      const read = async (index: number): Promise<void> => {
        const client = await RawClient.connect(server)
        await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
        if (index % 2 === 0) {
          await client.reader.through(`{"index":${index % TOKENS}}`)
          if (index % 4 === 0) client.reset()
          else await client.close()
          return
        }
        const { text } = await client.read()
        if (text.split('event: token').length === TOKENS + 1) whole += 1
        await client.close()
      }
      const reads: Promise<void>[] = []
      while (reads.length < CLIENTS) {
        if (reads.length - generations.length < ARRIVING) reads.push(read(reads.length))
        else await turns(1)
      }
      await Promise.all(reads)
      await atRest(server)
      // One more token at most, which is on its way when the client goes.
      await expect.poll(() => generations.filter(({ finals }) => finals !== 1)).toEqual([])
      expect([generations.length, whole]).toEqual([CLIENTS, CLIENTS / 2])
      const left = generations.filter(({ returns }) => returns > 0)
      expect(left.filter(({ returns, late }) => returns !== 1 || late > 1)).toEqual([])
      expect(left.length).toBe(CLIENTS / 2)
      generations.length = 0
      expect(await balance.left()).toBe(0)
    },
    timeLimit(20_000),
  )
})
