/** The head of an ASGI response: checked when the application hands it over, sent later. */
import { typeErrorOf } from '../errors.ts'
import { headerNameOf, headerValueOf } from '../header-pairs.ts'
import { FieldKind, fieldNameOf } from '../header-text.ts'

import type { HttpResponseStartMessage } from './types.ts'

/** A head in the border's form. */
export interface ResponseHead {
  readonly status: number
  /** `name:value\n` repeated. */
  readonly headers: string
  readonly count: number
  /** Whether it may wait for its body. An event stream must open at once, and the addon must see what it may refuse. */
  readonly mayWait: boolean
}

/**
 * Reads a start message. The addon checks every head too, but only when it is sent, and a held head is
 * sent by a later call than the one that brought the fault.
 * @throws TypeError `ERR_STATUS`, `ERR_HEADER_NAME` or `ERR_HEADER_VALUE`.
 */
export function readHead({ status, headers = [] }: HttpResponseStartMessage): ResponseHead {
  if (!Number.isInteger(status) || status < 200 || status > 999) {
    throw typeErrorOf('ERR_STATUS', `A response status is an integer from 200 to 999, not ${String(status)}.`)
  }
  if (!Array.isArray(headers)) throw typeErrorOf('ERR_HEADER_VALUE', 'headers must be an array of [name, value] pairs.')
  let joined = ''
  let mayWait = true
  for (let index = 0; index < headers.length; index++) {
    const field: unknown = headers[index]
    if (!Array.isArray(field)) throw typeErrorOf('ERR_HEADER_VALUE', 'A header must be a [name, value] pair.')
    const line = lineOf(field[0], field[1])
    if (!line.mayWait) mayWait = false
    joined += line.text
  }
  return { status, headers: joined, count: headers.length, mayWait }
}

/** A checked field in the border's form. */
interface Line {
  readonly value: string
  readonly text: string
  readonly mayWait: boolean
}

/** Names from applications are few; one that makes names up for each request must not fill the memory. */
const NAMES_KEPT = 1024
/** Longer lines are hardly constants. */
const LINE_KEPT = 160

/** The last line of each name, as it is written. Applications send the same few for ever, and looking one up costs less than checking it. */
const lastLines = new Map<unknown, Line>()

function lineOf(name: unknown, value: unknown): Line {
  const last = lastLines.get(name)
  return last !== undefined && last.value === value ? last : makeLine(headerNameOf(name), headerValueOf(value))
}

function makeLine(name: string, value: string): Line {
  const { lower, kind } = fieldNameOf(name)
  checkValue(lower, value)
  const mayWait = kind === FieldKind.plain ? lower !== 'content-length' || isLength(value) : isUsual(kind, value)
  const text = `${name}:${value}\n`
  if (text.length > LINE_KEPT) return { value, text, mayWait }
  // Cut out of a string of our own: what was cut out of a request's head would keep all of that head alive.
  const line = { value: text.slice(name.length + 1, -1), text, mayWait }
  if (lastLines.size >= NAMES_KEPT && !lastLines.has(name)) lastLines.clear()
  lastLines.set(text.slice(0, name.length), line)
  return line
}

const EVENT_STREAM = 'text/event-stream'

function checkValue(name: string, value: string): void {
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index)
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) {
      const shown = `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
      throw typeErrorOf('ERR_HEADER_VALUE', `The value of ${name} holds ${shown} at index ${index}.`)
    }
  }
}

function isUsual(kind: number, value: string): boolean {
  if (kind === FieldKind.contentType) return value.slice(0, EVENT_STREAM.length).toLowerCase() !== EVENT_STREAM
  return kind === FieldKind.connection && value.toLowerCase() === 'close'
}

/** At most 15 digits, which a number holds exactly. */
function isLength(value: string): boolean {
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index)
    if (code < 0x30 || code > 0x39) return false
  }
  return value.length > 0 && value.length < 16
}
