/** For applications that do not stop cleanly: what they leave behind is checked all the same. */
import { serve } from '../../dist/index.js'
import { leftGauges } from './gauges.ts'
import { onTeardown } from './teardown.ts'

import type { App, Options, Server } from './app.ts'

/** Serves an application whose stop may fail or be late. The test asserts how; the server itself must be gone after it. */
export async function serveBadEnd(app: App, options: Options = {}): Promise<Server> {
  const server = await serve(app, { bind: '127.0.0.1:0', ...options })
  onTeardown('servers', async () => {
    await server.close({ timeout: 0 }).catch(() => undefined)
    const left = leftGauges(server.stats())
    if (left.length > 0) throw new Error(`the closed server has left behind: ${left.join(', ')}`)
  })
  return server
}
