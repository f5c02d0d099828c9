/** Server-sent events: their form, their head, and what happens in silence. */
import { describe, expect, test } from 'vitest'

import { sse } from '../dist/streaming.js'
import { RawClient, request, turns } from './harness/client.ts'
import { INTERFACES } from './harness/interfaces.ts'
import { expectLog } from './harness/logs.ts'
import { thrownCode } from './harness/promises.ts'
import { serveResponse } from './harness/responses.ts'

import type { ServerSentEvent } from '../dist/streaming.js'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

async function* events(...list: (ServerSentEvent | string)[]): AsyncGenerator<ServerSentEvent | string> {
  for (const event of list) {
    await turns(1)
    yield event
  }
}

describe.each(INTERFACES)('%s', (name) => {
  test('events arrive in their form, with the head of an event stream', async () => {
    const server = await serveResponse(name, () =>
      sse(events('one', { event: 'token', id: '7', retry: '1.5s', data: { a: 'b' } }), { retry: 3 }),
    )
    const answer = await request(server)
    expect(answer.header('content-type')).toBe('text/event-stream')
    expect(answer.header('cache-control')).toBe('no-cache')
    expect(answer.header('x-accel-buffering')).toBe('no')
    expect(answer.text).toBe('retry: 3000\n\ndata: one\n\nevent: token\nid: 7\nretry: 1500\ndata: {"a":"b"}\n\n')
  })

  test('g21_early_head: the head leaves at once, with no event', async () => {
    const server = await serveResponse(name, () => sse(new ReadableStream()))
    const client = await RawClient.connect(server)
    await client.send(GET)
    expect((await client.readHead()).status).toBe(200)
    expect(client.reader.available).toBe(0)
  })

  test('a stream that is silent for too long says so in a comment, again and again, and goes on', async () => {
    let give!: (event: string) => void
    const waiting = new ReadableStream<string>({
      start(controller) {
        give = (event) => {
          controller.enqueue(event)
          controller.close()
        }
      },
    })
    const server = await serveResponse(name, () => sse(waiting, { keepAlive: 0.02 }))
    const client = await RawClient.connect(server)
    await client.send(GET)
    await client.readHead()
    const comments: Buffer[] = []
    while (comments.length < 3) comments.push(await client.reader.through(':\n\n'))
    expect(comments.map((chunk) => chunk.toString().slice(-3))).toEqual([':\n\n', ':\n\n', ':\n\n'])
    give('at last')
    await client.reader.through('data: at last\n\n')
    await client.reader.through('0\r\n\r\n')
  })

  test('a faulty event cuts the stream, closes its source, and says why', async () => {
    expectLog('ERR_EVENT')
    let finals = 0
    const faulty = async function* (): AsyncGenerator<ServerSentEvent> {
      try {
        yield { data: 'fine' }
        await turns(2)
        yield { event: 'two\nlines', data: 'x' }
      } finally {
        finals += 1
      }
    }
    const server = await serveResponse(name, () => sse(faulty()))
    const client = await RawClient.connect(server)
    await client.send(GET)
    await expect(client.read()).rejects.toThrow('the connection was cut')
    await expect.poll(() => finals).toBe(1)
  })
})

test('fields that the application has set are left alone', () => {
  const response = sse([], { headers: { 'cache-control': 'no-store', 'content-type': 'text/event-stream; x=y' } })
  expect([response.headers.get('cache-control'), response.headers.get('content-type')]).toEqual([
    'no-store',
    'text/event-stream; x=y',
  ])
})

test.each<[string, unknown, string]>([
  ['lines of all kinds', 'a\nb\r\nc\rd', 'data: a\ndata: b\ndata: c\ndata: d\n\n'],
  ['an empty string', '', 'data: \n\n'],
  ['bytes', { data: Buffer.from('grüße') }, 'data: grüße\n\n'],
  ['a number', { data: 42 }, 'data: 42\n\n'],
  ['null', { data: null }, 'data: null\n\n'],
  ['an id that forgets', { id: '' }, 'id: \n\n'],
  ['a comment', { comment: 'two\nlines' }, ': two\n: lines\n\n'],
  ['a leading space', ' a', 'data:  a\n\n'],
])('%s', async (_what, event, text) => {
  expect(await sse([event as ServerSentEvent]).text()).toBe(text)
})

test.each<[string, unknown]>([
  ['nothing', {}],
  ['no object', 42],
  ['null', null],
  ['a function', { data: () => undefined }],
  ['an id with a NUL', { id: 'a\0' }],
  ['a name with a return', { event: 'a\rb' }],
])('%s is refused', async (_what, event) => {
  await expect(sse([event as ServerSentEvent]).text()).rejects.toMatchObject({ code: 'ERR_EVENT' })
})

test('a bad duration is refused at once', () => {
  expect(thrownCode(() => sse([], { retry: 'soon' as never }))).toBe('ERR_OPTION')
  expect(thrownCode(() => sse([], { keepAlive: -1 }))).toBe('ERR_OPTION')
})
