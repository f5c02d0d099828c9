/** One `Response`, served through each interface by the helpers of `gneiss/streaming`. */
import { sendAsgi, sendRsgi } from '../../dist/streaming.js'
import { serveApp } from './app.ts'

import type { AsgiApp, RsgiApp } from '../../dist/index.js'
import type { App, Options, Server } from './app.ts'
import type { Interface } from './interfaces.ts'

/** Makes the response for a path. */
export type Maker = (path: string) => Response | Promise<Response>

/** An application that answers with what `make` gives. */
export function responseApp(name: Interface, make: Maker): App {
  if (name === 'fetch') return (request: Request) => make(new URL(request.url).pathname)
  if (name === 'rsgi') {
    const app: RsgiApp = { __rsgi__: async (scope, protocol) => sendRsgi(await make(scope.path), protocol) }
    return app
  }
  const app: AsgiApp = async (scope, receive, send) => {
    if (scope.type !== 'http') throw new Error('http only')
    await sendAsgi(await make(scope.path), receive, send)
  }
  return app
}

/** Serves what `make` gives through the interface, as `serveApp` does. */
export function serveResponse(name: Interface, make: Maker, options: Options = {}): Promise<Server> {
  return serveApp(responseApp(name, make), { interface: name, lifespan: 'off', ...options })
}
