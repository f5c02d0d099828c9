/** RSGI: `app(scope, protocol)`. The shortest way from an application to the core. */
import { isUint8Array } from 'node:util/types'

import { readAll, requestChunks } from './bridge/request.ts'
import { failUnanswered } from './dispatch.ts'
import { drainingOf } from './draining.ts'
import { GneissError, errorCodeOf, typeErrorOf } from './errors.ts'
import { Phase } from './exchange.ts'
import { joinHeaders } from './header-pairs.ts'
import { RsgiScope } from './rsgi/scope.ts'

import type { Exchange } from './exchange.ts'
import type { Adapter } from './protocol.ts'

/** A response header: strings are Latin-1. */
export type RsgiHeader = readonly [name: string, value: string | Uint8Array]

/** Answers one request. It may be synchronous, which is the cheapest. */
export type RsgiHandler = (scope: RsgiScope, protocol: RsgiProtocol) => unknown

/** An RSGI application that has a start and an end. */
export interface RsgiAppObject {
  /** Answers one request. */
  __rsgi__: RsgiHandler
  /** Runs before serving; it may fill `state`, which every `scope.state` is. What it throws stops the start. */
  __rsgi_init__?(state: Record<string, unknown>): unknown
  /** Runs after the last request. */
  __rsgi_del__?(state: Record<string, unknown>): unknown
}

/** An RSGI application. */
export type RsgiApp = RsgiHandler | RsgiAppObject

/** The adapter for an RSGI application. */
export function createRsgiAdapter(app: RsgiApp): Adapter {
  const handler = handlerOf(app)
  return {
    name: 'rsgi',
    handle(exchange) {
      return handler(new RsgiScope(exchange), new RsgiProtocol(exchange))
    },
    finished(exchange) {
      if (exchange.phase === Phase.answered || exchange.context === GONE) return
      if (exchange.phase === Phase.started) endQuietly(exchange)
      else failUnanswered(exchange, 'the application returned without a response')
    },
  }
}

/** What an RSGI application does with its request. Responses are synchronous calls; after the client has gone they do nothing. */
export class RsgiProtocol implements AsyncIterable<Uint8Array> {
  readonly #exchange: Exchange
  #isBodyUsed = false
  #controller: AbortController | undefined = undefined
  #disconnected: Promise<void> | undefined = undefined

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  /** The exchange behind a protocol, for the helpers of this package; undefined for one that somebody has wrapped. */
  static exchangeOf(protocol: object): Exchange | undefined {
    return #exchange in protocol ? protocol.#exchange : undefined
  }

  /** The whole request body. Rejects with `ERR_BODY_USED` if it was asked for before, and when the request is aborted first. */
  body(): Promise<Uint8Array> {
    if (this.#isBodyUsed) return Promise.reject(bodyUsed())
    this.#isBodyUsed = true
    return readAll(this.#exchange)
  }

  /** The request body piece by piece, as it arrives. Throws like `body`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    if (this.#isBodyUsed) throw bodyUsed()
    this.#isBodyUsed = true
    return requestChunks(this.#exchange)
  }

  /**
   * Aborts once when the request is aborted before its end: the client has gone, or a deadline passed. Its reason
   * has a code; with `ERR_SHUTDOWN` the server stops, and for a fifth of its time to stop the request may still be answered.
   */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController()
      this.#controller = controller
      this.#exchange.onStop((error) => controller.abort(error))
    }
    return this.#controller.signal
  }

