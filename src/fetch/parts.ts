/** What there is to send of anything that may be a response: our light one, the platform's, another maker's. */
import { closeBody, isStream } from '../bridge/source.ts'
import { GneissError } from '../errors.ts'
import { addField, headOf, withoutConnectionFields } from './head.ts'
import { Response as LightResponse } from './response.ts'

import type { BodySource } from './body.ts'
import type { ResponseHead } from './head.ts'
import type { ResponseParts } from './response.ts'

/**
 * Reads a response by its members. One that is refused for its headers is closed, because nobody else will know its body.
 * @throws `ERR_RESPONSE` for what is no response, and with code for a bad header.
 */
export function partsOf(value: unknown): ResponseParts {
  if (typeof value !== 'object' || value === null) throw notAResponse(value)
  return LightResponse.partsOf(value) ?? partsOfForeign(value)
}

/** The same response with the fields that are sent: none of the connection's, and the length of a blob that is sent in pieces. */
export function headToSend(parts: ResponseParts): ResponseParts {
  const { source } = parts
  let head = parts.head.hasConnectionFields ? withoutConnectionFields(parts.head) : parts.head
  if (source instanceof Blob && source.size > BLOB_AT_ONCE && !head.hasLength) {
    head = { ...head }
    addField(head, 'content-length', source.size)
  }
  return head === parts.head ? parts : { ...parts, head }
}

/** Up to here a blob is read as a whole: a stream of it costs more than the copy. */
export const BLOB_AT_ONCE: number = 64 * 1024

/** Encodings that the platform's `fetch` undoes. */
const FETCH_DECODES = ['gzip', 'x-gzip', 'deflate', 'br']

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
    if (!isUsed) closeBody(source, error)
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

function notAResponse(value: unknown): GneissError {
  return new GneissError('ERR_RESPONSE', `The application returned ${nameOf(value)} instead of a Response.`)
}

function nameOf(value: unknown): string {
  if (typeof value === 'string') return 'a string'
  if (typeof value !== 'object' || value === null) return String(value)
  const { constructor } = value
  return typeof constructor === 'function' && constructor.name !== '' ? `an object (${constructor.name})` : 'an object'
}
