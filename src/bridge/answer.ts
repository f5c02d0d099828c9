/**
 * The bridge itself: moves a source into an answer, for every interface.
 *
 * One piece at a time, and none while the client is slower than the source. The first piece waits for the
 * second, or for the end of the turn: a source that ends by then is an answer in one go, one that fails by
 * then has sent nothing. Pieces of one turn leave in one write, because a turn is written when it is over.
 */
import { AsyncResource } from 'node:async_hooks'

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
  /** Runs once, at once, when the client has gone or the answer was taken from us. `context` is the caller's own. */
  onGone(listener: (reason: Error) => void, context: AsyncResource): void
  /** Runs once when the server asks for an end that may still be a complete one. Whoever cannot know never calls it. */
  onStop(listener: () => void, context: AsyncResource): void
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
  return new Promise((resolve, reject) => movePieces(answer, source, { resolve, reject }))
}

/** `sendPieces` for who needs no promise. */
export function movePieces(answer: Answer, source: PieceSource, outcome: Outcome): void {
  void new Mover(answer, source, outcome).run()
}

/** Told once how the sending has ended; what it is told after that has to change nothing. */
export interface Outcome {
  /** The answer is complete, or the client has gone. */
  resolve(): void
  /** What the source threw, or what the answer refused. */
  reject(error: unknown): void
}

/** One source on its way into one answer, in the async context of whoever sends it. */
class Mover extends AsyncResource {
  readonly #answer: Answer
  readonly #source: PieceSource
  /** The source may be stuck in its own wait for ever; nobody else has to wait for it. */
  readonly #outcome: Outcome
  /** The first piece: it leaves as the whole answer or behind the head. */
  #held: BodyPiece | undefined = undefined
  /** The head was given, so this is no answer in one go. */
  #hasBegun = false
  /** The head was taken: what fails from now on cuts. */
  #hasStarted = false
  /** What is still to be waited for of a beginning that was made while the source was silent. */
  #beginning: PromiseLike<unknown> | undefined = undefined
  /** The source has given all it has: what fails now is the answer, which may be shorter than its content-length. */
  #isEnding = false
  /** Failed, or left by the client. */
  #isOver = false

  constructor(answer: Answer, source: PieceSource, outcome: Outcome) {
    super('GNEISS_BODY', RESOURCE_OPTIONS)
    this.#answer = answer
    this.#source = source
    this.#outcome = outcome
  }

  /** Whether the head waits for the second piece. */
  get isHolding(): boolean {
    return !this.#hasBegun && !this.#isOver
  }

  /** Moves everything. Never rejects. Awaits only what is a promise, because an await costs a piece 100 ns. */
  async run(): Promise<void> {
    const answer = this.#answer
    const source = this.#source
    let isWatched = false
    try {
      while (answer.isOpen && !this.#isOver) {
        const pulled = source.pull()
        let step: Step
        if (isThenable(pulled)) {
          if (!this.#hasBegun && !isWatched) {
            isWatched = true
            watch(this)
          }
          try {
            step = await pulled
          } catch (error) {
            source.noteEnd()
            throw error
          }
        } else {
          step = pulled
        }
        // At once: whoever leaves while the beginning is waited for has nothing to close any more.
        if (step.done === true) source.noteEnd()
        if (this.#beginning !== undefined) await this.#beginning
        // What comes after the closing is dropped.
        if (!answer.isOpen || this.#isOver) break
        if (step.done === true) {
          const ending = this.#end()
          if (isThenable(ending)) await ending
          this.#outcome.resolve()
          return
        }
        const piece = toPiece(step.value)
        if (!this.#hasBegun) {
          // Looks one piece further: an answer of one piece leaves as a whole.
          if (this.#held === undefined) {
            this.#held = piece
            continue
          }
          const beginning = this.#begin()
          if (isThenable(beginning)) await beginning
          if (!answer.isOpen) break
        }
        if (piece.length > 0) {
          const room = answer.write(piece)
          if (isThenable(room)) await room
        }
      }
      // Cut or answered from elsewhere.
      this.#close(undefined)
      this.#outcome.resolve()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The source is silent, and the turn is over. */
  release(): void {
    try {
      const beginning = this.#begin()
      if (!isThenable(beginning)) return
      this.#beginning = beginning
      beginning.then(undefined, (error: unknown) => this.#fail(error))
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Sends the head and what was held. What is returned is waited for, if it is a promise. */
  #begin(): unknown {
    const answer = this.#answer
    this.#hasBegun = true
    answer.onGone((reason) => {
      this.#isOver = true
      this.#close(reason)
      this.#outcome.resolve()
    }, this)
    if (!answer.isOpen) return undefined
    const source = this.#source
    if (source.finish !== undefined) answer.onStop(() => source.finish?.(), this)
    const starting = answer.start()
    return isThenable(starting) ? starting.then(() => this.#sendHeld()) : this.#sendHeld()
  }

  #sendHeld(): unknown {
    this.#hasStarted = true
    const piece = this.#held
    this.#held = undefined
    return piece === undefined || piece.length === 0 ? undefined : this.#answer.write(piece)
  }

  #end(): unknown {
    if (this.#hasBegun) {
      this.#isEnding = true
      return this.#answer.end()
    }
    const piece = this.#held
    return this.#answer.respond(piece === undefined || piece.length === 0 ? undefined : piece)
  }

  /** The source has failed, or a piece cannot be sent. */
  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    const wasOpen = this.#answer.isOpen
    this.#close(error)
    // What a closed source throws is the consequence of the closing; and a client that has gone is no failure.
    const isFailure = (wasOpen || this.#isEnding) && errorCodeOf(error) !== 'ERR_CLIENT_DISCONNECTED'
    if (!isFailure) {
      this.#outcome.resolve()
      return
    }
    if (this.#hasStarted) this.#answer.cut()
    this.#outcome.reject(error)
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

// One constant object, as for exchanges.
const RESOURCE_OPTIONS = { requireManualDestroy: true } as const

const NOW = Promise.resolve()

/** Those whose source was asked for its first pieces in this turn. */
let watched: Mover[] = []

/** Sends the head when the turn is over and its source has not given two pieces. One look serves all of a turn. */
function watch(mover: Mover): void {
  // A tick that is asked for outside of microtasks would come before all of them.
  if (watched.push(mover) === 1) void NOW.then(lookLater)
}

function lookLater(): void {
  process.nextTick(releaseAll)
}

function releaseAll(): void {
  const movers = watched
  watched = []
  for (const mover of movers) if (mover.isHolding) mover.runInAsyncScope(mover.release, mover)
}
