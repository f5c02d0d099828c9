/**
 * Generated from the addon by `npm run build`; never edited. Its hot calls are not in here: they are
 * raw Node-API functions, and `native.ts` types them.
 */
import type { Dispatch, Notify } from '../native.ts'

/** What this addon is. */
export declare function about(): About

/** What the addon is: compared by a spec so that the two sides cannot drift. */
export interface About {
  /** Version of the crate. */
  version: string
  /** Method names by code. */
  methods: Array<string>
  /** Whether debug checks are compiled in. */
  debug: boolean
  /** Whether this process has the libuv functions of the loop driver. */
  hasLoop: boolean
}

/** Where the server listens. */
export declare function addresses(server: number): Array<NativeAddress>

/** Binds and listens without accepting. Throws `ERR_BIND` or `ERR_OPTION`. */
export declare function bindListener(bind: NativeBind, backlog: number): NativeListener

/** Empties the cell of a worker that is gone, for one of `generation`. False when there is no such cell. */
export declare function clearCell(fd: number, index: number, generation: number): boolean

/** Drains a server and cuts what is left after `timeout` milliseconds; a `closed` notification follows. */
export declare function closeServer(server: number, timeout: number): void

/**
 * Connects this process with its server, past the listeners: also before `open_server`. Returns the
 * descriptor of the client's end, which is the caller's to close. Throws `ERR_NATIVE`.
 */
export declare function connectInside(server: number): number

/** Makes shared memory for so many workers. Returns the descriptor to hand down. Throws `ERR_NATIVE`. */
export declare function createCells(count: number): number

/** The engine's defaults, with no address and no backlog: a spec compares the documented ones with them. */
export declare function defaults(): NativeConfig

/** For the end of the process: closes listeners and offers what waits to the kernel once. */
export declare function flushAtExit(): void

/**
 * Moves this process into a cell, where a thread of its own shows ten times a second that it runs,
 * whatever its event loop does. The first call for a cell does that, also from within `listen`.
 * Throws `ERR_NATIVE`.
 */
export declare function joinCell(gate: NativeGate): void

/**
 * Keeps what stdout and stderr lead to, under two descriptors that children do not inherit and that
 * live until `restore_output`. Another call returns the same two. Throws `ERR_NATIVE`.
 */
export declare function keepOutput(): NativeOutput

/**
 * Binds and starts a server. Throws `ERR_BIND` or `ERR_OPTION`. Returns the server's number.
 * `later` has JavaScript call `giveTurn` behind timers and I/O.
 */
export declare function listen(config: NativeConfig, dispatch: Dispatch, notify: Notify, later: Later): number

/**
 * Writes the number of this process into a file and locks that for as long as the process lives. False
 * when another process has it locked; a file that a dead one has left is taken over. Throws `ERR_NATIVE`.
 */
export declare function lockPidfile(path: string): boolean

/** Where a server listens. */
export interface NativeAddress {
  /** Literal IP address, or the path of a Unix socket. */
  host: string
  /** TCP port; 0 for a Unix socket. */
  port: number
  /** `IPv4`, `IPv6` or `unix`. */
  family: string
}

/** One address to listen on. Exactly one of `host` (with `port`), `path` and `fd` is set. */
export interface NativeBind {
  /** Name or literal address. */
  host?: string
  /** TCP port, 0 for any free one. */
  port?: number
  /** Path of a Unix socket. */
  path?: string
  /** Listening socket inherited from the parent. */
  fd?: number
  /** Others may listen there as well, and each gets a part of the connections; with `host`. */
  reusePort?: boolean
}

/** A path whose requests may have other bodies than the rest. */
export interface NativeBodyRoute {
  /** The path, percent-decoded. */
  path: string
  /** Bytes of a body. */
  limit: number
}

/** A copy of a worker's cell. Times are milliseconds of the machine's monotonic clock. */
export interface NativeCell {
  /** The time of the reading. */
  now: number
  /** When the process has last shown that it runs. */
  nativeTick: number
  /** Since when the event loop has not waited for events; 0 while it waits. */
  loopBusySince: number
  /** Connections accepted since the worker began. */
  accepted: number
  /** Open connections. */
  connections: number
  /** Open exchanges when the loop last went to wait. */
  inflight: number
  /** `empty`, `booting`, `accepting`, `paused` or `draining`. */
  state: string
  /** What `clear_cell` has set. */
  generation: number
  /** The process; 0 for nobody. */
  pid: number
}

