/** How long an application may take: what it asks for, as the addon takes it. */
import { typeErrorOf } from './errors.ts'

/**
 * Milliseconds that `seconds` mean, 0 for ever.
 * @throws TypeError `ERR_OPTION` for anything but a number of seconds.
 */
export function allowanceOf(seconds: number): number {
  const milliseconds = typeof seconds === 'number' ? Math.round(seconds * 1000) : NaN
  if (!(milliseconds >= 0 && milliseconds < Infinity)) {
    throw typeErrorOf('ERR_OPTION', 'A time to extend by is a number of seconds, 0 for ever.')
  }
  // What rounds to nothing would last for ever.
  return seconds > 0 ? Math.max(1, milliseconds) : 0
}
