/** Who workers are: user, group, other groups. */
import { GneissError } from '../errors.ts'
import { readSystemFile } from '../options/system-file.ts'

import type { Config } from '../options.ts'

/** Numbers of user and group; undefined for those of the master. */
export interface Identity {
  readonly uid: number | undefined
  readonly gid: number | undefined
}

/**
 * The user and group that the options name, as numbers. A user without a group brings its own.
 * @throws `ERR_OPTION` for a name that nobody has, and for a change that only root may make.
 */
export function identityOf(config: Config): Identity {
  const user = config.user === null ? undefined : findUser(config.user)
  const group = config.group === null ? undefined : findGroup(config.group)
  const identity = { uid: user?.uid, gid: group ?? user?.gid }
  const isChange =
    (identity.uid !== undefined && identity.uid !== process.getuid?.()) ||
    (identity.gid !== undefined && identity.gid !== process.getgid?.())
  if (isChange && process.getuid?.() !== 0)
    throw new GneissError(
      'ERR_OPTION',
      '--user and --group need a process that runs as root; leave them out, or let the service manager change the user',
    )
  return identity
}

/**
 * Becomes that user for good, and takes the mask for what it creates. To be called before anything else in the process.
 * @throws `ERR_OPTION` when the system refuses.
 */
export function assume(config: Config): void {
  const { uid, gid } = identityOf(config)
  try {
    // What the groups of a user are listed under.
    const name = config.user === null ? undefined : rowOf('/etc/passwd', config.user)?.[0]
    // Older than the types.
    const { initgroups } = process as { initgroups?: (user: string, group: number) => void }
    if (config.initgroups && name !== undefined && gid !== undefined) initgroups?.(name, gid)
    else if (uid !== undefined && uid !== process.getuid?.()) process.setgroups?.(gid === undefined ? [] : [gid])
    if (gid !== undefined) process.setgid?.(gid)
    if (uid !== undefined) process.setuid?.(uid)
  } catch (cause) {
    throw new GneissError(
      'ERR_OPTION',
      `the process cannot become ${config.user ?? ''}:${config.group ?? ''}: ${(cause as Error).message}`,
      {
        cause,
      },
    )
  }
  if (config.umask !== null) process.umask(Number.parseInt(config.umask, 8))
}

function findUser(text: string): { uid: number; gid: number | undefined } {
  const row = rowOf('/etc/passwd', text)
  if (row !== undefined) return { uid: Number(row[2]), gid: Number(row[3]) }
  if (isNumber(text)) return { uid: Number(text), gid: undefined }
  throw new GneissError('ERR_OPTION', `--user is ${JSON.stringify(text)}; this machine has no such user`)
}

function findGroup(text: string): number {
  const row = rowOf('/etc/group', text)
  if (row !== undefined) return Number(row[2])
  if (isNumber(text)) return Number(text)
  throw new GneissError('ERR_OPTION', `--group is ${JSON.stringify(text)}; this machine has no such group`)
}

/** The row of somebody, who is named by the first field or numbered by the third. */
function rowOf(file: string, text: string): string[] | undefined {
  const rows = (readSystemFile(file) ?? '').split('\n').map((line) => line.split(':'))
  return rows.find(([name, , id]) => name === text || id === text)
}

function isNumber(text: string): boolean {
  return /^\d{1,9}$/.test(text)
}
