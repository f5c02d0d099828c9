/**
 * Every error gneiss can raise: one table of stable codes, one documented entry each.
 * A leaf: imports nothing. A code is never reused for another meaning.
 */

/** Whose fault an error is. */
export type Fault = 'application' | 'configuration' | 'peer' | 'server'

/** One row of the table. */
export interface CodeEntry {
  /** Whose fault it is. */
  readonly fault: Fault
  /** Exit code of the command line when this error ends it (supervision table); 1 unless named. */
  readonly exit: number
  /** What it means, for the docs page. */
  readonly meaning: string
}

/**
 * The table of codes. `docs/errors.md` is printed from it.
 * @example const { fault } = ERROR_CODES.ERR_CLIENT_DISCONNECTED // 'peer'
 */
export const ERROR_CODES = {
  ERR_APP: {
    fault: 'application',
    exit: 4,
    meaning: 'The application could not be loaded, or what was exported is no application.',
  },
  ERR_APP_INTERFACE: {
    fault: 'configuration',
    exit: 4,
    meaning: 'The interface asked for is unknown, or not available in this version.',
  },
  ERR_BIND: { fault: 'configuration', exit: 5, meaning: 'An address could not be bound.' },
  ERR_BODY_LENGTH: {
    fault: 'application',
    exit: 1,
    meaning: 'The body does not have the length that content-length promised.',
  },
  ERR_BODY_MALFORMED: {
    fault: 'peer',
    exit: 1,
    meaning: 'The request body is not well framed; the request was ended.',
  },
  ERR_BODY_TIMEOUT: { fault: 'peer', exit: 1, meaning: 'The request body came too slowly; the request was ended.' },
  ERR_BODY_TOO_LARGE: {
    fault: 'peer',
    exit: 1,
    meaning:
      'The request body is larger than maxBody, or than maxBodyRoutes allows for its path; the request was ended.',
  },
  ERR_BODY_TYPE: { fault: 'application', exit: 1, meaning: 'A body is neither a string nor bytes.' },
  ERR_BODY_USED: { fault: 'application', exit: 1, meaning: 'A body was read before.' },
  ERR_BOOT: {
    fault: 'application',
    exit: 3,
    meaning:
      'A worker did not become ready: it ended early, it took longer than bootTimeout, or its health probe failed.',
  },
  ERR_CLIENT_DISCONNECTED: {
    fault: 'peer',
    exit: 1,
    meaning: 'The client has gone; nothing more can be sent or received.',
  },
  ERR_CONFIG: {
    fault: 'configuration',
    exit: 2,
    meaning: 'The configuration file could not be read or does not export a configuration.',
  },
  ERR_CRASH_LOOP: {
    fault: 'application',
    exit: 7,
    meaning: 'Workers kept dying, and none was ready for crashLoopGrace.',
  },
  ERR_EVENT: {
    fault: 'application',
    exit: 1,
    meaning: 'A server-sent event cannot be written: it is empty, or a name or id of it holds a line end.',
  },
  ERR_HEADER_FORBIDDEN: {
    fault: 'application',
    exit: 1,
    meaning: 'The server owns this header field; the application may not set it.',
  },
  ERR_HEADER_NAME: { fault: 'application', exit: 1, meaning: 'A header name is not a token (RFC 9110 section 5.1).' },
  ERR_HEADER_VALUE: {
    fault: 'application',
    exit: 1,
    meaning: 'A header value holds CR, LF, NUL, another control, or a character above U+00FF.',
  },
  ERR_HOOK: { fault: 'configuration', exit: 2, meaning: 'A hook of the configuration file has refused the start.' },
  ERR_LIFESPAN_STARTUP: {
    fault: 'application',
    exit: 3,
    meaning: 'The application failed to start (lifespan startup or __rsgi_init__).',
  },
  ERR_LIFESPAN_SHUTDOWN: { fault: 'application', exit: 1, meaning: 'The application failed to shut down cleanly.' },
  ERR_MESSAGE: { fault: 'application', exit: 1, meaning: 'An ASGI message is unknown, malformed, or out of order.' },
  ERR_NATIVE: {
    fault: 'server',
    exit: 1,
    meaning: 'The native addon could not be loaded on this system or in this Node, or it reported an internal fault.',
  },
  ERR_OPTION: { fault: 'configuration', exit: 2, meaning: 'An option is unknown or its value is not allowed.' },
  ERR_OVERLOADED: {
    fault: 'server',
    exit: 1,
    meaning: 'The request has waited for the application longer than maxQueueWait; 503 was sent.',
  },
  ERR_PIDFILE: {
    fault: 'configuration',
    exit: 2,
    meaning: 'The pid file is held by another process, or cannot be written.',
  },
  ERR_REQUEST_TIMEOUT: {
    fault: 'application',
    exit: 1,
    meaning: 'The application did not answer within requestTimeout.',
  },
  ERR_RESPONSE: { fault: 'application', exit: 1, meaning: 'What the application returned is not a response.' },
  ERR_RESPONSE_ALREADY_SENT: { fault: 'application', exit: 1, meaning: 'The request was answered before.' },
  ERR_RESPONSE_TIMEOUT: {
    fault: 'application',
    exit: 1,
    meaning: 'The application left an open response silent for responseIdleTimeout.',
  },
  ERR_SERVER_CLOSED: { fault: 'server', exit: 1, meaning: 'The server was closed and its deadline passed.' },
  ERR_SHUTDOWN: {
    fault: 'server',
    exit: 1,
    meaning: 'The server stops: the request may still be answered, and is cut when the timeout of the stop is over.',
  },
  ERR_STATUS: { fault: 'application', exit: 1, meaning: 'A response status is not an integer from 200 to 999.' },
} as const

/** A stable error code. */
export type ErrorCode = keyof typeof ERROR_CODES

/**
 * An error of gneiss: `code` is stable, `fault` says whose it is, `cause` is kept.
 * @example
 * ```ts
 * try {
 *   await serve(app, { bind: ':80' })
 * } catch (error) {
 *   if (error instanceof GneissError && error.code === 'ERR_BIND') process.exit(error.exitCode)
 *   throw error
 * }
 * ```
 */
export class GneissError extends Error {
  /** Stable code from the table in `docs/errors.md`. */
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'GneissError'
    this.code = code
  }

  /** Whose fault it is. */
  get fault(): Fault {
    return ERROR_CODES[this.code].fault
  }

  /** Exit code of the command line for this error. */
  get exitCode(): number {
    return ERROR_CODES[this.code].exit
  }
}

/** A `TypeError` that carries one of our codes: what an application sees for a bad header, status or body. */
export function typeErrorOf(code: ErrorCode, message: string): TypeError & { code: ErrorCode } {
  return Object.assign(new TypeError(message), { code })
}

/** An error of the addon, which carries one of our codes, as one of ours; anything else as it is. */
export function codedError(error: unknown): unknown {
  const code = errorCodeOf(error)
  if (code === undefined || !Object.hasOwn(ERROR_CODES, code) || !(error instanceof Error)) return error
  return new GneissError(code as ErrorCode, error.message, { cause: error })
}

/** The code of any error that has one. */
export function errorCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' ? code : undefined
}
