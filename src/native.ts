/**
 * The only importer of the addon. Types what crosses the border; `native/binding.ts` explains a load that failed.
 *
 * Only ids and bytes cross: an exchange is a number below 2^53 (24 bits slot, 24 bits generation,
 * 5 bits owner, 0 for the loop driver), a head is one string, a body is a string or bytes.
 */
import { GneissError } from './errors.ts'
import { loadAddon } from './native/binding.ts'
import { requireNode } from './native/node-version.ts'

/** Bit layout of `meta`, the second argument of a dispatch. */
export const Meta = {
  /** Low 6 bits: index into `METHODS`; 0 means that `@method` in the head names it. */
  methodMask: 0x3f,
  /** Bits 6-7: 0 is HTTP/1.0, 1 is HTTP/1.1, 2 is HTTP/2. */
  versionShift: 6,
  versionMask: 0x3,
  /** The scheme is https. */
  secure: 0x100,
  /** The request has a body (it may still be empty when chunked). */
  hasBody: 0x200,
  /** The whole body has arrived: one `takeBody` returns all of it. */
  bodyComplete: 0x400,
  /** The connection may serve another request. */
  keepAlive: 0x800,
  /** The peer asks for an upgrade. */
  upgrade: 0x1000,
  /** The peer waits for 100 (Continue). */
  expect: 0x2000,
} as const

/** Method names by the code in `meta`; mirrored by the addon and compared by a spec. */
export const METHODS = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'] as const

/** What a notification says: the second argument of `Notify`. */
export const EventKind = {
  /** Request body bytes, or its end, can be taken. */
  chunk: 1,
  /** The response buffer has room again. */
  drain: 2,
  /** The answer was handed to the kernel; sent only if `Flag.done` was asked for. */
  done: 3,
  /** The exchange is over without an answer of the application; detail is an `AbortReason`. */
  abort: 4,
  /** A server has nothing left; the id is the server's, not an exchange's. */
  closed: 5,
  /** Lines about refused requests wait for `takeRefusals`; the id is the server's. */
  refused: 6,
} as const

/** Why an exchange was aborted: the third argument of `Notify`. */
export const AbortReason = {
  /** The peer closed or reset the connection. */
  peerGone: 1,
  /** No response head within requestTimeout; 504 was sent. */
  requestTimeout: 2,
  /** The request body came too slowly; 408 was sent if no head was. */
  bodyTimeout: 3,
  /** The request body is larger than maxBody; 413 was sent if no head was. */
  bodyTooLarge: 4,
  /** The request body is not well framed; 400 was sent if no head was. */
  bodyMalformed: 5,
  /** The response was open and silent for responseIdleTimeout. */
  responseIdle: 6,
  /** The peer did not read for writeTimeout. */
  writeStalled: 7,
  /** The server was closed and its deadline passed. */
  serverClosed: 8,
  /** A fault inside the addon ended the exchange; 500 was sent if no head was. */
  internal: 9,
  /** It has waited for JavaScript longer than maxQueueWait; 503 was sent. */
  overloaded: 10,
} as const

/** Flags of `respond`, `start`, `chunk` and `end`. */
export const Flag = {
  /** Send a `done` event when the answer was handed to the kernel. */
  done: 1,
  /** `chunk`: this is the last one. */
  last: 2,
} as const

/** Results of `chunk` and `end`. */
export const ChunkResult = {
  /** There is room for more. */
  room: 0,
  /** The peer is slower than the application; a `drain` event follows. */
  full: 1,
  /** The exchange is over; nothing was sent. */
  gone: 2,
  /** The body ended before its content-length: the connection was cut, and the exchange is over. */
  short: 3,
} as const

/** Numeric results of `takeBody`; anything else is the bytes. */
export const BodyResult = {
  /** Nothing now; a `chunk` event follows. */
  pending: 0,
  /** The body has ended and everything was taken. */
  end: 1,
  /** The exchange is over. */
  gone: 2,
} as const

