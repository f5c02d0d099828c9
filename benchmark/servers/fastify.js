// Fastify: `node fastify.js PORT APP`
import * as apps from '../apps/fastify.js'
import { fastify } from '../rivals/node_modules/fastify/fastify.js'

const [port, app] = process.argv.slice(2)
const server = fastify()
apps[app](server)
await server.listen({ port: Number(port), host: '127.0.0.1', backlog: 2048 })
