/**
 * One request and its answer, over the native calls. The only user of the hot calls.
 *
 * JavaScript owns every object of a request: they hang on the exchange, the exchange hangs in an
 * array by slot index while it is open, and clearing the slot is what ends it. The addon knows ids only.
 */
import { AsyncResource } from 'node:async_hooks'

import { allowanceOf } from './allowance.ts'
import { GneissError, typeErrorOf } from './errors.ts'
import { Listeners, presentContext } from './exchange/listeners.ts'
import { AbortReason, BodyResult, ChunkResult, EventKind, Flag, Meta, native } from './native.ts'
import { createWaiter } from './waiter.ts'

import type { ErrorCode } from './errors.ts'
import type { News } from './exchange/listeners.ts'
import type { Host } from './protocol.ts'
import type { Waiter } from './waiter.ts'

/** Where an exchange stands. */
export const Phase = {
  /** No response head was given yet. */
  open: 0,
  /** The head was given, the body is not ended. */
  started: 1,
  /** The answer is complete as far as the application is concerned. */
  answered: 2,
  /** The peer has gone, a deadline passed, or the exchange was cut. */
  gone: 3,
} as const

/** One of `Phase`. */
export type PhaseValue = (typeof Phase)[keyof typeof Phase]

const SLOT_MASK = 0xff_ffff
const OWNER_STEP = 2 ** 48
// The map from id to object: an array by slot index costs a fifth of a Map. Slots are those of an owner.
const local: (Exchange | undefined)[] = []
const exchanges: (Exchange | undefined)[][] = [local]

/** The exchanges of whoever owns the connection. */
function exchangesOf(id: number): (Exchange | undefined)[] {
  if (id < OWNER_STEP) return local
  return (exchanges[Math.floor(id / OWNER_STEP)] ??= [])
}

// One constant object: AsyncResource would otherwise register every request with a finalizer.
const RESOURCE_OPTIONS = { requireManualDestroy: true } as const

const ABORT_CODES: Record<number, readonly [ErrorCode, string]> = {
  [AbortReason.peerGone]: ['ERR_CLIENT_DISCONNECTED', 'The client has disconnected.'],
  [AbortReason.requestTimeout]: ['ERR_REQUEST_TIMEOUT', 'The request was not answered within requestTimeout.'],
  [AbortReason.bodyTimeout]: ['ERR_BODY_TIMEOUT', 'The request body came too slowly.'],
  [AbortReason.bodyTooLarge]: [
    'ERR_BODY_TOO_LARGE',
    'The request body is larger than maxBody, or than its path allows.',
  ],
  [AbortReason.bodyMalformed]: ['ERR_BODY_MALFORMED', 'The request body is not well framed.'],
  [AbortReason.responseIdle]: ['ERR_RESPONSE_TIMEOUT', 'The response was silent for responseIdleTimeout.'],
  [AbortReason.writeStalled]: ['ERR_CLIENT_DISCONNECTED', 'The client has stopped reading.'],
  [AbortReason.serverClosed]: ['ERR_SERVER_CLOSED', 'The server was closed.'],
  [AbortReason.overloaded]: ['ERR_OVERLOADED', 'The request has waited for longer than maxQueueWait.'],
  [AbortReason.internal]: ['ERR_NATIVE', 'The exchange was ended by an internal fault.'],
}

/** One request and its answer. It is its own async resource, so no store leaks between requests. */
export class Exchange extends AsyncResource {
  /** The border's name for it; stale once the exchange is over. */
  readonly id: number
  /** Packed facts, see `Meta`. */
  readonly meta: number
  /** Request target in origin-form, as received. */
  readonly target: string
  /** The head as one string, see `Dispatch`. */
  readonly head: string
  /** What all exchanges of the server share. */
  readonly host: Host
  /** Where it stands. */
  phase: PhaseValue = Phase.open
  /** Free for the adapter: what it must find again in `finished`. */
  context: unknown = undefined
  /** The application has returned a promise that is still pending. */
  isRunning = false

  #abortError: Error | undefined = undefined
  #bodyEnded: boolean
  #body: Waiter | undefined = undefined
  #drain: Waiter | undefined = undefined
  #done: Waiter | undefined = undefined
  #listeners: Listeners | undefined = undefined
  #stopError: Error | undefined = undefined

  constructor(id: number, meta: number, target: string, head: string, host: Host) {
    super('GNEISS_EXCHANGE', RESOURCE_OPTIONS)
    this.id = id
    this.meta = meta
    this.target = target
    this.head = head
    this.host = host
    this.#bodyEnded = (meta & Meta.hasBody) === 0
  }

  /** Whether the application may still send. */
  get isOpen(): boolean {
    return this.phase < Phase.answered
  }

  /** Why the exchange ended early; undefined while it is open and after a normal end. */
  get abortError(): Error | undefined {
    return this.#abortError
  }

  /** Why the application was asked to come to an end; undefined unless it was. It may still answer. */
  get stopError(): Error | undefined {
    return this.#stopError
  }