/**
 * Called once per request, on the JS thread.
 *
 * `head` is Latin-1: `\n@peer:HOST PORT\n@local:HOST PORT`, then `\n@method:NAME` for a method
 * without a code and `\n@target:RAW` for an absolute-form target, then `\nname:value` for each
 * field (names in lower case, values trimmed, order and duplicates kept), `\n@id:ID` for a request whose id was
 * made for the access log, and a last `\n`. A name
 * cannot begin with `@`, so `indexOf('\n' + name + ':')` is unambiguous. The address of a Unix
 * socket is `unix:PATH` without a port. `target` is in origin-form (or `*`).
 */
export type Dispatch = (id: number, meta: number, target: string, head: string) => void

/** Called for every other event of an exchange or server, on the JS thread. */
export type Notify = (id: number, kind: number, detail: number) => void

/** One address to listen on. Exactly one of `host`, `path` and `fd` is set. */
export interface NativeBind {
  /** Name or literal address; with `port`. */
  host?: string
  /** TCP port, 0 for any free one. */
  port?: number
  /** Path of a Unix socket. */
  path?: string
  /** Listening socket inherited from the parent, or one of `bindListener`, which the server takes over. */
  fd?: number
  /** With `host`: others may listen there as well (SO_REUSEPORT), and each gets a part of the connections. */
  reusePort?: boolean
}

/** The cell of a worker in memory that its master has made. */
export interface NativeGate {
  /** Descriptor of the memory, inherited from the master. */
  fd: number
  /** Number of the worker's cell. */
  index: number
  /** The listeners are this worker's alone: of `reserveListener`, and listening from `openServer` on. */
  ownsListeners?: boolean
}

/** A copy of a worker's cell. Times are milliseconds of the machine's monotonic clock. */
export interface NativeCell {
  /** The time of the reading. */
  now: number
  /** When the process has last shown that it runs; ten times a second from a thread of its own. */
  nativeTick: number
  /** Since when the event loop has not waited for events; 0 while it waits. */
  loopBusySince: number
  /** Connections accepted since the worker began. */
  accepted: number
  /** Open connections. */
  connections: number
  /** Open exchanges when the loop last went to wait. */
  inflight: number
  /** How far the worker is. */
  state: 'accepting' | 'booting' | 'draining' | 'empty' | 'paused'
  /** What `clearCell` has set. */
  generation: number
  /** The process; 0 for nobody. */
  pid: number
}

/** A finished, valid server configuration. Sizes are bytes, times milliseconds, 0 turns a deadline off. */
export interface NativeConfig {
  bind: NativeBind[]
  backlog: number
  limitRequestHead: number
  limitRequestLine: number
  limitRequestFieldSize: number
  limitRequestFields: number
  limitTrailers: number
  limitTrailerFields: number
  maxBody: number
  /** Paths with another limit, percent-decoded. */
  maxBodyRoutes: { path: string; limit: number }[]
  streamBuffer: number
  bodyReadAhead: number
  /** Requests that may wait for JavaScript; 0 for any number. */
  maxQueue: number
  maxQueueWait: number
  shedExempt: string[]
  /** Path of the server's own probe, which is never shed either. */
  healthProbe?: string
  workerConnections: number
  firstByteTimeout: number
  headTimeout: number
  bodyIdleTimeout: number
  /** Bytes a second after 10 s of body; 0 is off. */
  bodyMinRate: number
  requestTimeout: number
  responseIdleTimeout: number
  writeTimeout: number
  keepAlive: number
  keepAliveMaxAge: number
  allowHalfOpen: boolean
  /** Peers whose forwarding fields count: IP, CIDR, `unix`, `*`. */
  forwardedAllowIps: string[]
  /** Value of the `server` response field; empty for none. */
  serverHeader: string
  /** Value of the `runtimeMode` option. */
  runtimeMode: string
  /** I/O threads of the threaded driver. */
  runtimeThreads: number
  /** File of the access log, or `-` for stdout; none unless given. */
  accessLog?: string
  /** Value of the `accessLogFormat` option. */
  accessLogFormat: string
  /** Shares the listeners with other workers: accepts from `openServer` on, and only when it is its turn. */
  gate?: NativeGate
}

