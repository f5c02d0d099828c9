/** The request body out to a reader: as bytes, piece by piece, or as a stream. Credit is given by reading. */
import { GneissError } from '../errors.ts'

import type { Exchange } from '../exchange.ts'

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