  /**
   * The whole answer in one crossing. `headers` is `name:value\n` repeated, `count` its fields.
   * @throws TypeError with code for a bad status, field or body (nothing was written then);
   *   `ERR_RESPONSE_ALREADY_SENT`; the abort error when the client has gone.
   */
  respond(status: number, headers: string, count: number, body: string | Uint8Array | undefined): void {
    if (this.phase !== Phase.open) throw this.#sendError()
    const flags = this.#done === undefined ? 0 : Flag.done
    if (!native.respond(this.id, status, headers, count, body, flags)) throw this.#stale()
    this.#answered()
  }

  /** Begins a streamed answer. Same errors as `respond`. */
  start(status: number, headers: string, count: number): void {
    if (this.phase !== Phase.open) throw this.#sendError()
    if (!native.start(this.id, status, headers, count, 0)) throw this.#stale()
    this.phase = Phase.started
  }

  /**
   * Sends a piece of a streamed answer. Returns undefined while there is room, and a promise for
   * room when the peer is slower than the application; that promise rejects when the peer goes away.
   * @throws `ERR_BODY_LENGTH` past content-length; the abort error when the client has gone.
   */
  write(data: string | Uint8Array): Promise<void> | undefined {
    if (this.phase !== Phase.started) throw this.#sendError()
    switch (native.chunk(this.id, data, 0)) {
      case undefined:
        return undefined
      case ChunkResult.full:
        return (this.#drain ??= createWaiter()).promise
      default:
        throw this.#stale()
    }
  }

  /**
   * Ends a streamed answer, with a last piece if given.
   * @throws `ERR_BODY_LENGTH` for a body that is longer than its content-length, or shorter: then the connection was cut.
   */
  end(data?: string | Uint8Array): void {
    if (this.phase !== Phase.started) throw this.#sendError()
    const flags = this.#done === undefined ? 0 : Flag.done
    this.#ended(data === undefined ? native.end(this.id, flags) : native.chunk(this.id, data, flags | Flag.last))
  }

  /**
   * Ends a streamed answer with trailer fields, in the form of `respond`. Only a chunked answer has a
   * place for them; from any other they are dropped.
   * @throws TypeError with code for a bad field or one that belongs into the head; the abort error when the client has gone.
   */
  endWithTrailers(trailers: string, count: number): void {
    if (this.phase !== Phase.started) throw this.#sendError()
    const flags = this.#done === undefined ? 0 : Flag.done
    this.#ended(native.end(this.id, flags, trailers, count))
  }

  /** Cuts the exchange: the client never sees a complete answer. Who waits learns of it, abort listeners do not. Does nothing once it is over. */
  reset(): void {
    if (!this.isOpen) return
    native.reset(this.id)
    this.#cut(new GneissError('ERR_CLIENT_DISCONNECTED', 'The response was cut.'))
  }

  /**
   * Body bytes that are here: all of them in a fresh array, undefined when none are here yet, null
   * when the body has ended or the application has answered.
   * @throws the abort error when the request was aborted before its body was complete.
   */
  takeBody(): Uint8Array | undefined | null {
    if (this.#bodyEnded) return null
    if (this.#abortError !== undefined) throw this.#abortError
    if (!this.isOpen) return null
    const taken = native.takeBody(this.id)
    if (typeof taken !== 'number') {
      // What has arrived completely needs no second crossing to learn that it ended.
      if ((this.meta & Meta.bodyComplete) !== 0) this.#bodyEnded = true
      return taken
    }
    if (taken === BodyResult.pending) return undefined
    if (taken === BodyResult.end) {
      this.#bodyEnded = true
      return null
    }
    // The peer has gone and the event that says so is still on its way.
    return undefined
  }

  /** Whether every byte of the body was taken. */
  get bodyEnded(): boolean {
    return this.#bodyEnded
  }

  /** Settles when `takeBody` has something new to say. Never rejects: ask `takeBody`. */
  bodyReady(): Promise<void> {
    if (this.#bodyEnded || !this.isOpen) return Promise.resolve()
    return (this.#body ??= createWaiter()).promise
  }

  /** Settles when the answer was handed to the kernel; rejects when the exchange is aborted or cut first. Ask before answering. */
  whenDone(): Promise<void> {
    if (this.#done !== undefined) return this.#done.promise
    if (this.phase === Phase.gone) return Promise.reject(this.#sendError())
    if (!this.isOpen) return Promise.resolve()
    this.#done = createWaiter()
    return this.#done.promise
  }

  /**
   * Runs once if the exchange is aborted, in the async context of this call, which is that of `context` where the
   * caller has one already. At once if it already was.
   */
  onAbort(listener: (error: Error) => void, context?: AsyncResource): void {
    if (this.#abortError !== undefined) listener(this.#abortError)
    else this.#listen('aborted', listener, context)
  }

  /** Runs once if the exchange is aborted, or the application is asked to come to an end. At once if that has been. */
  onStop(listener: (error: Error) => void, context?: AsyncResource): void {
    const error = this.#abortError ?? this.#stopError
    if (error !== undefined) listener(error)
    else this.#listen('stopped', listener, context)
  }

  /** Runs once if the server begins to stop while the exchange is open. */
  onDraining(listener: (error: Error) => void): void {
    this.#listen('draining', listener)
  }

  /** The server has begun to stop. */
  drain(error: Error): void {
    this.#listeners?.tell(['draining'], error, this.host.log)
  }

  /** Asks the application to come to an end: it may still answer, but not for much longer. */
  stop(error: Error): void {
    if (!this.isOpen || this.#stopError !== undefined) return
    this.#stopError = error
    this.#listeners?.tell(['stopped'], error, this.host.log)
    // Who waits for a body that comes slowly may want to give up.
    this.#settle('body')
  }

  /** Another time than requestTimeout for the head, or than responseIdleTimeout between two pieces; see `allowanceOf`. False once over. */
  extend(seconds: number): boolean {
    const milliseconds = allowanceOf(seconds)
    return this.isOpen && native.extend(this.id, milliseconds)
  }

  /** Called by `dispatch` when the handler has returned: an exchange that is open, or waits to be done, is found by its events. */
  keep(): void {
    const isLive = this.isOpen || (this.phase === Phase.answered && this.#done !== undefined)
    if (isLive) exchangesOf(this.id)[this.id & SLOT_MASK] = this
  }

  /** Called for every event but the request itself. */
  notify(kind: number, detail: number): void {
    switch (kind) {
      case EventKind.chunk:
        this.#settle('body')
        break
      case EventKind.drain:
        this.#settle('drain')
        break
      case EventKind.done:
        this.#forget()
        this.#settle('done')
        break
      case EventKind.abort:
        this.#abort(detail)
        break
      default:
        break
    }
  }

  #ended(result: number | undefined): void {
    if (result === ChunkResult.gone) throw this.#stale()
    if (result === ChunkResult.short) {
      const error = typeErrorOf('ERR_BODY_LENGTH', 'The body ended before its content-length; the connection was cut.')
      this.#cut(error)
      throw error
    }
    this.#answered()
  }

  /** Over by our own doing: who waits learns of it, abort listeners do not. */
  #cut(reason: Error): void {
    this.phase = Phase.gone
    this.#forget()
    this.#settle('body')
    this.#settle('drain')
    this.#done?.reject(reason)
    this.#listeners = undefined
  }

  #answered(): void {
    this.phase = Phase.answered
    if (this.#done === undefined) this.#forget()
    this.#settle('body')
    this.#settle('drain')
    this.#listeners = undefined
  }

  #abort(reason: number): void {
    const [code, message] = ABORT_CODES[reason] ?? (ABORT_CODES[AbortReason.internal] as readonly [ErrorCode, string])
    const error = new GneissError(code, message)
    this.#abortError = error
    this.phase = Phase.gone
    this.#forget()
    this.#drain?.reject(error)
    this.#done?.reject(error)
    this.#drain = undefined
    const listeners = this.#listeners
    this.#listeners = undefined
    listeners?.tell(['aborted', 'stopped'], error, this.host.log)
    this.host.abandoned.watch(this)
    this.#settle('body')
  }

  #listen(news: News, listener: (error: Error) => void, context: AsyncResource = presentContext()): void {
    if (!this.isOpen) return
    const entry = { news, context, listener }
    if (this.#listeners === undefined) this.#listeners = new Listeners(entry)
    else this.#listeners.add(entry)
  }

  #settle(which: 'body' | 'drain' | 'done'): void {
    if (which === 'body') {
      const waiter = this.#body
      this.#body = undefined
      waiter?.resolve()
    } else if (which === 'drain') {
      const waiter = this.#drain
      this.#drain = undefined
      waiter?.resolve()
    } else {
      this.#done?.resolve()
    }
  }

  #forget(): void {
    const slot = this.id & SLOT_MASK
    const places = exchangesOf(this.id)
    if (places[slot] === this) places[slot] = undefined
  }

  /** The addon knows the id no more although we thought it open: the abort event is still on its way. */
  #stale(): Error {
    return new GneissError('ERR_CLIENT_DISCONNECTED', 'The client has disconnected.')
  }

  #sendError(): Error {
    if (this.#abortError !== undefined) return this.#abortError
    if (this.phase === Phase.open) return new GneissError('ERR_MESSAGE', 'The response was not started.')
    if (this.phase === Phase.gone) return new GneissError('ERR_CLIENT_DISCONNECTED', 'The response was cut.')
    return new GneissError('ERR_RESPONSE_ALREADY_SENT', 'The request was answered before.')
  }
}

/** Routes an event to its exchange; events of an exchange that is over are dropped. */
export function notifyExchange(id: number, kind: number, detail: number): void {
  const exchange = exchangesOf(id)[id & SLOT_MASK]
  if (exchange === undefined || exchange.id !== id) return
  exchange.runInAsyncScope(exchange.notify, exchange, kind, detail)
}

/** The exchanges of a server that JavaScript holds and that are open. */
export function openExchangesOf(host: Host): Exchange[] {
  return exchanges.flat().filter((one): one is Exchange => one?.host === host && one.isOpen)
}

/** How many exchanges JavaScript still holds: a gauge for tests and metrics. */
export function openExchanges(): number {
  return exchanges.flat().filter((exchange) => exchange !== undefined).length
}
