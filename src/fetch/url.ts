/**
 * `request.url`: scheme, authority and target put together.
 *
 * A URL is parsed only where parsing could change something. The authority is parsed once for each
 * value, and a target is compared against what the URL standard leaves as it is.
 */
import { headerOf, localOf, schemeOf } from '../scope.ts'

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

/** Requests mostly name the same host again and again; a client that varies it must not fill the memory. */
const ORIGINS_KEPT = 256
const origins = new Map<string, string>()
let lastAuthority = ''
let lastOrigin = ''

function originOf(exchange: Exchange): string {
  const host = headerOf(exchange.head, 'host')
  const scheme = schemeOf(exchange)
  // HTTP/1.0 needs no host; what the client connected to is then the best name there is.
  if (host === undefined || host === '') return localOriginOf(exchange, scheme)
  const authority = scheme === 'http' ? host : `s ${host}`
  if (authority === lastAuthority) return lastOrigin
  const origin = origins.get(authority) ?? learnOrigin(authority, `${scheme}://${host}`, exchange)
  lastAuthority = authority
  lastOrigin = origin
  return origin
}

function learnOrigin(authority: string, text: string, exchange: Exchange): string {
  // A host that is a legal header and yet no authority, such as a port above 65535.
  if (!URL.canParse(text)) return localOriginOf(exchange, schemeOf(exchange))
  const { origin } = new URL(text)
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

/** Characters that stay as they are in path and query, on every version of the standard. */
const isPlainCode = new Uint8Array(256)
for (let code = 0x21; code < 0x7f; code++) isPlainCode[code] = 1
for (const char of '"#\'<>\\^`{|}') isPlainCode[char.charCodeAt(0)] = 0

/** Whether parsing would leave the target alone: plain characters, no `.` or `..` segment, spelled out or escaped. */
function isPlainTarget(target: string): boolean {
  let isPath = true
  for (let index = 0; index < target.length; index++) {
    const code = target.charCodeAt(index)
    if (isPlainCode[code] !== 1) return false
    if (!isPath) continue
    if (code === QUESTION_MARK) isPath = false
    else if (code === SLASH && target.charCodeAt(index + 1) === DOT && isDotSegment(target, index + 1)) return false
    else if (code === PERCENT && isEscapedDot(target, index)) return false
  }
  return true
}

function isDotSegment(target: string, start: number): boolean {
  const end = target.charCodeAt(start + 1) === DOT ? start + 2 : start + 1
  return end >= target.length || target.charCodeAt(end) === SLASH || target.charCodeAt(end) === QUESTION_MARK
}

function isEscapedDot(target: string, at: number): boolean {
  return target.charCodeAt(at + 1) === 0x32 && (target.charCodeAt(at + 2) | 0x20) === 0x65
}
