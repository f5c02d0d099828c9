/** The fetch interface: `fetch(request, info) -> Response | Promise<Response>`. */
import { runInBackground } from './background.ts'
import { drainingOf } from './draining.ts'
import { GneissError } from './errors.ts'
import { linkLightHeaders } from './fetch/headers.ts'
import { LazyRequest, linkLazyRequest } from './fetch/request.ts'
import { sendResponse } from './fetch/send.ts'
import { requestIdOf } from './request-id.ts'
import { peerOf } from './scope.ts'

import type { Exchange } from './exchange.ts'
import type { ServerRequest } from './fetch/request.ts'
import type { Adapter } from './protocol.ts'

/** The client's side of the connection. */
export interface RemoteAddress {
  readonly transport: 'tcp' | 'unix'
  /** IP address; empty on a Unix socket. */
  readonly hostname: string
  /** 0 on a Unix socket. */
  readonly port: number
}

/** What a handler gets beside the request. Everything is built when it is read. */
export interface FetchInfo {
  readonly remoteAddr: RemoteAddress
  /** Fulfilled when the answer was handed to the kernel; rejects if the request is aborted or its answer is cut first. */
  readonly completed: Promise<void>
  /** Lets `promise` outlive the answer: closing the server waits for it, its failure is logged. */
  readonly waitUntil: (promise: PromiseLike<unknown>) => void
  /** The same as `requestId` of the request. */
  readonly requestId: string
  /** The same as `extend` of the request. */
  readonly extend: (seconds: number) => boolean
  /** The same as `draining` of the request. */
  readonly draining: AbortSignal
}

/** Answers a request. It may be synchronous, which is the cheapest. */
export type FetchHandler = (request: ServerRequest, info: FetchInfo) => Response | Promise<Response>

/** An application object: `fetch` is called as its method. */
export interface FetchAppObject {
  fetch: FetchHandler
}

/** A fetch application. */
export type FetchApp = FetchHandler | FetchAppObject

/** The adapter for a fetch application. @throws `ERR_APP` for anything else. */
export function createFetchAdapter(app: FetchApp): Adapter {
  linkLightHeaders()
  linkLazyRequest()
  return { name: 'fetch', handle: callerOf(app), finished: sendResponse }
}

function callerOf(app: FetchApp): (exchange: Exchange) => unknown {
  const { fetch: method } = (app ?? {}) as Partial<FetchAppObject>
  // Looked up for each request, and before the application itself: a class may have it as a static method.
  if (typeof method === 'function') {
    return (exchange) => (app as FetchAppObject).fetch(requestOf(exchange), new LazyInfo(exchange))
  }
  if (typeof app === 'function') return (exchange) => app(requestOf(exchange), new LazyInfo(exchange))
  throw new GneissError('ERR_APP', 'A fetch application is a function, or an object with a function `fetch`.')
}

function requestOf(exchange: Exchange): ServerRequest {
  return new LazyRequest(exchange) as unknown as ServerRequest
}

class LazyInfo implements FetchInfo {
  readonly #exchange: Exchange

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  get remoteAddr(): RemoteAddress {
    const { host, port, isUnix } = peerOf(this.#exchange.head)
    return { transport: isUnix ? 'unix' : 'tcp', hostname: host, port }
  }

  get completed(): Promise<void> {
    const completed = this.#exchange.whenDone()
    // Who looks at it without waiting for it must not end the process when the client leaves.
    completed.catch(ignore)
    return completed
  }

  /** A function of its own, because applications take it out of the object. */
  get waitUntil(): FetchInfo['waitUntil'] {
    const { host } = this.#exchange
    return (promise) => runInBackground(promise, host)
  }

  get requestId(): string {
    return requestIdOf(this.#exchange)
  }

  get extend(): FetchInfo['extend'] {
    const exchange = this.#exchange
    return (seconds) => exchange.extend(seconds)
  }

  get draining(): AbortSignal {
    return drainingOf(this.#exchange)
  }
}

function ignore(): void {}
