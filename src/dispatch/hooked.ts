/**
 * Dispatch with hooks around each request. It is installed in the place of the other one when a
 * configuration has such hooks, so that without them nothing on the way of a request asks for any.
 */
import { createRunner } from '../dispatch.ts'
import { errorCodeOf } from '../errors.ts'
import { Exchange } from '../exchange.ts'
import { requestIdOf } from '../request-id.ts'
import { decodedPathOf, fieldsOf, headerOf, httpVersionOf, methodOf, peerOf, queryOf, schemeOf } from '../scope.ts'

import type { RequestHooks, RequestInfo, ResponseInfo } from '../hooks.ts'
import type { Logger } from '../log.ts'
import type { Dispatch } from '../native.ts'
import type { Adapter, Host } from '../protocol.ts'

/** What `createDispatch` makes, with hooks. */
export function createHookedDispatch(adapter: Adapter, host: Host, hooks: RequestHooks): Dispatch {
  const runApplication = createRunner(adapter)
  const { worker, preRequest, postRequest } = hooks
  const guard = new HookGuard(host.log)
  const run = (exchange: WatchedExchange): void => {
    const request = new RequestFacts(exchange)
    if (preRequest !== undefined) guard.call('preRequest', () => preRequest(worker, request))
    if (postRequest !== undefined) {
      const began = performance.now()
      const end = (error?: unknown): void => {
        const response = new ResponseFacts(exchange, performance.now() - began, error as Error | undefined)
        guard.call('postRequest', () => postRequest(worker, request, response))
      }
      exchange.whenDone().then(() => end(), end)
    }
    runApplication(exchange)
  }
  return (id, meta, target, head) => {
    const exchange = new WatchedExchange(id, meta, target, head, host)
    exchange.runInAsyncScope(run, undefined, exchange)
    exchange.keep()
  }
}

/** Milliseconds between two lines about hooks that fail: one that always does must not fill the disk. */
const QUIET = 10_000

/** Calls hooks so that none can fail a request. */
class HookGuard {
  readonly #log: Logger
  #quietUntil = 0
  #missed = 0

  constructor(log: Logger) {
    this.#log = log
  }

  call(name: string, hook: () => unknown): void {
    try {
      const result = hook()
      // An async function fits the type as well, and a rejection that nobody handles would end the process.
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function')
        Promise.resolve(result).catch((error: unknown) => this.#report(name, error))
    } catch (error) {
      this.#report(name, error)
    }
  }

  #report(name: string, error: unknown): void {
    const now = performance.now()
    if (now < this.#quietUntil) {
      this.#missed++
      return
    }
    const more =
      this.#missed === 0 ? '' : `; hooks of requests have failed ${this.#missed} times more since the last line`
    this.#quietUntil = now + QUIET
    this.#missed = 0
    this.#log.error(`the hook ${name} failed, and the request goes on${more}`, error)
  }
}

/** An exchange that remembers what was answered. */
class WatchedExchange extends Exchange {
  status: number | null = null
  bodyBytes = 0

  override respond(status: number, headers: string, count: number, body: string | Uint8Array | undefined): void {
    super.respond(status, headers, count, body)
    this.status = status
    this.#count(body)
  }

  override start(status: number, headers: string, count: number): void {
    super.start(status, headers, count)
    this.status = status
  }

  override write(data: string | Uint8Array): Promise<void> | undefined {
    const room = super.write(data)
    this.#count(data)
    return room
  }

  override end(data?: string | Uint8Array): void {
    super.end(data)
    this.#count(data)
  }

  #count(data: string | Uint8Array | undefined): void {
    if (data !== undefined) this.bodyBytes += typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength
  }
}

/** Reads what is asked for, when it is asked for. */
class RequestFacts implements RequestInfo {
  readonly #exchange: Exchange

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  get method(): string {
    return methodOf(this.#exchange)
  }

  get requestId(): string {
    return requestIdOf(this.#exchange)
  }

  get target(): string {
    return this.#exchange.target
  }

  get path(): string {
    return decodedPathOf(this.#exchange.target)
  }

  get query(): string {
    return queryOf(this.#exchange.target)
  }

  get httpVersion(): '1.0' | '1.1' | '2' {
    return httpVersionOf(this.#exchange)
  }

  get scheme(): 'http' | 'https' {
    return schemeOf(this.#exchange)
  }

  get headers(): [string, string][] {
    return fieldsOf(this.#exchange.head)
  }

  get client(): { host: string; port: number } | null {
    const { host, port, isUnix } = peerOf(this.#exchange.head)
    return isUnix ? null : { host, port }
  }

  header(name: string): string | undefined {
    // The server's own words in the head begin with a sign that no name can hold.
    return name.startsWith('@') ? undefined : headerOf(this.#exchange.head, name.toLowerCase())
  }
}

/** What the server has answered in the application's place, by the code of the abort. */
const STATUS_OF_ABORT: Readonly<Record<string, number>> = {
  ERR_BODY_MALFORMED: 400,
  ERR_BODY_TIMEOUT: 408,
  ERR_BODY_TOO_LARGE: 413,
  ERR_OVERLOADED: 503,
  ERR_REQUEST_TIMEOUT: 504,
}

class ResponseFacts implements ResponseInfo {
  readonly status: number | null
  readonly bodyBytes: number
  readonly duration: number
  readonly error: Error | undefined

  constructor({ status, bodyBytes }: WatchedExchange, duration: number, error: Error | undefined) {
    this.status = status ?? STATUS_OF_ABORT[errorCodeOf(error) ?? ''] ?? null
    this.bodyBytes = bodyBytes
    this.duration = duration
    this.error = error
  }
}
