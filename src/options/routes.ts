/** Paths with limits of their own: `/upload=1g`. */
import { SIZE_UNITS } from './entry.ts'
import { LIMIT_OPTIONS } from './limits.ts'

/** A path and the limit of what is sent to it. */
export interface BodyRoute {
  /** Percent-decoded; it holds for what lies below it as well. */
  readonly path: string
  /** Bytes of a request body. */
  readonly limit: number
}

/**
 * Reads `PATH=SIZE`.
 * @throws a plain `Error` whose message completes "it ...".
 */
export function parseBodyRoute(text: string): BodyRoute {
  // A path may hold an equals sign, a size has none.
  const at = text.lastIndexOf('=')
  const path = text.slice(0, Math.max(0, at))
  const match = /^(\d{1,16})([kmg]?)$/i.exec(text.slice(at + 1))
  if (!path.startsWith('/') || match === null) throw new Error('must be PATH=SIZE, such as /upload=1g')
  const limit = Number(match[1]) * (SIZE_UNITS[(match[2] as string).toLowerCase()] ?? 1)
  if (limit < 1 || limit > MOST) throw new Error('must have a size of 1 to 1024g')
  return { path, limit }
}

const [, MOST] = LIMIT_OPTIONS.maxBody.range
