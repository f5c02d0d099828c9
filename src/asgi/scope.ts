/** The scope of an HTTP request, cheap until it is read. */
import { inspect } from 'node:util'

import { requestIdOf } from '../request-id.ts'
import { decodedPathOf, fieldsOf, httpVersionOf, localOf, methodOf, peerOf, schemeOf } from '../scope.ts'

import type { AsgiVersions, HttpScope } from './types.ts'
import type { Exchange } from '../exchange.ts'

/**
 * Makes the scope of a request. Every key is its own, enumerable and writable property, so that
 * `{ ...scope }`, `JSON.stringify` and assignments work as on a plain object.
 *
 * The keys that cost something hold `UNREAD` until somebody looks. A proxy is what notices: own
 * accessors would do as well and need no proxy, but each one costs more to define (150 ns) than the
 * proxy together with the four or five reads of a typical application.
 */
export function createHttpScope(exchange: Exchange): HttpScope {
  return new Proxy(new LazyHttpScope(exchange), READ_ON_DEMAND) as unknown as HttpScope
}

const UNREAD: unique symbol = Symbol('unread')
const VERSIONS: AsgiVersions = Object.freeze({ version: '3.0', spec_version: '2.5' })

/** `declare`: a field that is defined before the constructor assigns it costs a second write each. */
class LazyHttpScope {
  declare type: unknown
  declare asgi: unknown
  declare http_version: unknown
  declare method: unknown
  declare scheme: unknown
  declare path: unknown
  declare raw_path: unknown
  declare query_string: unknown
  declare root_path: unknown
  declare headers: unknown
  declare client: unknown
  declare server: unknown
  declare state: unknown
  declare extensions: unknown
  readonly #exchange: Exchange

  constructor(exchange: Exchange) {
    const { target } = exchange
    const question = target.indexOf('?')
    const rawPath = question < 0 ? target : target.slice(0, question)
    this.#exchange = exchange
    this.type = 'http'
    this.asgi = VERSIONS
    this.http_version = httpVersionOf(exchange)
    this.method = methodOf(exchange)
    this.scheme = schemeOf(exchange)
    this.path = rawPath.includes('%') ? decodedPathOf(target) : rawPath
    this.raw_path = rawPath
    this.query_string = question < 0 ? '' : target.slice(question + 1)
    this.root_path = exchange.host.rootPath
    this.headers = UNREAD
    this.client = UNREAD
    this.server = UNREAD
    this.state = UNREAD
    this.extensions = UNREAD
  }

  /** Fills a key that nobody has read before and returns its value. */
  static read(scope: LazyHttpScope, key: keyof LazyHttpScope): unknown {
    const exchange = scope.#exchange
    switch (key) {
      case 'headers':
        return (scope.headers = fieldsOf(exchange.head))
      case 'client':
        return (scope.client = clientOf(exchange.head))
      case 'server':
        return (scope.server = serverOf(exchange.head))
      case 'state':
        return (scope.state = { ...exchange.host.state })
      default:
        // A fresh object: middleware may add its own.
        return (scope.extensions = {
          'http.response.trailers': {},
          'gneiss.timeout': {},
          'gneiss.drain': {},
          'gneiss.request_id': { id: requestIdOf(exchange) },
        })
    }
  }

  /** `console.log` looks behind a proxy; this makes it look at the values. */
  [inspect.custom](): unknown {
    return { ...this }
  }
}

const READ_ON_DEMAND: ProxyHandler<LazyHttpScope> = {
  get(scope, key) {
    const value = scope[key as keyof LazyHttpScope]
    return value === UNREAD ? LazyHttpScope.read(scope, key as keyof LazyHttpScope) : value
  },
  getOwnPropertyDescriptor(scope, key) {
    if (scope[key as keyof LazyHttpScope] === UNREAD) LazyHttpScope.read(scope, key as keyof LazyHttpScope)
    return Reflect.getOwnPropertyDescriptor(scope, key)
  },
}

function clientOf(head: string): HttpScope['client'] {
  const { host, port, isUnix } = peerOf(head)
  return isUnix ? null : [host, port]
}

function serverOf(head: string): HttpScope['server'] {
  const { host, port, isUnix } = localOf(head)
  return isUnix ? [host, null] : [host, port]
}
