/** The request of the fetch interface: what it says, and that it passes for the platform's. */
import { EventEmitter, once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'

import { describe, expect, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { RawClient, request as ask, turns } from './harness/client.ts'
import { collectGarbage } from './harness/garbage.ts'
import { expectLog } from './harness/logs.ts'
import { CutError } from './harness/reader.ts'

import type { FetchInfo, ServerRequest } from '../dist/index.js'

/** Undici keeps the state of its objects in private fields from Node 24 on: nobody else can provide it there. */
const ACCEPTS_OURS = Number(process.versions.node.split('.')[0]) < 24

describe('passing for the platform’s', () => {
  test('is a Request to instanceof, with every member, which all can be read', async () => {
    const members = Object.getOwnPropertyNames(Request.prototype)
    let seen: unknown
    const server = await serveApp((request: ServerRequest) => {
      const values = members.map((name) => typeof Reflect.get(request, name))
      seen = [request instanceof Request, String(request), members.filter((name) => !(name in request)), values.length]
      return new Response()
    })
    await ask(server)
    expect(seen).toEqual([true, '[object Request]', [], members.length])
  })

  test('what it says of itself is what a new Request says', async () => {
    const names = [
      'cache',
      'credentials',
      'destination',
      'duplex',
      'integrity',
      'keepalive',
      'mode',
      'redirect',
    ] as const
    const more = [
      'referrer',
      'referrerPolicy',
      'bodyUsed',
      'body',
      'isHistoryNavigation',
      'isReloadNavigation',
    ] as const
    let ours: unknown
    const describeRequest = (request: Request): unknown => [...names, ...more].map((name) => Reflect.get(request, name))
    const server = await serveApp((request: ServerRequest) => {
      ours = describeRequest(request)
      return new Response()
    })
    await ask(server)
    expect(ours).toEqual(describeRequest(new Request('http://localhost/')))
  })

  test('gives the same objects each time, and takes properties of the application', async () => {
    let seen: unknown
    const server = await serveApp((request: ServerRequest & { params?: unknown }) => {
      request.params = { id: 1 }
      seen = [
        request.headers === request.headers,
        request.signal === request.signal,
        request.url === request.url,
        request.params,
      ]
      return new Response()
    })
    await ask(server)
    expect(seen).toEqual([true, true, true, { id: 1 }])
  })

  test('console.log shows it', async () => {
    let text = ''
    const server = await serveApp((request: ServerRequest) => {
      text = inspect(request)
      return new Response()
    })
    await ask(server, { path: '/a' })
    expect(text).toContain("Request {\n  method: 'GET',\n  url: 'http://example.test/a',\n  headers: Headers {")
  })

  test('is an init for new Request(url, request)', async () => {
    const server = await serveApp(async (request: ServerRequest) => {
      const copy = new Request('http://other.test/', request)
      return Response.json([copy.method, copy.url, copy.headers.get('x-a'), await copy.text(), request.bodyUsed])
    })
    const { text } = await ask(server, { method: 'PUT', headers: [['x-a', '1']], body: 'hello' })
    expect(JSON.parse(text)).toEqual(['PUT', 'http://other.test/', '1', 'hello', true])
  })

  test(`is ${ACCEPTS_OURS ? 'an' : 'no'} input for new Request(request) of this Node`, async () => {
    const server = await serveApp(async (request: ServerRequest) => {
      try {
        const copy = new Request(request, { headers: { 'x-b': '2' } })
        const seen = [copy.method, copy.url, [...copy.headers], await copy.text(), request.bodyUsed]
        const second = errorNameOf(() => new Request(request))
        const third = await new Request(request, { method: 'POST', body: 'new' }).text()
        return Response.json([...seen, second, third])
      } catch (error) {
        return Response.json((error as Error).name)
      }
    })
    const { text } = await ask(server, { method: 'POST', path: '/a', headers: [['x-a', '1']], body: 'hello' })
    expect(JSON.parse(text)).toEqual(
      ACCEPTS_OURS ? ['POST', 'http://example.test/a', [['x-b', '2']], 'hello', true, 'TypeError', 'new'] : 'TypeError',
    )
  })

  test('a clone of it is the platform’s, everywhere', async () => {
    const server = await serveApp(async (request: ServerRequest) => {
      const copy = new Request(request.clone(), { headers: { 'x-b': '2' } })
      return Response.json([copy.method, copy.url, [...copy.headers], await copy.text(), await request.text()])
    })
    const { text } = await ask(server, { method: 'POST', path: '/a', body: 'hello' })
    expect(JSON.parse(text)).toEqual(['POST', 'http://example.test/a', [['x-b', '2']], 'hello', 'hello'])
  })
})

describe('signal', () => {
  /** An application that keeps nothing but the signal, and what it got. */
  function keeper(): { app: (request: ServerRequest) => Promise<Response>; signal: Promise<AbortSignal> } {
    let give!: (signal: AbortSignal) => void
    const signal = new Promise<AbortSignal>((resolve) => {
      give = resolve
    })
    const app = (request: ServerRequest): Promise<Response> => {
      give(request.signal)
      return new Promise(() => {})
    }
    return { app, signal }
  }

  test('aborts when the client leaves, also if the application kept only the signal', async () => {
    const { app, signal } = keeper()
    const server = await serveApp(app)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    const aborted = once(await signal, 'abort')
    collectGarbage()
    await client.close()
    await aborted
    const { reason } = await signal
    expect([reason.name, reason instanceof DOMException, reason.cause.code]).toEqual([
      'AbortError',
      true,
      'ERR_CLIENT_DISCONNECTED',
    ])
  })

  test('is aborted already when it is read after the client has left', async () => {
    let seen: unknown
    const server = await serveApp(async (request: ServerRequest) => {
      await request.text().catch(() => {})
      seen = [request.signal.aborted, (request.signal.reason as Error).name]
      return new Response('nobody reads this')
    })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf')
    await client.close()
    await atRest(server)
    expect(seen).toEqual([true, 'AbortError'])
  })

  test('does not abort after a normal end, also not when the client leaves then', async () => {
    const signals: AbortSignal[] = []
    const server = await serveApp((request: ServerRequest) => {
      signals.push(request.signal)
      return new Response('x')
    })
    const client = await RawClient.connect(server)
    await client.request()
    await client.close()
    await atRest(server)
    expect(signals.map(({ aborted }) => aborted)).toEqual([false])
  })

  test('ends what the application waits for, whose rejection is no failure', async () => {
    let outcome: unknown
    const server = await serveApp(async (request: ServerRequest) => {
      try {
        await once(new EventEmitter(), 'never', { signal: request.signal })
      } catch (error) {
        outcome = (error as Error).name
        throw error
      }
      return new Response()
    })
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await expect.poll(() => server.stats().requests).toBe(1)
    await client.close()
    await atRest(server)
    expect(outcome).toBe('AbortError')
  })
})

describe('extras', () => {
  test('ip, runtime and info say where the request comes from and where it runs', async () => {
    let seen: unknown
    const app = (request: ServerRequest, info: FetchInfo): Response => {
      seen = [request.ip, request.runtime.name, { ...info.remoteAddr, port: typeof info.remoteAddr.port }]
      return new Response()
    }
    const server = await serveApp(app, { interface: 'fetch' })
    await ask(server)
    expect(seen).toEqual(['127.0.0.1', 'node', { transport: 'tcp', hostname: '127.0.0.1', port: 'number' }])
  })

  test('info.remoteAddr of a Unix socket has no address', async () => {
    const path = join(tmpdir(), `gneiss-info-${process.pid}.sock`)
    const server = await serveApp((_request: ServerRequest, info: FetchInfo) => Response.json(info.remoteAddr), {
      bind: `unix:${path}`,
      interface: 'fetch',
    })
    expect(JSON.parse((await ask(server)).text)).toEqual({ transport: 'unix', hostname: '', port: 0 })
  })

  test('closing the server waits for waitUntil, which may be taken out of its object', async () => {
    const done: string[] = []
    const releases: (() => void)[] = []
    const server = await serveApp(
      (request: ServerRequest, { waitUntil }: FetchInfo) => {
        const work = async (name: string): Promise<void> => {
          await new Promise<void>((resolve) => releases.push(resolve))
          done.push(name)
        }
        request.waitUntil(work('request'))
        waitUntil(work('info'))
        return new Response('x')
      },
      { interface: 'fetch' },
    )
    await ask(server)
    expect([done, server.stats().background]).toEqual([[], 2])
    const closed = server.close({ timeout: 5 })
    for (const release of releases) release()
    await closed
    expect([done, server.stats().background]).toEqual([['request', 'info'], 0])
  })

  test('a rejection that was given to waitUntil is logged', async () => {
    expectLog('a promise given to waitUntil was rejected')
    const server = await serveApp((request: ServerRequest) => {
      request.waitUntil(Promise.reject(new Error('late')))
      return new Response('x')
    })
    expect((await ask(server)).text).toBe('x')
  })

  test.each(['at once', 'later'])('info.completed is fulfilled when an answer given %s has left', async (when) => {
    let completed: Promise<void> | undefined
    const server = await serveApp(
      (_request: ServerRequest, info: FetchInfo) => {
        ;({ completed } = info)
        const response = new Response('x')
        return when === 'at once' ? response : new Promise<Response>((resolve) => setImmediate(() => resolve(response)))
      },
      { interface: 'fetch' },
    )
    expect((await ask(server)).text).toBe('x')
    await expect(completed).resolves.toBeUndefined()
  })

  test('info.completed rejects when the client leaves first, and nobody has to look at it', async () => {
    let give!: (completed: { readonly promise: Promise<void> }) => void
    const given = new Promise<{ readonly promise: Promise<void> }>((resolve) => {
      give = resolve
    })
    const app = (_request: ServerRequest, info: FetchInfo): Promise<Response> => {
      // In an object, because a promise in a promise would be waited for.
      give({ promise: info.completed })
      return new Promise(() => {})
    }
    const server = await serveApp(app, { interface: 'fetch' })
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    const { promise } = await given
    await client.close()
    await atRest(server)
    await expect(promise).rejects.toMatchObject({ code: 'ERR_CLIENT_DISCONNECTED' })
  })

  test('info.completed rejects when the answer was cut, also when it is read after that', async () => {
    expectLog('in the middle')
    const given: { readonly info: FetchInfo; readonly completed: Promise<void> }[] = []
    const server = await serveApp(
      (_request: ServerRequest, info: FetchInfo) => {
        given.push({ info, completed: info.completed })
        const pieces = async function* (): AsyncGenerator<string> {
          yield 'one'
          await turns(1)
          yield 'two'
          await turns(1)
          throw new Error('in the middle')
        }
        return new Response(pieces() as never)
      },
      { interface: 'fetch' },
    )
    await expect(ask(server)).rejects.toThrow(CutError)
    const [{ info, completed }] = given as [(typeof given)[0]]
    await expect(completed).rejects.toMatchObject({ message: 'The response was cut.' })
    await expect(info.completed).rejects.toMatchObject({ message: 'The response was cut.' })
  })

  test('info.completed has rejected when it is read after the client has left, and nobody has to look at it', async () => {
    let hasRead = false
    const app = async (request: ServerRequest, info: FetchInfo): Promise<Response> => {
      await request.text().catch(() => {})
      void info.completed
      hasRead = true
      return new Response()
    }
    const server = await serveApp(app, { interface: 'fetch' })
    const client = await RawClient.connect(server)
    await client.send('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf')
    await client.close()
    await atRest(server)
    expect(hasRead).toBe(true)
  })
})

function errorNameOf(run: () => unknown): string {
  try {
    run()
    return 'accepted'
  } catch (error) {
    return (error as Error).name
  }
}
