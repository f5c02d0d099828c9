/** Clients whose every request has an id and whose every answer is checked: the load under which a worker is killed. */
import { createHash } from 'node:crypto'

import { RawClient } from './client.ts'

/** A request that was not answered. */
export interface Loss {
  /** The worker that had answered on that connection before, if one had. */
  readonly pid: number | undefined
}

/** Such a load. */
export interface Sums {
  /** Right answers so far. */
  readonly answered: number
  /** Milliseconds that the slowest of them took, the connection included. */
  readonly slowest: number
  reached(count: number): Promise<void>
  /** Ends it; fulfilled with the requests that were lost. Rejects when an answer was wrong. */
  stop(): Promise<Loss[]>
}

/**
 * Asks `/sum/ID` of `fixtures/pool.js`, on so many kept connections and so many that serve one request each. That a
 * connection cannot be had is a fault, or with `mayReset` a request that was lost.
 */
export function startSums(url: string, kept: number, oneShot: number, mayReset = false): Sums {
  let answered = 0
  let slowest = 0
  let isOver = false
  const lost: Loss[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const drive = async (number: number, isKept: boolean): Promise<void> => {
    for (let round = 0; !isOver;) {
      let began = performance.now()
      let pid: number | undefined
      const client = await RawClient.connect(url).catch((error: NodeJS.ErrnoException) => {
        if (!mayReset || error.code !== 'ECONNRESET') throw error
      })
      if (client === undefined) {
        lost.push({ pid })
        continue
      }
      try {
        do {
          const id = `${number}-${round++}`
          const answer = await client.request({ path: `/sum/${id}` })
          const sum = createHash('sha256').update(id).digest('hex').repeat(100)
          const [from, ...rest] = answer.text.split(' ')
          if (answer.status !== 200 || rest.join(' ') !== `${id} ${sum}`)
            throw new WrongAnswer(`${id}: ${answer.status} ${answer.text}`)
          pid = Number(from)
          answered += 1
          slowest = Math.max(slowest, performance.now() - began)
          began = performance.now()
          for (const { count, resolve } of waiting) if (answered >= count) resolve()
          if (answer.header('connection') === 'close') break
        } while (isKept && !isOver)
      } catch (error) {
        if (error instanceof WrongAnswer) throw error
        lost.push({ pid })
      } finally {
        await client.close()
      }
    }
  }
  const all = Promise.all(Array.from({ length: kept + oneShot }, (_, number) => drive(number, number < kept)))
  // Whoever asks for the end sees the fault; until then it must not end the process.
  all.catch(() => undefined)
  return {
    get answered() {
      return answered
    },
    get slowest() {
      return slowest
    },
    reached: (count) =>
      new Promise((resolve, reject) => {
        if (answered >= count) resolve()
        waiting.push({ count, resolve })
        all.catch(reject)
      }),
    async stop() {
      isOver = true
      await all
      return lost
    },
  }
}

class WrongAnswer extends Error {}
