/** Clients in a process of their own: see `crowd-process.js`. */
import { fork } from 'node:child_process'
import { once } from 'node:events'

import { ROOT, cleanEnv } from './cli.ts'
import { onTeardown } from './teardown.ts'

/** What the clients of the other process can be told. */
export type Order =
  /** `count` clients one after the other in each of `lanes`: each reads up to the text `at` and resets the connection. */
  | {
      readonly kind: 'leave'
      readonly port: number
      readonly count: number
      readonly lanes: number
      readonly at: string
    }
  /** `count` clients that ask and do not read. */
  | { readonly kind: 'stay'; readonly port: number; readonly count: number }
  /** Those that stay reset their connections. */
  | { readonly kind: 'reset' }

/** A process of clients; it ends with the test. */
export interface Crowd {
  /** Has an order done. Settles with how many clients have seen what they should; rejects if one could not connect. */
  tell(order: Order): Promise<number>
}

/** Starts a process of clients. */
export function startCrowd(): Crowd {
  const child = fork(`${ROOT}__test__/harness/crowd-process.js`, { env: cleanEnv(), execArgv: [] })
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`the process of the clients has ended: ${String(code ?? signal)}`)
  })
  ended.catch(() => undefined)
  onTeardown('clients', () => child.disconnect())
  return {
    async tell(order) {
      child.send(order)
      const [{ seen, error }] = (await Promise.race([once(child, 'message'), ended])) as [
        { readonly seen: number; readonly error?: string },
      ]
      if (error !== undefined) throw new Error(`a client failed: ${error}`)
      return seen
    },
  }
}
