/** Random clients: whatever they do, and whenever they leave, nothing stays and nobody else notices. */
import { expect, test } from 'vitest'

import { atRest } from './harness/app.ts'
import { RawClient, formatRequest, turns } from './harness/client.ts'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'
import { scaled, timeLimit } from './harness/scale.ts'

/** A small generator of numbers: the same seed is the same run, so that a failure can be repeated. */
function createRandom(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

type Random = ReturnType<typeof createRandom>

const PATHS = ['/sync', '/late', '/stream', '/echo', '/ignore'] as const

function randomRequest(random: Random): Buffer {
  const path = PATHS[random(PATHS.length)] ?? '/sync'
  const body = 'x'.repeat(random(4) === 0 ? random(200_000) : random(50))
  if (random(3) === 0) return formatRequest({ path })
  if (random(2) === 0) return formatRequest({ method: 'POST', path, body })
  const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const framed = body === '' ? '0\r\n\r\n' : chunked
  return formatRequest({ method: 'POST', path, headers: [['transfer-encoding', 'chunked']], body: framed })
}

/** Sends requests in random pieces and leaves in a random way at a random moment; reads or does not. */
async function misbehave(url: string, random: Random): Promise<void> {
  const client = await RawClient.connect(url)
  if (random(3) === 0) client.pause()
  const requests = Array.from({ length: 1 + random(4) }, () => randomRequest(random))
  let bytes = Buffer.concat(requests)
  if (random(3) === 0) bytes = bytes.subarray(0, random(bytes.length + 1))
  if (random(8) === 0 && bytes.length > 0) bytes[random(bytes.length)] = random(256)
  while (bytes.length > 0) {
    const size = 1 + random(random(2) === 0 ? 40 : 70_000)
    void client.send(bytes.subarray(0, size))
    bytes = bytes.subarray(size)
    await turns(random(3))
  }
  await turns(random(20))
  const leaving = random(4)
  if (leaving === 0) client.reset()
  else if (leaving === 1) await client.finish()
  await turns(random(10))
  await client.close()
}

test.each(INTERFACES)('%s', { timeout: timeLimit(60_000) }, async (name) => {
  const server = await serveHandler(name, async (call) => {
    if (call.path === '/late') await new Promise((resolve) => setTimeout(resolve, 1))
    if (call.path === '/echo') {
      let size = 0
      for (;;) {
        const piece = await call.read().catch(() => undefined)
        if (piece === undefined) break
        size += piece.length
      }
      await Promise.resolve(call.respond(200, [], String(size))).catch(() => {})
    } else if (call.path === '/stream') {
      try {
        const sink = await call.stream(200, [])
        for (let piece = 0; piece < 20; piece++) await sink.write('y'.repeat(20_000))
        await sink.end()
      } catch {
        // The client has gone.
      }
    } else {
      await Promise.resolve(call.respond(200, [], 'ok')).catch(() => {})
    }
  })
  const seed = 20_261_121
  const random = createRandom(seed)
  const honest = await RawClient.connect(server)
  for (let round = 0; round < scaled(15, 500); round++) {
    const crowd = Array.from({ length: 20 }, (_, index) => misbehave(server.url, createRandom(random(2 ** 31) + index)))
    expect((await honest.request({ path: '/sync' })).text).toBe('ok')
    await Promise.all(crowd)
  }
  await honest.close()
  await atRest(server)
  expect(server.stats()).toMatchObject({ panicsTotal: 0, requests: 0, connections: 0 })
})
