// node:http: `node node-http.js PORT APP`
import { createServer } from 'node:http'

import * as apps from '../apps/node.js'

const [port, app] = process.argv.slice(2)
createServer(apps[app]).listen({ port: Number(port), host: '127.0.0.1', backlog: 2048 })
