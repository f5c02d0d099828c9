/** The file with the number of the process, locked for as long as the process lives. */
import { GneissError, codedError } from '../errors.ts'
import { native } from '../native.ts'

/**
 * Writes the number of this process into a file and locks it.
 * @throws `ERR_PIDFILE` when another process has it, or it cannot be written.
 */
export function takePidfile(path: string): void {
  let isOurs: boolean
  try {
    isOurs = native.lockPidfile(path)
  } catch (cause) {
    throw new GneissError('ERR_PIDFILE', (codedError(cause) as Error).message, { cause })
  }
  if (!isOurs)
    throw new GneissError(
      'ERR_PIDFILE',
      `another process holds the pid file ${path}; stop that one first, or name another file`,
    )
}
