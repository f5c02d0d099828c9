/** Keep-alive clients that ask again and again: the load under which a server is stopped. */
import { RawClient } from './client.ts'
import { CutError } from './reader.ts'

import type { RawRequest, Target } from './client.ts'

/** Load that is running. */
export interface Load {
  /** Complete answers so far. */
  readonly answered: number
  /** Settles when `count` answers have come. */
  reached(count: number): Promise<void>
  /** Settles when every connection has ended; rejects if an answer was not what the server should send. */
  finished(): Promise<void>
  /** Ends the load; settles when every connection has ended. */
  stop(): Promise<void>
}

/** Starts `connections` clients. A connection that the server closes stays closed. */
export function startLoad(to: Target, connections: number, message: RawRequest = {}): Load {
  let answered = 0
  const stopping = new AbortController()
  const waiting: { count: number; resolve: () => void }[] = []
  const drive = async (): Promise<void> => {
    const client = await RawClient.connect(to)
    try {
      while (!stopping.signal.aborted) {
        const { status } = await client.request(message)
        if (status !== 200) throw new Error(`unexpected status ${status}`)
        answered += 1
        for (const { count, resolve } of waiting) if (answered >= count) resolve()
      }
    } catch (error) {
      // A server that stops may close the connection before it read the request, but not within an answer.
      if (!(error instanceof CutError) || error.partial.length > 0) throw error
    } finally {
      await client.close()
    }
  }
  const all = Promise.all(Array.from({ length: connections }, drive)).then(() => undefined)
  // Whoever asks for the end sees the fault; until then it must not end the process.
  all.catch(() => undefined)
  const reached = (count: number): Promise<void> =>
    new Promise((resolve, reject) => {
      if (answered >= count) resolve()
      waiting.push({ count, resolve })
      all.catch(reject)
    })
  return {
    get answered() {
      return answered
    },
    reached,
    finished: () => all,
    stop() {
      stopping.abort()
      return all
    },
  }
}
