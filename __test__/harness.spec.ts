/** The checks that run after every test can fail: what they would overlook, nobody else sees. */
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

import { expect, test } from 'vitest'

import { RawClient } from './harness/client.ts'
import { busyGauges, leftGauges } from './harness/gauges.ts'
import { faultsOf } from './harness/logs.ts'
import { watchLoopDelay } from './harness/measures.ts'
import { CutError } from './harness/reader.ts'
import { onTeardown } from './harness/teardown.ts'

const QUIET = '[2030-01-01T00:00:00.000Z] [1] [info] started\n'
const LOUD = '[2030-01-01T00:00:00.000Z] [1] [error] broken\n    Error: reason\n        at somewhere\n'

test('a log line at error that nobody expected is a fault, with its stack', () => {
  expect(faultsOf(QUIET + LOUD, [])).toEqual([`unexpected on stderr: ${LOUD.trimEnd()}`])
})

test('output that is no log line is a fault', () => {
  expect(faultsOf(`${QUIET}Segmentation fault\n`, [])).toEqual(['unexpected on stderr: Segmentation fault'])
})

test('an expected log line that does not come is a fault', () => {
  expect(faultsOf(QUIET, ['broken'])).toEqual(['expected on stderr, but it did not come: broken'])
  expect(faultsOf(LOUD, [/reason/])).toEqual([])
})

test('a gauge above zero is a fault, and so is one that is missing', () => {
  const names = busyGauges({}).map((text) => text.split('=')[0] ?? '')
  const zero = Object.fromEntries(
    [...names, 'doorbellRefs', 'timers', 'fileDescriptors', 'threads'].map((name) => [name, 0]),
  )
  expect(leftGauges(zero)).toEqual([])
  expect(leftGauges({ ...zero, slots: 1 })).toEqual(['slots=1'])
  expect(leftGauges({ ...zero, slots: undefined as never })).toEqual(['slots=missing'])
})

/** Answers the first bytes of a connection with fixed bytes and ends it. */
async function answering(bytes: string, end: 'fin' | 'reset'): Promise<RawClient> {
  const server = createServer((socket) => {
    socket.once('data', () => {
      socket.write(bytes, 'latin1', () => (end === 'fin' ? socket.end() : socket.resetAndDestroy()))
    })
  })
  onTeardown('servers', () => {
    server.close()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const client = await RawClient.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  await client.send('GET / HTTP/1.1\r\n\r\n')
  return client
}

test.each([
  ['a chunked body without its end', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ['a body shorter than its length', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello'],
  ['half a head', 'HTTP/1.1 200 OK\r\ncontent-'],
])('the client takes %s for cut', async (_what, bytes) => {
  const client = await answering(bytes, 'fin')
  await expect(client.read()).rejects.toThrow(CutError)
})

test('the client takes a reset after a close-delimited body for cut', async () => {
  const client = await answering('HTTP/1.0 200 OK\r\n\r\nhello', 'reset')
  await expect(client.read()).rejects.toThrow(CutError)
})

test.each([
  [
    'two lengths',
    'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx',
    'content-length was sent 2 times',
  ],
  [
    'a chunk size that is none',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n',
    'no chunk size',
  ],
  ['a line feed in a field', 'HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n', 'no header field'],
  ['another protocol', 'HTTP/2.0 200 OK\r\n\r\n', 'no status line'],
])('the client refuses %s', async (_what, bytes, message) => {
  const client = await answering(bytes, 'fin')
  await expect(client.read()).rejects.toThrow(message)
})

test('an event loop that is held is seen, at once and later', async () => {
  // What other processes take meanwhile is not the loop's.
  const hold = (): void => {
    const from = process.cpuUsage()
    for (let microseconds = 0; microseconds < 200_000;) {
      const { user, system } = process.cpuUsage(from)
      microseconds = user + system
    }
  }
  const atOnce = watchLoopDelay()
  hold()
  expect(atOnce()).toBeGreaterThan(140)
  const later = watchLoopDelay()
  hold()
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(later()).toBeGreaterThan(140)
})
