/** What a body is made of on its way: text and bytes. */
import { isAnyArrayBuffer, isUint8Array } from 'node:util/types'

import { typeErrorOf } from '../errors.ts'

/** What an answer's body is made of: text is sent as UTF-8. */
export type BodyPiece = string | Uint8Array

/** A piece as the border takes it; bytes of any kind are looked at, not copied. @throws TypeError `ERR_BODY_TYPE`. */
export function toPiece(value: unknown): BodyPiece {
  if (typeof value === 'string' || isUint8Array(value)) return value
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (isAnyArrayBuffer(value)) return new Uint8Array(value)
  throw typeErrorOf('ERR_BODY_TYPE', `A piece of a body must be a string or bytes, not ${nameOf(value)}.`)
}

/** Whether this is a promise, of whatever maker. */
export function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** For a failure that is seen to elsewhere. */
export function ignore(): void {}

function nameOf(value: unknown): string {
  return value === null ? 'null' : typeof value
}
