/** Which interface an application is served through, and why. */
import { Server } from 'node:http'

import { H3 } from 'h3'
import { Hono } from 'hono'
import { AutoRouter } from 'itty-router'
import { describe, expect, test } from 'vitest'

import { recognizeInterface, selectInterface } from '../dist/detect.js'
import { defineApp, defineConfig } from '../dist/index.js'

const method = (): void => {}

/** The shape of a framework, with getters that must not be touched. */
function shapeOf(...methods: string[]): object {
  return Object.fromEntries(methods.map((name) => [name, method]))
}

function functionWith(shape: object): (a: unknown, b: unknown, c: unknown) => void {
  return Object.assign((_a: unknown, _b: unknown, _c: unknown): void => {}, shape)
}

describe('an application is recognised by its first sign', () => {
  test.each<[string, unknown, string, string]>([
    ['a mark', defineApp({ fetch: method }, { interface: 'rsgi' }), 'rsgi', 'because defineApp says so'],
    [
      'a marked function',
      defineApp((_a: unknown, _b: unknown) => {}, { interface: 'asgi' }),
      'asgi',
      'because defineApp says so',
    ],
    [
      'a fetch method',
      { fetch: (_a: unknown, _b: unknown, _c: unknown): void => {} },
      'fetch',
      'because the export has a fetch function',
    ],
    [
      'a fetch method before __rsgi__',
      { fetch: method, __rsgi__: method },
      'fetch',
      'because the export has a fetch function',
    ],
    [
      'a fetch method of a class',
      new (class Site {
        fetch(): void {}
      })(),
      'fetch',
      'because the export has a fetch function',
    ],
    [
      'a fetch method of a function',
      functionWith({ fetch: method }),
      'fetch',
      'because the export has a fetch function',
    ],
    ['Hono', new Hono(), 'fetch', 'because the export has a fetch function'],
    ['h3', new H3(), 'fetch', 'because the export has a fetch function'],
    ['itty-router', AutoRouter(), 'fetch', 'because the export has a fetch function'],
    [
      'an __rsgi__ method',
      { __rsgi__: method, __rsgi_init__: method },
      'rsgi',
      'because the export has an __rsgi__ function',
    ],
    [
      'an __rsgi__ method of a function',
      functionWith({ __rsgi__: method }),
      'rsgi',
      'because the export has an __rsgi__ function',
    ],
    ['Express', functionWith(shapeOf('handle', 'use', 'set')), 'node', 'because the export is an Express application'],
    ['Connect', functionWith(shapeOf('handle', 'use')), 'node', 'because the export is a Connect application'],
    ['Koa', shapeOf('callback', 'use', 'listen'), 'node', 'because the export is a Koa application'],
    ['Fastify', shapeOf('ready', 'routing', 'listen'), 'node', 'because the export is a Fastify instance'],
    ['Nest', shapeOf('getHttpAdapter', 'listen', 'use'), 'node', 'because the export is a Nest application'],
    ['Polka', shapeOf('handler', 'listen', 'use'), 'node', 'because the export is a Polka application'],
    ['an http.Server', new Server(), 'node', 'because the export is an http.Server'],
    [
      'a function with 3 arguments',
      (_a: unknown, _b: unknown, _c: unknown): void => {},
      'asgi',
      'because the export is a function with 3 arguments',
    ],
    [
      'a function with 2 arguments',
      (_a: unknown, _b: unknown): void => {},
      'node',
      'because the export is a function with 2 arguments',
    ],
    [
      'a function with 1 argument',
      async (_a: unknown): Promise<void> => {},
      'fetch',
      'because the export is a function with 1 argument',
    ],
    ['a function without arguments', (): void => {}, 'fetch', 'because the export is a function with no arguments'],
  ])('%s', (_what, app, name, why) => {
    expect(recognizeInterface(app)).toEqual({ interface: name, why })
  })

  test.each<[string, unknown]>([
    ['a function with 4 arguments', (_a: unknown, _b: unknown, _c: unknown, _d: unknown): void => {}],
    ['a class', class Site {}],
    ['an object', { port: 1 }],
    ['an array', [method]],
    ['a string', 'app.js'],
    ['null', null],
    ['undefined', undefined],
  ])('%s is no application', (_what, app) => {
    expect(recognizeInterface(app)).toBeUndefined()
  })

  test('a getter that throws is no sign', () => {
    const app = Object.defineProperty({ __rsgi__: method }, 'fetch', {
      get: () => {
        throw new Error('touched')
      },
    })
    expect(recognizeInterface(app)?.interface).toBe('rsgi')
  })
})

