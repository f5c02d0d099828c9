/** What the system tells in files. A leaf. */
import { readFileSync } from 'node:fs'

/** The text of a file of the system; undefined where there is none, or none for us. */
export function readSystemFile(path: string, encoding: 'latin1' | 'utf8' = 'latin1'): string | undefined {
  try {
    return readFileSync(path, encoding)
  } catch {
    return undefined
  }
}
