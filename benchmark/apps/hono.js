/**
 * One Hono application, served by gneiss and by @hono/node-server.
 */
import { Hono } from '../rivals/node_modules/hono/dist/index.js'
import { HELLO, needHost } from './content.js'

export const hello = new Hono()

hello.get('/', (context) => {
  needHost(context.req.header('host'))
  return context.text(HELLO)
})
