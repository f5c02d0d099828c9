/**
 * The applications for Fastify: each registers its route on the instance it is given.
 */
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'

import { HELLO, KILOBYTE, PIECES, SIXTY_FOUR_KILOBYTES, greeting, hashed, needHost } from './content.js'

export function hello(app) {
  app.get('/', (request, reply) => {
    needHost(request.headers.host)
    reply.header('content-type', 'text/plain').send(HELLO)
  })
}

export function json(app) {
  app.get('/', (request, reply) => {
    needHost(request.headers.host)
    reply.send(greeting())
  })
}

export function hash(app) {
  app.get('/', (request, reply) => {
    needHost(request.headers.host)
    reply.header('content-type', 'text/plain').send(hashed())
  })
}

export function echo(app) {
  app.post('/', (request, reply) => {
    needHost(request.headers.host)
    reply.send(request.body)
  })
}

export function upload(app) {
  app.addContentTypeParser('application/octet-stream', (request, payload, done) => done(null, payload))
  app.post('/', (request, reply) => {
    needHost(request.headers.host)
    let size = 0
    request.body.on('data', (chunk) => {
      size += chunk.length
    })
    request.body.on('end', () => reply.header('content-type', 'text/plain').send(String(size)))
  })
}

export const streamMicrotask = streamOf(async function* () {
  for (let piece = 0; piece < PIECES.small; piece++) yield KILOBYTE
})

export const streamMacrotask = streamOf(async function* () {
  for (let piece = 0; piece < PIECES.small; piece++) {
    if (piece > 0) await setImmediate()
    yield KILOBYTE
  }
})

export const streamLarge = streamOf(async function* () {
  for (let piece = 0; piece < PIECES.large; piece++) yield SIXTY_FOUR_KILOBYTES
})

function streamOf(pieces) {
  return (app) => {
    app.get('/', (request, reply) => {
      needHost(request.headers.host)
      reply.header('content-type', 'text/plain').send(Readable.from(pieces()))
    })
  }
}
