/**
 * ASGI: server-sent events, and an upload that is hashed while it comes.
 *
 *     gneiss examples/asgi.js
 *     curl -N http://127.0.0.1:8000/events
 *     curl --data-binary @file http://127.0.0.1:8000/upload
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * @import { AsgiApp, HttpScope, LifespanScope, Receive, Send } from 'gneiss'
 */

/** @type {AsgiApp} */
export async function app(scope, receive, send) {
  if (scope.type === 'lifespan') return lifespan(scope, receive, send)
  switch (`${scope.method} ${scope.path}`) {
    case 'GET /':
      return sendJson(send, 200, { startedAt: scope.state.startedAt, routes: ['GET /events', 'POST /upload'] })
    case 'GET /events':
      return events(scope, receive, send)
    case 'POST /upload':
      return upload(receive, send)
    default:
      return sendJson(send, 404, { error: 'not found' })
  }
}

/**
 * One event after another until the client has seen enough or has gone.
 * @param {HttpScope} scope
 * @param {Receive} receive
 * @param {Send} send
 */
async function events(scope, receive, send) {
  const query = new URLSearchParams(scope.query_string)
  const count = Number(query.get('count') ?? Infinity)
  const interval = Number(query.get('interval') ?? 1000)

  const gone = new AbortController()
  void untilDisconnect(receive).then(() => gone.abort())
  await send({
    type: 'http.response.start',
    status: 200,
    headers: [
      ['content-type', 'text/event-stream'],
      ['cache-control', 'no-store'],
    ],
  })
  for (let id = 1; id <= count; id++) {
    await send({
      type: 'http.response.body',
      body: `id: ${id}\ndata: ${new Date().toISOString()}\n\n`,
      more_body: true,
    })
    if (id < count) await sleep(interval, undefined, { signal: gone.signal })
  }
  await send({ type: 'http.response.body' })
}

/** @param {Receive} receive */
async function untilDisconnect(receive) {
  for (;;) {
    const { type } = await receive()
    if (type === 'http.disconnect') return
  }
}

/**
 * @param {Receive} receive
 * @param {Send} send
 */
async function upload(receive, send) {
  const hash = createHash('sha256')
  let size = 0
  for (;;) {
    const message = await receive()
    if (message.type !== 'http.request') return
    hash.update(message.body)
    size += message.body.length
    if (!message.more_body) break
  }
  await sendJson(send, 200, { size, sha256: hash.digest('hex') })
}

/**
 * What is in the state when start-up completes is in the scope of every request.
 * @param {LifespanScope} scope
 * @param {Receive} receive
 * @param {Send} send
 */
async function lifespan(scope, receive, send) {
  await receive()
  scope.state.startedAt = new Date().toISOString()
  await send({ type: 'lifespan.startup.complete' })
  await receive()
  await send({ type: 'lifespan.shutdown.complete' })
}

/**
 * @param {Send} send
 * @param {number} status
 * @param {unknown} value
 */
async function sendJson(send, status, value) {
  await send({ type: 'http.response.start', status, headers: [['content-type', 'application/json']] })
  await send({ type: 'http.response.body', body: JSON.stringify(value) })
}
