/** The server's own log: one line per record on stderr. A leaf. */

/** Levels, most severe first. */
export const LOG_LEVELS = ['critical', 'error', 'warn', 'info', 'debug'] as const

/** One of `LOG_LEVELS`. */
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Writes records at or above its level. */
export interface Logger {
  readonly level: LogLevel
  critical(message: string, error?: unknown): void
  error(message: string, error?: unknown): void
  warn(message: string, error?: unknown): void
  info(message: string, error?: unknown): void
  debug(message: string, error?: unknown): void
}

/** Control bytes of anything a peer or an application named are escaped, so that a log line stays one line. */
export function escapeControls(text: string): string {
  let out = ''
  for (const char of text) {
    const code = char.charCodeAt(0)
    const isControl = code < 0x20 || (code >= 0x7f && code < 0xa0)
    out += isControl ? `\\x${code.toString(16).padStart(2, '0')}` : char
  }
  return out
}

let sink: (line: string) => void = writeToStderr

/** Has the loggers of this process that were given no place of their own write there, also those that there are; undefined is stderr. */
export function directLog(write: ((line: string) => void) | undefined): void {
  sink = write ?? writeToStderr
}

/** Creates a logger. `write` receives whole lines; the default is stderr, unless `directLog` has said otherwise. */
export function createLogger(level: LogLevel, write: (line: string) => void = (line) => sink(line)): Logger {
  const limit = LOG_LEVELS.indexOf(level)
  const at =
    (name: LogLevel) =>
    (message: string, ...thrown: [error?: unknown]): void => {
      if (LOG_LEVELS.indexOf(name) > limit) return
      // An application may throw undefined as well; only what was not given has nothing to show.
      const detail = thrown.length === 0 ? '' : detailOf(thrown[0])
      write(`[${new Date().toISOString()}] [${process.pid}] [${name}] ${escapeControls(message)}${detail}\n`)
    }
  return { level, critical: at('critical'), error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') }
}

function writeToStderr(line: string): void {
  process.stderr.write(line)
}

/** Stack and causes, indented so that a reader sees where the next record begins. */
function detailOf(error: unknown): string {
  const lines = describe(error).split('\n')
  let cause = causeOf(error)
  for (let depth = 1; depth < 8 && cause !== undefined && cause !== null; depth++) {
    lines.push(...`caused by: ${describe(cause)}`.split('\n'))
    cause = causeOf(cause)
  }
  return `\n${lines.map((line) => `    ${escapeControls(line)}`).join('\n')}`
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}

/** An application may throw anything, also things whose `toString` throws. */
function describe(value: unknown): string {
  try {
    if (!(value instanceof Error)) return String(value)
    const text = value.stack ?? `${value.name}: ${value.message}`
    // The code is what the table of errors is searched for, and a stack does not show it.
    const { code } = value as { code?: unknown }
    return typeof code === 'string' && !text.includes(code) ? `[${code}] ${text}` : text
  } catch {
    return 'a value that cannot be shown'
  }
}
