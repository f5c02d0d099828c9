/** What an RSGI application reads of its request. Nothing is built before it is read. */
import { fieldNameOf } from '../header-text.ts'
import { requestIdOf } from '../request-id.ts'
import {
  decodedPathOf,
  fieldsOf,
  headerOf,
  httpVersionOf,
  localOf,
  methodOf,
  peerOf,
  queryOf,
  rawPathOf,
  schemeOf,
} from '../scope.ts'

import type { Exchange } from '../exchange.ts'
import type { Endpoint } from '../scope.ts'

/** The request of an RSGI application (RSGI 1.6 with camelCase names). */
export class RsgiScope {
  readonly #exchange: Exchange
  #headers: RsgiHeaders | undefined = undefined

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  /** Kind of the request; `http` is the only one. */
  get proto(): 'http' {
    return 'http'
  }

  /** Version of the protocol that this scope follows. */
  get rsgiVersion(): '1.6' {
    return '1.6'
  }

  /** Version of HTTP. */
  get httpVersion(): '1' | '1.1' | '2' {
    const version = httpVersionOf(this.#exchange)
    return version === '1.0' ? '1' : version
  }

  /** Our address as `host:port` (`[v6]:port`), or `unix:PATH`. */
  get server(): string {
    return addressOf(localOf(this.#exchange.head))
  }

  /** The client's address as `host:port` (`[v6]:port`), or `unix:`. */
  get client(): string {
    return addressOf(peerOf(this.#exchange.head))
  }

  /** Scheme of the connection. */
  get scheme(): 'http' | 'https' {
    return schemeOf(this.#exchange)
  }

  /** Method, as the client wrote it. */
  get method(): string {
    return methodOf(this.#exchange)
  }

  /** Path, percent-decoded as UTF-8. */
  get path(): string {
    return decodedPathOf(this.#exchange.target)
  }

  /** Path as received; of a target in absolute form, its path part. */
  get rawPath(): string {
    return rawPathOf(this.#exchange.target)
  }

  /** Query as received, without the question mark; empty if there is none. */
  get queryString(): string {
    return queryOf(this.#exchange.target)
  }

  /** Header fields. */
  get headers(): RsgiHeaders {
    return (this.#headers ??= new RsgiHeaders(this.#exchange.head))
  }

  /** The `:authority` pseudo header of HTTP/2; null for HTTP/1. */
  get authority(): string | null {
    return headerOf(this.#exchange.head, '@authority') ?? null
  }

  /** Its `x-request-id`, or the id that was made for it; `%(id)s` of the access log. */
  get requestId(): string {
    return requestIdOf(this.#exchange)
  }

  /** What `__rsgi_init__` was given: one object for all requests of the application. */
  get state(): Record<string, unknown> {
    return this.#exchange.host.state
  }

  /** All of it but the state as plain data, for logs. */
  toJSON(): Record<string, unknown> {
    const { proto, rsgiVersion, httpVersion, server, client, scheme, method, path, rawPath, queryString } = this
    const data = { proto, rsgiVersion, httpVersion, server, client, scheme, method, path, rawPath, queryString }
    return { ...data, headers: [...this.headers], authority: this.authority, requestId: this.requestId }
  }
}

/** Header fields of a request: names in lower case, values Latin-1, order and duplicates kept. Names are looked up in any case. */
export class RsgiHeaders implements Iterable<[name: string, value: string]> {
  readonly #head: string
  #fields: [string, string][] | undefined = undefined

  constructor(head: string) {
    this.#head = head
  }

  /** The first value, or undefined. */
  get(name: string): string | undefined {
    const needle = needleOf(name)
    const at = this.#head.indexOf(needle)
    if (at < 0) return undefined
    const start = at + needle.length
    return this.#head.slice(start, this.#head.indexOf('\n', start))
  }

  /** All values, in order. */
  getAll(name: string): string[] {
    const needle = needleOf(name)
    const values: string[] = []
    for (let at = this.#head.indexOf(needle); at >= 0;) {
      const end = this.#head.indexOf('\n', at + needle.length)
      values.push(this.#head.slice(at + needle.length, end))
      at = this.#head.indexOf(needle, end)
    }
    return values
  }

  /** Whether there is a field of this name. */
  has(name: string): boolean {
    return this.#head.includes(needleOf(name))
  }

  /** Number of fields, duplicates counted. */
  get size(): number {
    return this.#all().length
  }

  /** Names, one for each field. */
  *keys(): IterableIterator<string> {
    for (const [name] of this.#all()) yield name
  }

  /** Values, one for each field. */
  *values(): IterableIterator<string> {
    for (const [, value] of this.#all()) yield value
  }

  /** `[name, value]` pairs, one for each field. */
  *entries(): IterableIterator<[name: string, value: string]> {
    for (const [name, value] of this.#all()) yield [name, value]
  }

  [Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    return this.entries()
  }

  #all(): [string, string][] {
    return (this.#fields ??= fieldsOf(this.#head))
  }
}

/** Matches nothing: every field of a head begins after a single line feed. */
const NO_NEEDLE = '\n\n'

/** What to search the head for. A name that no field can have finds nothing, the pseudo fields included. */
function needleOf(name: string): string {
  try {
    return fieldNameOf(name).needle
  } catch {
    return NO_NEEDLE
  }
}

function addressOf({ host, port, isUnix }: Endpoint): string {
  if (isUnix) return `unix:${host}`
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
