/** Has what the application writes to stdout and stderr go to the error log, while the program goes on to speak where it did. */
import { writeSync } from 'node:fs'
import { Writable } from 'node:stream'

import { followErrorLog } from '../error-log.ts'
import { errorCodeOf } from '../errors.ts'
import { native } from '../native.ts'
import { directProgram } from '../output.ts'

import type { Outlet } from '../output.ts'

/**
 * Descriptors 1 and 2 lead to the file of the error log from now on, also when that is opened anew, until it is closed:
 * for JavaScript, for native code, and for the processes that are started here. Without a file the log is stderr, and
 * stdout leads there.
 * @throws `ERR_NATIVE` when the system refuses.
 */
export function captureOutput(): void {
  const { stdout, stderr } = process
  const kept = native.keepOutput()
  const isFile = followErrorLog({
    lead: (descriptor = kept.stderr) => native.pointOutput(descriptor, descriptor),
    release: () => {
      replaceStreams(stdout, stderr)
      directProgram(undefined)
      native.restoreOutput()
    },
  })
  // Node's own may hold what they wrote to before: that of a terminal has opened it by itself.
  if (isFile) replaceStreams(streamTo(1), streamTo(2))
  else replaceStreams(stderr, stderr)
  directProgram({ stdout: outletOf(stdout, kept.stdout), stderr: outletOf(stderr, kept.stderr) })
}

function replaceStreams(stdout: Writable, stderr: Writable): void {
  for (const [name, stream] of Object.entries({ stdout, stderr }))
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream })
  // It has kept them if it was used before.
  Object.assign(console, { _stdout: stdout, _stderr: stderr })
}

/** Into a file, and at once: what a handler has written before the process dies is there. */
function streamTo(descriptor: number): Writable {
  const stream = new Writable({
    // Whoever ends it ends nothing, as with those of Node.
    autoDestroy: false,
    emitClose: false,
    write: (chunk: Uint8Array, _encoding, done) => {
      append(descriptor, chunk)
      done()
    },
  })
  return Object.assign(stream, { fd: descriptor })
}

function outletOf(stream: NodeJS.WriteStream, descriptor: number): Outlet {
  return stream.isTTY ? stream : { write: (text) => append(descriptor, Buffer.from(text)) }
}

/** A full disk costs what is written, and nobody else hears of it. */
function append(descriptor: number, bytes: Uint8Array): void {
  let rest = bytes
  for (let tries = 0; rest.length > 0; tries++) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest))
    } catch (error) {
      // Node makes pipes of its own non-blocking, and one that nobody reads is not waited for.
      if (errorCodeOf(error) !== 'EAGAIN' || tries > MOST_TRIES) return
      Atomics.wait(CLOCK, 0, 0, FULL_PIPE)
    }
  }
}

const CLOCK = new Int32Array(new SharedArrayBuffer(4))

/** Milliseconds until a full pipe is tried again. */
const FULL_PIPE = 5
const MOST_TRIES = 200