/** A finished, valid server configuration. Sizes are bytes, times milliseconds, 0 turns a deadline off. */
export interface NativeConfig {
  /** Where to listen. */
  bind: Array<NativeBind>
  /** Listen backlog. */
  backlog: number
  /** Largest request head. */
  limitRequestHead: number
  /** Longest request line. */
  limitRequestLine: number
  /** Largest header field. */
  limitRequestFieldSize: number
  /** Most header fields. */
  limitRequestFields: number
  /** Largest trailers. */
  limitTrailers: number
  /** Most trailer fields. */
  limitTrailerFields: number
  /** Largest request body. */
  maxBody: number
  /** Paths with another limit. */
  maxBodyRoutes: Array<NativeBodyRoute>
  /** Response bytes buffered per connection. */
  streamBuffer: number
  /** Request bytes held ahead of the application. */
  bodyReadAhead: number
  /** Most requests that wait for JavaScript; 0 for any number. */
  maxQueue: number
  /** Longest wait for JavaScript. */
  maxQueueWait: number
  /** Paths that are never turned away. */
  shedExempt: Array<string>
  /** Path of the server's own probe, which is never turned away; none unless given. */
  healthProbe?: string
  /** Most open connections. */
  workerConnections: number
  /** Accepted and silent. */
  firstByteTimeout: number
  /** Whole head. */
  headTimeout: number
  /** Silence in a body. */
  bodyIdleTimeout: number
  /** Bytes a second after 10 s of body. */
  bodyMinRate: number
  /** Head read to response head given. */
  requestTimeout: number
  /** Silence of the application in a response. */
  responseIdleTimeout: number
  /** Silence of a peer that should read. */
  writeTimeout: number
  /** Idle between requests. */
  keepAlive: number
  /** Age from which a connection is not kept. */
  keepAliveMaxAge: number
  /** Serve peers that closed their sending side. */
  allowHalfOpen: boolean
  /** Peers whose forwarding fields count: IP, CIDR, `unix`, `*`. */
  forwardedAllowIps: Array<string>
  /** Value of the `server` field; empty for none. */
  serverHeader: string
  /** `auto`, `loop` or `thread`. */
  runtimeMode: string
  /** I/O threads of the threaded driver. */
  runtimeThreads: number
  /** File of the access log, or `-`. */
  accessLog?: string
  /** What a line of it says. */
  accessLogFormat: string
  /** Shares the listeners with other workers: accepts from `open_server` on, and only when it is its turn. */
  gate?: NativeGate
}

/** The cell of a worker in memory that its master has made. */
export interface NativeGate {
  /** Descriptor of the memory, inherited from the master. */
  fd: number
  /** Number of the worker's cell. */
  index: number
  /** The listeners are this worker's alone: reserved by its master, and listening from `open_server` on. */
  ownsListeners?: boolean
}

/** A line for the server's own log. */
export interface NativeLine {
  /** It is about the server, and not about what a client did. */
  isWarning: boolean
  /** What it says. */
  text: string
}

/** A listener that workers accept from. */
export interface NativeListener {
  /** The descriptor to hand down. */
  fd: number
  /** Where it listens. */
  address: NativeAddress
}

/** Two descriptors. */
export interface NativeOutput {
  /** Leads where stdout led. */
  stdout: number
  /** Leads where stderr led. */
  stderr: number
}

/**
 * Sends a datagram to the service manager: `path` is a socket file, or an abstract name behind an `@`.
 * False when nobody took it.
 */
export declare function notifyService(path: string, text: string): boolean

/**
 * Begins to accept, for a server with a gate: its listeners wait until its application has started. Throws
 * `ERR_BIND` when one that was reserved cannot listen any more.
 */
export declare function openServer(server: number): void

/**
 * Has stdout and stderr lead where these two descriptors lead, for everybody who writes to them: also
 * for native code, and for children that inherit them. Throws `ERR_NATIVE`.
 */
export declare function pointOutput(stdout: number, stderr: number): void

/** What a worker lets others know; `undefined` when there is no such cell. */
export declare function readCell(fd: number, index: number): NativeCell | null

/**
 * Takes note of children that have ended and are not among `known`: those that a process with number 1
 * inherits. Returns how many it was. It stops at the first known one, whose owner will reap it.
 */
