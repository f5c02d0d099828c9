/** Both ends of the bridge, without a server: an answer that notes what it is given, and a source that counts its ends. */
import { sendPieces } from '../../dist/bridge/answer.js'
import { openSource } from '../../dist/bridge/source.js'

import type { Answer } from '../../dist/bridge/answer.js'

/** An answer that writes down what is done to it. The behaviour over sockets is in the specs of the interfaces. */
export class Recorder implements Answer {
  readonly calls: string[] = []
  readonly reported: unknown[] = []
  isOpen = true
  room: Promise<void> | undefined = undefined
  fault: Error | undefined = undefined
  #listeners: ((error: Error) => void)[] = []

  respond(piece: string | Uint8Array | undefined): void {
    this.isOpen = false
    this.calls.push(`respond ${Buffer.from(piece ?? '').toString()}`)
  }

  start(): void {
    this.calls.push('start')
  }

  write(piece: string | Uint8Array): Promise<void> | undefined {
    if (this.fault !== undefined) throw this.fault
    this.calls.push(`write ${Buffer.from(piece).toString()}`)
    return this.room
  }

  end(): void {
    this.isOpen = false
    this.calls.push('end')
  }

  cut(): void {
    this.isOpen = false
    this.calls.push('cut')
  }

  onStop(): void {}

  onGone(listener: (error: Error) => void): void {
    this.#listeners.push(listener)
  }

  report(error: unknown): void {
    this.reported.push(error)
  }

  leave(error: Error): void {
    this.isOpen = false
    for (const listener of this.#listeners) listener(error)
  }

  carry(source: unknown): Promise<void> {
    return sendPieces(this, openSource(source))
  }
}

/** A promise that takes more than microtasks, as a source that waits does. */
export function later<T>(value: T): Promise<T> {
  return new Promise((resolve) => setImmediate(resolve, value))
}

/** A source that counts how often it is closed. */
export class Source implements AsyncIterable<unknown>, AsyncIterator<unknown> {
  returns = 0
  readonly #next: () => Promise<IteratorResult<unknown>>
  readonly #onReturn: () => Promise<IteratorResult<unknown>>

  constructor(
    next: () => Promise<IteratorResult<unknown>>,
    onReturn = (): Promise<IteratorResult<unknown>> => Promise.resolve({ done: true, value: undefined }),
  ) {
    this.#next = next
    this.#onReturn = onReturn
  }

  next(): Promise<IteratorResult<unknown>> {
    return this.#next()
  }

  return(): Promise<IteratorResult<unknown>> {
    this.returns += 1
    return this.#onReturn()
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** Why an answer is over. */
export const gone = Object.assign(new Error('gone'), { code: 'ERR_CLIENT_DISCONNECTED' })
/** Never settles. */
export const never = (): Promise<never> => new Promise(() => {})
/** One more piece. */
export const step = (value: unknown): IteratorResult<unknown> => ({ done: false, value })
/** No more pieces. */
export const done: IteratorResult<unknown> = { done: true, value: undefined }
