/** Work that an application goes on with after it has answered. */
import type { Host } from './protocol.ts'

/** Lets `work` run on: closing the server waits for it, and a rejection is logged instead of ending the process. */
export function runInBackground(work: PromiseLike<unknown>, host: Host): void {
  const watched = Promise.resolve(work).then(
    () => {
      host.background.delete(watched)
    },
    (error: unknown) => {
      host.background.delete(watched)
      host.log.error('a promise given to waitUntil was rejected', error)
    },
  )
  host.background.add(watched)
}