  /** Aborts when the server begins to stop while the request is open. Nothing is cut yet: see `signal`. */
  get draining(): AbortSignal {
    return drainingOf(this.#exchange)
  }

  /** Fulfilled when the client has gone or the request was cut. After a normal end it stays pending. */
  clientDisconnect(): Promise<void> {
    // One promise for all who ask: a wait that is given up must not gather on the request.
    return (this.#disconnected ??= new Promise((resolve) => {
      this.#exchange.onAbort(() => resolve())
    }))
  }

  /**
   * Gives the application `seconds` from now: before the answer has begun in place of `requestTimeout`, after
   * that, between two pieces, in place of `responseIdleTimeout`. 0 turns the deadline off. Returns false when
   * the request is over; throws a TypeError `ERR_OPTION` for what is no number of seconds.
   */
  extend(seconds: number): boolean {
    return this.#exchange.extend(seconds)
  }

  /** Answers without a body. Throws a TypeError with code for a bad status or header, `ERR_RESPONSE_ALREADY_SENT` the second time. */
  responseEmpty(status: number, headers: readonly RsgiHeader[] = []): void {
    this.#respond(status, headers, undefined)
  }

  /** Answers with text, as UTF-8. Throws like `responseEmpty`, and `ERR_BODY_TYPE` for anything but a string. */
  responseStr(status: number, headers: readonly RsgiHeader[], body: string): void {
    if (typeof body !== 'string') throw wrongBody('responseStr', 'a string', body)
    this.#respond(status, headers, body)
  }

  /** Answers with bytes, which are copied. Throws like `responseEmpty`, and `ERR_BODY_TYPE` for anything but bytes. */
  responseBytes(status: number, headers: readonly RsgiHeader[], body: Uint8Array): void {
    if (!isUint8Array(body)) throw wrongBody('responseBytes', 'a Uint8Array', body)
    this.#respond(status, headers, body)
  }

  /** Not available in this version: throws `ERR_APP_INTERFACE`. */
  responseFile(_status: number, _headers: readonly RsgiHeader[], _path: string): void {
    throw noFiles('responseFile')
  }

  /** Not available in this version: throws `ERR_APP_INTERFACE`. */
  responseFileRange(
    _status: number,
    _headers: readonly RsgiHeader[],
    _path: string,
    _start: number,
    _end: number,
  ): void {
    throw noFiles('responseFileRange')
  }

  /** Begins an answer whose body follows piece by piece; its head leaves at once. Throws like `responseEmpty`. */
  responseStream(status: number, headers: readonly RsgiHeader[] = []): RsgiStream {
    const exchange = this.#exchange
    if (exchange.phase !== Phase.gone) {
      try {
        exchange.start(status, joinHeaders(headers), headers.length)
      } catch (error) {
        noteGone(exchange, error)
      }
    }
    return new RsgiStream(exchange)
  }

  #respond(status: number, headers: readonly RsgiHeader[], body: string | Uint8Array | undefined): void {
    const exchange = this.#exchange
    if (exchange.phase === Phase.gone) return
    try {
      exchange.respond(status, joinHeaders(headers), headers.length, body)
    } catch (error) {
      noteGone(exchange, error)
    }
  }
}

/** The body of a streamed answer. It ends by `end()` or when the application returns; if that throws, the client sees a cut. */
export class RsgiStream {
  readonly #exchange: Exchange

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  /**
   * Sends bytes, which are copied. Returns undefined while there is room, and a promise for room when
   * the client is slower than the application. Rejects with `ERR_CLIENT_DISCONNECTED` when the client has gone.
   * Throws `ERR_BODY_TYPE`, `ERR_BODY_LENGTH` past content-length, `ERR_RESPONSE_ALREADY_SENT` after the end.
   */
  sendBytes(data: Uint8Array): Promise<void> | undefined {
    if (!isUint8Array(data)) throw wrongBody('sendBytes', 'a Uint8Array', data)
    return this.#send(data)
  }

  /** Sends text, as UTF-8. Like `sendBytes`. */
  sendStr(data: string): Promise<void> | undefined {
    if (typeof data !== 'string') throw wrongBody('sendStr', 'a string', data)
    return this.#send(data)
  }

  /** Ends the answer; again, or when the client has gone, it does nothing. Fewer bytes than content-length cut the connection. */
  end(): void {
    if (this.#exchange.phase === Phase.started) endQuietly(this.#exchange)
  }

  #send(data: string | Uint8Array): Promise<void> | undefined {
    const exchange = this.#exchange
    // An empty piece sends nothing, but it may not follow the end either.
    if (data.length === 0 && exchange.phase === Phase.started) return undefined
    try {
      return exchange.write(data)
    } catch (error) {
      if (exchange.phase !== Phase.gone && !isGone(error)) throw error
      // The application may not even look: a client that leaves is no reason for the process to end.
      const rejected = Promise.reject(error)
      rejected.catch(ignore)
      return rejected
    }
  }
}

function handlerOf(app: RsgiApp): RsgiHandler {
  const method = (app as Partial<RsgiAppObject>).__rsgi__
  if (typeof method === 'function') return (scope, protocol) => (app as RsgiAppObject).__rsgi__(scope, protocol)
  if (typeof app === 'function') return app
  throw new GneissError('ERR_APP', 'An RSGI application is a function or an object with a function `__rsgi__`.')
}

/** In the exchange's context: the client was found gone before the event that says so. */
const GONE: unique symbol = Symbol('gone')

function noteGone(exchange: Exchange, error: unknown): void {
  if (!isGone(error)) throw error
  exchange.context = GONE
}

function endQuietly(exchange: Exchange): void {
  try {
    exchange.end()
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

function isGone(error: unknown): boolean {
  return errorCodeOf(error) === 'ERR_CLIENT_DISCONNECTED'
}

function bodyUsed(): GneissError {
  return new GneissError('ERR_BODY_USED', 'The request body was read before.')
}

function wrongBody(method: string, expected: string, body: unknown): TypeError {
  return typeErrorOf('ERR_BODY_TYPE', `${method} takes ${expected}, not ${body === null ? 'null' : typeof body}.`)
}

function noFiles(method: string): GneissError {
  return new GneissError('ERR_APP_INTERFACE', `${method} is not available in this version of gneiss.`)
}

function ignore(): void {}
