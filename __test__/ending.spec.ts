/** How an exchange ends when the application does something wrong: the same through every interface. */
import { describe, expect, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'
import { expectLog } from './harness/logs.ts'
import { CutError } from './harness/reader.ts'

const TEXT = [['content-type', 'text/plain']] as const

describe.each(INTERFACES)('%s', (name) => {
  test('a throw before the head is a 500 that says nothing, and the connection goes on', async () => {
    expectLog('the secret reason')
    const server = await serveHandler(name, ({ path, respond }) => {
      if (path === '/broken') throw new Error('the secret reason')
      return respond(200, TEXT, 'fine')
    })
    const client = await RawClient.connect(server)
    const broken = await client.request({ path: '/broken' })
    expect([broken.status, broken.text]).toEqual([500, 'Internal Server Error'])
    expect((await client.request()).text).toBe('fine')
  })

  test.each([undefined, null, 'a text'])('a throw of %j is a 500, and the log says what was thrown', async (thrown) => {
    expectLog(new RegExp(`unhandled error in the application \\(/\\)\n {4}${String(thrown)}$`))
    const server = await serveHandler(name, () => {
      throw thrown
    })
    expect((await request(server)).status).toBe(500)
  })

  test('a rejection before the head is a 500', async () => {
    expectLog('the secret reason')
    const server = await serveHandler(name, async () => {
      await turns(1)
      throw new Error('the secret reason')
    })
    const { status, text } = await request(server)
    expect([status, text]).toEqual([500, 'Internal Server Error'])
  })

  test('a throw after the head cuts the connection: the body never looks complete', async () => {
    expectLog('in the middle')
    const server = await serveHandler(name, async ({ stream }) => {
      const sink = await stream(200, TEXT)
      await sink.write('the first half')
      await turns(1)
      throw new Error('in the middle')
    })
    const cut = await request(server).catch((error: unknown) => error)
    expect(cut).toBeInstanceOf(CutError)
  })

  test('a throw after the head on HTTP/1.0 is a reset, because an end would look complete', async () => {
    expectLog('in the middle')
    const server = await serveHandler(name, async ({ stream }) => {
      const sink = await stream(200, TEXT)
      await sink.write('the first half')
      await turns(1)
      throw new Error('in the middle')
    })
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.0\r\n\r\n')
    expect(await client.reader.ended).toBe('reset')
  })

  test('an application that never answers is answered 504 at requestTimeout and told so', async () => {
    let aborts = 0
    const server = await serveHandler(
      name,
      async ({ onAbort }) =>
        new Promise<void>((resolve) => {
          onAbort(() => {
            aborts += 1
            resolve()
          })
        }),
      { requestTimeout: '100ms' },
    )
    expect((await request(server)).status).toBe(504)
    await atRest(server)
    expect(aborts).toBe(1)
  })

  test('a bad status is a 500, and not one byte of it goes out', async () => {
    expectLog(/ERR_STATUS|RangeError/)
    const server = await serveHandler(name, ({ respond }) => respond(99, TEXT, 'odd'))
    const { status, text } = await request(server)
    expect([status, text]).toEqual([500, 'Internal Server Error'])
  })

  test.each([
    ['a line feed', 'a\nset-cookie: stolen=1'],
    ['a carriage return', 'a\rb'],
    ['a NUL', 'a\0b'],
    ['U+010A, which a careless conversion turns into a line feed', 'a\u010aset-cookie: stolen=1'],
    ['a character above U+00FF', 'a\u20ac'],
  ])('%s in a header value is refused with a TypeError, and nothing of it goes out', async (_what, value) => {
    let caught: unknown
    const server = await serveHandler(name, async ({ respond }) => {
      try {
        await respond(200, [['x-odd', value]], 'odd')
      } catch (error) {
        caught = error
        await respond(200, TEXT, 'refused')
      }
    })
    const response = await request(server)
    expect(caught).toBeInstanceOf(TypeError)
    expect([response.status, response.text]).toEqual([200, 'refused'])
    expect(response.headers.map(([field]) => field)).not.toContain('x-odd')
    expect(response.headers.map(([field]) => field)).not.toContain('set-cookie')
  })

  test.each(['', 'a b', 'a:b', 'a\nb', 'a\u010a', 'é'])(
    'the header name %j is refused with a TypeError',
    async (field) => {
      let caught: unknown
      const server = await serveHandler(name, async ({ respond }) => {
        try {
          await respond(200, [[field, 'value']], 'odd')
        } catch (error) {
          caught = error
          await respond(200, TEXT, 'refused')
        }
      })
      expect((await request(server)).text).toBe('refused')
      expect(caught).toBeInstanceOf(TypeError)
    },
  )

  test('more bytes than content-length promised cut the connection', async () => {
    expectLog('ERR_BODY_LENGTH')
    const server = await serveHandler(name, async ({ stream }) => {
      const sink = await stream(200, [['content-length', '5']])
      await sink.write('123')
      await sink.write('45678')
      await sink.end()
    })
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.readHead()
    expect(await client.reader.ended).not.toBe('closed')
    expect(client.reader.available).toBeLessThan(5)
  })

  test('fewer bytes than content-length promised cut the connection', async () => {
    expectLog('ERR_BODY_LENGTH')
    const server = await serveHandler(name, async ({ stream }) => {
      const sink = await stream(200, [['content-length', '5']])
      await sink.write('123')
      // All at once would be a one-shot answer, which is refused before it is sent.
      await turns(1)
      await sink.end()
    })
    await expect(request(server)).rejects.toThrow(CutError)
  })

  test.each([204, 304])('a body given with %i is not sent', async (status) => {
    const server = await serveHandler(name, async ({ path, stream, respond }) => {
      if (path === '/next') return respond(200, TEXT, 'next')
      const sink = await stream(status, [])
      return sink.end()
    })
    const client = await RawClient.connect(server)
    const response = await client.request()
    expect([response.status, response.header('transfer-encoding')]).toEqual([status, undefined])
    expect((await client.request({ path: '/next' })).text).toBe('next')
  })

  test('the answer to HEAD has the head of a GET and no body', async () => {
    const server = await serveHandler(name, ({ respond }) => respond(200, TEXT, 'eleven bytes'.slice(0, 11)))
    const client = await RawClient.connect(server)
    const response = await client.request({ method: 'HEAD' })
    expect(response.header('content-length')).toBe('11')
    expect((await client.request()).text).toHaveLength(11)
  })

  test('connection: close from the application closes after the answer', async () => {
    const server = await serveHandler(name, ({ respond }) => respond(200, [['connection', 'close']], 'bye'))
    const client = await RawClient.connect(server)
    const response = await client.request()
    expect([response.text, response.header('connection')]).toEqual(['bye', 'close'])
    expect(await client.ended()).toBe('fin')
  })
})

describe.each(['asgi', 'rsgi'] as const)('%s', (name) => {
  test('an application that returns without an answer is a 500 and a line that says so', async () => {
    expectLog('without')
    const server = await serveHandler(name, () => undefined)
    const { status, text } = await request(server)
    expect([status, text]).toEqual([500, 'Internal Server Error'])
  })

  test('a second answer throws ERR_RESPONSE_ALREADY_SENT or ERR_MESSAGE, and the first one stands', async () => {
    const caught: unknown[] = []
    const server = await serveHandler(name, async ({ respond }) => {
      await respond(200, TEXT, 'first')
      try {
        await respond(201, TEXT, 'second')
      } catch (error) {
        caught.push((error as { code?: string }).code)
      }
    })
    const client = await RawClient.connect(server)
    expect((await client.request()).text).toBe('first')
    expect((await client.request()).text).toBe('first')
    expect(caught.length).toBe(2)
    expect(['ERR_RESPONSE_ALREADY_SENT', 'ERR_MESSAGE']).toContain(caught[0])
  })

  test('transfer-encoding belongs to the server: ERR_HEADER_FORBIDDEN', async () => {
    let code: string | undefined
    const server = await serveHandler(name, async ({ respond }) => {
      try {
        await respond(200, [['transfer-encoding', 'chunked']], 'odd')
      } catch (error) {
        code = (error as { code?: string }).code
        await respond(200, TEXT, 'refused')
      }
    })
    expect((await request(server)).text).toBe('refused')
    expect(code).toBe('ERR_HEADER_FORBIDDEN')
  })

  test('a content-length that does not match a one-shot body throws ERR_BODY_LENGTH', async () => {
    let code: string | undefined
    const server = await serveHandler(name, async ({ respond }) => {
      try {
        await respond(200, [['content-length', '99']], 'short')
      } catch (error) {
        code = (error as { code?: string }).code
        await respond(200, TEXT, 'refused')
      }
    })
    expect((await request(server)).text).toBe('refused')
    expect(code).toBe('ERR_BODY_LENGTH')
  })
})

describe('fetch', () => {
  test.each([
    ['undefined', undefined],
    ['a number', 42],
    ['null', null],
    ['a plain object', { status: 200 }],
    ['a string', 'hello'],
  ])('%s instead of a Response is a 500 with ERR_RESPONSE in the log', async (_what, garbage) => {
    expectLog('ERR_RESPONSE')
    const server = await serveApp((() => garbage) as never, { interface: 'fetch' })
    const { status, text } = await request(server)
    expect([status, text]).toEqual([500, 'Internal Server Error'])
  })
})
