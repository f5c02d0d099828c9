/** One handler, written once and served through each interface: for rules that hold for all of them. */
import { Response as LightResponse } from '../../dist/index.js'
import { serveApp } from './app.ts'

import type { App, Options, Server } from './app.ts'

/** The interfaces a test runs through. */
export const INTERFACES = ['asgi', 'rsgi', 'fetch'] as const

/** One of `INTERFACES`. */
export type Interface = (typeof INTERFACES)[number]

/** A streamed answer. */
export interface Sink {
  /** A promise while the client is slower than the handler. */
  write(data: string | Uint8Array): Promise<unknown> | undefined
  end(): unknown
}

/** What a handler can do, in the words of no interface. */
export interface Call {
  readonly method: string
  readonly path: string
  /** Runs each time the interface says that the client has gone. */
  onAbort(listener: () => void): void
  /** The next piece of the request body, undefined after the last one. */
  read(): Promise<Uint8Array | undefined>
  respond(status: number, headers: readonly (readonly [string, string])[], body: string): unknown
  stream(status: number, headers: readonly (readonly [string, string])[]): Promise<Sink>
}

/** A handler in the words of no interface. */
export type Handler = (call: Call) => unknown

/** The handler as an application of the interface, with the options that serve it. */
function appFor(name: Interface, handler: Handler): { readonly app: App; readonly options: Options } {
  const make = { asgi: asgiApp, rsgi: rsgiApp, fetch: fetchApp }[name]
  return { app: make(handler) as App, options: { interface: name, lifespan: 'off' } }
}

/** Serves the handler through the interface, as `serveApp` does. */
export function serveHandler(name: Interface, handler: Handler, options: Options = {}): Promise<Server> {
  const served = appFor(name, handler)
  return serveApp(served.app, { ...served.options, ...options })
}

interface AsgiMessage {
  readonly type: string
  readonly body: Uint8Array
  readonly more_body: boolean
}

function asgiApp(handler: Handler): unknown {
  return async (
    scope: { method: string; path: string },
    receive: () => Promise<AsgiMessage>,
    send: (message: object) => Promise<void>,
  ): Promise<void> => {
    const listeners: (() => void)[] = []
    let isWatching = false
    // ASGI has one queue for both: who waits for the disconnect gets what is left of the body first.
    const watch = async (): Promise<void> => {
      for (;;) if ((await receive()).type === 'http.disconnect') break
      for (const listener of listeners) listener()
    }
    let hasMore = true
    await handler({
      method: scope.method,
      path: scope.path,
      onAbort(listener) {
        listeners.push(listener)
        if (!isWatching) void watch()
        isWatching = true
      },
      async read() {
        if (!hasMore) return undefined
        const message = await receive()
        if (message.type !== 'http.request') throw new Error('the client has gone')
        hasMore = message.more_body
        return message.body
      },
      async respond(status, headers, body) {
        await send({ type: 'http.response.start', status, headers })
        await send({ type: 'http.response.body', body })
      },
      async stream(status, headers) {
        await send({ type: 'http.response.start', status, headers })
        return {
          write: (body) => send({ type: 'http.response.body', body, more_body: true }),
          end: () => send({ type: 'http.response.body' }),
        }
      },
    })
  }
}

interface RsgiProtocol extends AsyncIterable<Uint8Array> {
  readonly signal: AbortSignal
  responseStr(status: number, headers: readonly (readonly [string, string])[], body: string): void
  responseStream(
    status: number,
    headers: readonly (readonly [string, string])[],
  ): {
    sendStr(data: string): Promise<void> | undefined
    sendBytes(data: Uint8Array): Promise<void> | undefined
    end(): void
  }
}

function rsgiApp(handler: Handler): unknown {
  return (scope: { method: string; path: string }, protocol: RsgiProtocol): unknown => {
    let chunks: AsyncIterator<Uint8Array> | undefined
    return handler({
      method: scope.method,
      path: scope.path,
      onAbort: (listener) => protocol.signal.addEventListener('abort', listener),
      async read() {
        chunks ??= protocol[Symbol.asyncIterator]()
        const { done, value } = await chunks.next()
        return done === true ? undefined : value
      },
      respond: (status, headers, body) => protocol.responseStr(status, headers, body),
      async stream(status, headers) {
        const stream = protocol.responseStream(status, headers)
        return {
          write: (data) => (typeof data === 'string' ? stream.sendStr(data) : stream.sendBytes(data)),
          end: () => stream.end(),
        }
      },
    })
  }
}

/**
 * The handler runs on after it has given its head, as in the other interfaces. A whole answer is our
 * light `Response`, a streamed one the platform's, so that both kinds are served.
 */
function fetchApp(handler: Handler): unknown {
  return (request: Request): Promise<Response> =>
    new Promise((resolve, reject) => {
      const encoder = new TextEncoder()
      let reader: ReadableStreamDefaultReader<Uint8Array> | undefined
      let body: ReadableStreamDefaultController<Uint8Array> | undefined
      const call: Call = {
        method: request.method,
        path: new URL(request.url).pathname,
        onAbort: (listener) => request.signal.addEventListener('abort', listener),
        async read() {
          reader ??= request.body?.getReader()
          return (await reader?.read())?.value
        },
        respond: (status, headers, text) => resolve(new LightResponse(text, { status, headers: headersOf(headers) })),
        async stream(status, headers) {
          // The standard allows no body here at all, not even an empty one.
          if (status === 204 || status === 304) {
            resolve(new Response(null, { status, headers: headersOf(headers) }))
            return { write: () => undefined, end: () => undefined }
          }
          let room: (() => void) | undefined
          const source = new ReadableStream<Uint8Array>({
            start(controller) {
              body = controller
            },
            pull: () => room?.(),
          })
          resolve(new Response(source, { status, headers: headersOf(headers) }))
          return {
            write(data) {
              body?.enqueue(typeof data === 'string' ? encoder.encode(data) : data)
              if ((body?.desiredSize ?? 1) > 0) return undefined
              return new Promise<void>((wake) => {
                room = wake
              })
            },
            end: () => body?.close(),
          }
        },
      }
      const fail = (error: unknown): void => {
        body?.error(error)
        // Has no effect once the response was returned.
        reject(error)
      }
      try {
        void Promise.resolve(handler(call)).then(undefined, fail)
      } catch (error) {
        fail(error)
      }
    })
}

function headersOf(fields: readonly (readonly [string, string])[]): [string, string][] {
  return fields.map(([name, value]) => [name, value])
}
