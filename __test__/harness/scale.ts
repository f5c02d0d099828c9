/** Tests of size and endurance have two measures: one for every run, and the full one for `npm run test:long`. */
const isFull = process.env.TEST_SCALE === 'full'

/** The measure of this run. */
export function scaled(quick: number, full: number): number {
  return isFull ? full : quick
}

/** Time limit of a test in milliseconds: the full measure may take ten times as long. */
export function timeLimit(quick: number): number {
  return isFull ? quick * 10 : quick
}

/** A sanitizer watches: it keeps what was freed for a while, to notice who uses it, and everything is slower. */
const isWatched = process.env['ASAN_OPTIONS'] !== undefined

/**
 * An upper bound for resident memory in bytes, which says nothing where a sanitizer keeps what was freed: this is
 * the one place where such a bound is given up, and who calls it is the list of those.
 */
export function residentBound(bound: number): number {
  return isWatched ? Infinity : bound
}

/** Prints what a full run has measured, for who writes it down. */
export function report(text: string): void {
  if (isFull) process.stdout.write(`measured: ${text}\n`)
}

/**
 * An upper bound for something that has to happen soon, in the unit of its argument: the bound itself in the full
 * run, which has the machine alone, and five times that where others compute beside it. A test that means how long
 * something takes says so in the full run; in every run it says that it happens.
 */
export function soon(bound: number): number {
  return scaled(5 * bound, bound)
}
