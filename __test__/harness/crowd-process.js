/**
 * Clients in a process of their own, so that what a test measures of its process is the server's alone:
 * an order by IPC, a report when all of them have done it. `crowd.ts` is the other end.
 */
import { connect } from 'node:net'

/** @typedef {import('./crowd.ts').Order} Order */

const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

/** @type {import('node:net').Socket[]} */
let staying = []

/** @type {{ [K in Order['kind']]: (order: Extract<Order, { kind: K }>) => Promise<object> }} */
const ORDERS = {
  async leave({ port, count, lanes, at }) {
    let seen = 0
    let begun = 0
    const lane = async () => {
      while (begun < count) {
        begun += 1
        const socket = await open(port)
        if (await reads(socket, at)) seen += 1
        await reset(socket)
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
    return { seen }
  },
  async stay({ port, count }) {
    staying = await Promise.all(Array.from({ length: count }, () => open(port, true)))
    return { seen: staying.length }
  },
  async reset() {
    await Promise.all(staying.map(reset))
    const seen = staying.length
    staying = []
    return { seen }
  },
}

process.on('message', (/** @type {Order} */ order) => {
  void ORDERS[order.kind](/** @type {never} */ (order)).then(
    (result) => process.send?.(result),
    (error) => process.send?.({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())

/**
 * A connection with a request on it; one that is deaf does not read.
 * @param {number} port
 * @returns {Promise<import('node:net').Socket>}
 */
function open(port, isDeaf = false) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      // A server that ends the connection is seen by what did not come.
      socket.on('error', () => undefined)
      if (isDeaf) socket.pause()
      socket.write(REQUEST, () => resolve(socket))
    })
  })
}

/**
 * Whether the text comes before the connection ends.
 * @param {import('node:net').Socket} socket
 * @param {string} text
 * @returns {Promise<boolean>}
 */
function reads(socket, text) {
  return new Promise((resolve) => {
    let received = ''
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
      if (received.includes(text)) resolve(true)
    })
    for (const event of ['end', 'close']) socket.on(event, () => resolve(false))
  })
}

/** @param {import('node:net').Socket} socket */
function reset(socket) {
  return new Promise((resolve) => {
    socket.once('close', resolve)
    socket.resetAndDestroy()
  })
}
