/** What the system tells in files. A leaf. */
import { readFileSync } from 'node:fs'

/** The text of a file of the system; undefined where there is none, or none for us. */
export function readSystemFile(path: string): string | undefined {
  try {
    // Of all encodings the one that Node reads in one native call.
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
