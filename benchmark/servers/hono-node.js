// Hono on @hono/node-server: `node hono-node.js PORT APP`
import * as apps from '../apps/hono.js'
import { serve } from '../rivals/node_modules/@hono/node-server/dist/index.mjs'

const [port, app] = process.argv.slice(2)
serve({ fetch: apps[app].fetch, port: Number(port), hostname: '127.0.0.1' })
