/**
 * The applications for gneiss, rsgi interface.
 */
import { setImmediate } from 'node:timers/promises'

import { HELLO, KILOBYTE, PIECES, SIXTY_FOUR_KILOBYTES, computed, greeting, hashed, needHost } from './content.js'

const decoder = new TextDecoder()

export function hello(scope, protocol) {
  needHost(scope.headers.get('host'))
  protocol.responseStr(200, [['content-type', 'text/plain']], HELLO)
}

export function json(scope, protocol) {
  needHost(scope.headers.get('host'))
  protocol.responseStr(200, [['content-type', 'application/json']], JSON.stringify(greeting()))
}

export function compute(scope, protocol) {
  needHost(scope.headers.get('host'))
  protocol.responseStr(200, [['content-type', 'application/json']], JSON.stringify(computed()))
}

export function hash(scope, protocol) {
  needHost(scope.headers.get('host'))
  protocol.responseStr(200, [['content-type', 'text/plain']], hashed())
}

export async function echo(scope, protocol) {
  needHost(scope.headers.get('host'))
  const value = JSON.parse(decoder.decode(await protocol.body()))
  protocol.responseStr(200, [['content-type', 'application/json']], JSON.stringify(value))
}

export async function upload(scope, protocol) {
  needHost(scope.headers.get('host'))
  let size = 0
  for await (const chunk of protocol) size += chunk.length
  protocol.responseStr(200, [['content-type', 'text/plain']], String(size))
}

export async function streamMicrotask(scope, protocol) {
  needHost(scope.headers.get('host'))
  const stream = protocol.responseStream(200, [['content-type', 'text/plain']])
  for (let piece = 0; piece < PIECES.small; piece++) await stream.sendBytes(KILOBYTE)
  stream.end()
}

export async function streamMacrotask(scope, protocol) {
  needHost(scope.headers.get('host'))
  const stream = protocol.responseStream(200, [['content-type', 'text/plain']])
  for (let piece = 0; piece < PIECES.small; piece++) {
    if (piece > 0) await setImmediate()
    await stream.sendBytes(KILOBYTE)
  }
  stream.end()
}

export async function streamLarge(scope, protocol) {
  needHost(scope.headers.get('host'))
  const stream = protocol.responseStream(200, [['content-type', 'text/plain']])
  for (let piece = 0; piece < PIECES.large; piece++) await stream.sendBytes(SIXTY_FOUR_KILOBYTES)
  stream.end()
}

/** Hello, and at /memory what the heap holds after a collection (needs --expose-gc). */
export function soak(scope, protocol) {
  if (scope.path !== '/memory') return hello(scope, protocol)
  globalThis.gc()
  protocol.responseStr(200, [['content-type', 'application/json']], JSON.stringify(process.memoryUsage()))
}

/** Hello behind one await: what the boundary benchmark compares with the synchronous handler. */
export async function helloAsync(scope, protocol) {
  needHost(scope.headers.get('host'))
  await null
  protocol.responseStr(200, [['content-type', 'text/plain']], HELLO)
}
