/** The application of a case: a handler that behaves as the case says, through the interface of the case. */
import { Readable } from 'node:stream'

import { Response } from '../../dist/index.js'
import { sendAsgi, sendRsgi, sse, stream } from '../../dist/streaming.js'

const PIECES = ['one', 'two', 'three', 'four', 'five']
const LARGE = 'x'.repeat(64 * 1024)
const encoder = new TextEncoder()

/** What a complete answer of the case holds. */
export const WHOLE = {
  none: '',
  string: 'a string',
  bytes: 'bytes',
  'async iterator': PIECES.join(''),
  'web stream': PIECES.join(''),
  'byte stream': PIECES.join(''),
  'stream of Node': PIECES.join(''),
  events: PIECES.map((piece) => `data: ${piece}\n\n`).join(''),
  large: LARGE.repeat(16),
  'throws in the middle': undefined,
  'hangs in return()': PIECES.join(''),
}

/**
 * @typedef {object} Watch
 * @property {(...values: object[]) => void} objects Objects of a request that must be collected.
 * @property {(query: string) => void} running The handler runs for the request with this query.
 * @property {(...values: object[]) => void} keep Objects that the application keeps.
 * @property {() => Promise<unknown>} reenter Uses the server from within.
 * @property {{ opened: number, closed: number }} sources
 */

/**
 * @typedef {object} Call
 * @property {() => unknown} answer
 * @property {() => unknown} again
 * @property {() => Promise<unknown>} read
 * @property {() => Promise<unknown>} gone
 * @property {string} query
 * @property {object[]} objects
 */

const tick = () => new Promise((resolve) => setImmediate(resolve))

/**
 * @param {import('./dimensions.js').Case} one
 * @param {Watch} watch
 * @returns {import('../../dist/index.js').App}
 */
export function applicationOf(one, watch) {
  /** @param {Call} call */
  const run = (call) => {
    watch.objects(...call.objects)
    watch.running(call.query)
    return HANDLERS[one.handler](call, watch)
  }
  if (one.interface === 'fetch') {
    return (request, info) => {
      const { pathname, search } = new URL(request.url)
      if (pathname !== '/case') return new Response('inner')
      return /** @type {never} */ (
        run({
          query: search.slice(1),
          objects: [request, info],
          answer: () => responseOf(one.body, watch),
          again: () => undefined,
          read: () => request.text(),
          gone: () =>
            new Promise((resolve) => {
              request.signal.addEventListener('abort', resolve)
            }),
        })
      )
    }
  }
  if (one.interface === 'rsgi') {
    return {
      __rsgi__(scope, protocol) {
        if (scope.path !== '/case') return protocol.responseStr(200, [], 'inner')
        return run({
          query: scope.queryString,
          objects: [scope, protocol],
          answer: () => answerRsgi(protocol, one.body, watch),
          again: () => protocol.responseStr(200, [], 'again'),
          read: () => protocol.body(),
          gone: () => protocol.clientDisconnect(),
        })
      },
    }
  }
  return async (scope, receive, send) => {
    if (scope.type !== 'http') throw new Error('http only')
    if (scope.path !== '/case') {
      void send({ type: 'http.response.start', status: 200 })
      return send({ type: 'http.response.body', body: 'inner' })
    }
    const untilDisconnect = async () => {
      while ((await receive()).type !== 'http.disconnect');
    }
    return run({
      query: scope.query_string,
      objects: [scope, receive, send],
      answer: () => answerAsgi(receive, send, one.body, watch),
      again: () => send({ type: 'http.response.body', body: 'again' }),
      read: async () => {
        for (let more = true; more;) {
          const message = await receive()
          more = message.type === 'http.request' && message.more_body
        }
      },
      gone: untilDisconnect,
    })
  }
}

/** @type {Record<import('./dimensions.js').Case['handler'], (call: Call, watch: Watch) => unknown>} */
const HANDLERS = {
  sync: (call) => call.answer(),
  fast: async (call) => {
    await undefined
    return call.answer()
  },
  slow: async (call) => {
    await call.read().catch(() => undefined)
    await tick()
    return call.answer()
  },
  never: () => new Promise(() => {}),
  throws: () => {
    throw new Error('the handler throws')
  },
  rejects: async () => {
    await tick()
    throw new Error('the handler rejects')
  },
  'rejects after the disconnect': async (call) => {
    await call.gone()
    throw new Error('the handler rejects late')
  },
  'resolves twice': (call) => ({
    /** @param {(value: unknown) => void} resolve */
    // oxlint-disable-next-line unicorn/no-thenable -- this handler is one that makes its own
    then(resolve) {
      const answer = call.answer()
      resolve(answer)
      resolve(answer)
    },
  }),
  'sends after the end': async (call) => {
    const answer = await call.answer()
    try {
      await call.again()
    } catch {
      // Refused, as it should be.
    }
    return answer
  },
  'keeps its objects': (call, watch) => {
    watch.keep(...call.objects)
    return call.answer()
  },
  're-enters the server': async (call, watch) => {
    await watch.reenter()
    return call.answer()
  },
}

