/** The body of a fetch request: read at once, in pieces, by a clone, by the platform, or not at all. */
import { describe, expect, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { RawClient, request as ask } from './harness/client.ts'

import type { ServerRequest } from '../dist/index.js'

const READERS = ['text', 'json', 'arrayBuffer', 'bytes', 'blob'] as const

/** What a reader gives, as text. */
async function readAs(request: Request, reader: (typeof READERS)[number]): Promise<string> {
  const value: unknown = await request[reader]()
  if (value instanceof Blob) return `${value.type} ${await value.text()}`
  if (value instanceof ArrayBuffer) return `ArrayBuffer ${Buffer.from(value).toString()}`
  if (value instanceof Uint8Array) return `Uint8Array ${Buffer.from(value).toString()}`
  return typeof value === 'string' ? value : JSON.stringify(value)
}

const JSON_TYPE = [['content-type', 'application/json']] as const

const EXPECTED: Record<(typeof READERS)[number], string> = {
  text: '{"a": "ü"}',
  json: '{"a":"ü"}',
  arrayBuffer: 'ArrayBuffer {"a": "ü"}',
  bytes: 'Uint8Array {"a": "ü"}',
  blob: 'application/json {"a": "ü"}',
}

describe.each(READERS)('%s()', (reader) => {
  const app = async (request: ServerRequest): Promise<Response> => {
    const before = request.bodyUsed
    const value = await readAs(request, reader)
    const again = await errorOf(() => readAs(request, reader))
    return Response.json({ before, value, after: request.bodyUsed, again })
  }
  const expected = { before: false, value: EXPECTED[reader], after: true, again: 'TypeError ERR_BODY_USED' }

  test('reads a body that came with the head, once', async () => {
    const server = await serveApp(app)
    const { text } = await ask(server, { method: 'POST', headers: JSON_TYPE, body: '{"a": "ü"}' })
    expect(JSON.parse(text)).toEqual(expected)
  })

  test('reads a body that comes in chunks, once', async () => {
    const server = await serveApp(app)
    const client = await RawClient.connect(server)
    await client.sendSplit([
      'PUT / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
      '6\r\n{"a": \r\n',
      '5\r\n"\xC3\xBC"}\r\n',
      '0\r\n\r\n',
    ])
    expect(JSON.parse((await client.read()).text)).toEqual(expected)
  })

  test('reads a stream that was asked for and not touched', async () => {
    const server = await serveApp((request: ServerRequest) => {
      expect(request.body).toBeInstanceOf(ReadableStream)
      return app(request)
    })
    const { text } = await ask(server, { method: 'POST', headers: JSON_TYPE, body: '{"a": "ü"}' })
    expect(JSON.parse(text)).toEqual(expected)
  })
})

describe('a request without a body', () => {
  const app = async (request: ServerRequest): Promise<Response> =>
    Response.json({
      body: request.body,
      texts: [await request.text(), await request.text()],
      size: (await request.bytes()).length,
      used: request.bodyUsed,
      clone: await request.clone().text(),
      json: await errorOf(() => request.json()),
    })
  const expected = { body: null, texts: ['', ''], size: 0, used: false, clone: '', json: 'SyntaxError' }

  test.each(['GET', 'POST', 'DELETE'])('%s has a null body, which may be read again and again', async (method) => {
    const server = await serveApp(app)
    expect(JSON.parse((await ask(server, { method })).text)).toEqual(expected)
  })

  test('GET has a null body whatever was sent, and the connection goes on', async () => {
    const server = await serveApp(app)
    const client = await RawClient.connect(server)
    expect(JSON.parse((await client.request({ body: 'not for you' })).text)).toEqual(expected)
    expect(JSON.parse((await client.request()).text)).toEqual(expected)
  })
})

describe('text', () => {
  const app = async (request: ServerRequest): Promise<Response> => Response.json(await request.text())
  const textOf = async (body: Uint8Array): Promise<unknown> => {
    const server = await serveApp(app)
    return JSON.parse((await ask(server, { method: 'POST', body })).text) as unknown
  }

  test.each([
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x61]],
    ['what is not UTF-8', [0x61, 0xc3, 0x28, 0xff, 0xf0, 0x9f, 0x98]],
    ['NUL', [0x00, 0x61]],
  ])('is decoded as the standard says: %s', async (_what, bytes) => {
    const body = new Uint8Array(bytes)
    expect(await textOf(body)).toBe(await new Request('http://localhost', { method: 'POST', body }).text())
  })
})

