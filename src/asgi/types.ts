/** ASGI 3.0 as types, with its own key names. Types only. */

/** Versions of the protocol. */
export interface AsgiVersions {
  /** Version of ASGI. */
  readonly version: '3.0'
  /** Version of the part of it that the scope's type names. */
  readonly spec_version: string
}

/** The scope of one HTTP request. It may be changed and copied, as middleware does. */
export interface HttpScope {
  type: 'http'
  asgi: AsgiVersions
  http_version: '1.0' | '1.1' | '2'
  /** As the client wrote it. */
  method: string
  scheme: 'http' | 'https'
  /** Percent-decoded as UTF-8, without the query. */
  path: string
  /** As received, without the query. */
  raw_path: string
  /** As received, without the question mark; empty if there is none. */
  query_string: string
  /** The `rootPath` option; it is not stripped from the path. */
  root_path: string
  /** Names in lower case, values Latin-1, order and duplicates kept. */
  headers: [name: string, value: string][]
  /** The client's address; null on a Unix socket. */
  client: [host: string, port: number] | null
  /** Our address; of a Unix socket its path and null. */
  server: [host: string, port: number | null] | null
  /** A shallow copy of what lifespan left in its state. */
  state: Record<string, unknown>
  /** Extensions that can be used; a key is there only if its messages are accepted. `gneiss.request_id` has the `id` of the request. */
  extensions: Record<string, unknown>
}

/** The scope of the application's start and end. */
export interface LifespanScope {
  type: 'lifespan'
  asgi: AsgiVersions
  /** Filled by the application; every request's scope gets a shallow copy. */
  state: Record<string, unknown>
}

/** What an ASGI application is called for. */
export type Scope = HttpScope | LifespanScope

/** A part of the request body. */
export interface HttpRequestMessage {
  type: 'http.request'
  body: Uint8Array
  /** Whether another `http.request` follows. */
  more_body: boolean
}

/** The client has gone, the response is complete, or the server stops and will not wait much longer. */
export interface HttpDisconnectMessage {
  type: 'http.disconnect'
}

/**
 * The server has begun to stop. It comes once, from the next `receive`, for an application that has sent the same
 * message before; nothing is cut yet. `http.disconnect` comes when four fifths of the time to stop are over, and
 * in the last fifth the response may still be completed.
 */
export interface DrainMessage {
  type: 'gneiss.drain'
}

/** The application shall start. */
export interface LifespanStartupMessage {
  type: 'lifespan.startup'
}

/** The application shall end. */
export interface LifespanShutdownMessage {
  type: 'lifespan.shutdown'
}

/** What `receive` gives. */
export type ReceiveMessage =
  | HttpRequestMessage
  | HttpDisconnectMessage
  | DrainMessage
  | LifespanStartupMessage
  | LifespanShutdownMessage

/** Status and headers of the response. */
export interface HttpResponseStartMessage {
  type: 'http.response.start'
  /** 200 to 999. */
  status: number
  /** Strings are Latin-1. */
  headers?: readonly (readonly [name: string | Uint8Array, value: string | Uint8Array])[]
  /** Whether `http.response.trailers` follows the last `http.response.body`. Default: false. */
  trailers?: boolean
}

/** Trailer fields, behind the last body message of a response that was started with `trailers`. Only a chunked answer has a place for them. */
export interface HttpResponseTrailersMessage {
  type: 'http.response.trailers'
  /** Strings are Latin-1. What frames, routes or describes the body belongs into the head and is refused. */
  headers?: readonly (readonly [name: string | Uint8Array, value: string | Uint8Array])[]
  /** Whether another `http.response.trailers` follows. Default: false. */
  more_trailers?: boolean
}

/**
 * More time, or less, for the application: before the head of the response has left in place of
 * `requestTimeout`, after that, between two messages, in place of `responseIdleTimeout`.
 */
export interface TimeoutMessage {
  type: 'gneiss.timeout'
  /** From now; 0 turns the deadline off. */
  seconds: number
}

/** A part of the response body. */
export interface HttpResponseBodyMessage {
  type: 'http.response.body'
  /** Strings are sent as UTF-8. Default: empty. */
  body?: string | Uint8Array
  /** Whether another `http.response.body` follows. Default: false. */
  more_body?: boolean
}

/** The application has started, or it could not. */
export interface LifespanStartupAnswer {
  type: 'lifespan.startup.complete' | 'lifespan.startup.failed'
  /** Why it could not. */
  message?: string
}

/** The application has ended, or it could not do so cleanly. */
export interface LifespanShutdownAnswer {
  type: 'lifespan.shutdown.complete' | 'lifespan.shutdown.failed'
  /** Why it could not. */
  message?: string
}

/** What `send` takes. */
export type SendMessage =
  | HttpResponseStartMessage
  | HttpResponseBodyMessage
  | HttpResponseTrailersMessage
  | TimeoutMessage
  | DrainMessage
  | LifespanStartupAnswer
  | LifespanShutdownAnswer

/**
 * Gives the next message. For a request: parts of its body, then `http.disconnect` when the client has
 * gone or the response is complete, and that again for every later call. It never rejects.
 */
export type Receive = () => Promise<ReceiveMessage>

/**
 * Takes a message. The promise is pending while the client is slower than the application. Rejects with
 * `ERR_CLIENT_DISCONNECTED` after the client has gone, with `ERR_MESSAGE` for a message that is unknown,
 * malformed or out of order, and with a TypeError with code for a bad status, header or body.
 */
export type Send = (message: SendMessage) => Promise<void>

/** An ASGI application. The response must be complete when its promise is fulfilled. */
export type AsgiApp = (scope: Scope, receive: Receive, send: Send) => unknown
