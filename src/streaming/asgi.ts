/** Any `Response` through `send`. */
import { ExchangeProbe } from '../asgi/probe.ts'
import { GneissError } from '../errors.ts'
import { pairsOf } from '../fetch/head.ts'
import { reportLate, sendThrough } from './send.ts'

import type { AsyncResource } from 'node:async_hooks'
import type { Receive, ReceiveMessage, Send } from '../asgi/types.ts'
import type { Answer } from '../bridge/answer.ts'
import type { BodyPiece } from '../bridge/piece.ts'
import type { Exchange } from '../exchange.ts'
import type { ResponseHead } from '../fetch/head.ts'

/**
 * Sends any `Response` as the answer of an ASGI application, and settles when it is out or the client
 * has gone; then the source of a stream was closed. Send nothing else for this request.
 *
 * With the server's own `receive` no message is taken. Through a `receive` that was wrapped, its
 * messages are read while a stream is sent, to learn of the disconnect: read the request body first.
 * @throws (rejects with) `ERR_RESPONSE`, `ERR_BODY_USED`, what `send` refuses, and what the body's source throws: let it pass.
 * @example
 * ```ts
 * import { sendAsgi, sse } from 'gneiss/streaming'
 * export const app = async (scope, receive, send) => {
 *   if (scope.type === 'http') await sendAsgi(sse(ticks()), receive, send)
 * }
 * ```
 */
export function sendAsgi(response: Response, receive: Receive, send: Send): Promise<void> {
  const probe = new ExchangeProbe()
  const first = (receive as (probe: ExchangeProbe) => Promise<ReceiveMessage> | undefined)(probe)
  const { exchange } = probe
  const wrapped = exchange === undefined ? { first, receive } : undefined
  return sendThrough(response, {
    exchange,
    answerOf: (status, head) => new AsgiAnswer(status, head, send, exchange, wrapped),
  })
}

/** A `receive` that gives messages only, and the one that it gave already. */
interface WrappedReceive {
  readonly first: Promise<ReceiveMessage> | undefined
  readonly receive: Receive
}

class AsgiAnswer implements Answer {
  readonly #status: number
  readonly #head: ResponseHead
  readonly #send: Send
  readonly #exchange: Exchange | undefined
  readonly #wrapped: WrappedReceive | undefined
  #isOver = false

  constructor(
    status: number,
    head: ResponseHead,
    send: Send,
    exchange: Exchange | undefined,
    wrapped: WrappedReceive | undefined,
  ) {
    this.#status = status
    this.#head = head
    this.#send = send
    this.#exchange = exchange
    this.#wrapped = wrapped
  }

  get isOpen(): boolean {
    return !this.#isOver && this.#exchange?.isOpen !== false
  }

  async respond(body: BodyPiece | undefined): Promise<void> {
    await this.start()
    await this.#send(body === undefined ? { type: 'http.response.body' } : { type: 'http.response.body', body })
  }

  start(): Promise<void> {
    return this.#send({ type: 'http.response.start', status: this.#status, headers: pairsOf(this.#head) })
  }

  write(body: BodyPiece): Promise<void> {
    return this.#send({ type: 'http.response.body', body, more_body: true })
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#send({ type: 'http.response.body' })
  }

  /** What is not ours to cut is cut by the server, because the answer was not completed. */
  cut(): void {
    this.#isOver = true
    this.#exchange?.reset()
  }

  onGone(listener: (reason: Error) => void, context: AsyncResource): void {
    if (this.#exchange !== undefined) this.#exchange.onAbort(listener, context)
    else if (this.#wrapped !== undefined) void this.#watch(this.#wrapped, listener)
  }

  onStop(listener: () => void, context: AsyncResource): void {
    this.#exchange?.onStop(listener, context)
  }

  report(error: unknown): void {
    reportLate(this.#exchange, error)
  }

  async #watch({ first, receive }: WrappedReceive, listener: (reason: Error) => void): Promise<void> {
    try {
      for (let message = await first; message?.type !== 'http.disconnect'; message = await receive());
    } catch {
      // A `receive` that rejects says in its own way that nothing more will come.
    }
    if (this.#isOver) return
    this.#isOver = true
    listener(new GneissError('ERR_CLIENT_DISCONNECTED', 'The client has disconnected.'))
  }
}
