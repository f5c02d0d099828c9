/**
 * Sends whatever a fetch application returned: our light response, the platform's, or anything that
 * has the members of one.
 *
 * What is here as a whole leaves in one call. A stream is asked for its first pieces before the head
 * goes: if it ends by then the answer has a length, and if it fails by then the answer is a 500.
 */
import { movePieces, sendPieces } from '../bridge/answer.ts'
import { closeBody, openSource } from '../bridge/source.ts'
import { failExchange, failUnanswered } from '../dispatch.ts'
import { typeErrorOf } from '../errors.ts'
import { methodOf } from '../scope.ts'
import { isHeld } from './body.ts'
import { BLOB_AT_ONCE, headToSend, partsOf } from './parts.ts'

import type { AsyncResource } from 'node:async_hooks'
import type { Answer, Outcome } from '../bridge/answer.ts'
import type { BodyPiece } from '../bridge/piece.ts'
import type { Exchange } from '../exchange.ts'
import type { ResponseHead } from './head.ts'

/**
 * Answers the exchange with `value`, or ends its body unread if the client has gone.
 * @throws `ERR_RESPONSE` for what is no response, `ERR_BODY_USED` for one that is used up, and what
 *   `Exchange.respond` throws. Failures of a stream that come later go to `failExchange`.
 */
export function sendResponse(exchange: Exchange, value: unknown): void {
  if (!exchange.isOpen) {
    discardResponse(value, exchange.abortError)
    return
  }
  const { status, head, source, isError, isUsed } = headToSend(partsOf(value))
  if (isError) {
    failUnanswered(exchange, 'the application returned Response.error()')
    return
  }
  if (isUsed) {
    throw typeErrorOf('ERR_BODY_USED', 'The application returned a Response whose body is locked or was read before.')
  }
  if (source === null || isHeld(source)) {
    exchange.respond(status, head.text, head.count, source ?? undefined)
  } else if (status === 204 || status === 304 || methodOf(exchange) === 'HEAD') {
    closeBody(source)
    exchange.respond(status, head.text, head.count, undefined)
  } else {
    moveUnheld(new ExchangeAnswer(exchange, status, head), source)
  }
}

/** Sends a body whose bytes are not here yet. Settles like `sendPieces`. @throws like `openSource`. */
export function sendUnheld(answer: Answer, source: object): Promise<void> {
  return isSmallBlob(source) ? sendBlob(answer, source) : sendPieces(answer, openSource(source))
}

/** The same without a promise, of which a stream of few pieces would feel the cost. */
function moveUnheld(answer: ExchangeAnswer, source: object): void {
  if (isSmallBlob(source)) sendBlob(answer, source).catch((error: unknown) => answer.reject(error))
  else movePieces(answer, openSource(source), answer)
}

function isSmallBlob(source: object): source is Blob {
  return source instanceof Blob && source.size <= BLOB_AT_ONCE
}

async function sendBlob(answer: Answer, blob: Blob): Promise<void> {
  const bytes = new Uint8Array(await blob.arrayBuffer())
  if (answer.isOpen) await answer.respond(bytes)
}

/** Nobody will see it, so what it is does not matter: an application that noticed may return nothing at all. */
function discardResponse(value: unknown, reason: unknown): void {
  try {
    const { source, isUsed } = partsOf(value)
    if (!isUsed) closeBody(source, reason)
  } catch {
    // What is no response holds nothing open, and one that is refused was closed.
  }
}

/** The answer of an exchange, as the bridge fills it, and what becomes of it. */
class ExchangeAnswer implements Answer, Outcome {
  readonly #exchange: Exchange
  readonly #status: number
  readonly #head: ResponseHead

  constructor(exchange: Exchange, status: number, head: ResponseHead) {
    this.#exchange = exchange
    this.#status = status
    this.#head = head
  }

  get isOpen(): boolean {
    return this.#exchange.isOpen
  }

  respond(body: BodyPiece | undefined): void {
    this.#exchange.respond(this.#status, this.#head.text, this.#head.count, body)
  }

  start(): void {
    this.#exchange.start(this.#status, this.#head.text, this.#head.count)
  }

  write(piece: BodyPiece): Promise<void> | undefined {
    return this.#exchange.write(piece)
  }

  end(): void {
    this.#exchange.end()
  }

  cut(): void {
    this.#exchange.reset()
  }

  onGone(listener: (reason: Error) => void, context: AsyncResource): void {
    this.#exchange.onAbort(listener, context)
  }

  onStop(listener: () => void, context: AsyncResource): void {
    this.#exchange.onStop(listener, context)
  }

  report(error: unknown): void {
    this.#exchange.host.log.error('a response source failed while it was closed', error)
  }

  resolve(): void {
    // The exchange knows by itself.
  }

  reject(error: unknown): void {
    failExchange(this.#exchange, error)
  }
}
