/**
 * Where the pieces of a streamed response come from: a web stream or an async iterable, asked and
 * closed in the same way.
 */
import { Readable } from 'node:stream'

import type { Exchange } from '../exchange.ts'

/** Gives pieces until it ends or is closed. */
export interface PieceSource {
  next(): Promise<IteratorResult<unknown>>
  /** Closes the source before its end; nothing happens if it has ended or was closed. */
  return(): Promise<void>
}

/** @throws TypeError for a stream that is locked. */
export function sourceOf(body: ReadableStream<unknown> | AsyncIterable<unknown>, exchange: Exchange): PieceSource {
  return isStream(body) ? new StreamSource(body, exchange) : new IterableSource(body)
}

/** A source of which some pieces were taken already: they come first. */
export class Resumed implements AsyncIterable<unknown>, AsyncIterator<unknown> {
  readonly #taken: Promise<IteratorResult<unknown>>[]
  readonly #source: PieceSource

  constructor(taken: Promise<IteratorResult<unknown>>[], source: PieceSource) {
    this.#taken = taken
    this.#source = source
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<unknown>> {
    return this.#taken.shift() ?? this.#source.next()
  }

  async return(): Promise<IteratorResult<unknown>> {
    await this.#source.return()
    return { done: true, value: undefined }
  }
}

/** Whether this is a web stream, of whatever maker. */
export function isStream(value: unknown): value is ReadableStream<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { getReader?: unknown }).getReader === 'function'
  )
}

/** Whether a stream was read from or cancelled. */
export function isUsed(stream: ReadableStream<unknown>): boolean {
  return Readable.isDisturbed(stream as never)
}

class StreamSource implements PieceSource {
  readonly #exchange: Exchange
  readonly #reader: ReadableStreamDefaultReader<unknown>
  #isOpen = true

  constructor(stream: ReadableStream<unknown>, exchange: Exchange) {
    this.#exchange = exchange
    this.#reader = stream.getReader()
  }

  async next(): Promise<IteratorResult<unknown>> {
    try {
      const step = await this.#reader.read()
      if (step.done) this.#release()
      return step as IteratorResult<unknown>
    } catch (error) {
      this.#release()
      throw error
    }
  }

  return(): Promise<void> {
    if (!this.#isOpen) return Promise.resolve()
    const cancelled = this.#reader.cancel(this.#exchange.abortError)
    this.#release()
    return cancelled
  }

  #release(): void {
    this.#isOpen = false
    this.#reader.releaseLock()
  }
}

/** The pieces of an async iterable. Closing it does not wait for a piece that is on its way. */
export class IterableSource implements PieceSource {
  readonly #iterable: AsyncIterable<unknown>
  readonly #iterator: AsyncIterator<unknown>
  #isOpen = true

  constructor(iterable: AsyncIterable<unknown>) {
    this.#iterable = iterable
    this.#iterator = iterable[Symbol.asyncIterator]()
  }

  async next(): Promise<IteratorResult<unknown>> {
    try {
      const step = await this.#iterator.next()
      if (step.done === true) this.#isOpen = false
      return step
    } catch (error) {
      this.#isOpen = false
      throw error
    }
  }

  async return(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    const { destroy } = this.#iterable as { destroy?: unknown }
    // The iterator of a Node stream hears of its end only when its next piece comes; the stream at once.
    if (typeof destroy === 'function') destroy.call(this.#iterable)
    else await this.#iterator.return?.()
  }
}
