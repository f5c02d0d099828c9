/** ASGI 3.0: `app(scope, receive, send)`. */
import { isUint8Array } from 'node:util/types'

import { readHead } from './asgi/head.ts'
import { ExchangeProbe } from './asgi/probe.ts'
import { createHttpScope } from './asgi/scope.ts'
import { failExchange, failUnanswered } from './dispatch.ts'
import { GneissError, errorCodeOf, typeErrorOf } from './errors.ts'
import { Phase } from './exchange.ts'
import { joinHeaders } from './header-pairs.ts'

import type { ResponseHead } from './asgi/head.ts'
import type {
  AsgiApp,
  DrainMessage,
  HttpDisconnectMessage,
  HttpResponseBodyMessage,
  HttpResponseStartMessage,
  HttpResponseTrailersMessage,
  Receive,
  ReceiveMessage,
  SendMessage,
} from './asgi/types.ts'
import type { Exchange } from './exchange.ts'
import type { Adapter } from './protocol.ts'

/** The adapter for an ASGI application. */
export function createAsgiAdapter(app: AsgiApp): Adapter {
  return {
    name: 'asgi',
    handle(exchange) {
      const conversation = new Conversation(exchange)
      exchange.context = conversation
      return app(
        createHttpScope(exchange),
        ((probe?: unknown) =>
          probe instanceof ExchangeProbe ? fill(probe, exchange) : conversation.receive()) as Receive,
        (message) => conversation.send(message),
      )
    },
    finished(exchange) {
      const conversation = exchange.context as Conversation
      if (!exchange.isOpen || conversation.isOver) return
      // The application may not have awaited the `send` that was refused, and the reason is all that helps.
      if (conversation.fault !== undefined) failExchange(exchange, conversation.fault)
      else failUnanswered(exchange, conversation.unfinished)
    },
  }
}

function fill(probe: ExchangeProbe, exchange: Exchange): undefined {
  probe.exchange = exchange
  return undefined
}

/** Where the response stands. */
const Stage = {
  /** No `http.response.start` yet. */
  waiting: 0,
  /** Status and headers were taken and not yet sent. */
  held: 1,
  /** The head was sent. */
  streaming: 2,
  /** The last body message was taken, and trailers were promised. */
  trailing: 3,
  /** The last message was taken. */
  complete: 4,
} as const

const UNFINISHED = {
  [Stage.waiting]: 'the application returned without a response',
  [Stage.held]: 'the application returned after http.response.start without a body',
  [Stage.streaming]: 'the application returned before its last http.response.body',
  [Stage.trailing]: 'the application returned before its last http.response.trailers',
  [Stage.complete]: 'the application returned',
} as const

const NO_HEAD: ResponseHead = { status: 0, headers: '', count: 0, mayWait: true }

/** What `send` returns while there is room: one promise for all, because nobody can tell. */
const SENT: Promise<void> = Promise.resolve()

/** The messages of one request. */
class Conversation {
  /** The first refused message's error. */
  fault: unknown = undefined
  /** The client was found gone before the event that says so. */
  #hasGone = false

  readonly #exchange: Exchange
  #stage: (typeof Stage)[keyof typeof Stage] = Stage.waiting
  #head: ResponseHead = NO_HEAD
  /** Trailer fields so far, in the border's form; undefined where none were promised. */
  #trailers: { text: string; count: number } | undefined = undefined
  #isRequestEnded = false
  /** The application has asked to be told that the server begins to stop, and was not yet. */
  #wantsDrain = false
  #drained: Promise<DrainMessage | HttpDisconnectMessage> | undefined = undefined
  #disconnected: Promise<HttpDisconnectMessage> | undefined = undefined

  constructor(exchange: Exchange) {
    this.#exchange = exchange
  }

  /** Whether a head waits for its body. */
  get isHolding(): boolean {
    return this.#stage === Stage.held && this.#exchange.phase === Phase.open
  }

  /** Whether nothing is left to do for the application. */
  get isOver(): boolean {
    return this.#stage === Stage.complete || this.#hasGone
  }

