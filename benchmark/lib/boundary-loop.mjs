/**
 * Runs one variant: a stand-in for the addon hands requests to the dispatch function of a real server object.
 */
import { setImmediate } from 'node:timers/promises'

import { KILOBYTE, PIECES } from '../apps/content.js'
import { HEADERS } from './scenarios.mjs'

/** Requests handed over before microtasks run: the loop driver does the same within one turn. */
const BATCH = 16
/** Batches between two turns of the event loop. */
const BATCHES_A_TURN = 64
/** An answer that is not there after so many microtasks waits for something that will not come. */
const PATIENCE = 1000
/** `room` of `ChunkResult` in `native.ts`. */
const ROOM = 0
const GET = 1
const HTTP_1_1 = 1 << 6
const KEEP_ALIVE = 0x800

/** Nanoseconds of CPU a request costs after a warm-up of the same length. */
export async function measureVariant({ app, handler, interface: interfaceName, headers }, milliseconds) {
  const addon = standIn()
  process.dlopen = (module) => {
    module.exports = addon.exports
  }
  const { serve } = await import('../../dist/index.js')
  const handlers = await import(`../apps/${app}.js`)
  await serve(handlers[handler], { bind: '127.0.0.1:0', interface: interfaceName, fastResponse: true })
  const head = Buffer.from(headOf(headers), 'latin1')
  await run(addon, head, milliseconds)
  const before = process.cpuUsage()
  const requests = await run(addon, head, milliseconds)
  if (addon.pieces !== 0) throw new Error(`${addon.pieces} pieces too many or too few were sent`)
  const { user, system } = process.cpuUsage(before)
  return ((user + system) * 1000) / requests
}

async function run(addon, head, milliseconds) {
  const end = performance.now() + milliseconds
  let requests = 0
  while (performance.now() < end) {
    for (let batch = 0; batch < BATCHES_A_TURN; batch++) {
      for (let slot = 0; slot < BATCH; slot++) addon.request(slot, head)
      requests += BATCH
      for (let waited = 0; addon.open > 0; waited++) {
        if (waited === PATIENCE) throw new Error(`${addon.open} of ${BATCH} requests were not answered`)
        await null
      }
    }
    await setImmediate()
  }
  return requests
}

/**
 * Takes the addon's place. It reads the header string as the addon does (a string that was joined is flattened by the
 * first read, and that cost is the caller's), counts the answer and forgets it.
 */
function standIn() {
  let dispatch
  let generation = 0
  const self = { open: 0, pieces: 0, request, exports: undefined }

  function request(slot, head) {
    generation = (generation + 1) % 0xff_ffff
    self.open++
    // A string of its own for each request, as the addon makes one.
    dispatch(generation * 0x100_0000 + slot, GET | HTTP_1_1 | KEEP_ALIVE, '/', head.latin1Slice())
  }

  function respond(id, status, headers, count, body) {
    start(id, status, headers, count)
    if (body?.length !== 13) throw new Error(`wrong body: ${body}`)
    self.open--
    return true
  }

  function start(id, status, headers, count) {
    if (status !== 200 || count !== 1 || headers.charCodeAt(headers.length - 1) !== 0x0a)
      throw new Error(`wrong head: ${status} ${headers}`)
    return true
  }

  function chunk(id, data, flags) {
    if (data.length !== KILOBYTE.length) throw new Error(`wrong piece of ${data.length} bytes`)
    self.pieces++
    if (flags !== 0) end()
    // There is room.
    return undefined
  }

  function end() {
    self.pieces -= PIECES.small
    self.open--
    return ROOM
  }

  const unexpected = (name) => () => {
    throw new Error(`${name} is not expected here`)
  }
  self.exports = {
    listen: (config, onRequest) => {
      dispatch = onRequest
      return 1
    },
    addresses: () => [{ host: '127.0.0.1', port: 1, family: 'IPv4' }],
    openServer: () => {},
    refServer: () => {},
    unrefServer: () => {},
    flushAtExit: () => {},
    stats: () => ({ mode: 'loop' }),
    respond,
    start,
    chunk,
    end,
    ...Object.fromEntries(
      ['closeServer', 'about', 'reset', 'takeBody', 'extend'].map((name) => [name, unexpected(name)]),
    ),
  }
  return self
}

function headOf(headers) {
  const fields = Object.entries({ Host: '127.0.0.1:8000', ...HEADERS[headers] })
  const lines = fields.map(([name, value]) => `${name.toLowerCase()}:${value}\n`)
  return `\n@peer:127.0.0.1 50000\n@local:127.0.0.1 8000\n${lines.join('')}`
}
