/**
 * Every option, described once. Arguments, environment names, the configuration file, the help, the
 * printed configuration and the types below all come from this table.
 */

import { kebabOf } from './options/entry.ts'
import { LIMIT_OPTIONS } from './options/limits.ts'
import { SUPERVISION_OPTIONS } from './options/supervision.ts'

import type { FinishedOf, InputOf, OptionEntry } from './options/entry.ts'

export type { Duration, Size } from './options/entry.ts'

const SERVER_OPTIONS = {
  app: {
    type: 'string',
    default: null,
    positional: true,
    placeholder: 'APP',
    isForProgram: true,
    doc: 'The application: file[:export[.path]] or file:factory().',
  },
  factory: {
    type: 'boolean',
    default: false,
    isForProgram: true,
    doc: 'Call the export (it may be async) to get the application.',
  },
  interface: {
    type: 'enum',
    values: ['auto', 'asgi', 'rsgi', 'fetch', 'node'],
    default: 'auto',
    doc: 'What the application is written against; auto looks at what was exported.',
  },
  lifespan: {
    type: 'enum',
    values: ['auto', 'on', 'off'],
    default: 'auto',
    doc: 'Tell the application of start and stop; with on it must support that.',
  },
  rootPath: {
    type: 'string',
    form: 'prefix',
    default: '',
    placeholder: 'PATH',
    doc: 'Prefix reported to the application; it is not stripped from the path.',
  },
  imports: {
    type: 'string',
    default: [],
    flag: 'import',
    repeatable: true,
    placeholder: 'MODULE',
    isForProgram: true,
    doc: 'Module to import before the application, such as a loader or an agent.',
  },
  chdir: {
    type: 'string',
    default: null,
    placeholder: 'DIR',
    isForProgram: true,
    doc: 'Directory to change to before anything is loaded.',
  },
  rawEnv: {
    type: 'string',
    form: 'assignment',
    default: [],
    flag: 'env',
    short: 'e',
    repeatable: true,
    placeholder: 'KEY=VALUE',
    isForProgram: true,
    doc: 'Environment variable for the application; it overrides the real environment.',
  },
  envFiles: {
    type: 'string',
    default: [],
    flag: 'env-file',
    repeatable: true,
    placeholder: 'FILE',
    isForProgram: true,
    doc: 'File of environment variables in dotenv syntax; it never overrides the real environment.',
  },
  bind: {
    type: 'address',
    default: ['127.0.0.1:8000'],
    derived: '127.0.0.1:8000, or the sockets of systemd, or $PORT on $HOST, else on 0.0.0.0',
    short: 'b',
    repeatable: true,
    placeholder: 'ADDRESS',
    doc: 'Where to listen: HOST, HOST:PORT, [V6]:PORT, :PORT, unix:PATH or fd://N.',
  },
  backlog: {
    type: 'integer',
    default: 4096,
    range: [1, 65_535],
    doc: 'Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn, and a warning says so.',
  },
  reusePort: {
    type: 'boolean',
    default: false,
    doc: 'Share TCP ports with SO_REUSEPORT (Linux): each worker listens for itself, the kernel spreads connections, and other servers of the same user may listen there too.',
  },
  workerConnections: {
    type: 'integer',
    default: null,
    derived: 'min(10000, 80 % of the file descriptor limit)',
    range: [1, 1_000_000],
    doc: 'Open connections of one worker; at the limit it stops accepting.',
  },
  allowHalfOpen: {
    type: 'boolean',
    default: false,
    doc: 'Serve clients that close their sending side before they are answered.',
  },
  forwardedAllowIps: {
    type: 'string',
    form: 'peer',
    default: ['127.0.0.1', '::1'],
    repeatable: true,
    placeholder: 'PEERS',
    doc: 'Proxies whose Forwarded and X-Forwarded fields count: IP, CIDR, unix (peers of Unix sockets), * (everybody).',
  },
  workers: {
    type: 'integer',
    default: 1,
    short: 'w',
    range: [0, 1024],
    words: ['auto'],
    isForProgram: true,
    doc: 'Worker processes behind a master; 0 serves in this process without one, auto is one for each cpu within the quota of the cgroup.',
  },
  runtimeMode: {
    type: 'enum',
    values: ['auto', 'loop', 'thread'],
    default: 'auto',
    doc: 'Driver of the connections: loop serves them on the JavaScript thread, thread on I/O threads; auto is loop where the runtime has libuv.',
  },
  runtimeThreads: {
    type: 'integer',
    default: 1,
    range: [1, 8],
    doc: 'I/O threads of the thread driver; more than 2 seldom pay for one worker.',
  },
  requestTimeout: {
    type: 'duration',
    default: 30,
    range: [0.1, 604_800],
    zero: 'off',
    doc: 'From the head of a request to the head of its answer, else 504.',
  },
  timeout: {
    type: 'duration',
    default: null,
    short: 't',
    range: [0.1, 604_800],
    zero: 'off',
    doc: 'Spelling of Gunicorn: sets requestTimeout and loopTimeout.',
  },
  gracefulTimeout: {
    type: 'duration',
    default: 30,
    range: [0.1, 604_800],
    zero: 'cut at once',
    doc: 'Time for open requests when the server stops, then they are cut.',
  },
  firstByteTimeout: {
    type: 'duration',
    default: 5,
    range: [0.1, 604_800],
    doc: 'From accepting a connection to its first byte.',
  },
  headTimeout: {
    type: 'duration',
    default: 15,
    range: [0.1, 604_800],
    doc: 'For a complete request head, counted from its first byte.',
  },
  bodyIdleTimeout: {
    type: 'duration',
    default: 30,
    range: [0.1, 604_800],
    doc: 'Longest silence inside a request body, else 408.',
  },
  bodyMinRate: {
    type: 'integer',
    default: 240,
    range: [1, 1_000_000_000],
    zero: 'off',
    unit: 'bytes a second',
    doc: 'Slowest request body, judged after 10 s of it.',
  },
  responseIdleTimeout: {
    type: 'duration',
    default: 300,
    range: [0.1, 604_800],
    zero: 'off',
    doc: 'Longest silence of the application inside an answer, then it is cut.',
  },
  writeTimeout: {
    type: 'duration',
    default: 60,
    range: [0.1, 604_800],
    doc: 'Longest time without progress while the client does not read, then the connection is reset.',
  },
  keepAlive: {
    type: 'duration',
    default: 75,
    range: [0.1, 604_800],
    doc: 'How long an idle connection is kept for the next request.',
  },
  keepAliveMaxAge: {
    type: 'duration',
    default: 0,
    range: [0.1, 604_800],
    zero: 'off',
    doc: 'Age at which a connection is closed after its current request; up to a tenth earlier, so that not all come back at once.',
  },
} as const

