/** Server-sent events as pieces of a body (HTML standard, section 9.2). */
import { ignore, isThenable, toPiece } from '../bridge/piece.ts'
import { PieceSource } from '../bridge/source.ts'
import { GneissError, typeErrorOf } from '../errors.ts'
import { toMilliseconds } from '../options/native.ts'
import { readValue } from '../options/values.ts'

import type { Step } from '../bridge/source.ts'
import type { OptionEntry } from '../options/entry.ts'
import type { Duration } from '../options.ts'

/** One event. An event without data is not dispatched by browsers, but its `id` and `retry` count. */
export interface ServerSentEvent {
  /** Text and bytes (UTF-8) are sent as they are, a line each; anything else as JSON. */
  readonly data?: unknown
  /** Name of the event; browsers call it `message` where there is none. One line. */
  readonly event?: string | undefined
  /** What the client gives back in `last-event-id` when it comes again; empty forgets. One line without NUL. */
  readonly id?: string | undefined
  /** How long the client waits before it comes again: seconds, or text such as `500ms`. */
  readonly retry?: Duration | undefined
  /** For people who look at the stream; browsers skip it. */
  readonly comment?: string | undefined
}

/** How an event stream behaves. */
export interface EventOptions {
  /** How long the client waits before it comes again, said once at the start: seconds, or text such as `3s`. Default: the client's own. */
  readonly retry?: Duration | undefined
  /** A comment is sent when nothing was sent for so long, so that nobody between takes the stream for dead: seconds, or text. 0 for never. Default: 15 s. */
  readonly keepAlive?: Duration | undefined
}

/**
 * An event in its form on the wire.
 * @throws TypeError `ERR_EVENT` for a name or id of several lines, a bad `retry`, or data that JSON cannot hold.
 */
export function eventText(event: unknown): string {
  if (typeof event === 'string') return `${linesOf('data', event)}\n`
  if (typeof event !== 'object' || event === null || ArrayBuffer.isView(event)) {
    throw faulty(`An event is a string or an object, not ${event === null ? 'null' : typeof event}.`)
  }
  const { data, event: name, id, retry, comment } = event as ServerSentEvent
  let text = ''
  if (comment !== undefined) text += linesOf('', String(comment))
  if (name !== undefined) text += `event: ${oneLine('event', name)}\n`
  if (id !== undefined) text += `id: ${oneLine('id', id)}\n`
  if (retry !== undefined) text += retryText(retry)
  if (data !== undefined) text += linesOf('data', dataText(data))
  if (text === '') throw faulty('An event holds data, event, id, retry or comment; this one holds nothing.')
  return `${text}\n`
}

/** Events of another source as pieces, with a comment where they are silent for too long. */
export class EventSource extends PieceSource {
  readonly #events: PieceSource
  readonly #silence: number
  /** What comes before the first event. */
  #opening: string
  /** The event that was asked for has not come yet. */
  #isPending = false
  /** It has come while nobody waited, because a comment went out. */
  #arrived: { step: Step } | { error: unknown } | undefined = undefined
  #waiting: { resolve: (step: Step) => void; reject: (error: unknown) => void } | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #isFinished = false

  /** @throws `ERR_OPTION` for a bad duration. */
  constructor(events: PieceSource, { retry, keepAlive = KEEP_ALIVE }: EventOptions) {
    super()
    this.#silence = durationOf('keepAlive', keepAlive)
    this.#opening = retry === undefined ? '' : `${retryText(retry)}\n`
    this.#events = events
  }

