/**
 * What the server logs during a test. A line at `warn` or above, and anything else that is no log
 * line, fails the test unless the test said that it expects it.
 */

/** Text that a record holds, or a pattern that it matches. */
export type LogPattern = string | RegExp

const QUIET_LEVELS = ['] [info] ', '] [debug] ']
const realWrite = process.stderr.write.bind(process.stderr)
let captured = ''
let expected: LogPattern[] = []

/** Declares that the servers of this test log a record like this. The test fails if none does. */
export function expectLog(pattern: LogPattern): void {
  expected.push(pattern)
}

/** What this test's in-process servers have logged so far. */
export function capturedLog(): string {
  return captured
}

/** Begins a test: stderr goes into the record. */
export function startCapture(): void {
  captured = ''
  expected = []
  process.stderr.write = ((chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    captured += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8')
    const callback = rest.find((value) => typeof value === 'function') as (() => void) | undefined
    if (callback !== undefined) queueMicrotask(callback)
    return true
  }) as typeof process.stderr.write
}

/** Ends a test: gives stderr back and returns what is wrong with the record. */
export function endCapture(): string[] {
  process.stderr.write = realWrite
  return faultsOf(captured, expected)
}

/** What is wrong with a log: records that nobody expected, expectations that nothing met. */
export function faultsOf(log: string, patterns: readonly LogPattern[]): string[] {
  const records = recordsOf(log)
  const unexpected = records.filter((record) => isLoud(record) && !patterns.some((pattern) => matches(record, pattern)))
  const missing = patterns.filter((pattern) => !records.some((record) => matches(record, pattern)))
  return [
    ...unexpected.map((record) => `unexpected on stderr: ${record}`),
    ...missing.map((pattern) => `expected on stderr, but it did not come: ${String(pattern)}`),
  ]
}

/** Splits into records: an indented line belongs to the record above it. */
function recordsOf(log: string): string[] {
  const records: string[] = []
  for (const line of log.split('\n')) {
    if (line === '') continue
    if (line.startsWith('    ') && records.length > 0) records.push(`${records.pop()}\n${line}`)
    else records.push(line)
  }
  return records
}

function isLoud(record: string): boolean {
  const [first = ''] = record.split('\n')
  if (QUIET_LEVELS.some((level) => first.includes(level))) return false
  // Node says this once for type stripping and for module hooks; neither is ours to silence.
  return !first.includes('ExperimentalWarning') && !first.startsWith('(Use `node --trace-warnings')
}

function matches(record: string, pattern: LogPattern): boolean {
  return typeof pattern === 'string' ? record.includes(pattern) : pattern.test(record)
}
