/** How the program says that it cannot go on: one clear line, what lies behind it, an exit code. */
import { ERROR_CODES, GneissError, errorCodeOf } from './errors.ts'
import { escapeControls } from './log.ts'
import { outlets } from './output.ts'

import type { ErrorCode } from './errors.ts'

/** Writes an error to stderr and ends the process with the exit code of its kind. */
export function exitWith(error: unknown): never {
  outlets().stderr.write(formatFailure(error))
  process.exit(exitCodeOf(error))
}

/** The message and its code in one line, then the stack of what the application threw, indented. */
export function formatFailure(error: unknown): string {
  const code = knownCodeOf(error)
  if (code === undefined) return `gneiss: ${stackOf(error).join('\n')}\n`
  const { message } = error as Error
  const sentence = escapeControls(message.endsWith('.') ? message.slice(0, -1) : message)
  const lines = [`gneiss: ${sentence} [${code}]`, ...causesOf(error as Error, code)]
  return `${lines.join('\n')}\n`
}

/** The exit code that an error means. */
export function exitCodeOf(error: unknown): number {
  const code = knownCodeOf(error)
  return code === undefined ? 1 : ERROR_CODES[code].exit
}

function knownCodeOf(error: unknown): ErrorCode | undefined {
  const code = errorCodeOf(error)
  return error instanceof Error && code !== undefined && Object.hasOwn(ERROR_CODES, code)
    ? (code as ErrorCode)
    : undefined
}

/** Only code of the user has a stack worth reading: that of a refused option or a missing addon shows ours. */
function causesOf(error: Error, code: ErrorCode): string[] {
  if (ERROR_CODES[code].fault !== 'application' && code !== 'ERR_CONFIG') return []
  const lines: string[] = []
  for (let cause = error.cause, depth = 0; cause !== undefined && depth < 4; depth++) {
    const isOurs = cause instanceof GneissError || (cause instanceof Error && 'syscall' in cause)
    const stack = isOurs ? [] : stackOf(cause)
    // A single line is what the message says already.
    if (stack.length > 1) lines.push(...stack.map((line) => `    ${line}`))
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return lines
}

const OUR_FILES = new URL('./', import.meta.url).href

/** Without the frames of Node and of this package, which are the same for everybody. */
function stackOf(thrown: unknown): string[] {
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
  return text
    .split('\n')
    .filter((line) => line !== '' && !/\bnode:[\w/]+:\d+/.test(line) && !line.includes(OUR_FILES))
    .map(escapeControls)
}
