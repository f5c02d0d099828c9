/**
 * The applications for uWebSockets.js: each registers its route on the App it is given.
 * There is no streamLarge: back-pressure there is a state machine of its own, no handler of a few lines.
 */
import { setImmediate } from 'node:timers/promises'

import { HELLO, KILOBYTE, PIECES, greeting, needHost } from './content.js'

export function hello(app) {
  app.get('/*', (response, request) => {
    needHost(request.getHeader('host'))
    response.writeHeader('content-type', 'text/plain').end(HELLO)
  })
}

export function json(app) {
  app.get('/*', (response, request) => {
    needHost(request.getHeader('host'))
    response.writeHeader('content-type', 'application/json').end(JSON.stringify(greeting()))
  })
}

export function echo(app) {
  app.post('/*', (response, request) => {
    needHost(request.getHeader('host'))
    const chunks = []
    response.onAborted(() => {})
    response.onData((chunk, isLast) => {
      // The buffer is detached when the callback returns.
      chunks.push(Buffer.from(chunk.slice(0)))
      if (!isLast) return
      const value = JSON.parse(Buffer.concat(chunks).toString())
      response.cork(() => response.writeHeader('content-type', 'application/json').end(JSON.stringify(value)))
    })
  })
}

export function upload(app) {
  app.post('/*', (response, request) => {
    needHost(request.getHeader('host'))
    let size = 0
    response.onAborted(() => {})
    response.onData((chunk, isLast) => {
      size += chunk.byteLength
      if (isLast) response.cork(() => response.writeHeader('content-type', 'text/plain').end(String(size)))
    })
  })
}

export const streamMicrotask = streamOf(async (stream) => {
  for (let piece = 0; piece < PIECES.small; piece++) {
    if (piece > 0) await null
    if (!stream.isOpen) return
    stream.send(piece)
  }
})

export const streamMacrotask = streamOf(async (stream) => {
  for (let piece = 0; piece < PIECES.small; piece++) {
    if (piece > 0) await setImmediate()
    if (!stream.isOpen) return
    stream.send(piece)
  }
})

function streamOf(run) {
  return (app) => {
    app.get('/*', (response, request) => {
      needHost(request.getHeader('host'))
      response.writeHeader('content-type', 'text/plain')
      const stream = new Stream(response)
      response.onAborted(() => {
        stream.isOpen = false
      })
      run(stream)
    })
  }
}

/** A small stream as its makers advise: whatever is written after an await is corked, and the end goes with the last piece. */
class Stream {
  isOpen = true
  #response

  constructor(response) {
    this.#response = response
  }

  send(piece) {
    const response = this.#response
    response.cork(() => {
      response.write(KILOBYTE)
      if (piece === PIECES.small - 1) response.end()
    })
  }
}
