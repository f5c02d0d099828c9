/** What an application may put on the wire: one table for every interface, whole answers and streams. */
import { describe, expect, test } from 'vitest'

import { RawClient, request } from './harness/client.ts'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'
import { expectLog } from './harness/logs.ts'

import type { RawResponse } from './harness/client.ts'
import type { Handler, Interface } from './harness/interfaces.ts'

type Fields = readonly (readonly [string, string])[]
type Way = 'stream' | 'whole'

const WAYS: readonly Way[] = ['whole', 'stream']
const EVERYWHERE = INTERFACES.flatMap((name) => WAYS.map((way) => [name, way] as const))
/** Stands in everything that must not leave. */
const MARK = 'injected'

/** Answers with `hello` in the way, and keeps what is thrown at the call. */
function answering(way: Way, status: number, fields: Fields, thrown: unknown[]): Handler {
  return async ({ respond, stream }) => {
    try {
      if (way === 'whole') return await respond(status, fields, 'hello')
      const sink = await stream(status, fields)
      await sink.write('hello')
      return await sink.end()
    } catch (error) {
      thrown.push(error)
      throw error
    }
  }
}

/** The answer must be refused at the call, and the client gets 500 with nothing of it. */
async function expectRefused(name: Interface, way: Way, status: number, fields: Fields): Promise<void> {
  const thrown: unknown[] = []
  const server = await serveHandler(name, answering(way, status, fields, thrown))
  expectLog('Error')
  const { status: answered, text, headers } = await request(server)
  expect([answered, text]).toEqual([500, 'Internal Server Error'])
  expect(JSON.stringify(headers)).not.toContain(MARK)
  expect(thrown).toHaveLength(1)
  // The Fetch standard has a RangeError for a bad status.
  expect(thrown[0]).toSatisfy((error: unknown) => error instanceof TypeError || error instanceof RangeError)
}

/** The answer passes, with one framing and one body. */
async function expectAnswered(name: Interface, way: Way, status: number, fields: Fields): Promise<RawResponse> {
  const thrown: unknown[] = []
  const server = await serveHandler(name, answering(way, status, fields, thrown))
  const answer = await request(server)
  expect(thrown).toEqual([])
  expect(answer.status).toBe(status)
  expect(answer.headerAll('content-length').length + answer.headerAll('transfer-encoding').length).toBe(1)
  expect(answer.text).toBe('hello')
  return answer
}

describe.each(EVERYWHERE)('%s, %s', (name, way) => {
  test.each([
    ['empty', ''],
    ['with a space', 'x y'],
    ['with a colon', 'x:y'],
    ['with a line feed', `x\n${MARK}`],
    ['with a line feed that hides in U+010A', `x\u010A${MARK}`],
    ['with a byte above ASCII', 'x\u00E9'],
    ['with NUL', 'x\0'],
    ['with DEL', 'x\x7F'],
  ])('a name %s is refused', async (_title, field) => {
    await expectRefused(name, way, 200, [[field, 'value']])
  })

  test.each([
    ['a line feed', `a\n${MARK}: 1`],
    ['a carriage return', `a\r${MARK}`],
    ['both', `a\r\n\r\n${MARK}`],
    ['NUL', `a\0${MARK}`],
    ['U+010A, whose low byte is a line feed', `a\u010A${MARK}: 1`],
    ['U+010D and U+010A', `a\u010D\u010A${MARK}: 1`],
    ['a line separator', `a\u2028${MARK}`],
    ['a letter above Latin-1', `a\u0100${MARK}`],
  ])('a value with %s is refused', async (_title, value) => {
    await expectRefused(name, way, 200, [['x-value', value]])
  })

  test.each([
    ['tab', 'a\tb'],
    [
      'every printable byte',
      Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index))
        .join('')
        .trim(),
    ],
    ['the end of Latin-1', 'caf\u00E9 \u00FF'],
    ['nothing', ''],
  ])('a value with %s passes byte by byte', async (_title, value) => {
    expect((await expectAnswered(name, way, 200, [['x-value', value]])).header('x-value')).toBe(value)
  })

  // By the Fetch standard a status is first cut to 16 bits: 200.5 and 65,736 are 200 there.
  const odd = name === 'fetch' ? [] : [200.5, 65_736]
  test.each([0, 1, 100, 101, 199, 1000, -200, Number.NaN, Number.POSITIVE_INFINITY, ...odd])(
    'the status %d is refused',
    async (status) => {
      await expectRefused(name, way, status, [])
    },
  )

  test.each([200, 299, 418, 599, ...(name === 'fetch' ? [] : [600, 999])])('the status %d passes', async (status) => {
    expect((await expectAnswered(name, way, status, [])).status).toBe(status)
  })

  test.each([
    ['transfer-encoding', 'chunked'],
    ['Transfer-Encoding', 'gzip, chunked'],
    ['connection', 'keep-alive'],
    ['connection', `x-${MARK}`],
    ['keep-alive', 'timeout=5'],
    ['upgrade', 'websocket'],
  ])('%s: %s belongs to the server', async (field, value) => {
    // Fetch drops them: a proxy hands on the headers of what it has fetched.
    if (name !== 'fetch') return expectRefused(name, way, 200, [[field, value]])
    const answer = await expectAnswered(name, way, 200, [[field, value]])
    expect(answer.headerAll(field)).not.toContain(value === 'chunked' && way === 'stream' ? '' : value)
    return undefined
  })

  test('connection: close is honoured', async () => {
    const server = await serveHandler(name, answering(way, 200, [['connection', 'close']], []))
    const client = await RawClient.connect(server)
    const { header, text } = await client.request()
    expect([header('connection'), text, await client.ended()]).toEqual(['close', 'hello', 'fin'])
  })

  test.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
    ['HEAD', 404],
  ])('no byte of a body follows %s %d', async (method, status) => {
    const server = await serveHandler(name, async ({ path, respond, stream }) => {
      if (path === '/next') return respond(200, [], 'next')
      // The Fetch standard allows no body here at all, not even an empty one.
      const isStream = way === 'stream' || (name === 'fetch' && status !== 200 && status !== 404)
      if (!isStream) return respond(status, [], 'hello')
      const sink = await stream(status, [])
      await sink.write('hello')
      return sink.end()
    })
    const client = await RawClient.connect(server)
    await client.send(`${method} / HTTP/1.1\r\nhost: a\r\n\r\nGET /next HTTP/1.1\r\nhost: a\r\n\r\n`)
    expect((await client.read(method)).status).toBe(status)
    expect((await client.read()).text).toBe('next')
  })
})
