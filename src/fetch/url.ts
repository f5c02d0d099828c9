/**
 * `request.url`: scheme, authority and target put together.
 *
 * A URL is parsed only where parsing could change something. The authority is parsed once for each
 * value, and a target is compared against what the URL standard leaves as it is.
 */
import { localOf, schemeOf } from '../scope.ts'

import type { Exchange } from '../exchange.ts'

/** The absolute URL of a request, normalised as `new URL()` does. Never throws. */
export function urlOf(exchange: Exchange): string {
  const { target } = exchange
  const origin = originOf(exchange)
  // `OPTIONS *` has no path; the URL has to have one.
  if (target.charCodeAt(0) !== SLASH) return `${origin}/${target}`
  if (isPlainTarget(target)) return origin + target
  return URL.canParse(origin + target) ? new URL(origin + target).href : origin + target
}

/** Where the host stands in a head. */
const HOST_FIELD = '\nhost:'
/** Requests mostly name the same host again and again; a client that varies it must not fill the memory. */
const ORIGINS_KEPT = 256
const origins = new Map<string, string>()
/** The host field of the last request, as it stood in the head, and what was made of it. */
let lastField = HOST_FIELD
let lastScheme = ''
let lastOrigin = ''

function originOf(exchange: Exchange): string {
  const { head } = exchange
  const scheme = schemeOf(exchange)
  const at = head.indexOf(HOST_FIELD)
  // HTTP/1.0 needs no host; what the client connected to is then the best name there is.
  if (at < 0) return localOriginOf(exchange, scheme)
  if (scheme === lastScheme && head.startsWith(lastField, at)) return lastOrigin
  const end = head.indexOf('\n', at + 1)
  const authority = `${scheme}://${head.slice(at + HOST_FIELD.length, end)}`
  const origin = origins.get(authority) ?? learnOrigin(authority)
  if (origin === undefined) return localOriginOf(exchange, scheme)
  lastField = head.slice(at, end + 1)
  lastScheme = scheme
  lastOrigin = origin
  return origin
}

/** Undefined for what is a legal header and yet no authority, such as an empty one or `1.2.3.400`. */
function learnOrigin(authority: string): string | undefined {
  if (!URL.canParse(authority)) return undefined
  const { origin } = new URL(authority)
  if (origins.size >= ORIGINS_KEPT) origins.clear()
  origins.set(authority, origin)
  return origin
}

function localOriginOf(exchange: Exchange, scheme: string): string {
  const { host, port, isUnix } = localOf(exchange.head)
  const name = isUnix || host === '' ? 'localhost' : host.includes(':') ? `[${host}]` : host
  const text = isUnix ? `${scheme}://${name}` : `${scheme}://${name}:${port}`
  return URL.canParse(text) ? new URL(text).origin : `${scheme}://localhost`
}

const SLASH = 0x2f
const DOT = 0x2e
const QUESTION_MARK = 0x3f
const PERCENT = 0x25

/** By character code: 0 stays as it is on every version of the standard, 1 may change, 2 depends on what follows. */
const charKinds = new Uint8Array(256).fill(1)
for (let code = 0x21; code < 0x7f; code++) charKinds[code] = 0
for (const char of '"#\'<>\\^`{|}') charKinds[char.charCodeAt(0)] = 1
charKinds[SLASH] = 2
charKinds[PERCENT] = 2

/**
 * Whether parsing would leave the target alone: plain characters, no `.` or `..` segment, spelled out or
 * escaped. A query is judged like a path; at worst it is parsed in vain.
 */
function isPlainTarget(target: string): boolean {
  for (let index = 0; index < target.length; index++) {
    const code = target.charCodeAt(index)
    const kind = charKinds[code]
    if (kind === 0) continue
    if (kind === 1 || (code === SLASH ? isDotSegment(target, index + 1) : isEscapedDot(target, index))) return false
  }
  return true
}

function isDotSegment(target: string, start: number): boolean {
  if (target.charCodeAt(start) !== DOT) return false
  const end = target.charCodeAt(start + 1) === DOT ? start + 2 : start + 1
  return end >= target.length || target.charCodeAt(end) === SLASH || target.charCodeAt(end) === QUESTION_MARK
}

function isEscapedDot(target: string, at: number): boolean {
  return target.charCodeAt(at + 1) === 0x32 && (target.charCodeAt(at + 2) | 0x20) === 0x65
}
