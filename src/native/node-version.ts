/** Refuses a Node that is too old, before anything of it is missed. */
import { GneissError } from '../errors.ts'

/** Oldest minor release of each line that is served; what is later than all of them is served too. */
const OLDEST: Readonly<Record<number, number>> = { 20: 19, 22: 12 }
const NEWEST_LINE = 22

/**
 * Ends the start in an old Node with a sentence that says what is needed, not with what happens to be missing.
 * @throws `ERR_NATIVE` before Node 20.19, in Node 21 and before 22.12.
 */
export function requireNode(version: string = process.versions.node): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const oldest = OLDEST[major]
  if (major > NEWEST_LINE || (oldest !== undefined && minor >= oldest)) return
  throw new GneissError(
    'ERR_NATIVE',
    `gneiss needs Node 20.19, 22.12 or 24 and later, and this is Node ${version}. ` +
      'Install a newer Node, or start gneiss with one: PATH_TO_NODE node_modules/gneiss/dist/cli.js',
  )
}
