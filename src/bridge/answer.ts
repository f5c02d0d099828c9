/**
 * The bridge itself: moves a source into an answer, for every interface.
 *
 * One piece at a time, and none while the client is slower than the source. The first pieces are asked
 * for before the head goes: a source that ends by then is an answer in one go, one that fails by then has
 * sent nothing. Pieces of one turn leave in one write, because a turn is written when its microtasks are over.
 */
import { errorCodeOf } from '../errors.ts'
import { isThenable, toPiece } from './piece.ts'

import type { BodyPiece } from './piece.ts'
import type { PieceSource, Step } from './source.ts'

/** Where an answer goes. The head is the answer's own; what returns a promise is waited for. */
export interface Answer {
  /** Whether pieces are still wanted. */
  readonly isOpen: boolean
  /** The whole answer at once. @throws for a head or a body that is refused; nothing was sent then. */
  respond(body: BodyPiece | undefined): unknown
  /** The head of an answer whose pieces follow. @throws like `respond`. */
  start(): unknown
  /** A piece that is not empty; a promise of room while the client is slower. @throws what is wrong with it. */
  write(piece: BodyPiece): unknown
  /** The answer is complete. */
  end(): unknown
  /** Makes sure that what was sent never looks complete. */
  cut(): void
  /** Runs once, at once, when the client has gone or the answer was taken from us. */
  onGone(listener: (reason: Error) => void): void
  /** Runs once when the server asks for an end that may still be a complete one. Whoever cannot know never calls it. */
  onStop(listener: () => void): void
  /** A source failed while it was closed: no harm to the answer, but its owner should know. */
  report(error: unknown): void
}

/**
 * Answers with what `source` gives (strings and any bytes), and closes it if the answer ends before it.
 *
 * Fulfilled when the answer is complete or the client has gone; then `close` of the source was called at
 * once, also while a piece was pending. Rejects with what the source threw, or with what the answer
 * refused, after a started answer was cut. A client that has gone is no failure.
 */
export function sendPieces(answer: Answer, source: PieceSource): Promise<void> {
  return new Promise((resolve, reject) => {
    new Mover(answer, source, resolve).run().then(resolve, reject)
  })
}

/**
 * How many microtasks each of the first two pieces gets. Streams of what is here already need up to eight
 * on the versions of Node we run on. A slow stream loses nothing: what one turn writes leaves together.
 */
const PATIENCE = 16

/** One source on its way into one answer. */
class Mover {
  readonly #answer: Answer
  readonly #source: PieceSource
  /** The source may be stuck in its own wait for ever; nobody else has to wait for it. */
  readonly #leave: () => void
  #hasStarted = false
  /** The source has given all it has: what fails now is the answer, which may be shorter than its content-length. */
  #isEnding = false
  /** Asked for before the head went. */
  #second: Step | PromiseLike<Step> | undefined = undefined

  constructor(answer: Answer, source: PieceSource, leave: () => void) {
    this.#answer = answer
    this.#source = source
    this.#leave = leave
  }

  async run(): Promise<void> {
    const answer = this.#answer
    try {
      if (!answer.isOpen) {
        this.#close(undefined)
        return
      }
      const first = this.#source.next()
      const step = await settleSoon(first)
      if (step?.done === true) {
        const responding = answer.respond(undefined)
        if (isThenable(responding)) await responding
        return
      }
      if (step !== undefined && (await this.#isWhole(step.value))) return
      answer.onGone((reason) => {
        this.#close(reason)
        this.#leave()
      })
      if (!answer.isOpen) return
      answer.onStop(() => this.#source.finish())
      const starting = answer.start()
      if (isThenable(starting)) await starting
      this.#hasStarted = true
      await this.#move(step ?? first)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Looks one piece further: an answer of one piece leaves as a whole. */
  async #isWhole(value: unknown): Promise<boolean> {
    const piece = toPiece(value)
    this.#second = this.#source.next()
    const step = await settleSoon(this.#second)
    if (step?.done !== true) return false
    const responding = this.#answer.respond(piece.length === 0 ? undefined : piece)
    if (isThenable(responding)) await responding
    return true
  }

  /** Awaits only what is a promise: each await of nothing would cost a piece of a stream 0.1 µs. */
  async #move(first: Step | PromiseLike<Step>): Promise<void> {
    const answer = this.#answer
    let next = first
    while (answer.isOpen) {
      const step = isThenable(next) ? await next : next
      // What comes after the closing is dropped.
      if (!answer.isOpen) break
      if (step.done === true) {
        this.#isEnding = true
        const ending = answer.end()
        if (isThenable(ending)) await ending
        return
      }
      const piece = toPiece(step.value)
      if (piece.length > 0) {
        const room = answer.write(piece)
        if (isThenable(room)) await room
        if (!answer.isOpen) break
      }
      next = this.#second ?? this.#source.next()
      this.#second = undefined
    }
    // Cut or answered from elsewhere.
    this.#close(undefined)
  }

  /** The source has failed, or a piece cannot be sent. */
  #fail(error: unknown): void {
    const wasOpen = this.#answer.isOpen
    this.#close(error)
    // What a closed source throws is the consequence of the closing; and a client that has gone is no failure.
    if ((!wasOpen && !this.#isEnding) || errorCodeOf(error) === 'ERR_CLIENT_DISCONNECTED') return
    if (this.#hasStarted) this.#answer.cut()
    throw error
  }

  #close(reason: unknown): void {
    try {
      const closing = this.#source.close(reason)
      if (isThenable(closing)) closing.then(undefined, (error: unknown) => this.#report(error, reason))
    } catch (error) {
      this.#report(error, reason)
    }
  }

  #report(error: unknown, reason: unknown): void {
    const isConsequence = error === reason || (error instanceof Error && error.name === 'AbortError')
    if (!isConsequence) this.#answer.report(error)
  }
}

/** What a step is, if that takes no more than microtasks. Rejects if it rejects by then. */
async function settleSoon(step: Step | PromiseLike<Step>): Promise<Step | undefined> {
  if (!isThenable(step)) return step
  const state = { isSettled: false }
  const settle = (): void => {
    state.isSettled = true
  }
  step.then(settle, settle)
  for (let turn = 0; turn < PATIENCE && !state.isSettled; turn++) await undefined
  return state.isSettled ? step : undefined
}
