/** A client of a few lines for the matrix: it leaves where the case says, and tells what it saw. */
import { connect } from 'node:net'

const HEAD_END = '\r\n\r\n'
/** So much of a body was seen when a client leaves within it. */
const BEGINNING = 4

/** @typedef {{ status: number, isComplete: boolean, body: string }} Seen */

/**
 * @param {number} port
 * @param {import('./dimensions.js').Case} one
 * @param {string} target Of each of its requests.
 * @param {Promise<unknown>} running Settles when the handler of the first one runs.
 * @returns {Promise<Seen>}
 */
export async function visit(port, one, target, running) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const answer = new Answer()
  let isEnded = false
  /** @type {() => void} */
  let wake = () => undefined
  socket.setEncoding('latin1')
  socket.on('data', (/** @type {string} */ chunk) => {
    answer.add(chunk)
    wake()
  })
  const ended = new Promise((resolve) => {
    const end = () => {
      isEnded = true
      wake()
      resolve(undefined)
    }
    for (const event of ['end', 'error', 'close']) socket.on(event, end)
  })
  /** @param {() => boolean} isThere */
  const until = async (isThere) => {
    while (!isThere() && !isEnded) {
      await new Promise((resolve) => {
        wake = () => resolve(undefined)
      })
    }
  }
  await new Promise((resolve) => {
    socket.once('connect', resolve)
    socket.once('error', resolve)
  })
  const { bytes, stay } = planOf(one, target)
  if (bytes !== '') socket.write(bytes)
  if (stay === 'handler') await Promise.race([running, ended])
  else if (stay === 'head') await until(() => answer.hasHead)
  else if (stay === 'body') await until(() => answer.bodyBytes > BEGINNING || answer.isComplete)
  else if (stay === 'end') await until(() => answer.isComplete)
  else await new Promise((resolve) => setImmediate(resolve))
  leave(socket, one.departure)
  if (one.departure === 'half-close') await ended
  socket.destroy()
  return answer.seen(isEnded)
}

/**
 * @param {import('./dimensions.js').Case} one
 * @param {string} target
 */
function planOf({ disconnect, handler, environment }, target) {
  const get = `GET ${target} HTTP/1.1\r\nhost: a\r\n\r\n`
  const post = `POST ${target} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n`
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

/** The first answer of what comes, read as it comes. It is complete only if its own framing says so. */
class Answer {
  hasHead = false
  isComplete = false
  /** Bytes behind the head, framing included. */
  bodyBytes = 0
  #status = 0
  #isChunked = false
  /** Bytes of the body, or of the present chunk, that are to come; below 0 while none is known. */
  #left = -1
  #isLast = false
  #isBroken = false
  #rest = ''
  #body = ''

  /** @param {string} text */
  add(text) {
    this.#rest += text
    if (this.hasHead) this.bodyBytes += text.length
    else this.#readHead()
    if (!this.hasHead || this.isComplete || this.#isBroken) return
    if (this.#isChunked) this.#readChunks()
    else this.#readBody()
  }

  /**
   * @param {boolean} isEnded
   * @returns {Seen}
   */
  seen(isEnded) {
    if (!this.hasHead) return { status: 0, isComplete: isEnded && this.#rest === '', body: '' }
    return { status: this.#status, isComplete: this.isComplete, body: this.#body }
  }

  #readHead() {
    const at = this.#rest.indexOf(HEAD_END)
    if (at < 0) return
    const head = this.#rest.slice(0, at).toLowerCase()
    this.#rest = this.#rest.slice(at + HEAD_END.length)
    this.hasHead = true
    this.bodyBytes = this.#rest.length
    this.#status = Number(head.slice(9, 12))
    const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1]
    this.#isChunked = length === undefined && this.#status !== 204
    if (!this.#isChunked) this.#left = Number(length ?? 0)
  }

  #readBody() {
    this.#take()
    this.isComplete = this.#left === 0
  }

  #readChunks() {
    for (;;) {
      if (this.#left < 0) {
        const line = this.#rest.indexOf('\r\n')
        if (line < 0) return
        this.#left = Number.parseInt(this.#rest.slice(0, line), 16)
        this.#rest = this.#rest.slice(line + 2)
        if (Number.isNaN(this.#left)) return void (this.#isBroken = true)
        if (this.#left === 0) this.#isLast = true
      }
      this.#take()
      if (this.#left > 0 || this.#rest.length < 2) return
      if (!this.#rest.startsWith('\r\n')) return void (this.#isBroken = true)
      if (this.#isLast) return void (this.isComplete = true)
      this.#rest = this.#rest.slice(2)
      this.#left = -1
    }
  }

  #take() {
    const part = this.#rest.slice(0, this.#left)
    this.#body += part
    this.#left -= part.length
    this.#rest = this.#rest.slice(part.length)
  }
}
