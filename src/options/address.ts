/** Addresses to listen on: from the text a person writes to what the addon binds. */
import { isIPv6 } from 'node:net'

import type { NativeAddress, NativeBind } from '../native.ts'

const DEFAULT_PORT = 8000

/**
 * Reads `HOST`, `HOST:PORT`, `[V6]:PORT`, `:PORT`, `unix:PATH` or `fd://N`. Without a port it is
 * 8000, without a host every IPv4 address.
 * @throws a plain `Error` whose message says what is wrong with the text.
 */
export function parseAddress(text: string): NativeBind {
  if (text.startsWith('unix:')) return { path: parsePath(text.slice('unix:'.length)) }
  if (text.startsWith('fd://')) return { fd: parseDescriptor(text.slice('fd://'.length)) }
  if (text.includes('/')) throw new Error('an address has no scheme and no path; write HOST:PORT')
  if (text.indexOf(':') !== text.lastIndexOf(':') && isIPv6(text)) return { host: text, port: DEFAULT_PORT }
  if (text.startsWith('[')) return parseBracketed(text)
  const colon = text.lastIndexOf(':')
  if (colon < 0) {
    if (isDigits(text)) throw new Error(`a port alone is written :${text}`)
    return { host: parseHost(text), port: DEFAULT_PORT }
  }
  const host = text.slice(0, colon)
  if (host.includes(':')) throw new Error('an IPv6 address with a port is written [ADDRESS]:PORT')
  return { host: host === '' ? '0.0.0.0' : parseHost(host), port: parsePort(text.slice(colon + 1)) }
}

/** The one spelling of an address that `parseAddress` reads back to the same thing. */
export function formatAddress(bind: NativeBind): string {
  if (bind.path !== undefined) return `unix:${bind.path}`
  if (bind.fd !== undefined) return `fd://${bind.fd}`
  const host = bind.host ?? ''
  return `${host.includes(':') ? `[${host}]` : host}:${bind.port}`
}

/** Where a client on this machine reaches an address, without a slash at the end; `unix:PATH` for a Unix socket. */
export function urlOf({ host, port, family }: Readonly<NativeAddress>): string {
  if (family === 'unix') return `unix:${host}`
  if (host === '0.0.0.0') return `http://127.0.0.1:${port}`
  if (host === '::') return `http://[::1]:${port}`
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function parseBracketed(text: string): NativeBind {
  const end = text.indexOf(']')
  const host = text.slice(1, end)
  const rest = text.slice(end + 1)
  if (end < 0 || !isIPv6(host)) throw new Error('what stands in brackets must be an IPv6 address')
  if (rest === '') return { host, port: DEFAULT_PORT }
  if (!rest.startsWith(':')) throw new Error('after the brackets only :PORT may follow')
  return { host, port: parsePort(rest.slice(1)) }
}

function parseHost(text: string): string {
  if (!/^[\w.-]+$/.test(text)) throw new Error(text === '' ? 'it is empty' : `${JSON.stringify(text)} is no host name`)
  return text
}

function parsePort(text: string): number {
  const port = isDigits(text) ? Number(text) : -1
  if (port < 0 || port > 65_535) throw new Error('the port must be a number from 0 to 65535')
  return port
}

/** Two slashes as in a URL are allowed, because Gunicorn allows them. */
function parsePath(text: string): string {
  const path = text.startsWith('//') ? text.slice(2) : text
  if (path === '') throw new Error('unix: needs a path')
  return path
}

function parseDescriptor(text: string): number {
  if (!isDigits(text) || text.length > 9) throw new Error('fd:// needs the number of a descriptor')
  return Number(text)
}

function isDigits(text: string): boolean {
  return /^\d+$/.test(text)
}
