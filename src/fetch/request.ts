/**
 * The request of the fetch interface: a `Request` of which nothing is built before it is read.
 *
 * It stands on the platform's prototype and overrides every member, because the platform keeps its
 * state in private fields of objects that it made itself. What only the platform can do (clone, be the
 * input of another `Request`) is done by a platform request that is made of this one at that moment.
 */
import { runInBackground } from '../background.ts'
import { readAll, requestStream } from '../bridge/request.ts'
import { isUsed } from '../bridge/source.ts'
import { drainingOf } from '../draining.ts'
import { typeErrorOf } from '../errors.ts'
import { Meta } from '../native.ts'
import { requestIdOf } from '../request-id.ts'
import { methodOf, peerOf } from '../scope.ts'
import { textOf } from './body.ts'
import { LightHeaders } from './headers.ts'
import { inheritFrom, loadPlatform, shareState } from './platform.ts'
import { urlOf } from './url.ts'

import type { Exchange } from '../exchange.ts'

/** What the fetch interface adds to a `Request`, under the names other servers use. */
export interface RequestExtras {
  /** Address of the client; undefined on a Unix socket. */
  readonly ip: string | undefined
  /** Its `x-request-id`, or the id that was made for it; `%(id)s` of the access log. */
  readonly requestId: string
  /** Where the application runs. */
  readonly runtime: { readonly name: 'node' }
  /** Lets `promise` outlive the answer: closing the server waits for it, its failure is logged. */
  readonly waitUntil: (promise: PromiseLike<unknown>) => void
  /**
   * Gives the application `seconds` from now: before the answer has begun in place of `requestTimeout`, after
   * that, between two pieces, in place of `responseIdleTimeout`. 0 turns the deadline off. Returns false when
   * the request is over; throws a TypeError `ERR_OPTION` for what is no number of seconds.
   */
  readonly extend: (seconds: number) => boolean
  /**
   * Aborts when the server begins to stop while the request is open. Nothing is cut yet: `signal` aborts when four
   * fifths of the time to stop are over, and in the last fifth the request may still be answered.
   */
  readonly draining: AbortSignal
}

/**
 * The request an application gets: a `Request`, of which nothing is built before it is read.
 *
 * `request.clone()` is a request of the platform. The request itself is accepted by `new Request(request)`
 * and `fetch(request)` on Node 20 and 22; from Node 24 on the platform looks for private fields that only
 * its own objects have, so there both need the `fastResponse` option (the command line's default) or a
 * clone: `new Request(request.clone(), init)`. Everything else takes it everywhere, also as the init of
 * `new Request(url, request)`.
 */
export type ServerRequest = Request & RequestExtras

