/** The file of the server's own log, in the place of stderr. */
import { closeSync, fchownSync, openSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'

import { GneissError } from './errors.ts'
import { directLog } from './log.ts'

import type { Logger } from './log.ts'
import type { Identity } from './workers/identity.ts'

/** Who wants to know which descriptor the file has. */
export interface LogFollower {
  /** It has this one; undefined is that there is no file, because the log is stderr. */
  lead(descriptor: number | undefined): void
  /** This process writes to stderr again. */
  release(): void
}

let follower: LogFollower | undefined
let opened: { readonly path: string; readonly owner: Identity | undefined; readonly descriptor: number } | undefined

/**
 * Has this process write its log to a file, which is `owner`'s; null and `-` are stderr. Several processes may append to one.
 * @throws `ERR_OPTION` when it cannot be opened.
 */
export function openErrorLog(path: string | null, owner?: Identity): void {
  if (path === null || path === '-') return
  try {
    replace(resolve(path), owner)
  } catch (cause) {
    throw new GneissError(
      'ERR_OPTION',
      `the error log ${path} cannot be opened: ${(cause as Error).message}; name a file that may be written, or leave it out for stderr`,
      { cause },
    )
  }
}

/** Tells somebody of the file, now and whenever it is opened anew. Returns whether there is one. */
export function followErrorLog(joining: LogFollower): boolean {
  joining.lead(opened?.descriptor)
  follower = joining
  return opened !== undefined
}

/** Opens the file anew, for whoever has moved it away. One that cannot be opened is told of in the old one. */
export function reopenErrorLog(log: Logger): void {
  if (opened === undefined) return
  const { path, owner } = opened
  try {
    replace(path, owner)
  } catch (error) {
    log.error(`the error log ${path} cannot be opened anew; the old one is used`, error)
  }
}

/** Has this process write to stderr again. */
export function closeErrorLog(): void {
  follower?.release()
  follower = undefined
  if (opened === undefined) return
  directLog(undefined)
  closeSync(opened.descriptor)
  opened = undefined
}

function replace(path: string, owner: Identity | undefined): void {
  const descriptor = openSync(path, 'a', 0o644)
  try {
    if (owner?.uid !== undefined || owner?.gid !== undefined)
      fchownSync(descriptor, owner.uid ?? process.getuid?.() ?? 0, owner.gid ?? process.getgid?.() ?? 0)
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
  const before = opened
  opened = { path, owner, descriptor }
  directLog((line) => append(descriptor, line))
  follower?.lead(descriptor)
  if (before !== undefined) closeSync(before.descriptor)
}

/** A full disk costs the line, and not the request that it tells of. */
function append(descriptor: number, line: string): void {
  try {
    writeSync(descriptor, line)
  } catch {
    // There is nowhere left to say so.
  }
}