/** Where a server listens. */
export interface NativeAddress {
  /** Literal IP address, or the path of a Unix socket. */
  host: string
  /** TCP port; 0 for a Unix socket. */
  port: number
  /** `IPv4`, `IPv6` or `unix`. */
  family: string
}

/** The addon. Hot calls are raw Node-API functions; cold ones are generated (`native/addon.d.mts`). */
export interface Native {
  /**
   * Binds and starts a server. Throws `ERR_BIND` (message names the address) or `ERR_OPTION`. Returns the server's number.
   * `later` is called when the threaded driver has used up its share of a turn: it has `giveTurn` called behind timers and I/O.
   */
  listen(config: NativeConfig, dispatch: Dispatch, notify: Notify, later: () => void): number
  /** Begins to accept, for a server with a gate. Throws `ERR_BIND` when a reserved listener cannot listen any more. */
  openServer(server: number): void
  /**
   * Connects this process with its server, past the listeners: also before `openServer`. Returns the client's end, a
   * descriptor that the caller closes. Throws `ERR_NATIVE`.
   */
  connectInside(server: number): number
  /** Where the server listens. */
  addresses(server: number): NativeAddress[]
  /** Keeps the process alive for the server's listeners. */
  refServer(server: number): void
  /** Lets the process end although the server listens. */
  unrefServer(server: number): void
  /**
   * Accepts what waits in the queues of its listeners (of listeners shared behind a gate the last worker
   * does), then no more; closes idle connections, drains the rest, cuts what is left after `timeout` milliseconds. A `closed` notification follows, in a later turn of the loop, when nothing of the server is left.
   */
  closeServer(server: number, timeout: number): void
  /** For `process.on('exit')`: closes listeners, writes once what is waiting, without blocking. */
  flushAtExit(): void
  /** Takes the lines that wait for the log, few of them and escaped: what was refused, and what failed (`isWarning`). */
  takeRefusals(server: number): { text: string; isWarning: boolean }[]
  /** Opens the log files of the process anew, for whoever has moved them away. */
  reopenLogs(): void
  /** Gauges and totals of a server, camelCase, flat. */
  stats(server: number): Record<string, number | string>
  /** Crate version, method names, whether the runtime has a libuv loop: compared by a spec so that the two sides cannot drift. */
  about(): { version: string; methods: string[]; debug: boolean; hasLoop: boolean }

  /** Binds and listens without accepting, for workers. Throws `ERR_BIND` or `ERR_OPTION`. */
  bindListener(bind: NativeBind, backlog: number): { fd: number; address: NativeAddress }
  /**
   * Binds beside others that share the port and does not listen, for a worker that will: no connection comes
   * before. With `fd`, at the address of one that this process has reserved. Throws `ERR_BIND` or `ERR_OPTION`.
   */
  reserveListener(bind: NativeBind): { fd: number; address: NativeAddress }
  /** Closes this process's copy of a listener; a socket file stays until `removeSocketFiles`. False for an unknown one. */
  releaseListener(fd: number): boolean
  /** Removes the socket files of listeners that were released. */
  removeSocketFiles(): void
  /** Sends copies of descriptors through a socket to the process at its other end. Throws `ERR_NATIVE`. */
  sendDescriptors(socket: number, descriptors: number[]): void
  /** Takes the descriptors that were sent, in their order, and closes the socket. Throws `ERR_NATIVE`. */
  takeDescriptors(socket: number): number[]
  /** Makes shared memory with a cell for each of `count` workers; returns the descriptor to hand down. Throws `ERR_NATIVE`. */
  createCells(count: number): number
  /** Gives that memory up and closes its descriptor; false for an unknown one. */
  releaseCells(fd: number): boolean
  /** What a worker lets others know; `null` when there is no such cell. Only of cells made here. */
  readCell(fd: number, index: number): NativeCell | null
  /** Empties the cell of a worker that is gone, for one of `generation`; false when there is no such cell. */
  clearCell(fd: number, index: number, generation: number): boolean
  /** Moves this process into a cell of its master, for good; `listen` does it too. Throws `ERR_NATIVE`. */
  joinCell(gate: NativeGate): void
  /**
   * Watches a pipe of which only the master holds the other end, on a thread of its own. When it ends, this process
   * accepts nothing more, and ends with 6 after `grace` milliseconds at the latest. Throws `ERR_NATIVE`.
   */
  watchLifeline(fd: number, grace: number): void
  /** Writes the process number into a file and locks it; false when another process has it. Throws `ERR_NATIVE`. */
  lockPidfile(path: string): boolean
  /** Removes a pid file of this process; false for an unknown one. */
  releasePidfile(path: string): boolean
  /** Sends a datagram to the service manager at a socket file, or at an abstract name behind `@`; false when nobody took it. */
  notifyService(path: string, text: string): boolean
  /** Reaps ended children that are not among `known`; returns how many. For a process with number 1. */
  reapOrphans(known: number[]): number

