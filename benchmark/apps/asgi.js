/**
 * The applications for gneiss, asgi interface.
 */
import { setImmediate } from 'node:timers/promises'

import { HELLO, KILOBYTE, PIECES, SIXTY_FOUR_KILOBYTES, greeting, needHost } from './content.js'

const TEXT = [['content-type', 'text/plain']]
const JSON_TYPE = [['content-type', 'application/json']]
const decoder = new TextDecoder()

export const hello = application(async (scope, receive, send) => {
  await send({ type: 'http.response.start', status: 200, headers: TEXT })
  await send({ type: 'http.response.body', body: HELLO })
})

export const json = application(async (scope, receive, send) => {
  await send({ type: 'http.response.start', status: 200, headers: JSON_TYPE })
  await send({ type: 'http.response.body', body: JSON.stringify(greeting()) })
})

export const echo = application(async (scope, receive, send) => {
  let text = ''
  for (let more = true; more;) {
    const message = await receive()
    more = message.more_body === true
    text += decoder.decode(message.body, { stream: more })
  }
  const value = JSON.parse(text)
  await send({ type: 'http.response.start', status: 200, headers: JSON_TYPE })
  await send({ type: 'http.response.body', body: JSON.stringify(value) })
})

export const upload = application(async (scope, receive, send) => {
  let size = 0
  for (let more = true; more;) {
    const message = await receive()
    more = message.more_body === true
    size += message.body.length
  }
  await send({ type: 'http.response.start', status: 200, headers: TEXT })
  await send({ type: 'http.response.body', body: String(size) })
})

export const streamMicrotask = application((scope, receive, send) => stream(send, KILOBYTE, PIECES.small))

export const streamMacrotask = application((scope, receive, send) => stream(send, KILOBYTE, PIECES.small, setImmediate))

export const streamLarge = application((scope, receive, send) => stream(send, SIXTY_FOUR_KILOBYTES, PIECES.large))

/** Hello, and at /memory what the heap holds after a collection (needs --expose-gc). */
export const soak = application(async (scope, receive, send) => {
  if (scope.path !== '/memory') return hello(scope, receive, send)
  globalThis.gc()
  await send({ type: 'http.response.start', status: 200, headers: JSON_TYPE })
  await send({ type: 'http.response.body', body: JSON.stringify(process.memoryUsage()) })
})

/** Refuses what is no request (a lifespan), as ASGI applications without one do, and reads the host header. */
function application(handler) {
  return async (scope, receive, send) => {
    if (scope.type !== 'http') throw new Error(`${scope.type} is not supported`)
    needHost(scope.headers.find(([name]) => name === 'host')?.[1])
    await handler(scope, receive, send)
  }
}

async function stream(send, piece, pieces, pause) {
  await send({ type: 'http.response.start', status: 200, headers: TEXT })
  for (let sent = 0; sent < pieces; sent++) {
    if (pause !== undefined && sent > 0) await pause()
    await send({ type: 'http.response.body', body: piece, more_body: true })
  }
  await send({ type: 'http.response.body', body: '' })
}