/** See `ServerRequest`, which is its public type. */
export class LazyRequest {
  readonly #exchange: Exchange
  #url: string | undefined = undefined
  #headers: LightHeaders | undefined = undefined
  #controller: AbortController | undefined = undefined
  /** Undefined until `body` was read. */
  #stream: ReadableStream<Uint8Array> | undefined = undefined
  /** The body was read without a stream. */
  #isTaken = false

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  get method(): string {
    return methodOf(this.#exchange)
  }

  get url(): string {
    return (this.#url ??= urlOf(this.#exchange))
  }

  get headers(): LightHeaders {
    return (this.#headers ??= new LightHeaders(this.#exchange.head))
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController()
      this.#controller = controller
      // The exchange holds the controller, so the signal fires also if the application kept nothing else.
      this.#exchange.onStop((error) => controller.abort(abortReasonOf(error)))
    }
    return this.#controller.signal
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (!this.#hasBody()) return null
    if (this.#stream === undefined) {
      this.#stream = requestStream(this.#exchange)
      // Read as a whole already: whoever asks now finds the stream used, as on any other request.
      if (this.#isTaken) void this.#stream.cancel()
    }
    return this.#stream
  }

  get bodyUsed(): boolean {
    return this.#isTaken || (this.#stream !== undefined && isUsed(this.#stream))
  }

  text(): Promise<string> {
    return this.#consume(textOf)
  }

  json(): Promise<unknown> {
    return this.#consume(jsonOf)
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#consume(arrayBufferOf)
  }

  bytes(): Promise<Uint8Array> {
    return this.#consume(identity)
  }

  blob(): Promise<Blob> {
    return this.#consume((bytes) => this.#asResponse(bytes).blob() as Promise<Blob>)
  }

  formData(): Promise<FormData> {
    return this.#consume((bytes) => this.#asResponse(bytes).formData() as Promise<FormData>)
  }

  clone(): Request {
    if (this.bodyUsed || this.#stream?.locked === true) throw usedError()
    const { body } = this
    if (body === null) return this.#toPlatform(null)
    const [mine, theirs] = body.tee()
    this.#stream = mine
    return this.#toPlatform(theirs)
  }

  get ip(): string | undefined {
    const { host } = peerOf(this.#exchange.head)
    return host === '' ? undefined : host
  }

  get requestId(): string {
    return requestIdOf(this.#exchange)
  }

  get runtime(): RequestExtras['runtime'] {
    return RUNTIME
  }

  /** A function of its own, because applications take it out of the object. */
  get waitUntil(): RequestExtras['waitUntil'] {
    const { host } = this.#exchange
    return (promise) => runInBackground(promise, host)
  }

  get extend(): RequestExtras['extend'] {
    const exchange = this.#exchange
    return (seconds) => exchange.extend(seconds)
  }

  get draining(): AbortSignal {
    return drainingOf(this.#exchange)
  }

  // What a request that came in from the network has for the rest: the standard's defaults.
  get cache(): Request['cache'] {
    return 'default'
  }
  get credentials(): Request['credentials'] {
    return 'same-origin'
  }
  get destination(): '' {
    return ''
  }
  get duplex(): 'half' {
    return 'half'
  }
  get integrity(): '' {
    return ''
  }
  get isHistoryNavigation(): false {
    return false
  }
  get isReloadNavigation(): false {
    return false
  }
  get keepalive(): false {
    return false
  }
  get mode(): Request['mode'] {
    return 'cors'
  }
  get redirect(): Request['redirect'] {
    return 'follow'
  }
  get referrer(): 'about:client' {
    return 'about:client'
  }
  get referrerPolicy(): '' {
    return ''
  }

  /** Makes a platform request of this one, which shares its body: reading one uses up the other. */
  static toPlatform(request: LazyRequest): Request {
    if (!request.bodyUsed && request.#stream?.locked !== true) return request.#toPlatform(request.body)
    // A body that is used up must stay so, and yet a new body may be put in its place.
    const used = request.#toPlatform('')
    void used.text()
    return used
  }

  static isOne(value: unknown): value is LazyRequest {
    return typeof value === 'object' && value !== null && #exchange in value
  }

  #hasBody(): boolean {
    if ((this.#exchange.meta & Meta.hasBody) === 0) return false
    // The standard knows no body here, whatever came over the wire.
    const { method } = this
    return method !== 'GET' && method !== 'HEAD'
  }

  #consume<T>(convert: (bytes: Uint8Array) => T | Promise<T>): Promise<T> {
    if (this.bodyUsed || this.#stream?.locked === true) return Promise.reject(usedError())
    if (!this.#hasBody()) return Promise.resolve(NO_BYTES).then(convert)
    if (this.#stream !== undefined) return bytesOfStream(this.#stream).then(convert)
    this.#isTaken = true
    return readAll(this.#exchange).then(convert)
  }

  #asResponse(bytes: Uint8Array): Response {
    const type = this.headers.get('content-type')
    return new (loadPlatform().Response)(bytes, type === null ? {} : { headers: { 'content-type': type } })
  }

  #toPlatform(body: ReadableStream<Uint8Array> | string | null): Request {
    const { method, url, headers, signal } = this
    return new (loadPlatform().Request)(url, {
      method,
      headers: headers as never,
      signal,
      body: body as never,
      duplex: 'half',
    })
  }
}

/**
 * Makes `LazyRequest` an heir of the platform's class, before the first one is built. Returns whether
 * the platform itself accepts one where it wants a `Request`.
 */
export function linkLazyRequest(): boolean {
  return (isAccepted ??= link())
}

let isAccepted: boolean | undefined

function link(): boolean {
  const platform = loadPlatform()
  inheritFrom({
    ours: LazyRequest,
    theirs: platform.Request,
    toPlatform: LazyRequest.toPlatform,
    shown: ({ method, url, headers, bodyUsed }) => ({ method, url, headers, bodyUsed }),
  })
  return shareState(LazyRequest, new platform.Request('http://localhost/'), LazyRequest.toPlatform)
}

const RUNTIME: RequestExtras['runtime'] = Object.freeze({ name: 'node' })
const NO_BYTES = new Uint8Array(0)

/** What other servers abort with, so that `error.name` tells; our own error, with its code, is the cause. */
function abortReasonOf(cause: Error): DOMException {
  return new DOMException(cause.message, { name: 'AbortError', cause })
}

function identity(bytes: Uint8Array): Uint8Array {
  return bytes
}

function arrayBufferOf(bytes: Uint8Array): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = bytes as Uint8Array<ArrayBuffer>
  return byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength)
}

async function bytesOfStream(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new (loadPlatform().Response)(stream).arrayBuffer())
}

function jsonOf(bytes: Uint8Array): unknown {
  return JSON.parse(textOf(bytes))
}

function usedError(): TypeError {
  return typeErrorOf('ERR_BODY_USED', 'The body of the request was read before, or is being read.')
}
