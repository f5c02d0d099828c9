/** ASGI applications for one test. */
import { serveApp } from './app.ts'

import type { AsgiApp, HttpScope, Receive, Send } from '../../dist/index.js'
import type { Options, Server } from './app.ts'

/** A message that begins a plain answer. */
export const START = {
  type: 'http.response.start',
  status: 200,
  headers: [['content-type', 'text/plain']],
} as const
/** The shortest request. */
export const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

/** An ASGI application without lifespan. */
export type HttpApp = (scope: HttpScope, receive: Receive, send: Send) => unknown

/** Serves an ASGI application that answers requests only. */
export function serveAsgi(app: HttpApp, options: Options = {}): Promise<Server> {
  const whole: AsgiApp = (scope, receive, send) => {
    if (scope.type !== 'http') throw new Error('http only')
    return app(scope, receive, send)
  }
  return serveApp(whole, options)
}

/** Serves an application that hands `read(scope)` of the last request to the test. */
export async function serveReadingAsgi<T>(
  read: (scope: HttpScope) => T,
  options: Options = {},
): Promise<{ server: Server; last: () => T }> {
  const results: T[] = []
  const server = await serveAsgi(async (scope, _receive, send) => {
    results.push(read(scope))
    await send({ type: 'http.response.start', status: 204 })
    await send({ type: 'http.response.body' })
  }, options)
  return { server, last: () => results.at(-1) as T }
}
