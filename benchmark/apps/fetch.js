/**
 * The applications for gneiss, fetch interface: standard Request and Response only.
 */
import { setImmediate } from 'node:timers/promises'

import { HELLO, KILOBYTE, PIECES, SIXTY_FOUR_KILOBYTES, greeting, needHost } from './content.js'

export function hello(request) {
  needHost(request.headers.get('host'))
  return new Response(HELLO, { headers: { 'content-type': 'text/plain' } })
}

export function json(request) {
  needHost(request.headers.get('host'))
  return Response.json(greeting())
}

export async function echo(request) {
  needHost(request.headers.get('host'))
  return Response.json(await request.json())
}

export async function upload(request) {
  needHost(request.headers.get('host'))
  const body = await request.arrayBuffer()
  return new Response(String(body.byteLength), { headers: { 'content-type': 'text/plain' } })
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

/** Hello, and at /memory what the heap holds after a collection (needs --expose-gc). */
export function soak(request) {
  if (!request.url.endsWith('/memory')) return hello(request)
  globalThis.gc()
  return Response.json(process.memoryUsage())
}

/** Hello behind one await: what the boundary benchmark compares with the synchronous handler. */
export async function helloAsync(request) {
  needHost(request.headers.get('host'))
  await null
  return new Response(HELLO, { headers: { 'content-type': 'text/plain' } })
}

function streamOf(pieces) {
  return (request) => {
    needHost(request.headers.get('host'))
    return new Response(pieces(), { headers: { 'content-type': 'text/plain' } })
  }
}
