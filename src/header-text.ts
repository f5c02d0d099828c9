/**
 * Header names and values as the Fetch standard takes them, checked and in the border's form.
 *
 * Applications use the same few names, mostly with the same values, for ever: what is known about a
 * name is kept, and so is the last line that was made for it.
 */
import { typeErrorOf } from './errors.ts'

/** What sending has to know of a field. */
export const FieldKind = {
  /** Sent as it is. */
  plain: 0,
  /** The body's own type is not wanted. */
  contentType: 1,
  /** `connection`: dropped unless it says `close`. */
  connection: 2,
  /** Belongs to the connection: the server's, not the application's. */
  hopByHop: 3,
} as const

/** One of `FieldKind`. */
export type FieldKindValue = (typeof FieldKind)[keyof typeof FieldKind]

/** What is known about a header name. */
export interface FieldName {
  /** Lower-case name, a valid token. */
  readonly lower: string
  /** `\nname:`, which finds the field in the head of a request. */
  readonly needle: string
  readonly kind: FieldKindValue
  /** Of several fields in a request the first counts, where a list is made of others. */
  readonly isSingle: boolean
}

/**
 * Looks a name up, in any case.
 * @throws TypeError `ERR_HEADER_NAME` when it is no token.
 */
export function fieldNameOf(name: string): FieldName {
  return names.get(name) ?? learnName(name)
}

/**
 * A header value as text: converted to a string, surrounding whitespace removed.
 * @throws TypeError `ERR_HEADER_VALUE` for CR, LF, NUL, another control but tab, or a character above U+00FF.
 */
export function fieldValueOf(value: unknown): string {
  let text = typeof value === 'string' ? value : String(value)
  const last = text.length - 1
  if (last >= 0 && (text.charCodeAt(0) <= SPACE || text.charCodeAt(last) <= SPACE)) text = trimWhitespace(text)
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if ((code < SPACE && code !== TAB) || code === DELETE || code > 0xff) {
      const shown = code.toString(16).toUpperCase().padStart(4, '0')
      throw typeErrorOf(
        'ERR_HEADER_VALUE',
        `A header value holds U+${shown} at index ${index}, which is not allowed there.`,
      )
    }
  }
  return text
}

/** The field as `name:value\n`. @throws like `fieldValueOf`. */
export function fieldLineOf(name: FieldName, value: unknown): string {
  const last = name as NameWithLine
  if (value === last.value) return last.line
  const line = `${name.lower}:${fieldValueOf(value)}\n`
  if (typeof value === 'string' && value.length <= VALUE_KEPT) {
    last.value = value
    last.line = line
  }
  return line
}

/** The last value of a name, and the line that was made of it. */
interface NameWithLine extends FieldName {
  value: string | undefined
  line: string
}

const TAB = 0x09
const SPACE = 0x20
const DELETE = 0x7f
/** Names from applications are few; one that makes names up for each request must not fill the memory. */
const NAMES_KEPT = 1024
/** Longer values are hardly constants. */
const VALUE_KEPT = 128

const KINDS = new Map<string, FieldKindValue>([
  ['connection', FieldKind.connection],
  ['content-type', FieldKind.contentType],
  ['keep-alive', FieldKind.hopByHop],
  ['proxy-connection', FieldKind.hopByHop],
  ['transfer-encoding', FieldKind.hopByHop],
  ['upgrade', FieldKind.hopByHop],
])

/** The parser lets the first two through once only; a second one of the others is an attempt to deceive. */
const SINGLES: readonly string[] = ['content-length', 'host', 'authorization', 'content-type']

const names = new Map<string, FieldName>()
const isTokenCode = new Uint8Array(128)
for (const char of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  isTokenCode[char.charCodeAt(0)] = 1
}

function learnName(name: string): FieldName {
  if (!isToken(name)) {
    throw typeErrorOf(
      'ERR_HEADER_NAME',
      `${JSON.stringify(name)} is no header name: it must be a token (RFC 9110 section 5.1).`,
    )
  }
  // Cut out of a string of our own: a name cut out of a request's head would keep all of that head alive.
  const needle = `\n${name.toLowerCase()}:`
  const lower = needle.slice(1, -1)
  const known: NameWithLine = {
    lower,
    needle,
    kind: KINDS.get(lower) ?? FieldKind.plain,
    isSingle: SINGLES.includes(lower),
    value: undefined,
    line: '',
  }
  if (names.size >= NAMES_KEPT) names.clear()
  names.set(name === lower ? lower : name, known)
  return known
}

function isToken(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    if (isTokenCode[text.charCodeAt(index)] !== 1) return false
  }
  return text.length > 0
}

function trimWhitespace(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isWhitespace(text.charCodeAt(start))) start++
  while (end > start && isWhitespace(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isWhitespace(code: number): boolean {
  return code === SPACE || code === TAB || code === 0x0a || code === 0x0d
}
