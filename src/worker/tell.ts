/** What a worker says to its master, and its end when nobody hears. */
import { errorCodeOf } from '../errors.ts'
import { exitCodeOf, exitWith, formatFailure } from '../failure.ts'
import { ExitCode } from '../workers/tables.ts'

import type { ErrorCode } from '../errors.ts'
import type { WorkerMessage } from '../workers/protocol.ts'

/** The channel is written at once, so that a message before the end is not lost. */
export function tell(message: WorkerMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

/** Tells the master why; it says so to people, once for all workers. */
export function fail(error: unknown): never {
  if (!process.connected) exitWith(error)
  const exitCode = exitCodeOf(error)
  tell({ gneiss: 'failed', code: errorCodeOf(error) as ErrorCode | undefined, exitCode, text: formatFailure(error) })
  process.exit(exitCode)
}

/** Ends without a word: the master is gone before it has said what there is to do, and has said why itself. */
export function leaveUnstarted(): never {
  process.exit(ExitCode.orphaned)
}
