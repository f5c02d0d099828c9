/**
 * Settings of Gunicorn, and the best known ones of Granian, that gneiss does not have, and what to use
 * instead: a person who brings a command line along is told so by name, not by the nearest name.
 */

/** What to say about a setting. */
export interface GunicornAdvice {
  /** It ends the start; otherwise it is accepted, has no effect, and is warned about. */
  readonly isRefused: boolean
  readonly text: string
}

/** Advice for a name, written as a flag without dashes, as one letter, or as a key in camelCase. */
export function gunicornAdvice(name: string): GunicornAdvice | undefined {
  const key = NAMES.get(name.replaceAll(/[-_]/g, '').toLowerCase()) ?? (name.length === 1 ? SHORT[name] : undefined)
  if (key === undefined) return undefined
  const ignored = IGNORED[key]
  return ignored === undefined ? { isRefused: true, text: REFUSED[key] as string } : { isRefused: false, text: ignored }
}

const IGNORED: Readonly<Record<string, string>> = {
  preload: 'Node has no fork without exec, so every process loads the application itself',
  workerTmpDir: 'the heartbeat of a worker is kept in memory',
}

const LATER = 'it is not available in this version'
const LOGGING = 'the log goes to stderr, or to the file of --error-log; choose what is logged with --log-level'
const TLS = 'TLS is not available in this version; end it in a proxy in front'
const PROXY = 'the PROXY protocol is not spoken in this version; --forwarded-allow-ips names proxies that speak HTTP'
const FORWARDED = 'the Forwarded and X-Forwarded fields of --forwarded-allow-ips count, and no others'
const MANAGER = 'let the service manager do it (systemd, a container)'
const STRICT = 'there are no lenient switches; such requests are refused'
const RESTART = 'workers are not replaced in this version; let the service manager restart the process'
const METRICS = 'metrics are not available in this version'
const ONE_PROTOCOL = 'this version speaks HTTP/1.0 and HTTP/1.1, and no other protocol'
const FILES = 'static files are not served in this version; leave them to the proxy in front'

const REFUSED: Readonly<Record<string, string>> = {
  accessLogfile: 'use --access-log',
  accessLogformat: 'use --access-log-format',
  caCerts: TLS,
  casefoldHttpMethod: STRICT,
  certReqs: TLS,
  certfile: TLS,
  ciphers: TLS,
  daemon: MANAGER,
  defaultProcName: 'use --name',
  disableRedirectAccessToSyslog: LOGGING,
  doHandshakeOnConnect: TLS,
  dogstatsdTags: METRICS,
  enableStdioInheritance: 'stdout and stderr are inherited always',
  errorLogfile: 'use --error-log',
  forwarderHeaders: FORWARDED,
  headerMap: STRICT,
  http: ONE_PROTOCOL,
  keepalive: 'write keepAlive',
  keyfile: TLS,
  logConfig: LOGGING,
  logConfigDict: LOGGING,
  logConfigJson: LOGGING,
  logFile: 'use --error-log',
  logSyslog: LOGGING,
  logSyslogFacility: LOGGING,
  logSyslogPrefix: LOGGING,
  logSyslogTo: LOGGING,
  loggerClass: LOGGING,
  loglevel: 'write logLevel',
  maxRequests: RESTART,
  maxRequestsJitter: RESTART,
  noSendfile: LATER,
  noWs: ONE_PROTOCOL,
  paste: 'it configures Python; use --config',
  pasteGlobal: 'it configures Python; use --config',
  permitObsoleteFolding: STRICT,
  permitUnconventionalHttpMethod: STRICT,
  permitUnconventionalHttpVersion: STRICT,
  proxyAllowFrom: PROXY,
  proxyAllowIps: PROXY,
  proxyProtocol: PROXY,
  pythonpath: 'it configures Python; use --chdir, or --import for a loader',
  reload: 'use node --watch around gneiss',
  reloadEngine: 'use node --watch around gneiss',
  reloadExtraFile: 'use node --watch-path around gneiss',
  secureSchemeHeaders: FORWARDED,
  sendfile: LATER,
  spew: 'use the inspector of Node',
  sslVersion: TLS,
  staticPathExpires: FILES,
  staticPathMount: FILES,
  staticPathRoute: FILES,
  statsdHost: METRICS,
  statsdPrefix: METRICS,
  stripHeaderSpaces: STRICT,
  suppressRaggedEofs: TLS,
  syslogAddr: LOGGING,
  threads: 'JavaScript of one process runs on one thread; start more processes',
  tmpUploadDir: 'bodies are streamed to the application, never written to files',
  workersLifetime: RESTART,
  workersMaxRss: RESTART,
  ws: ONE_PROTOCOL,
  wsgiApp: 'write app',
}

/** Keys of Gunicorn's files that differ from its flags. */
const RENAMED: Readonly<Record<string, string>> = {
  accesslog: 'accessLogfile',
  errorlog: 'errorLogfile',
  logconfig: 'logConfig',
  logconfigDict: 'logConfigDict',
  logconfigJson: 'logConfigJson',
  preloadApp: 'preload',
  rawPasteGlobalConf: 'pasteGlobal',
  reloadExtraFiles: 'reloadExtraFile',
  syslog: 'logSyslog',
  syslogFacility: 'logSyslogFacility',
  syslogPrefix: 'logSyslogPrefix',
}

const SHORT: Readonly<Record<string, string>> = {
  D: 'daemon',
  R: 'enableStdioInheritance',
}

/** From any spelling without its separators to the row. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ...[...Object.keys(REFUSED), ...Object.keys(IGNORED)].map((key): [string, string] => [key.toLowerCase(), key]),
  ...Object.entries(RENAMED).map(([name, key]): [string, string] => [name.toLowerCase(), key]),
])
