/** Ids of requests: the one that the access log writes, or one of our own. */
import { headerOf } from './scope.ts'

import type { Exchange } from './exchange.ts'

/**
 * The id of a request: its `x-request-id` where it brings one of 1 to 128 bytes, else the one that was
 * made for the access log. Where no log names ids, one is made for whoever asks.
 */
export function requestIdOf(exchange: Exchange): string {
  const given = headerOf(exchange.head, 'x-request-id')
  if (given !== undefined && given.length > 0 && given.length <= LONGEST) return given
  return headerOf(exchange.head, '@id') ?? ownIdOf(exchange)
}

function ownIdOf(exchange: Exchange): string {
  let id = own.get(exchange)
  if (id === undefined) {
    // Loaded when it is first needed: it takes a twentieth of a start.
    seed ??= process.getBuiltinModule('node:crypto').randomBytes(8).toString('hex')
    count += 1
    id = seed + count.toString(16).padStart(16, '0')
    own.set(exchange, id)
  }
  return id
}

/** Longer ones are not taken over; the engine has the same limit. */
const LONGEST = 128
const own = new WeakMap<Exchange, string>()
let seed: string | undefined = undefined
let count = 0