/**
 * @param {import('../../dist/index.js').RsgiProtocol} protocol
 * @param {import('./dimensions.js').Case['body']} body
 * @param {Watch} watch
 */
function answerRsgi(protocol, body, watch) {
  if (body === 'none') return protocol.responseEmpty(204)
  if (body === 'string') return protocol.responseStr(200, [], 'a string')
  if (body === 'bytes') return protocol.responseBytes(200, [], encoder.encode('bytes'))
  return sendRsgi(responseOf(body, watch), protocol)
}

/**
 * @param {import('../../dist/index.js').Receive} receive
 * @param {import('../../dist/index.js').Send} send
 * @param {import('./dimensions.js').Case['body']} body
 * @param {Watch} watch
 */
async function answerAsgi(receive, send, body, watch) {
  if (!['none', 'string', 'bytes'].includes(body)) return sendAsgi(responseOf(body, watch), receive, send)
  await send({ type: 'http.response.start', status: body === 'none' ? 204 : 200 })
  await send({ type: 'http.response.body', ...(body === 'none' ? {} : { body: WHOLE[body] ?? '' }) })
  return undefined
}

/**
 * @param {import('./dimensions.js').Case['body']} body
 * @param {Watch} watch
 * @returns {globalThis.Response}
 */
function responseOf(body, watch) {
  const response = /** @type {globalThis.Response} */ (/** @type {unknown} */ (makeResponse(body, watch)))
  watch.objects(response)
  return response
}

/**
 * @param {import('./dimensions.js').Case['body']} body
 * @param {Watch} watch
 */
function makeResponse(body, watch) {
  switch (body) {
    case 'none':
      return new Response(null, { status: 204 })
    case 'string':
      return new Response('a string')
    case 'bytes':
      return new Response(encoder.encode('bytes'))
    case 'web stream':
    case 'byte stream':
      return stream(webStream(body === 'byte stream', watch))
    case 'stream of Node':
      return stream(counted(Readable.from(pieces(PIECES, watch)), watch))
    case 'events':
      return sse(counted(pieces(PIECES, watch), watch))
    case 'large':
      return stream(counted(pieces(Array(16).fill(LARGE), watch), watch))
    case 'throws in the middle':
      return stream(counted(pieces([...PIECES.slice(0, 3), undefined], watch), watch))
    case 'hangs in return()':
      return stream(hanging(watch))
    default:
      return stream(counted(pieces(PIECES, watch), watch))
  }
}

/**
 * @template {object} T
 * @param {T} source
 * @param {Watch} watch
 */
function counted(source, watch) {
  watch.objects(source)
  return source
}

/**
 * @param {readonly (string | undefined)[]} list
 * @param {Watch} watch
 */
async function* pieces(list, watch) {
  watch.sources.opened += 1
  try {
    for (const [index, piece] of list.entries()) {
      if (index % 2 === 1) await tick()
      if (piece === undefined) throw new Error('the source throws in the middle')
      yield piece
    }
  } finally {
    watch.sources.closed += 1
  }
}

/**
 * @param {boolean} isBytes
 * @param {Watch} watch
 */
function webStream(isBytes, watch) {
  const left = [...PIECES]
  let isCancelled = false
  watch.sources.opened += 1
  const body = new ReadableStream(
    /** @type {never} */ ({
      ...(isBytes ? { type: 'bytes' } : {}),
      /** @param {ReadableStreamDefaultController<Uint8Array>} controller */
      async pull(controller) {
        await tick()
        // A stream that is cancelled while it is pulled has ended already.
        if (isCancelled) return undefined
        const piece = left.shift()
        if (piece !== undefined) return controller.enqueue(encoder.encode(piece))
        watch.sources.closed += 1
        return controller.close()
      },
      cancel() {
        isCancelled = true
        watch.sources.closed += 1
      },
    }),
  )
  return counted(body, watch)
}

/** @param {Watch} watch */
function hanging(watch) {
  const left = [...PIECES]
  let isReturned = false
  watch.sources.opened += 1
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        await tick()
        const value = left.shift()
        if (value !== undefined) return { done: /** @type {const} */ (false), value }
        // What was asked for before `return()` came may end after it.
        if (!isReturned) watch.sources.closed += 1
        return { done: /** @type {const} */ (true), value: undefined }
      },
      return() {
        isReturned = true
        watch.sources.closed += 1
        return new Promise(() => {})
      },
    }),
  }
}
