/**
 * Bodies of the fetch interface: what a `Response` can be made of, and how it becomes text, bytes or a stream.
 * Strings and bytes stay what they are: a stream is made of them only if somebody asks for one.
 */
import { types } from 'node:util'

import { toReadableStream } from '../bridge/readable.ts'
import { isStream, isUsed } from '../bridge/source.ts'
import { typeErrorOf } from '../errors.ts'
import { loadPlatform } from './platform.ts'

/** A body whose bytes are all here. */
export type HeldBody = string | Uint8Array
/** A body as it is kept until it is read or sent. */
export type BodySource = HeldBody | Blob | ReadableStream<unknown> | AsyncIterable<unknown> | null

/** A body, and the content type it brings along (empty for none). */
export interface TypedBody {
  readonly source: BodySource
  readonly type: string
}

/** Content type of a string body. */
export const TEXT_TYPE = 'text/plain;charset=UTF-8'

/**
 * Takes what the standard calls a BodyInit, and async iterables as Node does; anything else is
 * converted to a string. Bytes are not copied.
 * @throws TypeError for a stream that is in use.
 */
export function bodyOf(init: unknown): TypedBody {
  if (typeof init === 'string') return { source: init, type: TEXT_TYPE }
  if (typeof init !== 'object' || init === null) return { source: String(init), type: TEXT_TYPE }
  if (init instanceof Uint8Array) return { source: init, type: '' }
  // Early, because the questions below cost more than what is asked here.
  if (Symbol.asyncIterator in init && !isStream(init)) return { source: init as AsyncIterable<unknown>, type: '' }
  if (ArrayBuffer.isView(init))
    return { source: new Uint8Array(init.buffer, init.byteOffset, init.byteLength), type: '' }
  if (types.isAnyArrayBuffer(init)) return { source: new Uint8Array(init), type: '' }
  if (isStream(init)) {
    if (init.locked || isUsed(init))
      throw typeErrorOf('ERR_BODY_USED', 'The body is a stream that is locked or was read.')
    return { source: init, type: '' }
  }
  if (init instanceof Blob) return { source: init, type: init.type }
  if (init instanceof URLSearchParams) {
    return { source: init.toString(), type: 'application/x-www-form-urlencoded;charset=UTF-8' }
  }
  if (init instanceof FormData) {
    // The boundary and the encoding are the platform's business.
    const encoded = new (loadPlatform().Response)(init)
    return { source: encoded.body, type: encoded.headers.get('content-type') ?? '' }
  }
  return { source: String(init), type: TEXT_TYPE }
}

/** Whether the bytes are all here. */
export function isHeld(source: BodySource): source is HeldBody {
  return typeof source === 'string' || types.isUint8Array(source)
}

/** The body as text, decoded as the standard says: a byte order mark is no part of it. */
export function textOf(body: HeldBody): string {
  const text = typeof body === 'string' ? (body as ModernString).toWellFormed() : viewOf(body).toString('utf8')
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text
}

/** The body as bytes that nobody else holds. */
export function bytesOf(body: HeldBody): Uint8Array<ArrayBuffer> {
  return typeof body === 'string' ? encoder.encode(body) : new Uint8Array(body)
}

/** A stream of the body. Of a held body it can be told again what it was made of. */
export function streamOf(source: Exclude<BodySource, null>): ReadableStream<unknown> {
  if (isStream(source)) return source
  if (source instanceof Blob) return source.stream() as ReadableStream<unknown>
  if (!isHeld(source)) return toReadableStream(source)
  const bytes = bytesOf(source)
  const stream = new ReadableStream({
    type: 'bytes',
    start(controller: ReadableByteStreamController) {
      if (bytes.length > 0) controller.enqueue(bytes)
      controller.close()
    },
  })
  heldBodies.set(stream, source)
  return stream
}

/** What an untouched stream was made of, if it was a held body: it can be sent without the stream. */
export function heldBehind(stream: ReadableStream<unknown>): HeldBody | undefined {
  const held = heldBodies.get(stream)
  return held === undefined || stream.locked || isUsed(stream) ? undefined : held
}

/** Every Node we run on has it; the language version that the types describe does not. */
type ModernString = string & { toWellFormed(): string }

const BYTE_ORDER_MARK = 0xfeff
const encoder = new TextEncoder()
const heldBodies = new WeakMap<ReadableStream<unknown>, HeldBody>()

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
