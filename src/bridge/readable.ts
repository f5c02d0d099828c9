/** A source as a web stream. */
import { toPiece } from './piece.ts'
import { isStream, openSource } from './source.ts'

import type { PieceSource } from './source.ts'

/**
 * A byte stream of what `body` gives; text becomes UTF-8. Nothing is asked for before somebody reads,
 * cancelling the stream closes the source once, and a failure of the source is the stream's. A web
 * stream is returned as it is.
 * @throws TypeError `ERR_BODY_TYPE` for what cannot be a body.
 */
export function toReadableStream(body: unknown): ReadableStream<Uint8Array> {
  if (isStream(body)) return body as ReadableStream<Uint8Array>
  const source = openSource(body)
  return new ReadableStream(
    {
      type: 'bytes',
      async pull(controller: ReadableByteStreamController) {
        const bytes = await nextBytes(source)
        if (bytes !== undefined) {
          controller.enqueue(bytes)
          return
        }
        controller.close()
        // A reader with its own buffer waits until that buffer is given back. The types know no such reader.
        const waiting = controller.byobRequest as unknown as ReadableStreamBYOBRequest | null
        waiting?.respond(0)
      },
      async cancel(reason) {
        await source.close(reason)
      },
    },
    { highWaterMark: 0 },
  ) as ReadableStream<Uint8Array>
}

/** The next bytes that are not empty, undefined after the last ones. A piece that is no body closes the source. */
async function nextBytes(source: PieceSource): Promise<Uint8Array<ArrayBuffer> | undefined> {
  for (;;) {
    const step = await source.next()
    if (step.done === true) return undefined
    try {
      const piece = toPiece(step.value)
      // A byte stream takes the buffer of what it is given away, and the piece is the application's.
      const bytes = typeof piece === 'string' ? encoder.encode(piece) : new Uint8Array(piece)
      if (bytes.length > 0) return bytes
    } catch (error) {
      await source.close(error)
      throw error
    }
  }
}

const encoder = new TextEncoder()
