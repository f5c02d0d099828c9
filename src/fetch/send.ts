/**
 * Sends whatever a fetch application returned: our light response, the platform's, or anything that
 * has the members of one.
 *
 * What is here as a whole leaves in one call. A stream is asked for its first pieces before the head
 * goes: if it ends by then the answer has a length, and if it fails by then the answer is a 500.
 */
import { failExchange, failUnanswered } from '../dispatch.ts'
import { GneissError, typeErrorOf } from '../errors.ts'
import { methodOf } from '../scope.ts'
import { pumpIterable } from '../streaming.ts'
import { discardBody, isHeld, streamOf } from './body.ts'
import { addField, headOf, withoutConnectionFields } from './head.ts'
import { Response as LightResponse } from './response.ts'
import { Resumed, isStream, sourceOf } from './source.ts'

import type { Exchange } from '../exchange.ts'
import type { BodySource } from './body.ts'
import type { ResponseHead } from './head.ts'
import type { ResponseParts } from './response.ts'
import type { PieceSource } from './source.ts'

/**
 * Answers the exchange with `value`, or ends its body unread if the client has gone.
 * @throws `ERR_RESPONSE` for what is no response, `ERR_BODY_USED` for one that is used up, and what
 *   `Exchange.respond` throws. Failures of a stream that come later go to `failExchange`.
 */
export function sendResponse(exchange: Exchange, value: unknown): void {
  if (!exchange.isOpen) {
    discardResponse(value, exchange.abortError)
    return
  }
  const parts = partsOf(value)
  const { source } = parts
  if (parts.isError) {
    failUnanswered(exchange, 'the application returned Response.error()')
    return
  }
  if (parts.isUsed) {
    throw typeErrorOf('ERR_BODY_USED', 'The application returned a Response whose body is locked or was read before.')
  }
  const head = parts.head.hasConnectionFields ? withoutConnectionFields(parts.head) : parts.head
  if (source === null) {
    exchange.respond(parts.status, head.text, head.count, undefined)
  } else if (isHeld(source)) {
    exchange.respond(parts.status, head.text, head.count, source)
  } else if (isBodyless(exchange, parts.status)) {
    discardBody(source)
    exchange.respond(parts.status, head.text, head.count, undefined)
  } else if (source instanceof Blob) {
    sendBlob(exchange, parts.status, head, source)
  } else {
    void sendPieces(exchange, parts.status, head, source)
  }
}

/** Up to here a blob is read as a whole: a stream of it costs more than the copy. */
const BLOB_AT_ONCE = 64 * 1024

/** Encodings that the platform's `fetch` undoes. */
const FETCH_DECODES = ['gzip', 'x-gzip', 'deflate', 'br']

function partsOf(value: unknown): ResponseParts {
  if (typeof value !== 'object' || value === null) throw notAResponse(value)
  return LightResponse.partsOf(value) ?? partsOfForeign(value)
}

/** Nobody will see it, so what it is does not matter: an application that noticed may return nothing at all. */
function discardResponse(value: unknown, reason: unknown): void {
  try {
    const { source, isUsed } = partsOf(value)
    if (!isUsed) discardBody(source, reason)
  } catch {
    // What is no response holds nothing open, and one that is refused was closed.
  }
}

/** Reads a response of the platform, of another realm or of another maker by its members. */
function partsOfForeign(value: object): ResponseParts {
  const { status, headers, body, bodyUsed, type, url } = value as Partial<Response>
  if (typeof status !== 'number' || typeof headers !== 'object' || headers === null || body === undefined) {
    throw notAResponse(value)
  }
  const source = body as BodySource
  const isUsed = bodyUsed === true || (isStream(body) && body.locked)
  const isFetched = typeof url === 'string' && url !== '' && source !== null
  try {
    const head = isFetched ? headOfFetched(headers) : headOf(headers)
    return { status, head, source, isError: type === 'error' || status === 0, isUsed }
  } catch (error) {
    // Nobody else will know the body of a response that is refused for its headers.
    if (!isUsed) discardBody(source, error)
    throw error
  }
}