  /** Every event is whole by itself, and whoever listens comes again: somewhere else, if this server stops. */
  override finish(): void {
    if (!this.isOpen || this.#isFinished) return
    this.#isFinished = true
    clearTimeout(this.#timer)
    const closing = closeQuietly(this.#events)
    if (isThenable(closing)) closing.then(undefined, ignore)
    this.#waiting?.resolve(LAST)
    this.#waiting = undefined
  }

  protected override ask(): Step | PromiseLike<Step> {
    if (this.#isFinished) return LAST
    if (this.#opening !== '') {
      const value = this.#opening
      this.#opening = ''
      return { done: false, value }
    }
    const arrived = this.#arrived
    if (arrived !== undefined) {
      this.#arrived = undefined
      if ('error' in arrived) throw arrived.error
      return arrived.step
    }
    if (!this.#isPending) {
      const next = this.#events.next()
      if (!isThenable(next)) return this.#stepOf(next)
      this.#isPending = true
      next.then(
        (step) => this.#take(step),
        (error: unknown) => this.#settle({ error }),
      )
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#watchSilence()
    })
  }

  protected override end(reason: unknown): unknown {
    clearTimeout(this.#timer)
    this.#waiting?.resolve({ done: true, value: undefined })
    this.#waiting = undefined
    return this.#events.close(reason)
  }

  #take(step: Step): void {
    try {
      this.#settle({ step: this.#stepOf(step) })
    } catch (error) {
      this.#settle({ error })
    }
  }

  /** The event itself is faulty: its source does not know. */
  #stepOf(step: Step): Step {
    if (step.done === true) {
      clearTimeout(this.#timer)
      return step
    }
    try {
      return { done: false, value: eventText(step.value) }
    } catch (error) {
      clearTimeout(this.#timer)
      const closing = this.#events.close(error)
      if (isThenable(closing)) closing.then(undefined, ignore)
      throw error
    }
  }

  #settle(outcome: { step: Step } | { error: unknown }): void {
    this.#isPending = false
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting === undefined) {
      this.#arrived = outcome
    } else if ('error' in outcome) {
      clearTimeout(this.#timer)
      waiting.reject(outcome.error)
    } else {
      waiting.resolve(outcome.step)
    }
  }

  /** One timer for all: setting it back costs less than a new one for each event. */
  #watchSilence(): void {
    if (this.#silence === 0) return
    if (this.#timer !== undefined) {
      this.#timer.refresh()
      return
    }
    // The connection keeps the process alive, not the comment on it.
    this.#timer = setTimeout(() => {
      const waiting = this.#waiting
      this.#waiting = undefined
      waiting?.resolve({ done: false, value: ':\n\n' })
    }, this.#silence).unref()
  }
}

const LAST: Step = { done: true, value: undefined }

/** What its end throws is of no interest to an answer that ends well. */
function closeQuietly(source: PieceSource): unknown {
  try {
    return source.close()
  } catch {
    return undefined
  }
}

const KEEP_ALIVE: Duration = 15

const DURATION: OptionEntry = { type: 'duration', default: null, range: [0.001, 604_800], zero: 'off', doc: '' }

/** Milliseconds. */
function durationOf(what: string, duration: Duration): number {
  try {
    return toMilliseconds(readValue(DURATION, { value: duration, isText: false }) as number)
  } catch (cause) {
    throw new GneissError('ERR_OPTION', `${what} of an event stream ${(cause as Error).message}`, { cause })
  }
}

function retryText(retry: Duration): string {
  return `retry: ${durationOf('retry', retry)}\n`
}

function dataText(data: unknown): string {
  if (typeof data === 'string') return data
  if (ArrayBuffer.isView(data) || data instanceof ArrayBuffer) {
    const bytes = toPiece(data) as Uint8Array
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  }
  const text = JSON.stringify(data) as string | undefined
  if (text === undefined) throw faulty(`data is a ${typeof data}, which JSON cannot hold.`)
  return text
}

/** A carriage return ends a line too, so it must not be left within one. */
function linesOf(field: string, text: string): string {
  const lines = text.includes('\r') ? text.split('\r\n').join('\n').split('\r').join('\n') : text
  const begin = field === '' ? ': ' : `${field}: `
  return lines.includes('\n') ? `${begin}${lines.split('\n').join(`\n${begin}`)}\n` : `${begin}${lines}\n`
}

function oneLine(field: string, value: unknown): string {
  const text = String(value)
  if (text.includes('\n') || text.includes('\r') || text.includes('\0')) {
    throw faulty(`${field} holds a line end or a NUL.`)
  }
  return text
}

function faulty(message: string): TypeError {
  return typeErrorOf('ERR_EVENT', message)
}
