/** A producer that is faster than any client, and a client that does not read: for each way to send. */
import { Readable } from 'node:stream'

import { describe, expect, test } from 'vitest'

import { sse, stream } from '../../dist/streaming.js'
import { atRest } from '../harness/app.ts'
import { startCrowd } from '../harness/crowd.ts'
import { INTERFACES, serveHandler } from '../harness/interfaces.ts'
import { heldBytes, residentBytes, watchLoopDelay } from '../harness/measures.ts'
import { MODE } from '../harness/mode.ts'
import { serveResponse } from '../harness/responses.ts'
import { report, residentBound, scaled, timeLimit } from '../harness/scale.ts'

import type { Options, Server } from '../harness/app.ts'
import type { Interface } from '../harness/interfaces.ts'

const MIB = 1024 * 1024
const CLIENTS = scaled(4, 50)
const STREAM_BUFFER = 256 * 1024
/** The kernel takes some megabytes of each first. */
const PATIENCE = { timeout: scaled(10_000, 60_000), interval: 50 }
/** In the short run other tests have the machine as well; the full one has it alone. */
const DELAY_MILLISECONDS = scaled(5000, 100)
const ATTEMPTS = 3
const piece = 'x'.repeat(64 * 1024)

function* endless(): Generator<string> {
  for (;;) yield piece
}

async function* endlessAsync(): AsyncGenerator<string> {
  for (;;) yield piece
}

type Serve = (name: Interface, options: Options) => Promise<Server>

const APIS: Readonly<Record<string, Serve>> = {
  'an iterable': (name, options) => serveResponse(name, () => stream(endless()), options),
  'an async generator': (name, options) => serveResponse(name, () => stream(endlessAsync()), options),
  'a web stream': (name, options) => serveResponse(name, () => stream(ReadableStream.from(endless())), options),
  'a stream of Node': (name, options) => serveResponse(name, () => stream(Readable.from(endless())), options),
  'an event stream': (name, options) => serveResponse(name, () => sse(endlessAsync()), options),
  'what the interface itself has': (name, options) =>
    serveHandler(
      name,
      async (call) => {
        const sink = await call.stream(200, [])
        let isGone = false
        call.onAbort(() => {
          isGone = true
        })
        // A client that leaves is what this ends with.
        while (!isGone) await Promise.resolve(sink.write(piece)).catch(() => (isGone = true))
      },
      options,
    ),
}

/** Serves clients that do not read until all of them wait, and returns the longest delay of the loop in milliseconds. */
async function stall(name: Interface, api: string, serve: Serve): Promise<number> {
  const server = await serve(name, { streamBuffer: STREAM_BUFFER })
  // The start of a process holds the loop, and is the test's.
  const clients = startCrowd()
  const [before, heldBefore] = [residentBytes(), heldBytes()]
  const delay = watchLoopDelay()
  const port = Number(new URL(server.url).port)
  expect(await clients.tell({ kind: 'stay', port, count: CLIENTS })).toBe(CLIENTS)
  // Full: every client waits for as much as is kept for it, and nothing more is taken from anybody.
  let held = -1
  await expect
    .poll(() => {
      const last = held
      held = server.stats().responseBytes
      return held === last && held >= CLIENTS * (STREAM_BUFFER / 2)
    }, PATIENCE)
    .toBe(true)
  expect(held).toBeLessThan(CLIENTS * (STREAM_BUFFER + 2 * piece.length))
  const longest = delay()
  const [growth, heldGrowth] = [residentBytes() - before, heldBytes() - heldBefore]
  const seen = `${CLIENTS} clients hold ${Math.round(held / CLIENTS / 1024)} KiB each`
  report(
    `${MODE}, ${name}, ${api}: ${seen}, resident memory ${Math.round(growth / 1024)} KiB, JavaScript ${Math.round(heldGrowth / 1024)} KiB, loop delay ${longest.toFixed(1)} ms`,
  )
  // A piece or two of each client wait for room. What the kernel took first was garbage before it was collected,
  // some megabytes of each client, and the allocator keeps a part of that.
  expect(heldGrowth).toBeLessThan(8 * MIB + CLIENTS * (STREAM_BUFFER + 4 * piece.length))
  expect(growth).toBeLessThan(residentBound(32 * MIB + CLIENTS * 2 * MIB))
  await clients.tell({ kind: 'reset' })
  await atRest(server)
  return longest
}

describe.each(INTERFACES)('g13_slow_client: %s', (name) => {
  test.each(Object.entries(APIS))(
    '%s waits while nobody reads, in little memory, and the loop goes on',
    async (api, serve) => {
      // What the server holds up comes each time; a machine that is busy for a moment does not.
      const delays: number[] = []
      while (delays.length < ATTEMPTS && !delays.some((delay) => delay < DELAY_MILLISECONDS)) {
        delays.push(await stall(name, api, serve))
      }
      expect(Math.min(...delays)).toBeLessThan(DELAY_MILLISECONDS)
    },
    timeLimit(20_000),
  )
})
