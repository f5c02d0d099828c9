/**
 * Everything that moves a body: a source of pieces into an answer, a request body out to a reader.
 *
 * Each direction moves one piece at a time and waits while the other side is slower. A source is
 * closed exactly once: at its end, when it fails, when a piece is refused, or at once when the client goes.
 */
import { isAnyArrayBuffer, isUint8Array } from 'node:util/types'

import { GneissError, errorCodeOf, typeErrorOf } from './errors.ts'

import type { Exchange } from './exchange.ts'

/** What an answer's body is made of: text is sent as UTF-8. */
export type BodyPiece = string | Uint8Array

/**
 * Sends what `source` yields (strings and any bytes) as the body of a started answer, and ends the
 * answer with it. While the client is slower than the source, the source is not asked. When the exchange
 * is aborted, `return()` of the iterator is called once and at once, also while a `next()` is pending.
 *
 * Fulfilled when the answer is complete or the client has gone. Rejects with what the source threw, or
 * with `ERR_BODY_TYPE` or `ERR_BODY_LENGTH`, after the exchange was cut: the caller logs it.
 * A source that never ends also never ends for HEAD, 204 and 304, which send no body: close it instead.
 */
export function pumpIterable(exchange: Exchange, source: AsyncIterable<unknown> | Iterable<unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    let pump: Pump
    try {
      pump = new Pump(exchange, iteratorOf(source))
    } catch (error) {
      exchange.reset()
      reject(error)
      return
    }
    exchange.onAbort(() => {
      pump.cancel()
      // The source may be stuck in its own wait for ever; nobody else has to wait for it.
      resolve()
    })
    pump.run().then(resolve, reject)
  })
}

/** The request body as a byte stream. It pulls; cancelling it only stops reading. Errors with the abort error. */
export function requestStream(exchange: Exchange): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      type: 'bytes',
      start(controller: ReadableByteStreamController) {
        exchange.onAbort((error) => {
          if (!exchange.bodyEnded) controller.error(error)
        })
      },
      async pull(controller: ReadableByteStreamController) {
        const piece = await nextPiece(exchange)
        if (piece !== null) controller.enqueue(piece)
        if (!exchange.bodyEnded) return
        controller.close()
        // A reader with its own buffer waits until that buffer is given back. The types know no such reader.
        const waiting = controller.byobRequest as unknown as ReadableStreamBYOBRequest | null
        waiting?.respond(0)
      },
    },
    // Nothing is taken before somebody reads, so that back-pressure reaches the client.
    { highWaterMark: 0 },
  ) as ReadableStream<Uint8Array>
}

