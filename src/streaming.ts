/**
 * The public door `gneiss/streaming`: bodies that come piece by piece, for every interface. What a
 * stream is made of is asked for one piece at a time, waits while the client is slower, and is closed
 * exactly once and at once when the client goes.
 */
import { isAnyArrayBuffer } from 'node:util/types'

import { isStream, openSource } from './bridge/source.ts'
import { Response } from './fetch/response.ts'
import { EventSource } from './streaming/events.ts'

import type { Streamable } from './bridge/source.ts'
import type { EventOptions, ServerSentEvent } from './streaming/events.ts'

export { toReadableStream } from './bridge/readable.ts'
export { sendAsgi } from './streaming/asgi.ts'
export { sendRsgi } from './streaming/rsgi.ts'

export type { Streamable } from './bridge/source.ts'
export type { EventOptions, ServerSentEvent } from './streaming/events.ts'

/** What `sse` takes beside the events. */
export interface SseInit extends ResponseInit, EventOptions {}

/**
 * A response of server-sent events: return it from a fetch handler, or give it to `sendAsgi` or `sendRsgi`.
 * An event is a string (its data) or an object. The head leaves at once; it says `text/event-stream`,
 * `cache-control: no-cache`, and `x-accel-buffering: no` for proxies that would gather, unless `init` names these.
 *
 * When the client leaves, the source is closed at once: `return()` of an iterator, `cancel()` of a web
 * stream, `destroy()` of a stream of Node. The `finally` of a generator that is within an `await` runs
 * when that is over; give it the request's signal to end the wait.
 * @throws `ERR_OPTION` for a bad duration, TypeError `ERR_BODY_TYPE` for what gives no events. A faulty event
 *   cuts the answer and is logged with `ERR_EVENT`.
 * @example
 * ```ts
 * import { sse } from 'gneiss/streaming'
 * async function* tokens(signal: AbortSignal) {
 *   for await (const token of model.generate({ signal })) yield { event: 'token', data: token }
 * }
 * export const fetch = (request: Request) => sse(tokens(request.signal), { retry: 3, keepAlive: '20s' })
 * ```
 */
export function sse(
  events:
    | AsyncIterable<ServerSentEvent | string>
    | Iterable<ServerSentEvent>
    | ReadableStream<ServerSentEvent | string>,
  init: SseInit = {},
): globalThis.Response {
  const { retry, keepAlive, ...rest } = init
  const response = new Response(new EventSource(openSource(events), { retry, keepAlive }), rest)
  const { headers } = response
  for (const [name, value] of EVENT_FIELDS) if (!headers.has(name)) headers.set(name, value)
  return response as unknown as globalThis.Response
}

/**
 * A response whose body is what `source` gives: text (as UTF-8) or bytes, from an iterable of either kind,
 * a web stream, a stream of Node, a `Blob` or a `FormData`. Return it from a fetch handler, or give it to
 * `sendAsgi` or `sendRsgi`. No content type is guessed but that of a `Blob` or a `FormData`, or of a string.
 * @throws TypeError `ERR_BODY_TYPE` for what cannot be a body, and what `new Response` throws.
 * @example
 * ```ts
 * import { stream } from 'gneiss/streaming'
 * export const fetch = () => stream(createReadStream('big.csv'), { headers: { 'content-type': 'text/csv' } })
 * ```
 */
export function stream(source: Streamable | FormData, init?: ResponseInit): globalThis.Response {
  return new Response(bodyOf(source), init) as unknown as globalThis.Response
}

const EVENT_FIELDS = [
  ['content-type', 'text/event-stream'],
  ['cache-control', 'no-cache'],
  ['x-accel-buffering', 'no'],
] as const

/** A `Response` would write as text what it does not know, and plain iterables are among that. */
function bodyOf(source: Streamable | FormData): ConstructorParameters<typeof Response>[0] {
  const isKnown =
    typeof source === 'string' ||
    ArrayBuffer.isView(source) ||
    isAnyArrayBuffer(source) ||
    isStream(source) ||
    source instanceof Blob ||
    source instanceof FormData ||
    source instanceof URLSearchParams
  return isKnown ? (source as ConstructorParameters<typeof Response>[0]) : openSource(source)
}