test('text loses one byte order mark only', async () => {
  const server = await serveApp(async (request: ServerRequest) => Response.json([...(await request.text())].length))
  const body = new Uint8Array([0xef, 0xbb, 0xbf, 0xef, 0xbb, 0xbf])
  expect((await ask(server, { method: 'POST', body })).text).toBe('1')
})

describe('json', () => {
  test('of what is no JSON rejects with SyntaxError', async () => {
    const server = await serveApp(async (request: ServerRequest) => new Response(await errorOf(() => request.json())))
    expect((await ask(server, { method: 'POST', body: '{"a":' })).text).toBe('SyntaxError')
  })
})

describe('formData', () => {
  const app = async (request: ServerRequest): Promise<Response> => {
    const entries = [...(await request.formData())] as [string, string | File][]
    return Response.json(
      await Promise.all(
        entries.map(async ([name, value]) => [name, typeof value === 'string' ? value : await value.text()]),
      ),
    )
  }

  test('reads url-encoded forms', async () => {
    const server = await serveApp(app)
    const headers = [['content-type', 'application/x-www-form-urlencoded']] as const
    const { text } = await ask(server, { method: 'POST', headers, body: 'a=1+2&b=%C3%BC&a=3' })
    expect(JSON.parse(text)).toEqual([
      ['a', '1 2'],
      ['b', 'ü'],
      ['a', '3'],
    ])
  })

  test('reads multipart forms with files', async () => {
    const form = new FormData()
    form.append('name', 'ü')
    form.append('file', new File(['content'], 'a.txt'))
    const encoded = new Response(form)
    const server = await serveApp(app)
    const headers = [['content-type', encoded.headers.get('content-type') ?? '']] as const
    const { text } = await ask(server, { method: 'POST', headers, body: await encoded.bytes() })
    expect(JSON.parse(text)).toEqual([
      ['name', 'ü'],
      ['file', 'content'],
    ])
  })

  test('of another content type rejects with TypeError', async () => {
    const server = await serveApp(
      async (request: ServerRequest) => new Response(await errorOf(() => request.formData())),
    )
    expect((await ask(server, { method: 'POST', headers: JSON_TYPE, body: '{}' })).text).toBe('TypeError')
  })
})

describe('body', () => {
  test('gives the pieces as they arrive', async () => {
    const seen: string[] = []
    let notify: () => void = () => {}
    const server = await serveApp(async (request: ServerRequest) => {
      for await (const piece of request.body as ReadableStream<Uint8Array>) {
        seen.push(Buffer.from(piece).toString())
        notify()
      }
      return Response.json([seen, request.bodyUsed, request.body === request.body])
    })
    const client = await RawClient.connect(server)
    const send = async (bytes: string): Promise<void> => {
      const arrived = new Promise<void>((resolve) => {
        notify = resolve
      })
      await client.send(bytes)
      await arrived
    }
    await send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\none')
    await send('two')
    await send('end')
    expect(JSON.parse((await client.read()).text)).toEqual([['one', 'two', 'end'], true, true])
  })

  test('can be answered with: an echo that streams', async () => {
    const server = await serveApp((request: ServerRequest) => new Response(request.body))
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\none')
    const head = await client.readHead()
    expect(head.status).toBe(200)
    expect((await client.reader.through('one\r\n')).toString()).toBe('3\r\none\r\n')
    await client.send('two')
    expect((await client.reader.through('0\r\n\r\n')).toString()).toBe('3\r\ntwo\r\n0\r\n\r\n')
  })

  test('that is being read can be read by nobody else', async () => {
    const server = await serveApp(async (request: ServerRequest) => {
      const reader = request.body?.getReader()
      const outcomes = [
        await errorOf(() => request.text()),
        await errorOf(async () => request.clone()),
        request.bodyUsed,
      ]
      reader?.releaseLock()
      return Response.json([...outcomes, await request.text()])
    })
    const { text } = await ask(server, { method: 'POST', body: 'hello' })
    expect(JSON.parse(text)).toEqual(['TypeError ERR_BODY_USED', 'TypeError ERR_BODY_USED', false, 'hello'])
  })

  test('of a request that was read is there, and used', async () => {
    const server = await serveApp(async (request: ServerRequest) => {
      await request.text()
      const { body, bodyUsed } = request
      return Response.json([body instanceof ReadableStream, bodyUsed, await body?.getReader().read()])
    })
    const { text } = await ask(server, { method: 'POST', body: 'hello' })
    expect(JSON.parse(text)).toEqual([true, true, { done: true }])
  })

  test('may be cancelled: the rest is discarded and the connection ends or goes on cleanly', async () => {
    const server = await serveApp(async (request: ServerRequest) => {
      await request.body?.cancel()
      return Response.json([request.bodyUsed, await errorOf(() => request.text())])
    })
    const { text } = await ask(server, { method: 'POST', body: 'hello' })
    expect(JSON.parse(text)).toEqual([true, 'TypeError ERR_BODY_USED'])
  })
})

