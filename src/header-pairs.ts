/** Header fields as an application gives them, name by value, in the border's form. */
import { isUint8Array } from 'node:util/types'

import { typeErrorOf } from './errors.ts'

import type { ErrorCode } from './errors.ts'

/** A header field as an application gives it; strings are Latin-1. */
export type HeaderField = readonly [name: string | Uint8Array, value: string | Uint8Array]

/**
 * Joins header fields into the border's form. Line feeds are left in: the count tells the addon, which
 * refuses them with a code. A colon in a name would go unseen there, because the first one ends the name.
 * @throws TypeError `ERR_HEADER_NAME` or `ERR_HEADER_VALUE` for what is no list of pairs.
 */
export function joinHeaders(fields: readonly HeaderField[]): string {
  if (!Array.isArray(fields)) throw typeErrorOf('ERR_HEADER_VALUE', 'Headers must be an array of [name, value] pairs.')
  let joined = ''
  for (let index = 0; index < fields.length; index++) {
    const field: unknown = fields[index]
    if (!Array.isArray(field)) throw typeErrorOf('ERR_HEADER_VALUE', 'A header must be a [name, value] pair.')
    const name = headerNameOf(field[0])
    const value: unknown = field[1]
    joined += `${name}:${typeof value === 'string' ? value : headerValueOf(value)}\n`
  }
  return joined
}

/** A header name as a string. @throws TypeError `ERR_HEADER_NAME` for another type and for a colon. */
export function headerNameOf(name: unknown): string {
  const text = typeof name === 'string' ? name : latin1Of(name, 'ERR_HEADER_NAME', 'name')
  if (text.includes(':')) throw typeErrorOf('ERR_HEADER_NAME', 'A header name must not hold a colon.')
  return text
}

/** A header value as a string. @throws TypeError `ERR_HEADER_VALUE` for another type. */
export function headerValueOf(value: unknown): string {
  return typeof value === 'string' ? value : latin1Of(value, 'ERR_HEADER_VALUE', 'value')
}

function latin1Of(data: unknown, code: ErrorCode, what: string): string {
  if (isUint8Array(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1')
  throw typeErrorOf(code, `A header ${what} must be a string or bytes, not ${data === null ? 'null' : typeof data}.`)
}
