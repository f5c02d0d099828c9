/** The question that a server asks itself before it counts as ready. */
import { request } from 'node:http'
import { Socket } from 'node:net'

import { monotonic } from '../clock.ts'
import { GneissError } from '../errors.ts'

import type { IncomingMessage } from 'node:http'

/** What to ask, and until when. */
export interface HealthProbe {
  /** Path, perhaps with a query. */
  readonly target: string
  /** In milliseconds of `monotonic`. */
  readonly deadline: number
}

/** What each head of a connection from inside begins with: no other peer has port 0. */
const FROM_INSIDE = '\n@peer:127.0.0.1 0\n'

/** Whether a request came over a connection of `connectInside`. */
export function isFromInside(head: string): boolean {
  return head.startsWith(FROM_INSIDE)
}

/**
 * Asks on a connection that leads to the server, and waits for the whole answer. Closes the connection.
 * @throws `ERR_BOOT` when the answer is not 2xx or 3xx, or does not come in time.
 */
export async function probe(descriptor: number, { target, deadline }: HealthProbe): Promise<void> {
  const socket = new Socket({ fd: descriptor })
  try {
    const status = await statusOf(socket, target, deadline)
    if (status < 200 || status > 399) throw refusal(target, `was answered with ${status}; it has to be 2xx or 3xx`)
  } finally {
    socket.destroy()
  }
}

async function statusOf(socket: Socket, target: string, deadline: number): Promise<number> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await new Promise((resolve, reject) => {
      const late = (): void => reject(refusal(target, 'was not answered within bootTimeout'))
      timer = setTimeout(late, Math.max(0, deadline - monotonic()))
      const broken = (cause: unknown): void =>
        reject(refusal(target, `was not answered as a whole: ${(cause as Error).message}`, cause))
      const headers = { host: 'localhost', 'user-agent': 'gneiss-health-probe', connection: 'close' }
      request({ path: target, headers, createConnection: () => socket }, (response: IncomingMessage) => {
        response.once('end', () => resolve(response.statusCode as number)).once('error', broken)
        response.resume()
      })
        .on('error', broken)
        .end()
    })
  } finally {
    clearTimeout(timer)
  }
}

function refusal(target: string, what: string, cause?: unknown): GneissError {
  return new GneissError('ERR_BOOT', `the health probe ${target} ${what}`, { cause })
}
