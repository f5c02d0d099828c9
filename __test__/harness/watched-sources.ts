/** Sources that give some pieces, wait for ever, and count how they are closed. */
import { Readable } from 'node:stream'

import { sse, stream } from '../../dist/streaming.js'

/** How a source was treated. */
export interface Watched {
  readonly response: Response
  /** How often it was closed. */
  readonly closes: () => number
  /** How often its clean-up code ran. */
  readonly finals: () => number
}

/** Ends the wait of a source that waits for ever. */
export type Release = Promise<unknown>

/** Makes a source that gives `pieces`, then waits until `release`, then fails if that rejects and goes on if not. */
export type WatchedMaker = (pieces: readonly string[], release: Release) => Watched

const encoder = new TextEncoder()

function iterate(
  pieces: readonly unknown[],
  release: Release,
): { iterable: AsyncIterable<never>; closes: () => number } {
  const left = [...pieces]
  let closes = 0
  const iterator = {
    next: async () => {
      if (left.length > 0) return { done: false, value: left.shift() as never }
      await release
      return { done: false, value: 'late' as never }
    },
    return: () => {
      closes += 1
      return Promise.resolve({ done: true as const, value: undefined })
    },
  }
  return { iterable: { [Symbol.asyncIterator]: () => iterator }, closes: () => closes }
}

function webStream(type: 'bytes' | undefined): WatchedMaker {
  return (pieces, release) => {
    const left = [...pieces]
    let closes = 0
    const body = new ReadableStream<Uint8Array>({
      ...(type === undefined ? {} : { type }),
      async pull(controller: { enqueue(piece: Uint8Array): void }) {
        if (left.length === 0) await release
        controller.enqueue(encoder.encode(left.shift() ?? 'late'))
      },
      cancel() {
        closes += 1
      },
    } as never)
    return { response: stream(body), closes: () => closes, finals: () => closes }
  }
}

/** The kinds of sources there are. */
export const WATCHED: Readonly<Record<string, WatchedMaker>> = {
  'an iterator': (pieces, release) => {
    const { iterable, closes } = iterate(pieces, release)
    return { response: stream(iterable), closes, finals: closes }
  },
  'a generator': (pieces, release) => {
    let finals = 0
    let closes = 0
    const generate = async function* (): AsyncGenerator<string> {
      try {
        yield* pieces
        await release
        yield 'late'
      } finally {
        finals += 1
      }
    }
    const generator = generate()
    const close = generator.return.bind(generator)
    generator.return = (value: unknown) => {
      closes += 1
      return close(value)
    }
    return { response: stream(generator), closes: () => closes, finals: () => finals }
  },
  'a web stream': webStream(undefined),
  'a byte stream': webStream('bytes'),
  'a stream of Node': (pieces, release) => {
    const left = [...pieces]
    let closes = 0
    const body = new Readable({
      read() {
        if (left.length > 0) this.push(left.shift())
        else
          release.then(
            () => this.push('late'),
            (error: Error) => this.destroy(error),
          )
      },
      destroy(error, callback) {
        closes += 1
        callback(error)
      },
    })
    return { response: stream(body), closes: () => closes, finals: () => closes }
  },
  'an event stream': (pieces, release) => {
    const { iterable, closes } = iterate(pieces, release)
    return { response: sse(iterable), closes, finals: closes }
  },
}
