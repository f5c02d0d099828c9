/**
 * Where the pieces of a body come from. Whatever a source is made of, it is asked for one piece at a
 * time and closed exactly once: at its own end, by its own failure, or by `close`.
 */
import { Readable } from 'node:stream'
import { isAnyArrayBuffer } from 'node:util/types'

import { typeErrorOf } from '../errors.ts'
import { ignore, isThenable } from './piece.ts'

import type { BodyPiece } from './piece.ts'

/** One answer of a source. */
export type Step = IteratorResult<unknown, unknown>

/** Where pieces come from, before it is opened. A string or bytes are one piece, a plain iterable gives a piece a turn. */
export type Streamable =
  | BodyPiece
  | ArrayBuffer
  | NodeJS.ArrayBufferView
  | Blob
  | ReadableStream<unknown>
  | AsyncIterable<unknown>
  | Iterable<unknown>

/**
 * An open source. It is an async iterable too, so that it may stand wherever one is taken: then it is
 * recognised and not wrapped a second time.
 */
export abstract class PieceSource implements AsyncIterable<unknown> {
  /** The source has neither ended nor failed nor been closed. */
  #isOpen = true

  /** Whether there may be more. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** The next piece; a promise only if it has to be waited for. Ask again when it has settled. */
  next(): Step | PromiseLike<Step> {
    const step = this.pull()
    if (!isThenable(step)) return this.#note(step)
    return step.then(
      (settled) => this.#note(settled),
      (error: unknown) => {
        this.noteEnd()
        throw error
      },
    )
  }

  /**
   * Like `next`, but a promise is the very one of what is behind: one of our own for each piece would cost a stream
   * half as much again. So whoever pulls says with `noteEnd` that it was the last step, or that the promise was rejected.
   */
  pull(): Step | PromiseLike<Step> {
    if (!this.#isOpen) return ENDED
    try {
      return this.ask()
    } catch (error) {
      this.#isOpen = false
      throw error
    }
  }

  /** The source has ended or failed by itself, so there is nothing to close. */
  noteEnd(): void {
    this.#isOpen = false
  }

  /**
   * Closes it before its end, at once, although a piece may be on its way. Does nothing if it has
   * ended, failed or been closed. Returns or rejects with what the closing does; throws what it throws.
   */
  close(reason?: unknown): unknown {
    if (!this.#isOpen) return undefined
    this.#isOpen = false
    return this.end(reason)
  }

  /** Asks for an end that is a complete one. Most sources have none before their own: half a file must not look whole. */
  finish?(): void

  [Symbol.asyncIterator](): AsyncIterator<unknown, unknown> {
    return {
      next: async () => this.next(),
      return: async () => {
        await this.close()
        return ENDED
      },
    }
  }

  /** Gives the next piece. Not called after the end. */
  protected abstract ask(): Step | PromiseLike<Step>

  /** Lets go of what is behind it. Called once at most, and not after its own end. */
  protected abstract end(reason: unknown): unknown

  #note(step: Step): Step {
    if (step.done === true) this.noteEnd()
    return step
  }
}

/**
 * Opens whatever can be a body.
 * @throws TypeError `ERR_BODY_TYPE` for what cannot, and what a locked stream throws.
 */
export function openSource(body: unknown): PieceSource {
  if (body instanceof PieceSource) return body
  if (isStream(body)) return new StreamSource(body)
  // What streams are mostly made of comes early: some of these questions cost as much as a piece.
  if (isAsyncIterable(body)) return isNodeStream(body) ? new NodeSource(body) : new AsyncIteratorSource(body)
  if (body instanceof Blob) return new StreamSource(body.stream() as ReadableStream<unknown>)
  if (typeof body === 'string' || ArrayBuffer.isView(body) || isAnyArrayBuffer(body)) return new IteratorSource([body])
  if (isIterable(body)) return new IteratorSource(body)
  throw typeErrorOf('ERR_BODY_TYPE', `A body cannot be made of ${body === null ? 'null' : typeof body}.`)
}

/** Ends a body that will not be sent, so that what it holds open is let go. Never throws, and asks for nothing. */
export function closeBody(body: unknown, reason?: unknown): void {
  if (body === null || typeof body !== 'object' || ArrayBuffer.isView(body) || body instanceof Blob) return
  try {
    const closing = openSource(body).close(reason)
    if (isThenable(closing)) closing.then(ignore, ignore)
  } catch {
    // The body is not wanted, so neither is its failure. A locked stream belongs to somebody else.
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

/** A source whose pieces are an asynchronous iterator's. */
class AsyncIteratorSource extends PieceSource {
  readonly #iterator: AsyncIterator<unknown, unknown>

  constructor(iterable: AsyncIterable<unknown>) {
    super()
    this.#iterator = iterable[Symbol.asyncIterator]()
  }

  protected override ask(): PromiseLike<Step> {
    return this.#iterator.next()
  }

  protected override end(): unknown {
    return this.#iterator.return?.()
  }
}

/** A source whose pieces are a synchronous iterator's. */
class IteratorSource extends PieceSource {
  readonly #iterator: Iterator<unknown, unknown>

  constructor(iterable: Iterable<unknown>) {
    super()
    this.#iterator = iterable[Symbol.iterator]()
  }

  protected override ask(): Step | PromiseLike<Step> {
    const step = this.#iterator.next()
    const { value } = step
    // As `for await` does: a synchronous source may yield promises.
    return isThenable(value) ? this.#settled(value) : step
  }

  protected override end(): unknown {
    return this.#iterator.return?.()
  }

  /** The iterator does not know that the promise it gave was rejected: it is closed then. */
  async #settled(promise: PromiseLike<unknown>): Promise<Step> {
    try {
      return { done: false, value: await promise }
    } catch (error) {
      await this.#iterator.return?.()
      throw error
    }
  }
}

/** A web stream, of bytes or of anything. */
class StreamSource extends PieceSource {
  readonly #reader: ReadableStreamDefaultReader<unknown>

  constructor(stream: ReadableStream<unknown>) {
    super()
    this.#reader = stream.getReader()
  }

  protected override async ask(): Promise<Step> {
    try {
      const step = await this.#reader.read()
      if (step.done) this.#reader.releaseLock()
      return step as Step
    } catch (error) {
      this.#reader.releaseLock()
      throw error
    }
  }

  protected override end(reason: unknown): Promise<void> {
    const cancelled = this.#reader.cancel(reason)
    this.#reader.releaseLock()
    return cancelled
  }
}

/** A stream of Node's, which its iterator would end only when the next piece comes: it is destroyed instead. */
class NodeSource extends PieceSource {
  readonly #stream: NodeStream
  /** Made when the first piece is wanted: from then on it listens for errors. */
  #iterator: AsyncIterator<unknown, unknown> | undefined = undefined

  constructor(stream: NodeStream) {
    super()
    this.#stream = stream
  }

  protected override ask(): PromiseLike<Step> {
    this.#iterator ??= this.#stream[Symbol.asyncIterator]()
    return this.#iterator.next() as PromiseLike<Step>
  }

  protected override end(): void {
    // What fails while it is destroyed would be an error event without a listener, which ends the process.
    this.#stream.on('error', ignore)
    this.#stream.destroy()
  }
}

type NodeStream = AsyncIterable<unknown> & { destroy(): unknown; on(event: 'error', listener: () => void): unknown }

const ENDED: Step = { done: true, value: undefined }

function isNodeStream(value: AsyncIterable<unknown>): value is NodeStream {
  const { destroy, on } = value as Partial<NodeStream>
  return typeof destroy === 'function' && typeof on === 'function'
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value
}
