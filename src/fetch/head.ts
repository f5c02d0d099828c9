/**
 * The header fields of an answer in the border's form, `name:value\n` repeated, with what sending has
 * to know of them. A copy of what the application gave, so that its later changes change nothing.
 */
import { FieldKind, fieldLineOf, fieldNameOf } from '../header-text.ts'
import { LightHeaders } from './headers.ts'

import type { HeaderPair } from './headers.ts'

/** Header fields as one string. */
export interface ResponseHead {
  /** `name:value\n` repeated, names in lower case. */
  text: string
  /** How many fields `text` holds. */
  count: number
  hasType: boolean
  hasLength: boolean
  /** Holds fields that belong to the connection, which are not sent. */
  hasConnectionFields: boolean
}

/** No fields. */
export function emptyHead(): ResponseHead {
  return { text: '', count: 0, hasType: false, hasLength: false, hasConnectionFields: false }
}

/** Appends a field. @throws TypeError with code for a bad name or value. */
export function addField(head: ResponseHead, name: unknown, value: unknown): void {
  const field = fieldNameOf(typeof name === 'string' ? name : String(name))
  const { kind, lower } = field
  head.text += fieldLineOf(field, value)
  head.count++
  if (kind === FieldKind.plain) head.hasLength ||= lower === 'content-length'
  else if (kind === FieldKind.contentType) head.hasType = true
  else head.hasConnectionFields = true
}

/**
 * Reads anything the standard takes as headers: `Headers`, pairs, a record.
 * @throws TypeError for anything else, and with code for a bad name or value.
 */
export function headOf(init: unknown): ResponseHead {
  if (typeof init !== 'object' || init === null) {
    throw new TypeError(`Headers must be an object, pairs or Headers, not ${init === null ? 'null' : typeof init}.`)
  }
  const head = emptyHead()
  const pairs = LightHeaders.pairsOf(init)
  if (pairs !== undefined) {
    for (const [name, value] of pairs) addField(head, name, value)
  } else if (isIterable(init)) {
    for (const pair of init) {
      const [name, value, ...rest] = pair as Iterable<unknown>
      if (value === undefined || rest.length > 0) throw new TypeError('Each header pair must hold a name and a value.')
      addField(head, name, value)
    }
  } else {
    for (const name of Object.keys(init)) addField(head, name, (init as Record<string, unknown>)[name])
  }
  return head
}

/** The fields as pairs. */
export function pairsOf(head: ResponseHead): HeaderPair[] {
  const pairs: HeaderPair[] = []
  const { text } = head
  for (let start = 0; start < text.length;) {
    const colon = text.indexOf(':', start)
    const end = text.indexOf('\n', colon)
    pairs.push([text.slice(start, colon), text.slice(colon + 1, end)])
    start = end + 1
  }
  return pairs
}

/** The head without the fields that are the server's: frameworks set them for servers that need it. */
export function withoutConnectionFields(head: ResponseHead): ResponseHead {
  const kept = emptyHead()
  for (const [name, value] of pairsOf(head)) {
    const { kind } = fieldNameOf(name)
    if (kind === FieldKind.connection && asksToClose(value)) addField(kept, name, 'close')
    else if (kind < FieldKind.connection) addField(kept, name, value)
  }
  kept.hasConnectionFields = false
  return kept
}

function asksToClose(connection: string): boolean {
  return connection.split(',').some((option) => option.trim().toLowerCase() === 'close')
}

function isIterable(value: object): value is Iterable<unknown> {
  return typeof (value as { [Symbol.iterator]?: unknown })[Symbol.iterator] === 'function'
}
