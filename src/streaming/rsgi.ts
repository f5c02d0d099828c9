/** Any `Response` through an RSGI protocol. */
import { GneissError } from '../errors.ts'
import { pairsOf } from '../fetch/head.ts'
import { RsgiProtocol } from '../rsgi.ts'
import { reportLate, sendThrough } from './send.ts'

import type { AsyncResource } from 'node:async_hooks'
import type { Answer } from '../bridge/answer.ts'
import type { BodyPiece } from '../bridge/piece.ts'
import type { Exchange } from '../exchange.ts'
import type { ResponseHead } from '../fetch/head.ts'
import type { RsgiStream } from '../rsgi.ts'

/**
 * Sends any `Response` as the answer of an RSGI application, and settles when it is out or the client
 * has gone; then the source of a stream was closed. Answer with nothing else.
 * @throws (rejects with) `ERR_RESPONSE`, `ERR_BODY_USED`, what the protocol refuses, and what the body's source throws: let it pass.
 * @example
 * ```ts
 * import { sendRsgi, sse } from 'gneiss/streaming'
 * export const app = { __rsgi__: (scope, protocol) => sendRsgi(sse(ticks()), protocol) }
 * ```
 */
export function sendRsgi(response: Response, protocol: RsgiProtocol): Promise<void> {
  const exchange = RsgiProtocol.exchangeOf(protocol)
  return sendThrough(response, {
    exchange,
    answerOf: (status, head) => new RsgiAnswer(status, head, protocol, exchange),
  })
}

class RsgiAnswer implements Answer {
  readonly #status: number
  readonly #head: ResponseHead
  readonly #protocol: RsgiProtocol
  readonly #exchange: Exchange | undefined
  #stream: RsgiStream | undefined = undefined
  #isOver = false

  constructor(status: number, head: ResponseHead, protocol: RsgiProtocol, exchange: Exchange | undefined) {
    this.#status = status
    this.#head = head
    this.#protocol = protocol
    this.#exchange = exchange
  }

  get isOpen(): boolean {
    return !this.#isOver && this.#exchange?.isOpen !== false
  }

  respond(body: BodyPiece | undefined): void {
    const headers = pairsOf(this.#head)
    if (body === undefined) this.#protocol.responseEmpty(this.#status, headers)
    else if (typeof body === 'string') this.#protocol.responseStr(this.#status, headers, body)
    else this.#protocol.responseBytes(this.#status, headers, body)
  }

  start(): void {
    this.#stream = this.#protocol.responseStream(this.#status, pairsOf(this.#head))
  }

  write(piece: BodyPiece): Promise<void> | undefined {
    return typeof piece === 'string' ? this.#stream?.sendStr(piece) : this.#stream?.sendBytes(piece)
  }

  end(): void {
    this.#isOver = true
    this.#stream?.end()
  }

  /** A protocol that was wrapped has no word for this: the error that follows cuts, if nobody catches it. */
  cut(): void {
    this.#isOver = true
    this.#exchange?.reset()
  }

  onGone(listener: (reason: Error) => void, context: AsyncResource): void {
    if (this.#exchange !== undefined) {
      this.#exchange.onAbort(listener, context)
      return
    }
    void this.#protocol.clientDisconnect().then(() => {
      if (this.#isOver) return
      this.#isOver = true
      listener(new GneissError('ERR_CLIENT_DISCONNECTED', 'The client has disconnected.'))
    })
  }

  onStop(listener: () => void, context: AsyncResource): void {
    this.#exchange?.onStop(listener, context)
  }

  report(error: unknown): void {
    reportLate(this.#exchange, error)
  }
}