describe('an interface that was asked for', () => {
  test.each<[string, unknown]>([
    ['asgi', (): void => {}],
    ['rsgi', (): void => {}],
    ['rsgi', { __rsgi__: method }],
    ['fetch', (_a: unknown, _b: unknown): void => {}],
    ['fetch', { fetch: method }],
    ['asgi', defineApp((): void => {}, { interface: 'rsgi' })],
  ])('%s is taken', (name, app) => {
    expect(selectInterface(app, name as 'asgi')).toEqual({
      interface: name,
      why: 'because the interface option says so',
    })
  })

  test.each<[string, unknown, string]>([
    ['asgi', { fetch: method }, 'app cannot be served as asgi: it is an object with fetch'],
    ['rsgi', { fetch: method }, 'app cannot be served as rsgi: it is an object with fetch'],
    ['fetch', { __rsgi__: method }, 'app cannot be served as fetch: it is an object with __rsgi__'],
    ['fetch', class Site {}, 'app cannot be served as fetch: it is the class Site, not an instance of it'],
    ['auto', 5, 'app is no application: it is a number'],
  ])('%s is refused for what it does not fit', (name, app, message) => {
    expect(() => selectInterface(app, name as 'asgi', 'app')).toThrow(
      expect.objectContaining({ code: 'ERR_APP', message }),
    )
  })

  test('an unknown one is refused', () => {
    expect(() => selectInterface(method, 'wsgi' as 'asgi')).toThrow(
      expect.objectContaining({
        code: 'ERR_APP_INTERFACE',
        message: 'the interface "wsgi" is unknown; it is one of auto, asgi, rsgi, fetch, node',
      }),
    )
  })
})

describe('the node interface', () => {
  test('is refused with what was seen, however it was chosen', () => {
    for (const [app, wanted, why] of [
      [shapeOf('ready', 'routing'), 'auto', 'because the export is a Fastify instance'],
      [defineApp(() => {}, { interface: 'node' }), 'auto', 'because defineApp says so'],
      [() => {}, 'node', 'because the interface option says so'],
    ] as const) {
      expect(() => selectInterface(app, wanted, 'app')).toThrow(
        expect.objectContaining({
          code: 'ERR_APP_INTERFACE',
          message: `app needs the node interface, ${why}, and that is not available in this version`,
        }),
      )
    }
  })

  test('a function with 2 arguments is told of the interfaces that would take it', () => {
    expect(() => selectInterface((_a: unknown, _b: unknown): void => {})).toThrow(/--interface rsgi.*--interface fetch/)
  })
})

describe('definitions', () => {
  test('defineApp returns the same application and adds nothing that a loop sees', () => {
    const app = { fetch: method }
    expect(defineApp(app, { interface: 'fetch' })).toBe(app)
    expect(Object.keys(app)).toEqual(['fetch'])
    expect(defineApp(app, { interface: 'rsgi' })).toBe(app)
    expect(recognizeInterface(app)?.interface).toBe('rsgi')
  })

  test('defineApp refuses what it cannot mark', () => {
    expect(() => defineApp(Object.freeze({ fetch: method }), { interface: 'fetch' })).toThrow(
      expect.objectContaining({ code: 'ERR_APP' }),
    )
    expect(() => defineApp('app' as never, { interface: 'fetch' })).toThrow(
      expect.objectContaining({ code: 'ERR_APP' }),
    )
  })

  test('defineConfig knows the keys and the forms of their values', () => {
    const configs = [
      // @ts-expect-error a name that is no option
      defineConfig({ bnd: ':1' }),
      // @ts-expect-error a time without a unit it knows
      defineConfig({ keepAlive: '5 minutes' }),
      // @ts-expect-error a size without a unit it knows
      defineConfig({ maxBody: '1t' }),
      // @ts-expect-error no interface
      defineConfig({ interface: 'wsgi' }),
      // @ts-expect-error a switch
      defineConfig({ allowHalfOpen: 'on' }),
      defineConfig({ bind: [':1', 'unix:/a'], workers: 'auto', keepAlive: '500ms', maxBody: 1024, timeout: undefined }),
      defineConfig(async () => ({ interface: 'asgi' })),
    ]
    expect(configs).toHaveLength(7)
  })

  test('defineConfig returns its argument', () => {
    const config = { bind: ':8080', keepAlive: '30s' } as const
    expect(defineConfig(config)).toBe(config)
  })
})
