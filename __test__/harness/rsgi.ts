/** RSGI applications for one test. */
import { serveApp } from './app.ts'

import type { RsgiApp, RsgiProtocol, RsgiScope } from '../../dist/index.js'
import type { Options, Server } from './app.ts'

/** Headers of a plain answer. */
export const TEXT = [['content-type', 'text/plain']] as const
/** The shortest request. */
export const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

/** Serves an RSGI application. */
export function serveRsgi(app: RsgiApp, options: Options = {}): Promise<Server> {
  return serveApp(app, { interface: 'rsgi', ...options })
}

/** Serves an application that hands `read(scope, protocol)` of the last request to the test. */
export async function serveReadingRsgi<T>(
  read: (scope: RsgiScope, protocol: RsgiProtocol) => T,
  options: Options = {},
): Promise<{ server: Server; last: () => T }> {
  const results: T[] = []
  const server = await serveRsgi((scope, protocol) => {
    results.push(read(scope, protocol))
    protocol.responseEmpty(204, [])
  }, options)
  return { server, last: () => results.at(-1) as T }
}
