/** A client of a few lines for the matrix: it leaves where the case says, and tells what it saw. */
import { connect } from 'node:net'

const HEAD_END = '\r\n\r\n'

/** @typedef {{ status: number, isComplete: boolean, body: string }} Seen */

/**
 * @param {number} port
 * @param {import('./dimensions.js').Case} one
 * @param {Promise<unknown>} running Settles when the handler runs.
 * @returns {Promise<Seen>}
 */
export async function visit(port, one, running) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let text = ''
  /** @type {() => void} */
  let wake = () => undefined
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => {
    text += chunk
    wake()
  })
  const ended = new Promise((resolve) => {
    for (const event of ['end', 'error', 'close']) socket.on(event, () => resolve(wake()))
  })
  let isEnded = false
  void ended.then(() => {
    isEnded = true
  })
  /** @param {() => boolean} isThere */
  const until = async (isThere) => {
    while (!isThere() && !isEnded) {
      await Promise.race([
        ended,
        new Promise((resolve) => {
          wake = () => resolve(undefined)
        }),
      ])
    }
  }
  await new Promise((resolve) => {
    socket.once('connect', resolve)
    socket.once('error', resolve)
  })
  const { bytes, stay } = planOf(one)
  if (bytes !== '') socket.write(bytes)
  if (stay === 'handler') await Promise.race([running, ended])
  else if (stay === 'head') await until(() => text.includes(HEAD_END))
  else if (stay === 'body') await until(() => text.length > text.indexOf(HEAD_END) + 8 && text.includes(HEAD_END))
  else if (stay === 'end') await until(() => readAnswer(text, false).isComplete)
  else await new Promise((resolve) => setImmediate(resolve))
  leave(socket, one.departure)
  if (one.departure === 'half-close') await ended
  socket.destroy()
  return readAnswer(text, isEnded)
}

/** @param {import('./dimensions.js').Case} one */
function planOf({ disconnect, handler, environment }) {
  const get = 'GET /case HTTP/1.1\r\nhost: a\r\n\r\n'
  const post = 'POST /case HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n'
  // Who never gets an answer leaves while it waits for one.
  const isSilent =
    (handler === 'never' || handler === 'rejects after the disconnect') && environment !== 'handler timeout'
  switch (disconnect) {
    case 'before a byte':
      return { bytes: '', stay: 'turn' }
    case 'in the head':
      return { bytes: get.slice(0, 20), stay: 'turn' }
    case 'behind the head':
      return { bytes: post, stay: 'turn' }
    case 'in the request body':
      return { bytes: `${post}12345`, stay: 'handler' }
    case 'while the handler runs':
      return { bytes: get, stay: 'handler' }
    case 'behind the response head':
      return { bytes: get, stay: isSilent ? 'handler' : 'head' }
    case 'in the response body':
      return { bytes: `${post}1234567890`, stay: isSilent ? 'handler' : 'body' }
    case 'behind a pipelined request':
      return { bytes: get + get + get, stay: isSilent ? 'handler' : 'head' }
    default:
      return { bytes: `${post}1234567890`, stay: isSilent ? 'handler' : 'end' }
  }
}

/**
 * @param {import('node:net').Socket} socket
 * @param {string} departure
 */
function leave(socket, departure) {
  if (departure === 'RST') socket.resetAndDestroy()
  else socket.end()
}

/**
 * The first answer of what came. It is complete only if its own framing says so.
 * @param {string} text
 * @param {boolean} isEnded
 * @returns {Seen}
 */
function readAnswer(text, isEnded) {
  const at = text.indexOf(HEAD_END)
  const status = Number(text.slice(9, 12))
  if (at < 0) return { status: 0, isComplete: isEnded && text === '', body: '' }
  const head = text.slice(0, at).toLowerCase()
  const rest = text.slice(at + HEAD_END.length)
  const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1]
  if (length !== undefined || status === 204) {
    const size = Number(length ?? 0)
    return { status, isComplete: rest.length >= size, body: rest.slice(0, size) }
  }
  let body = ''
  for (let from = 0; ;) {
    const line = rest.indexOf('\r\n', from)
    const size = Number.parseInt(rest.slice(from, line), 16)
    if (line < 0 || Number.isNaN(size)) return { status, isComplete: false, body }
    if (size === 0) return { status, isComplete: rest.startsWith('\r\n', line + 2), body }
    body += rest.slice(line + 2, line + 2 + size)
    from = line + 2 + size + 2
  }
}
