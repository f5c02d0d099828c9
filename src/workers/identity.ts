/** Who workers are: user, group, other groups. */
import { readFileSync } from 'node:fs'

import { GneissError } from '../errors.ts'

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
 * Becomes that user for good. To be called before anything else in the process.
 * @throws `ERR_OPTION` when the system refuses.
 */
export function assume(config: Config): void {
  const { uid, gid } = identityOf(config)
  try {
    const name = config.user === null || gid === undefined ? undefined : nameOf(config.user)
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
}

function findUser(text: string): { uid: number; gid: number | undefined } {
  const row = rowsOf('/etc/passwd').find(([name, , uid]) => name === text || uid === text)
  if (row !== undefined) return { uid: Number(row[2]), gid: Number(row[3]) }
  if (isNumber(text)) return { uid: Number(text), gid: undefined }
  throw new GneissError('ERR_OPTION', `--user is ${JSON.stringify(text)}; this machine has no such user`)
}

function findGroup(text: string): number {
  const row = rowsOf('/etc/group').find(([name, , gid]) => name === text || gid === text)
  if (row !== undefined) return Number(row[2])
  if (isNumber(text)) return Number(text)
  throw new GneissError('ERR_OPTION', `--group is ${JSON.stringify(text)}; this machine has no such group`)
}

/** The name of a user, which is what its groups are listed under. */
function nameOf(text: string): string | undefined {
  return rowsOf('/etc/passwd').find(([name, , uid]) => name === text || uid === text)?.[0]
}

function rowsOf(file: string): string[][] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
  } catch {
    return []
  }
}

function isNumber(text: string): boolean {
  return /^\d{1,9}$/.test(text)
}