export declare function reapOrphans(known: Array<number>): number

/** Keeps the process alive for the server's listeners. */
export declare function refServer(server: number): void

/** Gives the memory up and closes its descriptor. False for what `create_cells` did not make. */
export declare function releaseCells(fd: number): boolean

/**
 * Closes this process's copy of a listener; the file of a Unix socket stays until
 * `remove_socket_files`, because workers still answer there. False for an unknown one.
 */
export declare function releaseListener(fd: number): boolean

/** Removes a pid file of this process and gives its lock up. False for an unknown one. */
export declare function releasePidfile(path: string): boolean

/** Removes the files of the Unix sockets that were released. */
export declare function removeSocketFiles(): void

/** Opens the log files of the process anew, for whoever has moved them away. */
export declare function reopenLogs(): void

/**
 * Binds with `SO_REUSEPORT` and does not listen, for a worker that will; with `fd` at the address of one that
 * was reserved before. Throws `ERR_BIND` or `ERR_OPTION`.
 */
export declare function reserveListener(bind: NativeBind): NativeListener

/** Has stdout and stderr lead where they led before. Nothing happens when they still do. Throws `ERR_NATIVE`. */
export declare function restoreOutput(): void

/** Sends copies of descriptors through a socket to the process at its other end. Throws `ERR_NATIVE`. */
export declare function sendDescriptors(socket: number, descriptors: Array<number>): void

/** Gauges and totals of a server; `undefined` when there is no such server. */
export declare function stats(server: number): Stats | null

/** Gauges and totals of a server. */
export interface Stats {
  /** `loop` or `thread`. */
  mode: string
  /** Open connections. */
  connections: number
  /** Open exchanges. */
  requests: number
  /** Request bodies that are not at their end. */
  bodies: number
  /** Request bytes held ahead of the application: decoded and not taken, or received and not looked at. */
  bodyBytes: number
  /** Response bytes that wait for the peer. */
  responseBytes: number
  /** Slots in use. */
  slots: number
  /** Bytes lent to the other side; 0, because bytes are copied. */
  externalBytes: number
  /** Tasks of the threaded driver; 0 in the loop driver. */
  tasks: number
  /** Events that wait for JavaScript. */
  queuedMessages: number
  /** Holders of a thread-safe function; 0 in the loop driver. */
  doorbellRefs: number
  /** Releases that wait for their thread. */
  pendingReleases: number
  /** Connections in the deadline wheel. */
  timers: number
  /** Sockets, listeners included. */
  fileDescriptors: number
  /** Threads of the threaded driver; 0 in the loop driver. */
  threads: number
  /** JavaScript objects released on a wrong thread: always 0. */
  wrongThreadDrops: number
  /** Panics that were caught: always 0. */
  panicsTotal: number
  /** Connections accepted. */
  connectionsTotal: number
  /** Requests handed over to the application. */
  requestsTotal: number
  /** Requests that the application was called for. */
  deliveredTotal: number
  /** Requests answered 503 because as many waited as may. */
  shedQueueFullTotal: number
  /** Requests answered 503 because they had waited too long, or would. */
  shedQueueWaitTotal: number
  /** Requests answered 503 because everybody had been waiting for a while. */
  shedLoopDelayTotal: number
  /** Requests refused before they reached it. */
  refusedTotal: number
  /** Exchanges that ended without an answer of the application. */
  abortedTotal: number
  /** Bytes received. */
  receivedBytesTotal: number
  /** Bytes sent. */
  sentBytesTotal: number
  /** Deadlines that expired. */
  timeoutsTotal: number
  /** Errors of accept that were survived. */
  acceptErrorsTotal: number
  /** Lines of the access log that could not be written. */
  accessLogDroppedTotal: number
}

/** Takes the descriptors that were sent, in their order, and closes the socket. Throws `ERR_NATIVE`. */
export declare function takeDescriptors(socket: number): Array<number>

/** Takes the lines that wait for the log of a server. */
export declare function takeRefusals(server: number): Array<NativeLine>

/** Lets the process end although the server listens. */
export declare function unrefServer(server: number): void

/**
 * Watches the end of a pipe whose other end only the master has. When the master is gone, whatever the
 * event loop does: this process accepts nothing more, and ends with 6 after `grace` milliseconds at the
 * latest. Throws `ERR_NATIVE`.
 */
export declare function watchLifeline(fd: number, grace: number): void