/** `fetch` has undone the content-encoding and left the fields that tell of it; they would be false here. */
function headOfFetched(headers: Headers): ResponseHead {
  const codings = headers.get('content-encoding')?.split(',') ?? []
  const isDecoded = codings.length > 0 && codings.every((coding) => FETCH_DECODES.includes(coding.trim().toLowerCase()))
  if (!isDecoded) return headOf(headers)
  return headOf(Array.from(headers).filter(([name]) => name !== 'content-encoding' && name !== 'content-length'))
}

function isBodyless(exchange: Exchange, status: number): boolean {
  return status === 204 || status === 304 || methodOf(exchange) === 'HEAD'
}

function sendBlob(exchange: Exchange, status: number, head: ResponseHead, blob: Blob): void {
  if (blob.size > BLOB_AT_ONCE) {
    const sized = { ...head }
    if (!sized.hasLength) addField(sized, 'content-length', blob.size)
    void sendPieces(exchange, status, sized, streamOf(blob) as ReadableStream<unknown>)
    return
  }
  blob
    .arrayBuffer()
    .then((buffer) => {
      if (exchange.isOpen) exchange.respond(status, head.text, head.count, new Uint8Array(buffer))
    })
    .catch((error: unknown) => failExchange(exchange, error))
}

/** Settles when the answer is complete or the client has gone. Never rejects. */
async function sendPieces(
  exchange: Exchange,
  status: number,
  head: ResponseHead,
  body: ReadableStream<unknown> | AsyncIterable<unknown>,
): Promise<void> {
  let source: PieceSource | undefined
  try {
    source = sourceOf(body, exchange)
    const taken = [source.next()]
    const first = await settleSoon(taken[0] as Promise<IteratorResult<unknown>>)
    if (first?.done === true) {
      exchange.respond(status, head.text, head.count, undefined)
      return
    }
    if (first !== undefined) {
      const piece: unknown = first.value
      if (!isPiece(piece))
        throw typeErrorOf('ERR_BODY_TYPE', `A piece of a body must be a string or bytes, not ${typeof piece}.`)
      const next = source.next()
      taken.push(next)
      const second = await settleSoon(next)
      if (second?.done === true) {
        exchange.respond(status, head.text, head.count, bytesOrText(piece))
        return
      }
    }
    exchange.start(status, head.text, head.count)
    await pumpIterable(exchange, new Resumed(taken, source))
  } catch (error) {
    failExchange(exchange, error)
    // An error of the start leaves the source open; one of the pump finds it closed already.
    source?.return().catch((fault: unknown) => {
      exchange.host.log.error('a response source failed while it was closed', fault)
    })
  }
}

/**
 * How many microtasks each of the first two pieces gets. Streams of what is here already need up to eight
 * on the versions of Node we run on. A slow stream loses nothing: what one turn writes leaves together.
 */
const PATIENCE = 16

/** What `promise` is fulfilled with, if that takes no more than microtasks. Rejects if it rejects by then. */
async function settleSoon<T>(promise: Promise<T>): Promise<T | undefined> {
  const state = { isSettled: false }
  const settle = (): void => {
    state.isSettled = true
  }
  promise.then(settle, settle)
  for (let turn = 0; turn < PATIENCE && !state.isSettled; turn++) await undefined
  return state.isSettled ? promise : undefined
}

function isPiece(value: unknown): value is string | ArrayBuffer | ArrayBufferView {
  return typeof value === 'string' || ArrayBuffer.isView(value) || value instanceof ArrayBuffer
}

function bytesOrText(piece: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  if (typeof piece === 'string' || piece instanceof Uint8Array) return piece
  return piece instanceof ArrayBuffer
    ? new Uint8Array(piece)
    : new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)
}

function notAResponse(value: unknown): GneissError {
  return new GneissError('ERR_RESPONSE', `The application returned ${nameOf(value)} instead of a Response.`)
}

function nameOf(value: unknown): string {
  if (typeof value === 'string') return 'a string'
  if (typeof value !== 'object' || value === null) return String(value)
  const { constructor } = value
  return typeof constructor === 'function' && constructor.name !== '' ? `an object (${constructor.name})` : 'an object'
}
