/**
 * The fetch interface: a function from `Request` to `Response`, as other runtimes have it.
 *
 *     gneiss examples/fetch.js
 *     curl http://127.0.0.1:8000/?name=you
 *     curl --data-binary @file http://127.0.0.1:8000/echo
 */
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * @param {import('gneiss').ServerRequest} request
 * @param {import('gneiss').FetchInfo} info
 */
export async function fetch(request, info) {
  const url = new URL(request.url)
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /':
      return Response.json({ hello: url.searchParams.get('name') ?? 'world', from: info.remoteAddr.hostname })
    case 'POST /echo':
      // The body goes out as it comes in: no more of it is in memory than the buffers hold.
      return new Response(request.body, {
        headers: { 'content-type': request.headers.get('content-type') ?? 'text/plain' },
      })
    case 'GET /ticks':
      return new Response(ReadableStream.from(ticks(request.signal)), { headers: { 'content-type': 'text/plain' } })
    default:
      return new Response('not found', { status: 404 })
  }
}

/**
 * Bytes until the client leaves: the signal ends the wait, and `finally` runs.
 * @param {AbortSignal} signal
 */
async function* ticks(signal) {
  const encoder = new TextEncoder()
  try {
    for (let tick = 1; ; tick++) {
      yield encoder.encode(`${tick}\n`)
      await sleep(1000, undefined, { signal })
    }
  } finally {
    console.log('the ticks have ended')
  }
}