describe('clone', () => {
  test('has all of it: both may be read, in any order, and a clone may be cloned', async () => {
    const server = await serveApp(async (request: ServerRequest) => {
      const first = request.clone()
      const second = first.clone()
      const third = request.clone()
      const texts = [await third.text(), await request.text(), await second.text(), await first.text()]
      return Response.json([...texts, first.method, first.url, first.headers.get('x-a'), first instanceof Request])
    })
    const message = { method: 'POST', path: '/a', headers: [['x-a', '1']], body: 'hello' } as const
    const { text } = await ask(server, message)
    expect(JSON.parse(text)).toEqual(['hello', 'hello', 'hello', 'hello', 'POST', 'http://example.test/a', '1', true])
  })

  test('of a request that was read is refused', async () => {
    const server = await serveApp(async (request: ServerRequest) => {
      await request.text()
      return new Response(await errorOf(async () => request.clone()))
    })
    expect((await ask(server, { method: 'POST', body: 'x' })).text).toBe('TypeError ERR_BODY_USED')
  })

  test('has the headers as they were changed, and its signal aborts with the request', async () => {
    let seen: unknown
    const server = await serveApp(async (request: ServerRequest) => {
      request.headers.set('x-a', '2')
      const clone = request.clone()
      await request.text().catch(() => {})
      seen = [clone.headers.get('x-a'), clone.signal.aborted, await errorOf(() => clone.text())]
      return new Response()
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\nx-a: 1\r\ncontent-length: 9\r\n\r\nhalf')
    await client.close()
    await atRest(server)
    expect(seen).toEqual(['2', true, 'GneissError ERR_CLIENT_DISCONNECTED'])
  })
})

describe('a body that does not come to its end', () => {
  test.each(READERS)('%s() rejects when the client leaves', async (reader) => {
    let outcome: unknown
    const server = await serveApp(async (request: ServerRequest) => {
      outcome = await errorOf(() => readAs(request, reader))
      return new Response()
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf')
    await client.close()
    await atRest(server)
    expect(outcome).toBe('GneissError ERR_CLIENT_DISCONNECTED')
  })

  test('a stream errors when the client leaves, after the pieces that came', async () => {
    const seen: string[] = []
    const server = await serveApp(async (request: ServerRequest) => {
      const read = async (): Promise<void> => {
        for await (const piece of request.body as ReadableStream<Uint8Array>) seen.push(Buffer.from(piece).toString())
      }
      seen.push(await errorOf(read))
      return new Response()
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf')
    await expect.poll(() => seen.length).toBe(1)
    await client.close()
    await atRest(server)
    expect(seen).toEqual(['half', 'GneissError ERR_CLIENT_DISCONNECTED'])
  })

  test('one larger than maxBody rejects with ERR_BODY_TOO_LARGE, and the client has its 413', async () => {
    let outcome: unknown
    let isCalled = false
    const app = async (request: ServerRequest): Promise<Response> => {
      isCalled = true
      outcome = await errorOf(() => request.text())
      return new Response()
    }
    const server = await serveApp(app, { maxBody: 8 })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n')
    await expect.poll(() => isCalled).toBe(true)
    await client.send('5\r\nworld\r\n0\r\n\r\n')
    const { status } = await client.read()
    await client.close()
    await atRest(server)
    expect([status, outcome]).toEqual([413, 'GneissError ERR_BODY_TOO_LARGE'])
  })

  test('one that was answered over cannot be read as if it were whole', async () => {
    let late: Promise<string> | undefined
    const server = await serveApp((request: ServerRequest) => {
      late = new Promise((resolve) => setImmediate(() => resolve(errorOf(() => request.text()))))
      return new Response('answered')
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf')
    expect((await client.read()).text).toBe('answered')
    expect(await late).toContain('ERR_')
  })
})

async function errorOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run()
    return 'none'
  } catch (error) {
    const { name, code } = error as Error & { code?: unknown }
    return typeof code === 'string' ? `${name} ${code}` : name
  }
}
