/**
 * What can differ between two requests as far as lifetimes are concerned. A value that is added here joins
 * every case of the matrix; a driver is one more value of `runtimeMode`.
 */

/** @typedef {{ [K in keyof typeof DIMENSIONS]: (typeof DIMENSIONS)[K][number] }} Case */

export const DIMENSIONS = {
  interface: /** @type {const} */ (['asgi', 'rsgi', 'fetch']),
  /** When the client leaves. */
  disconnect: /** @type {const} */ ([
    'never',
    'before a byte',
    'in the head',
    'behind the head',
    'in the request body',
    'while the handler runs',
    'behind the response head',
    'in the response body',
    'behind a pipelined request',
  ]),
  /** How it leaves. */
  departure: /** @type {const} */ (['FIN', 'RST', 'half-close']),
  /** What the handler does. */
  handler: /** @type {const} */ ([
    'sync',
    'fast',
    'slow',
    'never',
    'throws',
    'rejects',
    'rejects after the disconnect',
    'resolves twice',
    'sends after the end',
    'keeps its objects',
    're-enters the server',
  ]),
  /** What it answers with. */
  body: /** @type {const} */ ([
    'none',
    'string',
    'bytes',
    'async iterator',
    'web stream',
    'byte stream',
    'stream of Node',
    'events',
    'large',
    'throws in the middle',
    'hangs in return()',
  ]),
  /** What happens around it. */
  environment: /** @type {const} */ (['nothing', 'graceful stop', 'forced stop', 'handler timeout', 'async hooks']),
  /** When the collector comes; all but the first two are flags of the process. */
  collector: /** @type {const} */ (['by itself', 'each request', 'small young generation', 'often']),
}

/** Flags of Node for a value of `collector`. */
export const COLLECTOR_FLAGS = {
  'by itself': [],
  'each request': [],
  'small young generation': ['--max-semi-space-size=1'],
  often: ['--gc-interval=2000'],
}
