/** Start and stop of the application around serving. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, onTestFinished, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { serveBadEnd } from './harness/bad-end.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { capturedLog, expectLog } from './harness/logs.ts'
import { failureOf, pending } from './harness/promises.ts'

import type { AsgiApp, LifespanScope, Receive, RsgiProtocol, RsgiScope, Send } from '../dist/index.js'

type Lifespan = (scope: LifespanScope, receive: Receive, send: Send) => unknown

/** An application with this lifespan, which answers every request with its state. */
function appWith(lifespan: Lifespan): AsgiApp {
  return async (scope, receive, send) => {
    if (scope.type === 'lifespan') return lifespan(scope, receive, send)
    await send({ type: 'http.response.start', status: 200 })
    await send({ type: 'http.response.body', body: JSON.stringify(scope.state) })
    return undefined
  }
}

describe('asgi', () => {
  test('startup comes before the first request and shutdown after the last, in one call', async () => {
    const steps: string[] = []
    let scopeSeen: unknown
    const server = await serveApp(
      appWith(async (scope, receive, send) => {
        scopeSeen = scope
        steps.push((await receive()).type)
        await send({ type: 'lifespan.startup.complete' })
        steps.push((await receive()).type)
        await turns(2)
        await send({ type: 'lifespan.shutdown.complete' })
        steps.push('returned')
      }),
    )
    expect(steps).toEqual(['lifespan.startup'])
    expect(scopeSeen).toEqual({ type: 'lifespan', asgi: { version: '3.0', spec_version: '2.0' }, state: {} })
    await request(server)
    expect(steps).toEqual(['lifespan.startup'])
    await server.close()
    expect(steps).toEqual(['lifespan.startup', 'lifespan.shutdown', 'returned'])
  })

  test('serve waits for startup, and requests that come meanwhile wait too', async () => {
    const finished = pending()
    const folder = mkdtempSync(join(tmpdir(), 'gneiss-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const address = `unix:${join(folder, 'socket')}`
    const starting = serveApp(
      appWith(async (_scope, receive, send) => {
        await receive()
        await finished.promise
        await send({ type: 'lifespan.startup.complete' })
        await receive()
        await send({ type: 'lifespan.shutdown.complete' })
      }),
      { bind: address },
    )
    let isServing = false
    void starting.then(() => {
      isServing = true
    })
    const [early, gone] = [await RawClient.connect(address), await RawClient.connect(address)]
    await early.send('GET /early HTTP/1.1\r\nhost: a\r\n\r\n')
    await gone.send('GET /gone HTTP/1.1\r\nhost: a\r\n\r\n')
    await turns(5)
    await gone.close()
    await turns(5)
    expect([isServing, early.reader.received]).toEqual([false, 0])
    finished.resolve()
    expect((await early.read()).status).toBe(200)
    expect((await starting).stats().requestsTotal).toBe(2)
  })

  test('state is copied into every scope, shallowly', async () => {
    const shared = { hits: 0 }
    const server = await serveApp(async (scope, receive, send) => {
      if (scope.type === 'lifespan') {
        await receive()
        Object.assign(scope.state, { shared, name: 'first' })
        await send({ type: 'lifespan.startup.complete' })
        await receive()
        await send({ type: 'lifespan.shutdown.complete' })
        return
      }
      expect(scope.state.shared).toBe(shared)
      shared.hits += 1
      const { name } = scope.state
      scope.state.name = 'changed'
      await send({ type: 'http.response.start', status: 200 })
      await send({ type: 'http.response.body', body: `${String(name)} ${shared.hits}` })
    })
    expect([(await request(server)).text, (await request(server)).text]).toEqual(['first 1', 'first 2'])
  })

  test('startup.failed rejects serve with its message, and nothing stays open', async () => {
    const error = await failureOf(
      serveApp(
        appWith(async (_scope, receive, send) => {
          await receive()
          await send({ type: 'lifespan.startup.failed', message: 'no database' })
        }),
      ),
    )
    expect(error).toMatchObject({ code: 'ERR_LIFESPAN_STARTUP', exitCode: 3 })
    expect(String(error)).toContain('no database')
    expect(process.getActiveResourcesInfo().filter((name) => /Server|Poll/i.test(name))).toEqual([])
  })

  test('a throw after startup.failed belongs to it', async () => {
    const error = await failureOf(
      serveApp(
        appWith(async (_scope, receive, send) => {
          await receive()
          await send({ type: 'lifespan.startup.failed' })
          throw new Error('and throws')
        }),
      ),
    )
    expect(error).toMatchObject({ code: 'ERR_LIFESPAN_STARTUP' })
  })

  test.each<[string, Lifespan]>([
    [
      'throws',
      () => {
        throw new Error('http only')
      },
    ],
    ['rejects', async () => Promise.reject(new Error('http only'))],
    ['returns', () => undefined],
    ['answers as if it were a request', (_scope, _receive, send) => send({ type: 'http.response.start', status: 200 })],
  ])('auto: an application that %s does not support lifespan, and is served', async (_how, lifespan) => {
    const server = await serveApp(appWith(lifespan))
    expect((await request(server)).text).toBe('{}')
    expect(capturedLog()).toContain('lifespan is not supported')
    await server.close()
  })

  test.each<[string, Lifespan]>([
    [
      'throws',
      () => {
        throw new Error('the cause')
      },
    ],
    ['returns', () => undefined],
  ])('on: an application that %s is an error', async (_how, lifespan) => {
    const error = await failureOf(serveApp(appWith(lifespan), { lifespan: 'on' }))
    expect(error).toMatchObject({ code: 'ERR_LIFESPAN_STARTUP' })
    if (_how === 'throws') expect(error).toMatchObject({ cause: new Error('the cause') })
  })

  test('off: the application is not told', async () => {
    let calls = 0
    const server = await serveApp(
      appWith(() => {
        calls += 1
      }),
      { lifespan: 'off' },
    )
    expect((await request(server)).text).toBe('{}')
    await server.close()
    expect(calls).toBe(0)
  })

  test.each([
    ['an unknown message', 'lifespan.unknown'],
    ['no type', undefined],
    ['shutdown before startup', 'lifespan.shutdown.complete'],
  ])('%s is ERR_MESSAGE', async (_what, type) => {
    let code: unknown
    const server = await serveApp(
      appWith(async (_scope, receive, send) => {
        await receive()
        await send({ type } as never).catch((error: { code: string }) => {
          code = error.code
        })
        await send({ type: 'lifespan.startup.complete' })
        await receive()
        await send({ type: 'lifespan.shutdown.complete' })
      }),
    )
    await server.close()
    expect(code).toBe('ERR_MESSAGE')
  })

  test('shutdown.failed rejects close after everything else is closed', async () => {
    const server = await serveBadEnd(
      appWith(async (_scope, receive, send) => {
        await receive()
        await send({ type: 'lifespan.startup.complete' })
        await receive()
        await send({ type: 'lifespan.shutdown.failed', message: 'could not flush' })
      }),
    )
    const { url } = server
    const error = await failureOf(server.close())
    expect(error).toMatchObject({ code: 'ERR_LIFESPAN_SHUTDOWN' })
    expect(String(error)).toContain('could not flush')
    await expect(RawClient.connect(url)).rejects.toThrow('ECONNREFUSED')
    expect(await failureOf(server.close())).toBe(error)
  })

  test('a throw during shutdown rejects close with its cause, a return is a clean end', async () => {
    const stopping = (end: () => void): Promise<unknown> =>
      serveBadEnd(
        appWith(async (_scope, receive, send) => {
          await receive()
          await send({ type: 'lifespan.startup.complete' })
          await receive()
          end()
        }),
      ).then((server) => failureOf(server.close()))
    const cause = new Error('in shutdown')
    expect(
      await stopping(() => {
        throw cause
      }),
    ).toMatchObject({ code: 'ERR_LIFESPAN_SHUTDOWN', cause })
    expect(await stopping(() => undefined)).toBe(undefined)
  })

  test('a shutdown that hangs is given up after the timeout and a second', async () => {
    const server = await serveBadEnd(
      appWith(async (_scope, receive, send) => {
        await receive()
        await send({ type: 'lifespan.startup.complete' })
        await new Promise(() => {})
      }),
    )
    const before = performance.now()
    const error = await failureOf(server.close({ timeout: '100ms' }))
    expect(error).toMatchObject({ code: 'ERR_LIFESPAN_SHUTDOWN' })
    expect(performance.now() - before).toBeLessThan(5000)
  })

  test('a lifespan that ends with an error while the server serves is logged, and serving goes on', async () => {
    expectLog('the lifespan of the application ended with an error')
    const server = await serveApp(
      appWith(async (_scope, receive, send) => {
        await receive()
        await send({ type: 'lifespan.startup.complete' })
        await turns(2)
        throw new Error('too early')
      }),
    )
    await turns(5)
    expect((await request(server)).text).toBe('{}')
    await server.close()
  })
})

describe('rsgi', () => {
  class App {
    readonly steps: string[] = []
    async __rsgi_init__(state: Record<string, unknown>): Promise<void> {
      await turns(2)
      state.ready = this.steps
      this.steps.push('init')
    }
    __rsgi__({ state }: RsgiScope, protocol: RsgiProtocol): void {
      this.steps.push('request')
      protocol.responseStr(200, [], String(state.ready === this.steps))
    }
    async __rsgi_del__(): Promise<void> {
      await turns(2)
      this.steps.push('del')
    }
  }

  test('__rsgi_init__ comes before the first request and __rsgi_del__ after the last; both may be async', async () => {
    const app = new App()
    const server = await serveApp(app)
    expect(app.steps).toEqual(['init'])
    expect((await request(server)).text).toBe('true')
    await server.close()
    await server.close()
    expect(app.steps).toEqual(['init', 'request', 'del'])
  })

  test('a failing __rsgi_init__ rejects serve, and __rsgi_del__ is not called', async () => {
    const cause = new Error('no database')
    let ends = 0
    const app = {
      __rsgi__() {},
      __rsgi_init__() {
        throw cause
      },
      __rsgi_del__() {
        ends += 1
      },
    }
    expect(await failureOf(serveApp(app))).toMatchObject({ code: 'ERR_LIFESPAN_STARTUP', cause })
    expect(ends).toBe(0)
  })

  test('a failing __rsgi_del__ rejects close', async () => {
    const cause = new Error('could not flush')
    const app = {
      __rsgi__() {},
      __rsgi_del__() {
        return Promise.reject(cause)
      },
    }
    const server = await serveBadEnd(app)
    expect(await failureOf(server.close())).toMatchObject({ code: 'ERR_LIFESPAN_SHUTDOWN', cause })
  })

  test('off: neither is called', async () => {
    const app = new App()
    const server = await serveApp(app, { lifespan: 'off' })
    await request(server)
    await server.close()
    expect(app.steps).toEqual(['request'])
  })

  test('on: an application without them is served', async () => {
    const server = await serveApp((_scope: RsgiScope, protocol: RsgiProtocol) => protocol.responseEmpty(204), {
      interface: 'rsgi',
      lifespan: 'on',
    })
    expect((await request(server)).status).toBe(204)
  })
})

test('fetch applications have no lifespan', async () => {
  let calls = 0
  await serveApp(
    () => {
      calls += 1
      return new Response('x')
    },
    { lifespan: 'on' },
  )
  expect(calls).toBe(0)
})
