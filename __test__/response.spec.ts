/** The light `Response` has the platform's surface: each case is done with both and compared. */
import { Blob, File } from 'node:buffer'
import { Readable } from 'node:stream'
import { inspect } from 'node:util'

import { describe, expect, test } from 'vitest'

import { Response as LightResponse } from '../dist/index.js'

const PlatformResponse = globalThis.Response

/** Either class; the tests use what both have. */
type AnyResponse = typeof PlatformResponse

const classes = { light: LightResponse as unknown as AnyResponse, platform: PlatformResponse }

describe('construction', () => {
  const cases: Record<string, (R: AnyResponse) => Response> = {
    'nothing at all': (R) => new R(),
    'null and undefined': (R) => new R(null, undefined),
    'an empty string': (R) => new R(''),
    'a string': (R) => new R('grüße ☃'),
    'a string with a byte order mark': (R) => new R('\uFEFFtext'),
    'a string with half a surrogate pair': (R) => new R('a\uD83Db'),
    'a number': (R) => new R(42 as never),
    'a plain object': (R) => new R({} as never),
    bytes: (R) => new R(new Uint8Array([104, 105])),
    'bytes that are not UTF-8': (R) => new R(new Uint8Array([0xc3, 0x28, 0xff])),
    'a view into a larger buffer': (R) => new R(new Uint8Array([1, 104, 105, 2]).subarray(1, 3)),
    'a view that is no Uint8Array': (R) => new R(new DataView(new Uint8Array([104, 105, 33]).buffer, 1)),
    'an ArrayBuffer': (R) => new R(new Uint8Array([104, 105]).buffer),
    'a Blob with a type': (R) => new R(new Blob(['body {}'], { type: 'text/css' }) as never),
    'a Blob without a type': (R) => new R(new Blob(['body']) as never),
    URLSearchParams: (R) => new R(new URLSearchParams({ a: '1 2', b: 'ü' })),
    'a stream': (R) => new R(ReadableStream.from([Buffer.from('one'), Buffer.from('two')]) as never),
    'an async iterable': (R) => new R(pieces() as never),
    'a stream of Node': (R) => new R(Readable.from([Buffer.from('one')]) as never),
    'a status and a status text': (R) => new R('x', { status: 404, statusText: 'Nöt Found' }),
    'a status that is text': (R) => new R('x', { status: '201' as never }),
    'the largest status': (R) => new R('x', { status: 599 }),
    'a status without a body': (R) => new R(null, { status: 204 }),
    'headers as a record': (R) => new R('x', { headers: { 'X-B': '2', 'x-a': '  1\t', 'X-Number': 3 as never } }),
    'headers as pairs': (R) =>
      new R('x', {
        headers: [
          ['Set-Cookie', 'a=1'],
          ['x-a', '1'],
          ['set-cookie', 'b=2'],
          ['X-A', '2'],
        ],
      }),
    'headers as Headers': (R) =>
      new R('x', {
        headers: new Headers([
          ['set-cookie', 'a=1'],
          ['set-cookie', 'b=2'],
        ]),
      }),
    'headers with a content type': (R) => new R('x', { headers: { 'Content-Type': 'text/html' } }),
    'a value of Latin-1': (R) => new R('x', { headers: { 'x-a': 'caf\u00E9' } }),
    'an empty value': (R) => new R('x', { headers: { 'x-a': '' } }),
    'a response as init': (R) => new R('y', new R('x', { status: 202, headers: { 'x-a': '1' } })),
    'the body and the init of another response': (R) => {
      const first = new R('x', { headers: { 'x-a': '1' } })
      return new R(first.body, first)
    },
    json: (R) => R.json({ a: [1, null] }),
    'json with init': (R) => R.json('x', { status: 201, headers: { 'content-type': 'application/problem+json' } }),
    redirect: (R) => R.redirect('http://localhost/a b', 303),
    'redirect by URL': (R) => R.redirect(new URL('http://localhost/'), 302),
    error: (R) => R.error(),
  }

  test.each(Object.entries(cases))('of %s', async (_what, make) => {
    const [light, platform] = await Promise.all([
      describeResponse(make(classes.light)),
      describeResponse(make(classes.platform)),
    ])
    expect(light).toEqual(platform)
  })

  const refused: Record<string, (R: AnyResponse) => unknown> = {
    'a status below 200': (R) => new R('x', { status: 199 }),
    'a status above 599': (R) => new R('x', { status: 600 }),
    'a status that is no number': (R) => new R('x', { status: 'ok' as never }),
    'a body with status 204': (R) => new R('', { status: 204 }),
    'a body with status 205': (R) => new R('x', { status: 205 }),
    'a body with status 304': (R) => new R(new Uint8Array(0), { status: 304 }),
    'json with status 204': (R) => R.json(1, { status: 204 }),
    'an init that is no object': (R) => new R('x', 7 as never),
    'headers that are no object': (R) => new R('x', { headers: 7 as never }),
    'a header name that is no token': (R) => new R('x', { headers: { 'a b': '1' } }),
    'an empty header name': (R) => new R('x', { headers: { '': '1' } }),
    'a line feed in a value': (R) => new R('x', { headers: { a: '1\n2' } }),
    'a carriage return in a value': (R) => new R('x', { headers: [['a', '1\r2']] }),
    'a NUL in a value': (R) => new R('x', { headers: { a: '1\0' } }),
    'a value above Latin-1': (R) => new R('x', { headers: { a: '\u010A' } }),
    'a pair of three': (R) => new R('x', { headers: [['a', '1', '2']] as never }),
    'a pair of one': (R) => new R('x', { headers: [['a']] as never }),
    'a status text with a line feed': (R) => new R('x', { statusText: 'a\nb' }),
    'a stream that is locked': (R) => {
      const stream = ReadableStream.from([Buffer.from('x')])
      stream.getReader()
      return new R(stream as never)
    },
    'json of undefined': (R) => R.json(undefined),
    'json of a circle': (R) => {
      const circle: unknown[] = []
      circle.push(circle)
      return R.json(circle)
    },
    'a redirect to a relative URL': (R) => R.redirect('/a', 302),
    'a redirect that is none': (R) => R.redirect('http://localhost/', 200 as never),
  }

  test.each(Object.entries(refused))('%s is refused as the platform does', (_what, make) => {
    expect(errorOf(() => make(classes.light))).toBe(errorOf(() => make(classes.platform)))
  })

  test('what the application changes afterwards changes nothing', () => {
    const record: Record<string, string> = { 'x-a': '1' }
    const headers = new Headers(record)
    const responses = [new LightResponse('x', { headers: record }), new LightResponse('x', { headers })]
    record['x-a'] = '2'
    headers.set('x-a', '2')
    expect(responses.map((response) => response.headers.get('x-a'))).toEqual(['1', '1'])
  })

  test('what is made of a response does not change it', () => {
    const first = new LightResponse(null, { headers: { 'x-a': '1' } })
    const second = new LightResponse('text', first)
    second.headers.set('x-a', '2')
    expect([...first.headers]).toEqual([['x-a', '1']])
    expect(second.headers.get('content-type')).toBe('text/plain;charset=UTF-8')
  })

  test('is a Response to instanceof, and so is the platform’s; a class that extends it has only its own', () => {
    class Special extends LightResponse {}
    expect([
      new LightResponse() instanceof PlatformResponse,
      new PlatformResponse() instanceof LightResponse,
      new Special() instanceof Special,
      new Special() instanceof PlatformResponse,
      (new PlatformResponse() as unknown) instanceof Special,
      (new LightResponse() as unknown) instanceof Special,
      ({} as unknown) instanceof LightResponse,
    ]).toEqual([true, true, true, true, false, false, false])
    expect(LightResponse.name).toBe('Response')
    expect(String(new LightResponse())).toBe('[object Response]')
  })

  test('has every member of the platform’s class', () => {
    const members = (prototype: object): string[] => Object.getOwnPropertyNames(prototype)
    const response = new LightResponse('x')
    expect(members(PlatformResponse.prototype).filter((name) => !(name in response))).toEqual([])
    expect(members(PlatformResponse).filter((name) => !(name in LightResponse))).toEqual([])
    // Nothing is left that would look for the platform's private state.
    for (const name of members(PlatformResponse.prototype)) expect(() => Reflect.get(response, name)).not.toThrow()
  })

  test('console.log shows it', () => {
    const text = inspect(new LightResponse('x', { status: 201, headers: { 'x-a': '1' } }))
    expect(text).toMatch(/^Response \{\n {2}status: 201,[^]*'x-a': '1'/)
  })
})

describe('body', () => {
  const bodies: Record<string, (R: AnyResponse) => Response> = {
    'a string': (R) => new R('{"a":"ü"}'),
    bytes: (R) => new R(Buffer.from('{"a":"ü"}')),
    'a stream': (R) => new R(ReadableStream.from([Buffer.from('{"a":'), Buffer.from('"ü"}')]) as never),
    'a Blob': (R) => new R(new Blob(['{"a":"ü"}']) as never),
    nothing: (R) => new R(null),
  }

  describe.each(Object.entries(bodies))('of %s', (_what, make) => {
    test.each(['text', 'json', 'arrayBuffer', 'bytes', 'blob'] as const)('%s() reads it once', async (member) => {
      const run = async (R: AnyResponse): Promise<unknown> => {
        const response = make(R)
        const before = response.bodyUsed
        const value = await outcomeOf(() => response[member]())
        const again = await outcomeOf(() => response[member]())
        return { before, value, after: response.bodyUsed, again, body: response.body?.locked }
      }
      const [light, platform] = await Promise.all([run(classes.light), run(classes.platform)])
      expect({ ...(light as object), body: null }).toEqual({ ...(platform as object), body: null })
    })

    test('a clone has the same, and either may be read first', async () => {
      const run = async (R: AnyResponse): Promise<unknown> => {
        const response = make(R)
        const clone = response.clone()
        const first = await clone.text()
        return [
          first,
          response.bodyUsed,
          await response.text(),
          [...clone.headers],
          await outcomeOf(async () => clone.clone()),
        ]
      }
      expect(await run(classes.light)).toEqual(await run(classes.platform))
    })

    test('may be read as a stream, and then not otherwise', async () => {
      const run = async (R: AnyResponse): Promise<unknown> => {
        const response = make(R)
        const { body } = response
        if (body === null) return body
        const same = body === response.body
        const parts: Buffer[] = []
        for await (const part of body) parts.push(Buffer.from(part as Uint8Array))
        return [same, Buffer.concat(parts).toString(), response.bodyUsed, await outcomeOf(() => response.text())]
      }
      expect(await run(classes.light)).toEqual(await run(classes.platform))
    })

    test('cannot be read while somebody else reads', async () => {
      const run = async (R: AnyResponse): Promise<unknown> => {
        const response = make(R)
        response.body?.getReader()
        return [
          response.bodyUsed,
          await outcomeOf(() => response.text()),
          await outcomeOf(async () => response.clone()),
        ]
      }
      const names = (outcome: unknown): unknown =>
        JSON.stringify(outcome, (key, value: unknown) => (key === 'clone' ? 0 : value))
      expect(names(await run(classes.light))).toEqual(names(await run(classes.platform)))
    })
  })

  test('formData() reads what FormData was written as', async () => {
    const form = new FormData()
    form.append('name', 'värde')
    form.append('file', new File(['content'], 'a.txt', { type: 'text/plain' }) as never)
    const read = await new LightResponse(form as never).formData()
    expect(read.get('name')).toBe('värde')
    expect(await (read.get('file') as unknown as File).text()).toBe('content')
    const encoded = await new LightResponse('a=1&b=2', {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    }).formData()
    expect([...encoded]).toEqual([
      ['a', '1'],
      ['b', '2'],
    ])
  })

  test('text of an async iterable may be strings, as bodies that are sent', async () => {
    const pieces = async function* (): AsyncGenerator<string> {
      yield 'one'
      yield ''
      yield 'two'
    }
    expect(await new LightResponse(pieces()).text()).toBe('onetwo')
  })

  test('cancelling the stream of an async iterable runs its finally', async () => {
    let isClosed = false
    const pieces = async function* (): AsyncGenerator<string> {
      try {
        yield 'one'
        yield 'two'
      } finally {
        isClosed = true
      }
    }
    const reader = new LightResponse(pieces()).body?.getReader()
    await reader?.read()
    await reader?.cancel()
    expect(isClosed).toBe(true)
  })

  test('the stream of a string is a byte stream, as the platform’s', async () => {
    const reader = new LightResponse('hello').body?.getReader({ mode: 'byob' })
    const first = await reader?.read(new Uint8Array(3))
    expect(Buffer.from(first?.value ?? []).toString()).toBe('hel')
    const second = await reader?.read(new Uint8Array(3))
    expect(Buffer.from(second?.value ?? []).toString()).toBe('lo')
    expect((await reader?.read(new Uint8Array(3)))?.done).toBe(true)
  })

  test('what is read belongs to the reader: a second response of the same bytes does not notice', async () => {
    const bytes = new Uint8Array([1, 2, 3])
    const read = await new LightResponse(bytes).bytes()
    read[0] = 9
    expect(bytes).toEqual(new Uint8Array([1, 2, 3]))
  })
})

async function* pieces(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('one')
  yield Buffer.from('two')
}

async function describeResponse(response: Response): Promise<unknown> {
  const { status, statusText, ok, type, url, redirected, bodyUsed } = response
  const headers = [...response.headers]
  const hasBody = response.body !== null
  const bytes = Buffer.from(await response.arrayBuffer()).toString('hex')
  return { status, statusText, ok, type, url, redirected, bodyUsed, headers, hasBody, bytes, isUsed: response.bodyUsed }
}

/** The kind of error, or that there was none. */
function errorOf(run: () => unknown): string {
  try {
    run()
    return 'accepted'
  } catch (error) {
    return error instanceof RangeError ? 'RangeError' : error instanceof TypeError ? 'TypeError' : String(error)
  }
}

async function outcomeOf(run: () => Promise<unknown>): Promise<unknown> {
  try {
    const value = await run()
    if (value instanceof Blob) return [value.type, await value.text()]
    if (value instanceof ArrayBuffer) return Buffer.from(value).toString('hex')
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
    return value instanceof PlatformResponse ? 'a response' : value
  } catch (error) {
    return (error as Error).name
  }
}
