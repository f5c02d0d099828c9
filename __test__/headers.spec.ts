/** The headers of requests and light responses do what the platform's do: each case is done with both. */
import { inspect, isDeepStrictEqual } from 'node:util'

import { describe, expect, test } from 'vitest'

import { LightHeaders, linkLightHeaders } from '../dist/fetch/headers.js'
import { collectGarbage } from './harness/garbage.ts'

linkLightHeaders()

const FIELDS: readonly (readonly [string, string])[] = [
  ['host', 'example.test'],
  ['x-list', '1'],
  ['accept', 'text/html;q=0.9, */*'],
  ['set-cookie', 'a=1; path=/'],
  ['cookie', 'a=1'],
  ['x-list', '2, 3'],
  ['x-empty', ''],
  ['set-cookie', 'b=2'],
  ['cookie', 'b=2'],
  ['x-latin', 'caf\u00E9'],
]

const HEAD = `\n@peer:127.0.0.1 4711\n@local:127.0.0.1 80\n${FIELDS.map(([name, value]) => `${name}:${value}\n`).join('')}`

/** Of a request, of a response, and the platform's. */
function all(): Headers[] {
  return [
    new LightHeaders(HEAD) as unknown as Headers,
    new LightHeaders('', [...FIELDS]) as unknown as Headers,
    new Headers(FIELDS.map(([name, value]) => [name, value])),
  ]
}

/** Does the same with each kind. Returns what ours gave where it is not what the platform's gave. */
function differences(run: (headers: Headers) => unknown): unknown[] {
  const [request, response, platform] = all().map((headers) => {
    try {
      return run(headers)
    } catch (error) {
      return (error as Error).name
    }
  })
  return [request, response].filter((ours) => !isDeepStrictEqual(ours, platform)).map((ours) => ({ ours, platform }))
}

const NAMES = ['host', 'HOST', 'x-list', 'X-List', 'set-cookie', 'cookie', 'x-empty', 'x-latin', 'missing', 'peer']

describe('reading', () => {
  test.each(NAMES)('get(%j)', (name) => {
    expect(differences((headers) => headers.get(name))).toEqual([])
  })

  test.each(NAMES)('has(%j)', (name) => {
    expect(differences((headers) => headers.has(name))).toEqual([])
  })

  test.each(['', 'a b', '@peer', 'host:example', 'x\ny', 'ü', '127.0.0.1 4711\nhost'])(
    '%j is refused as a name',
    (name) => {
      expect(differences((headers) => headers.get(name))).toEqual([])
      expect(differences((headers) => headers.has(name))).toEqual([])
      expect(differences((headers) => headers.delete(name))).toEqual([])
      expect(() => new LightHeaders(HEAD).get(name)).toThrow(TypeError)
    },
  )

  test('a part of a name or of a value is no field', () => {
    const headers = new LightHeaders('\nx-long-name:a\nx-value:name:b\n')
    expect([headers.get('name'), headers.get('x-long'), headers.get('long-name')]).toEqual([null, null, null])
  })

  test('getSetCookie gives each', () => {
    expect(differences((headers) => headers.getSetCookie())).toEqual([])
  })

  test('iteration is sorted, joined, and has each set-cookie alone', () => {
    expect(differences((headers) => [...headers])).toEqual([])
    expect(differences((headers) => [...headers.entries()])).toEqual([])
    expect(differences((headers) => [...headers.keys()])).toEqual([])
    expect(differences((headers) => [...headers.values()])).toEqual([])
    expect(differences((headers) => Object.fromEntries(headers as Iterable<[string, string]>))).toEqual([])
  })

  test('forEach gives value, name and the headers', () => {
    expect(
      differences((headers) => {
        const seen: unknown[] = []
        const self = {}
        headers.forEach(function (this: unknown, value, name, of) {
          seen.push([value, name, of === headers, this === self])
        }, self)
        return seen
      }),
    ).toEqual([])
    expect(differences((headers) => headers.forEach(undefined as never))).toEqual([])
  })

  test('what is done to a pair does not change the headers', () => {
    expect(
      differences((headers) => {
        for (const pair of headers as Iterable<[string, string]>) pair[1] = 'changed'
        return [...headers]
      }),
    ).toEqual([])
  })

  test('of fields that make no list the first one of a request counts', () => {
    const headers = new LightHeaders('\ncontent-type:a\nauthorization:b\ncontent-type:c\nauthorization:d\nx:1\n')
    const expected = [
      ['authorization', 'b'],
      ['content-type', 'a'],
      ['x', '1'],
    ]
    expect([headers.get('content-type'), headers.get('authorization'), [...headers]]).toEqual(['a', 'b', expected])
    headers.set('x', '2')
    expect([headers.get('content-type'), headers.get('authorization')]).toEqual(['a', 'b'])
  })
})

