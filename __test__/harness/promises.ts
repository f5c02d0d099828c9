/** Small waits and refusals that every spec needs. */

/** A promise and what settles it. */
export interface Pending<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
}

/** A promise that the test settles. */
export function pending<T = void>(): Pending<T> {
  let resolve!: (value: T) => void
  const promise = new Promise<T>((yes) => {
    resolve = yes
  })
  return { promise, resolve }
}

/** What a promise is rejected with, or undefined. */
export function failureOf(promise: Promise<unknown>): Promise<(Error & { code?: string }) | undefined> {
  return promise.then(
    () => undefined,
    (error: Error & { code?: string }) => error,
  )
}

/** Code of what a promise is rejected with, or undefined. */
export async function rejectionCode(promise: Promise<unknown>): Promise<string | undefined> {
  return (await failureOf(promise))?.code
}

/** Code of what a function throws, or undefined. */
export function thrownCode(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}