const OPERATION_OPTIONS = {
  maxQueue: {
    type: 'integer',
    default: 1024,
    range: [1, 1_000_000],
    zero: 'no limit',
    doc: 'Requests that may wait for JavaScript in one worker, else 503.',
  },
  maxQueueWait: {
    type: 'duration',
    default: 10,
    range: [0.1, 604_800],
    zero: 'off',
    doc: 'Longest wait of a request for JavaScript, real or predicted, else 503.',
  },
  shedExempt: {
    type: 'string',
    form: 'prefix',
    default: [],
    repeatable: true,
    placeholder: 'PATH',
    doc: 'Path that is never answered 503 for want of time, with all below it; that of healthProbe never is either.',
  },
  serverHeader: {
    type: 'string',
    form: 'field',
    default: '',
    placeholder: 'NAME',
    doc: 'Value of the server field of every answer; there is none unless named.',
  },
  fastResponse: {
    type: 'boolean',
    default: true,
    libraryDefault: false,
    doc: 'The light Response of gneiss is the global one unless this is off.',
  },
  config: {
    type: 'string',
    default: null,
    derived: 'gneiss.config.{ts,js,mjs,json}, if there is one',
    short: 'c',
    placeholder: 'FILE',
    isForProgram: true,
    doc: 'Configuration file.',
  },
  checkConfig: {
    type: 'boolean',
    default: false,
    isForProgram: true,
    doc: 'Load configuration and application, then exit.',
  },
  printConfig: {
    type: 'enum',
    values: ['off', 'text', 'json'],
    implied: 'text',
    default: 'off',
    isForProgram: true,
    doc: 'Print every value and where it comes from, then exit.',
  },
  accessLog: {
    type: 'string',
    default: null,
    placeholder: 'FILE',
    doc: 'File of the access log, or - for stdout; there is none unless named.',
  },
  accessLogFormat: {
    type: 'string',
    default: 'combined',
    placeholder: 'FORMAT',
    doc: 'Line of the access log: common, combined, json, or text with atoms of Gunicorn such as %(h)s.',
  },
  logLevel: {
    type: 'enum',
    values: ['critical', 'error', 'warn', 'info', 'debug'],
    default: 'info',
    doc: 'Least severe record that is logged.',
  },
} as const

/** The table. Keys are those of the configuration file and of `serve`. */
export const OPTIONS: typeof SERVER_OPTIONS &
  typeof LIMIT_OPTIONS &
  typeof OPERATION_OPTIONS &
  typeof SUPERVISION_OPTIONS = { ...SERVER_OPTIONS, ...LIMIT_OPTIONS, ...OPERATION_OPTIONS, ...SUPERVISION_OPTIONS }

/** Headings of the help, each by the option it stands above. */
export const HEADINGS: Readonly<Partial<Record<OptionKey, string>>> = {
  app: 'Application',
  bind: 'Sockets',
  workers: 'Processes',
  requestTimeout: 'Deadlines',
  limitRequestHead: 'Limits',
  maxQueue: 'Overload',
  serverHeader: 'Answers',
  config: 'Operation',
  bootTimeout: 'Supervision',
}

/** Key of an option. */
export type OptionKey = keyof typeof OPTIONS

/**
 * What a person writes, in a configuration file or for `serve`: any of the keys.
 * @example const options: Options = { bind: '127.0.0.1:0', keepAlive: '30s', maxBody: '64m' }
 */
export type Options = { [K in OptionKey]?: InputOf<(typeof OPTIONS)[K]> | undefined }

/** The finished configuration: every key, times in seconds, sizes in bytes, null for what is unset. */
export type Config = { -readonly [K in OptionKey]: FinishedOf<(typeof OPTIONS)[K]> }

/** Keys in the order of the table. */
export const OPTION_KEYS: readonly OptionKey[] = Object.keys(OPTIONS) as OptionKey[]

/** One row, with all its optional facts; also the place where the compiler checks each row. */
export function entryOf(key: OptionKey): OptionEntry {
  return OPTIONS[key]
}

/** Name after `--`. */
export function flagOf(key: OptionKey): string {
  return entryOf(key).flag ?? kebabOf(key)
}

/** Name in the environment. */
export function environmentNameOf(key: OptionKey): string {
  return `GNEISS_${flagOf(key).replaceAll('-', '_').toUpperCase()}`
}

/** Whether a text is the key of an option. */
export function isOptionKey(name: string): name is OptionKey {
  return Object.hasOwn(OPTIONS, name)
}