test('names that a client makes up do not keep the heads alive in which they came', () => {
  const padding = 'p'.repeat(30_000)
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let count = 0; count < 500; count++) {
    // As the addon makes it: one flat string, of which names are parts.
    const head = Buffer.from(`\nhost:a\nx-made-up-by-a-client-${count}:v\npadding:${padding}\n`).toString('latin1')
    expect(Array.from(new LightHeaders(head))).toHaveLength(3)
  }
  collectGarbage()
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(5_000_000)
})

describe('changing', () => {
  const changes: Record<string, (headers: Headers) => void> = {
    'set a new field': (headers) => headers.set('X-New', ' 1 '),
    'set over several': (headers) => headers.set('x-list', 'only'),
    'set over set-cookie': (headers) => headers.set('set-cookie', 'c=3'),
    'append to a field': (headers) => headers.append('X-LIST', '4'),
    'append a set-cookie': (headers) => headers.append('set-cookie', 'c=3'),
    'append a cookie': (headers) => headers.append('cookie', 'c=3'),
    'append a new field twice': (headers) => {
      headers.append('x-new', '1')
      headers.append('x-new', '2')
    },
    'delete several': (headers) => headers.delete('X-List'),
    'delete what is not there': (headers) => headers.delete('missing'),
    'set what is no string': (headers) => headers.set('x-number', 5 as never),
    'set a bad name': (headers) => headers.set('a b', '1'),
    'set a bad value': (headers) => headers.set('a', '1\r\n2'),
    'append a bad value': (headers) => headers.append('a', '\u0100'),
    'read, change and read again': (headers) => {
      void [...headers]
      headers.set('accept', 'none')
      headers.delete('host')
    },
  }

  test.each(Object.entries(changes))('%s', (_what, change) => {
    expect(
      differences((headers) => {
        let outcome = 'done'
        try {
          change(headers)
        } catch (error) {
          outcome = (error as Error).name
        }
        return [
          outcome,
          [...headers],
          headers.getSetCookie(),
          NAMES.map((name) => [headers.get(name), headers.has(name)]),
        ]
      }),
    ).toEqual([])
  })
})

describe('passing for the platform’s', () => {
  test('is Headers to instanceof, and has every member', () => {
    const headers: unknown = new LightHeaders(HEAD)
    expect(headers instanceof Headers).toBe(true)
    expect(String(headers)).toBe('[object Headers]')
    const own = new Set(Reflect.ownKeys(LightHeaders.prototype))
    expect(Reflect.ownKeys(Headers.prototype).filter((key) => key !== Symbol.toStringTag && !own.has(key))).toEqual([])
  })

  test('the platform takes it as headers', () => {
    expect(differences((headers) => [...new Headers(headers)])).toEqual([])
    expect(differences((headers) => [...new Response('', { headers }).headers])).toEqual([])
    expect(differences((headers) => [...new Request('http://localhost/', { headers }).headers])).toEqual([])
  })

  test('console.log shows it', () => {
    expect(inspect(new LightHeaders('\n@peer:x 1\nhost:a\n'))).toBe("Headers { host: 'a' }")
  })
})
