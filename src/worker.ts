/**
 * The program of a worker process. It may be started before its master knows whether it will be needed, so a worker that
 * cannot be loaded tells that to the master and to nobody else.
 */
import { fail, leaveUnstarted } from './worker/tell.ts'

process.once('disconnect', leaveUnstarted)
// It may have happened already.
if (!process.connected) leaveUnstarted()
// Messages wait until somebody listens.
import('./worker/run.ts').then(
  ({ runWorker }) => runWorker(),
  (error: unknown) => {
    if (!process.connected) leaveUnstarted()
    fail(error)
  },
)