  /** What to log when the application returns now. */
  get unfinished(): string {
    return UNFINISHED[this.#stage]
  }

  receive(): Promise<ReceiveMessage> {
    const exchange = this.#exchange
    if (this.#isRequestEnded || (this.#wantsDrain && exchange.host.isDraining)) return this.#end()
    let piece: Uint8Array | undefined | null
    try {
      piece = exchange.takeBody()
    } catch {
      // Aborted before the body was complete; `send` tells why.
      this.#isRequestEnded = true
      return this.#end()
    }
    if (piece === undefined && exchange.stopError !== undefined) {
      this.#isRequestEnded = true
      return this.#end()
    }
    if (piece === undefined) return exchange.bodyReady().then(() => this.receive())
    this.#isRequestEnded = exchange.bodyEnded
    // Answered over: what is left of the body will not come.
    if (piece === null && !exchange.bodyEnded) return this.#end()
    return Promise.resolve({
      type: 'http.request',
      body: piece ?? new Uint8Array(0),
      more_body: !exchange.bodyEnded,
    })
  }

  send(message: SendMessage): Promise<void> {
    try {
      return this.#take(message) ?? SENT
    } catch (error) {
      this.#note(error)
      const rejected = Promise.reject(error)
      // A `send` that nobody awaits must not end the process; `finished` logs what it was.
      rejected.catch(ignore)
      return rejected
    }
  }

  /** Sends the held head alone, because the application takes its time with the body. */
  release(): void {
    if (!this.isHolding) return
    try {
      this.#sendHead()
    } catch (error) {
      this.#note(error)
    }
  }

  #take(message: SendMessage): Promise<void> | undefined {
    if (this.#hasGone || this.#exchange.phase === Phase.gone) throw this.#exchange.abortError ?? gone()
    switch (message?.type) {
      case 'http.response.start':
        this.#takeStart(message)
        return undefined
      case 'http.response.body':
        return this.#takeBody(message)
      case 'http.response.trailers':
        this.#takeTrailers(message)
        return undefined
      case 'gneiss.drain':
        this.#wantsDrain = true
        return undefined
      case 'gneiss.timeout':
        this.#exchange.extend(message.seconds)
        return undefined
      default:
        throw new GneissError('ERR_MESSAGE', `Message ${nameOf(message)} is not known for an http scope.`)
    }
  }

  #takeStart(message: HttpResponseStartMessage): void {
    if (this.#stage !== Stage.waiting) throw outOfOrder('http.response.start', this.#stage)
    this.#head = readHead(message)
    this.#trailers = message.trailers === true ? { text: '', count: 0 } : undefined
    if (this.#head.mayWait) {
      this.#stage = Stage.held
      watch(this)
    } else {
      this.#sendHead()
    }
  }

  #takeBody({ body, more_body }: HttpResponseBodyMessage): Promise<void> | undefined {
    if (body !== undefined && typeof body !== 'string' && !isUint8Array(body)) {
      throw typeErrorOf(
        'ERR_BODY_TYPE',
        `body must be a string or a Uint8Array, not ${body === null ? 'null' : typeof body}.`,
      )
    }
    const exchange = this.#exchange
    const data = body === undefined || body.length === 0 ? undefined : body
    if (more_body || this.#trailers !== undefined) {
      if (this.#stage === Stage.held) this.#sendHead()
      if (this.#stage !== Stage.streaming) throw outOfOrder('http.response.body', this.#stage)
      if (!more_body) this.#stage = Stage.trailing
      return data === undefined ? undefined : exchange.write(data)
    }
    if (this.#stage === Stage.held) {
      this.#stage = Stage.waiting
      exchange.respond(this.#head.status, this.#head.headers, this.#head.count, data)
    } else if (this.#stage === Stage.streaming) {
      exchange.end(data)
    } else {
      throw outOfOrder('http.response.body', this.#stage)
    }
    this.#stage = Stage.complete
    return undefined
  }

  #takeTrailers({ headers = [], more_trailers }: HttpResponseTrailersMessage): void {
    if (this.#stage !== Stage.trailing || this.#trailers === undefined) {
      throw outOfOrder('http.response.trailers', this.#stage)
    }
    const text = this.#trailers.text + joinHeaders(headers)
    const count = this.#trailers.count + headers.length
    if (more_trailers) {
      this.#trailers = { text, count }
      return
    }
    this.#exchange.endWithTrailers(text, count)
    this.#stage = Stage.complete
  }

  #sendHead(): void {
    // Until it is taken: a head that is refused leaves nothing on the wire, and the application may begin again.
    this.#stage = Stage.waiting
    this.#exchange.start(this.#head.status, this.#head.headers, this.#head.count)
    this.#stage = Stage.streaming
  }

  #note(error: unknown): void {
    if (this.#exchange.phase === Phase.gone || errorCodeOf(error) === 'ERR_CLIENT_DISCONNECTED') this.#hasGone = true
    else this.fault ??= error
  }

  /** What comes when nothing of the request is left. One promise for all who ask: a wait that is given up must not gather on the request. */
  #end(): Promise<DrainMessage | HttpDisconnectMessage> {
    this.#disconnected ??= this.#untilDisconnect()
    if (!this.#wantsDrain) return this.#disconnected
    this.#drained ??= Promise.race([this.#disconnected, this.#untilDrain()])
    return this.#drained
  }

  async #untilDisconnect(): Promise<HttpDisconnectMessage> {
    const exchange = this.#exchange
    if (exchange.isOpen) {
      // Over because the request was aborted, the response is out, or we were cut: all the same here.
      await new Promise<void>((resolve) => {
        exchange.whenDone().then(resolve, () => resolve())
        exchange.onStop(() => resolve())
      })
    }
    return { type: 'http.disconnect' }
  }

  async #untilDrain(): Promise<DrainMessage> {
    const exchange = this.#exchange
    if (!exchange.host.isDraining) await new Promise<void>((resolve) => exchange.onDraining(() => resolve()))
    this.#wantsDrain = false
    return { type: 'gneiss.drain' }
  }
}

/** How many rounds of microtasks an answer may take before it counts as waiting; real waits take far more than a few awaits. */
const ROUNDS = 8

let holding: Conversation[] = []

/**
 * Sends a held head alone once its application waits for more than a macrotask. An answer in one go
 * never gets that far, so that its price is a promise or two for all requests of a batch, and neither
 * a tick nor a turn of the loop.
 */
function watch(conversation: Conversation): void {
  if (holding.push(conversation) === 1) SENT.then(() => look(ROUNDS))
}

function look(rounds: number): void {
  if (!holding.some((conversation) => conversation.isHolding)) {
    holding = []
  } else if (rounds > 0) {
    SENT.then(() => look(rounds - 1))
  } else {
    process.nextTick(wait)
  }
}

/** Runs after all microtasks: what still holds waits for a timer or for I/O. */
function wait(): void {
  const waiting = holding.filter((conversation) => conversation.isHolding)
  holding = []
  if (waiting.length > 0) setImmediate(releaseAll, waiting)
}

function releaseAll(waiting: readonly Conversation[]): void {
  for (const conversation of waiting) conversation.release()
}

function outOfOrder(type: string, stage: number): GneissError {
  return new GneissError('ERR_MESSAGE', `${type} is out of order: ${EXPECTED[stage]}.`)
}

const EXPECTED: Readonly<Record<number, string>> = {
  [Stage.waiting]: 'http.response.start comes first',
  [Stage.held]: 'http.response.start was sent, its body comes next',
  [Stage.streaming]: 'http.response.start was sent, its body is not complete',
  [Stage.trailing]: 'the body is complete, its trailers come next',
  [Stage.complete]: 'the response is complete',
}

function nameOf(message: unknown): string {
  const type = typeof message === 'object' && message !== null ? (message as { type?: unknown }).type : undefined
  return typeof type === 'string' ? JSON.stringify(type) : 'without a type'
}

function gone(): GneissError {
  return new GneissError('ERR_CLIENT_DISCONNECTED', 'The client has disconnected.')
}

function ignore(): void {}
