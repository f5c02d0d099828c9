/**
 * Server-sent events as an application around a language model sends them: a token at a time, until the
 * answer is complete or the reader has gone.
 *
 *     gneiss examples/sse.js
 *     curl -N 'http://127.0.0.1:8000/tokens?prompt=hello'
 *     curl -N http://127.0.0.1:8000/clock
 *
 * The same response goes through the other interfaces: `sendAsgi(response, receive, send)` and
 * `sendRsgi(response, protocol)` of `gneiss/streaming`.
 */
import { setTimeout as sleep } from 'node:timers/promises'

import { sse, stream } from 'gneiss/streaming'

const WORDS = 'Granite cools slowly and gneiss is what the mountain makes of it'.split(' ')

/** @param {import('gneiss').ServerRequest} request */
export function fetch(request) {
  const url = new URL(request.url)
  const interval = Number(url.searchParams.get('interval') ?? 100)
  switch (url.pathname) {
    case '/tokens':
      return sse(tokens(url.searchParams.get('prompt') ?? '', interval, request.signal), { retry: 3 })
    case '/clock':
      return sse(clock(interval, request.signal), { keepAlive: '10s' })
    default:
      // Any iterable is a body.
      return stream(['GET /tokens?prompt=...\n', 'GET /clock\n'], { headers: { 'content-type': 'text/plain' } })
  }
}

/**
 * A model that writes one word after the other. When the reader leaves, the signal ends the wait for the
 * next word, and `finally` is the place to end the computation.
 * @param {string} prompt
 * @param {number} interval
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<import('gneiss/streaming').ServerSentEvent>}
 */
async function* tokens(prompt, interval, signal) {
  let isComplete = false
  try {
    for (const [index, word] of [prompt, ...WORDS].entries()) {
      await sleep(interval, undefined, { signal })
      yield { event: 'token', id: String(index), data: { word } }
    }
    yield { event: 'done', data: '' }
    isComplete = true
  } finally {
    console.log(isComplete ? 'the answer is complete' : 'the reader has left')
  }
}

/**
 * A plain string is the data of an event.
 * @param {number} interval
 * @param {AbortSignal} signal
 */
async function* clock(interval, signal) {
  for (;;) {
    yield new Date().toISOString()
    await sleep(interval, undefined, { signal })
  }
}