  /**
   * Keeps what stdout and stderr lead to under descriptors that live until `restoreOutput`; always the same two.
   * Throws `ERR_NATIVE`.
   */
  keepOutput(): { stdout: number; stderr: number }
  /** Has descriptors 1 and 2 lead where these two lead. Throws `ERR_NATIVE`. */
  pointOutput(stdout: number, stderr: number): void
  /** Has them lead where they led before; nothing happens when they still do. Throws `ERR_NATIVE`. */
  restoreOutput(): void

  /** The engine's own defaults, without addresses and backlog; a spec compares the schema's with them. */
  defaults(): NativeConfig

  /**
   * Answers in one call. `headers` is `name:value\n` repeated, `count` the number of fields; strings
   * are read as UTF-8 and transcoded to Latin-1. `body` is a string (sent as UTF-8) or bytes.
   * Returns false for a stale id. Throws a TypeError with code (`ERR_HEADER_*`, `ERR_STATUS`,
   * `ERR_BODY_LENGTH`, `ERR_BODY_TYPE`) before anything is written.
   */
  respond(
    id: number,
    status: number,
    headers: string,
    count: number,
    body: string | Uint8Array | undefined,
    flags: number,
  ): boolean
  /** Begins a streamed answer; framing is the server's. Same errors and result as `respond`. */
  start(id: number, status: number, headers: string, count: number, flags: number): boolean
  /** One piece of a streamed answer; `Flag.last` ends it. A `ChunkResult`, with undefined for `room`. Throws `ERR_BODY_LENGTH` past content-length. */
  chunk(id: number, data: string | Uint8Array, flags: number): number | undefined
  /**
   * Ends a streamed answer: a `ChunkResult`. Fewer bytes than content-length cut the connection.
   * `trailers` are `count` fields in the form of `respond`, checked as there; they leave behind the last
   * chunk, and an answer that is not chunked has no place for them.
   */
  end(id: number, flags: number, trailers?: string, count?: number): number
  /** Cuts the exchange: the client never sees a complete answer. False for a stale id. No abort event follows. */
  reset(id: number): boolean
  /** Body bytes that are here (all of them), or a `BodyResult`. The first call lets a waiting peer continue (100). */
  takeBody(id: number): Uint8Array | number
  /** Gives the exchange `milliseconds` more from now before its request or response deadline; 0 turns it off. False for a stale id. */
  extend(id: number, milliseconds: number): boolean
  /** Lets the threaded driver go on with what it has put off. */
  giveTurn(): void
}

function load(): Native {
  requireNode()
  try {
    // What an addon fills by name is a dictionary to V8, and each call would look its function up.
    return { ...(loadAddon() as Native) }
  } catch (cause) {
    // The loader knows what it looked for and what it found; its own cause is that of the system.
    const { message, cause: reason } = cause as Error
    throw new GneissError('ERR_NATIVE', message, { cause: reason ?? cause })
  }
}

/** The addon of this isolate. */
export const native: Native = load()