/** The request body piece by piece, as it arrives. `next()` rejects with the abort error. */
export function requestChunks(exchange: Exchange): AsyncIterableIterator<Uint8Array> {
  let isDone = false
  const finish = (): IteratorResult<Uint8Array> => {
    isDone = true
    return { done: true, value: undefined }
  }
  return {
    async next() {
      if (isDone) return finish()
      const piece = await nextPiece(exchange)
      return piece === null ? finish() : { done: false, value: piece }
    },
    return: () => Promise.resolve(finish()),
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** The rest of the request body in one array. Rejects with the abort error; waits for nothing that is already here. */
export function readAll(exchange: Exchange): Promise<Uint8Array> {
  try {
    const first = takePiece(exchange)
    if (first === null) return Promise.resolve(new Uint8Array(0))
    if (first !== undefined && exchange.bodyEnded) return Promise.resolve(first)
    return collect(exchange, first)
  } catch (error) {
    return Promise.reject(error)
  }
}

/** An iterator of either kind. */
type PieceIterator = Iterator<unknown, unknown> | AsyncIterator<unknown, unknown>

function iteratorOf(source: AsyncIterable<unknown> | Iterable<unknown>): PieceIterator {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
}

/** One source on its way into one answer. */
class Pump {
  readonly #exchange: Exchange
  readonly #iterator: PieceIterator
  /** The source has neither ended nor failed nor been closed. */
  #isOpen = true

  constructor(exchange: Exchange, iterator: PieceIterator) {
    this.#exchange = exchange
    this.#iterator = iterator
  }

  /** Awaits only what is a promise: each await of nothing would cost a piece of a stream 0.1 µs. */
  async run(): Promise<void> {
    const exchange = this.#exchange
    while (exchange.isOpen && this.#isOpen) {
      let step: IteratorResult<unknown, unknown>
      try {
        const next = this.#iterator.next()
        step = isThenable(next) ? await next : next
      } catch (error) {
        // What a closed source throws is the consequence of the closing.
        if (!this.#isOpen) return
        this.#isOpen = false
        exchange.reset()
        throw error
      }
      if (!this.#isOpen) return
      if (step.done === true) {
        this.#isOpen = false
        endQuietly(exchange)
        return
      }
      try {
        // As `for await` does: a synchronous source may yield promises.
        const piece = toPiece(isThenable(step.value) ? await step.value : step.value)
        const room = piece.length === 0 ? undefined : exchange.write(piece)
        if (room !== undefined) await room
      } catch (error) {
        this.#fail(error)
      }
    }
    // Cut from elsewhere.
    this.cancel()
  }

  /** Closes the source unless it is closed or has ended by itself. */
  cancel(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    try {
      const closing = this.#iterator.return?.()
      if (isThenable(closing)) closing.then(ignore, (error: unknown) => this.#report(error))
    } catch (error) {
      this.#report(error)
    }
  }

  /** The piece cannot be sent. That the client has gone is no failure. */
  #fail(error: unknown): void {
    const hasGone = !this.#isOpen || errorCodeOf(error) === 'ERR_CLIENT_DISCONNECTED'
    this.cancel()
    if (hasGone) return
    this.#exchange.reset()
    throw error
  }

  /** A source that fails while it is closed cannot harm the answer any more, but its owner should know. */
  #report(error: unknown): void {
    const isConsequence = error === this.#exchange.abortError || (error instanceof Error && error.name === 'AbortError')
    this.#exchange.host.log[isConsequence ? 'debug' : 'error']('a response source failed while it was closed', error)
  }
}

/** The client may have left in the moment of the end; that is no failure of the source. */
function endQuietly(exchange: Exchange): void {
  if (!exchange.isOpen) return
  try {
    exchange.end()
  } catch (error) {
    if (errorCodeOf(error) !== 'ERR_CLIENT_DISCONNECTED') throw error
  }
}

/** `takeBody`, but a body that was answered over is an error: half a body must not look like a whole one. */
function takePiece(exchange: Exchange): Uint8Array | undefined | null {
  const piece = exchange.takeBody()
  if (piece === null && !exchange.bodyEnded) {
    throw new GneissError('ERR_RESPONSE_ALREADY_SENT', 'The request was answered before its body was read.')
  }
  return piece
}

/** The next piece, or null after the last one. */
async function nextPiece(exchange: Exchange): Promise<Uint8Array | null> {
  for (;;) {
    const piece = takePiece(exchange)
    if (piece !== undefined) return piece
    await exchange.bodyReady()
  }
}

async function collect(exchange: Exchange, first: Uint8Array | undefined): Promise<Uint8Array> {
  const pieces: Uint8Array[] = first === undefined ? [] : [first]
  let length = first === undefined ? 0 : first.length
  for (let piece = await nextPiece(exchange); piece !== null; piece = await nextPiece(exchange)) {
    pieces.push(piece)
    length += piece.length
  }
  if (pieces.length === 1) return pieces[0] as Uint8Array
  const whole = new Uint8Array(length)
  let offset = 0
  for (const piece of pieces) {
    whole.set(piece, offset)
    offset += piece.length
  }
  return whole
}

function toPiece(value: unknown): BodyPiece {
  if (typeof value === 'string' || isUint8Array(value)) return value
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (isAnyArrayBuffer(value)) return new Uint8Array(value)
  throw typeErrorOf('ERR_BODY_TYPE', `A piece of a body must be a string or bytes, not ${typeof value}.`)
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

function ignore(): void {}
