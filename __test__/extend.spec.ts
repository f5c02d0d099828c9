/** A request that asks for another deadline than the options give it, through each interface. */
import { setTimeout as after } from 'node:timers/promises'

import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { RawClient, request } from './harness/client.ts'
import { CutError } from './harness/reader.ts'

import type { AsgiApp, FetchInfo, RsgiProtocol, ServerRequest } from '../dist/index.js'
import type { App, Options, Server } from './harness/app.ts'

/** What the handlers do: ask for time, wait, answer; with pieces, wait between two of them. */
interface Plan {
  readonly extend: number | undefined
  /** Milliseconds, or for ever. */
  readonly wait: number
  readonly inPieces?: boolean
  aborted(error: unknown): void
}

/** Settles after so many milliseconds, or never: a handler that is to be too late must not depend on a clock. */
function passed(milliseconds: number): Promise<void> {
  return milliseconds === Infinity ? new Promise(() => {}) : after(milliseconds)
}

const INTERFACES: Readonly<Record<string, (plan: Plan) => App>> = {
  rsgi: ({ extend, wait, inPieces, aborted }) => ({
    async __rsgi__(_scope, protocol: RsgiProtocol) {
      protocol.signal.addEventListener('abort', () => aborted(protocol.signal.reason))
      const stream = inPieces === true ? protocol.responseStream(200) : undefined
      if (extend !== undefined) protocol.extend(extend)
      await passed(wait)
      if (stream === undefined) protocol.responseStr(200, [], 'late')
      else {
        stream.sendStr('late')?.catch(() => {})
        stream.end()
      }
    },
  }),
  fetch: ({ extend, wait, inPieces, aborted }) => ({
    async fetch(incoming: ServerRequest, info: FetchInfo) {
      incoming.signal.addEventListener('abort', () => aborted((incoming.signal.reason as Error).cause))
      const { extend: ask } = wait % 2 === 0 ? incoming : info
      if (inPieces !== true) {
        if (extend !== undefined) ask(extend)
        await passed(wait)
        return new Response('late')
      }
      async function* pieces(): AsyncGenerator<Uint8Array> {
        yield Buffer.from('not too ')
        // The head has left by now, so this is about the silence.
        await after(50)
        if (extend !== undefined) ask(extend)
        await passed(wait)
        yield Buffer.from('late')
      }
      return new Response(pieces() as unknown as ReadableStream)
    },
  }),
  asgi: ({ extend, wait, inPieces, aborted }): AsgiApp => {
    return async (scope, receive, send) => {
      if (scope.type !== 'http') throw new Error('no lifespan')
      void receive()
        .then(() => receive())
        .then(() => send({ type: 'http.response.body', more_body: true }))
        .catch((error: unknown) => aborted(error))
      const start = {
        type: 'http.response.start',
        status: 200,
        headers: [['content-type', 'text/event-stream']],
      } as const
      if (inPieces === true) await send(start)
      if (extend !== undefined) await send({ type: 'gneiss.timeout', seconds: extend })
      await passed(wait)
      if (inPieces !== true) await send({ type: 'http.response.start', status: 200 })
      await send({ type: 'http.response.body', body: 'late' })
    }
  },
}

async function serve(name: string, plan: Omit<Plan, 'aborted'>, options: Options): Promise<Served> {
  let tell!: (error: unknown) => void
  const aborted = new Promise((resolve) => {
    tell = resolve
  })
  const server = await serveApp(INTERFACES[name]?.({ ...plan, aborted: tell }) as App, options)
  return { server, aborted }
}

interface Served {
  readonly server: Server
  readonly aborted: Promise<unknown>
}

describe.each(Object.keys(INTERFACES))('%s', (name) => {
  test('without asking, the request ends at requestTimeout and the application is told', async () => {
    const { server, aborted } = await serve(name, { extend: undefined, wait: Infinity }, { requestTimeout: '100ms' })
    expect((await request(server)).status).toBe(504)
    expect(await aborted).toMatchObject({ code: 'ERR_REQUEST_TIMEOUT' })
  })

  test.each([
    [10, 300],
    [0, 301],
  ])('with %d seconds asked for, it is answered later', async (extend, wait) => {
    const { server } = await serve(name, { extend, wait }, { requestTimeout: '100ms' })
    expect(await request(server)).toMatchObject({ status: 200, text: 'late' })
  })

  test('with less time asked for, it ends earlier', async () => {
    const { server, aborted } = await serve(name, { extend: 0.1, wait: Infinity }, {})
    expect((await request(server)).status).toBe(504)
    expect(await aborted).toMatchObject({ code: 'ERR_REQUEST_TIMEOUT' })
  })

  test('an answer that is silent is cut at responseIdleTimeout, and goes on where more was asked for', async () => {
    const options: Options = { responseIdleTimeout: '200ms' }
    const silent = await serve(name, { extend: undefined, wait: Infinity, inPieces: true }, options)
    const client = await RawClient.connect(silent.server)
    await expect(client.request()).rejects.toThrow(CutError)
    expect(await silent.aborted).toMatchObject({ code: 'ERR_RESPONSE_TIMEOUT' })
    for (const extend of [0, 5]) {
      const { server } = await serve(name, { extend, wait: 500, inPieces: true }, options)
      expect((await request(server)).text).toMatch(/late$/)
    }
  })
})

test('what is no time is refused, and a request that is over says so', async () => {
  const found: unknown[] = []
  const server = await serveApp({
    __rsgi__(_scope, protocol) {
      for (const wrong of [-1, NaN, Infinity, '5', undefined]) {
        try {
          protocol.extend(wrong as number)
        } catch (error) {
          found.push((error as { code?: unknown }).code)
        }
      }
      found.push(protocol.extend(1))
      protocol.responseEmpty(204)
      found.push(protocol.extend(1))
    },
  })
  await request(server)
  expect(found).toEqual([...Array.from({ length: 5 }, () => 'ERR_OPTION'), true, false])
})
