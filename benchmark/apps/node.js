/**
 * The applications for node:http, one handler a scenario.
 */
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'

import { HELLO, KILOBYTE, PIECES, SIXTY_FOUR_KILOBYTES, computed, greeting, hashed, needHost } from './content.js'

export function hello(request, response) {
  needHost(request.headers.host)
  response.setHeader('content-type', 'text/plain')
  response.end(HELLO)
}

export function json(request, response) {
  needHost(request.headers.host)
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(greeting()))
}

export function compute(request, response) {
  needHost(request.headers.host)
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(computed()))
}

export function hash(request, response) {
  needHost(request.headers.host)
  response.setHeader('content-type', 'text/plain')
  response.end(hashed())
}

export function echo(request, response) {
  needHost(request.headers.host)
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    const value = JSON.parse(Buffer.concat(chunks).toString())
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(value))
  })
}

export function upload(request, response) {
  needHost(request.headers.host)
  let size = 0
  request.on('data', (chunk) => {
    size += chunk.length
  })
  request.on('end', () => {
    response.setHeader('content-type', 'text/plain')
    response.end(String(size))
  })
}

export async function streamMicrotask(request, response) {
  needHost(request.headers.host)
  response.setHeader('content-type', 'text/plain')
  for (let piece = 0; piece < PIECES.small; piece++) {
    if (piece > 0) await null
    response.write(KILOBYTE)
  }
  response.end()
}

export async function streamMacrotask(request, response) {
  needHost(request.headers.host)
  response.setHeader('content-type', 'text/plain')
  for (let piece = 0; piece < PIECES.small; piece++) {
    if (piece > 0) await setImmediate()
    response.write(KILOBYTE)
  }
  response.end()
}

export async function streamLarge(request, response) {
  needHost(request.headers.host)
  response.setHeader('content-type', 'text/plain')
  for (let piece = 0; piece < PIECES.large; piece++) {
    if (!response.write(SIXTY_FOUR_KILOBYTES)) await once(response, 'drain')
  }
  response.end()
}

/** Hello, and at /memory what the heap holds after a collection (needs --expose-gc). */
export function soak(request, response) {
  if (request.url !== '/memory') return hello(request, response)
  globalThis.gc()
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(process.memoryUsage()))
}
