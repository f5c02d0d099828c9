/**
 * Reads the head of a request on demand. Nothing here runs until an application asks.
 * Linear scans of one string; no regular expression ever sees request data.
 */
import { METHODS, Meta } from './native.ts'

import type { Exchange } from './exchange.ts'

/** An endpoint of a connection; a Unix socket has port 0 and its path as host (empty for the peer). */
export interface Endpoint {
  readonly host: string
  readonly port: number
  readonly isUnix: boolean
}

/** First value of a field by its lower-case name. */
export function headerOf(head: string, name: string): string | undefined {
  const at = head.indexOf(`\n${name}:`)
  if (at < 0) return undefined
  const start = at + name.length + 2
  return head.slice(start, head.indexOf('\n', start))
}

/** All values of a field by its lower-case name, in order. */
export function headersOf(head: string, name: string): string[] {
  const values: string[] = []
  const needle = `\n${name}:`
  for (let at = head.indexOf(needle); at >= 0;) {
    const end = head.indexOf('\n', at + needle.length)
    values.push(head.slice(at + needle.length, end))
    at = head.indexOf(needle, end)
  }
  return values
}

/** All fields as `[name, value]`, order and duplicates kept, without the pseudo fields. */
export function fieldsOf(head: string): [string, string][] {
  const fields: [string, string][] = []
  let start = 1
  for (let end = head.indexOf('\n', start); end >= 0; end = head.indexOf('\n', start)) {
    if (head.charCodeAt(start) !== AT_SIGN) {
      const colon = head.indexOf(':', start)
      fields.push([head.slice(start, colon), head.slice(colon + 1, end)])
    }
    start = end + 1
  }
  return fields
}

/** Method name of the request. */
export function methodOf(exchange: Exchange): string {
  const code = exchange.meta & Meta.methodMask
  return METHODS[code] || (headerOf(exchange.head, '@method') ?? 'GET')
}

/** `1.0`, `1.1` or `2`. */
export function httpVersionOf(exchange: Exchange): '1.0' | '1.1' | '2' {
  const code = (exchange.meta >> Meta.versionShift) & Meta.versionMask
  return code === 0 ? '1.0' : code === 1 ? '1.1' : '2'
}

/** `http` or `https`. */
export function schemeOf(exchange: Exchange): 'http' | 'https' {
  return (exchange.meta & Meta.secure) === 0 ? 'http' : 'https'
}

/** Path of the target as received, without the query. */
export function rawPathOf(target: string): string {
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}

/** Query of the target as received, without the question mark. */
export function queryOf(target: string): string {
  const query = target.indexOf('?')
  return query < 0 ? '' : target.slice(query + 1)
}

/** Percent-decoded path; what is not UTF-8 becomes U+FFFD, a stray percent sign stays. */
export function decodedPathOf(target: string): string {
  const raw = rawPathOf(target)
  if (!raw.includes('%')) return raw
  try {
    return decodeURIComponent(raw)
  } catch {
    return decodeLossy(raw)
  }
}

/** The client's side of the connection. */
export function peerOf(head: string): Endpoint {
  return endpointOf(headerOf(head, '@peer'))
}

/** Our side of the connection. */
export function localOf(head: string): Endpoint {
  return endpointOf(headerOf(head, '@local'))
}

const AT_SIGN = 0x40

function endpointOf(text: string | undefined): Endpoint {
  if (text === undefined) return { host: '', port: 0, isUnix: false }
  if (text.startsWith('unix:')) return { host: text.slice(5), port: 0, isUnix: true }
  const space = text.lastIndexOf(' ')
  return { host: text.slice(0, space), port: Number(text.slice(space + 1)), isUnix: false }
}

function decodeLossy(raw: string): string {
  const bytes: number[] = []
  for (let index = 0; index < raw.length; index++) {
    const code = raw.charCodeAt(index)
    const high = code === 0x25 ? hexOf(raw.charCodeAt(index + 1)) : -1
    const low = high < 0 ? -1 : hexOf(raw.charCodeAt(index + 2))
    if (low < 0) {
      bytes.push(code & 0xff)
    } else {
      bytes.push(high * 16 + low)
      index += 2
    }
  }
  return Buffer.from(bytes).toString('utf8')
}

function hexOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}
