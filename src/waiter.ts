/** A promise with its two ends, for what happens once and may be waited for. A leaf. */

/** A promise with its two ends. */
export interface Waiter {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** Creates a waiter. A rejection that nobody awaits does not end the process: whoever rejects it reports it elsewhere. */
export function createWaiter(): Waiter {
  let resolve!: () => void
  let reject!: (error: Error) => void
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  promise.catch(ignore)
  return { promise, resolve, reject }
}

function ignore(): void {}
