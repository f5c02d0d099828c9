/** Bytes of one socket, read in the order in which they came. What `RawClient` parses answers from. */
import type { Socket } from 'node:net'

/** How a connection ended: by FIN, by RST, or by our own doing. */
export type Ending = 'fin' | 'reset' | 'closed'

/** The connection ended before the bytes that were asked for had come. */
export class CutError extends Error {
  /** How it ended. */
  readonly ending: Ending
  /** What had come instead. */
  readonly partial: Buffer

  constructor(wanted: string, ending: Ending, partial: Buffer) {
    super(`the connection was cut (${ending}) while waiting for ${wanted}; ${partial.length} bytes were there`)
    this.name = 'CutError'
    this.ending = ending
    this.partial = partial
  }
}

/** Collects what a socket receives and hands it out by length, by line, or to the end. */
export class ByteReader {
  /** Settles when the peer will send nothing more. */
  readonly ended: Promise<Ending>
  /** All bytes that ever came. */
  received = 0

  readonly #chunks: Buffer[] = []
  #size = 0
  #ending: Ending | undefined = undefined
  #wake: (() => void) | undefined = undefined

  constructor(socket: Socket) {
    let settle!: (ending: Ending) => void
    this.ended = new Promise((resolve) => {
      settle = resolve
    })
    const end = (ending: Ending): void => {
      this.#ending ??= ending
      settle(this.#ending)
      this.#wake?.()
    }
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#size += chunk.length
      this.received += chunk.length
      this.#wake?.()
    })
    // A reset right behind data reaches us as an end. The kernel knows better: it takes nothing more
    // for a connection that was reset, not even the empty write that a FIN allows.
    socket.on('end', () => {
      if (!socket.writable) return end('fin')
      socket.write(Buffer.alloc(0), (error) => end(error ? 'reset' : 'fin'))
      return undefined
    })
    // Every error of a connected socket means that the peer has refused our bytes or reset us.
    socket.on('error', () => end('reset'))
    socket.on('close', () => end('closed'))
  }

  /** Bytes that are here and were not read yet. */
  get available(): number {
    return this.#size
  }

  /** How the connection ended, undefined while the peer may still send. */
  get ending(): Ending | undefined {
    return this.#ending
  }

  /** Exactly `length` bytes. Rejects with `CutError` when they do not come. */
  async exactly(length: number): Promise<Buffer> {
    while (this.#size < length) await this.#more(`${length} bytes`)
    return this.#take(length)
  }

  /** Bytes up to and with `delimiter`. */
  async through(delimiter: string): Promise<Buffer> {
    for (;;) {
      const all = this.#joined()
      const at = all.indexOf(delimiter, 0, 'latin1')
      if (at >= 0) return this.#take(at + delimiter.length)
      await this.#more(JSON.stringify(delimiter))
    }
  }

  /** Everything until FIN. Rejects with `CutError` on a reset: such bytes are no complete answer. */
  async toEnd(): Promise<Buffer> {
    const ending = await this.ended
    const all = this.#take(this.#size)
    if (ending !== 'fin') throw new CutError('the end', ending, all)
    return all
  }

  /** Counts and drops bytes until `length` of them have passed, without keeping them. */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      while (this.#size === 0) await this.#more(`${left} bytes more`)
      const size = Math.min(left, this.#size)
      this.#take(size)
      left -= size
    }
  }

  /** Waits for the next bytes, whatever they are. */
  async any(): Promise<Buffer> {
    while (this.#size === 0) await this.#more('any byte')
    return this.#take(this.#size)
  }

  async #more(wanted: string): Promise<void> {
    if (this.#ending !== undefined) throw new CutError(wanted, this.#ending, this.#joined())
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
  }

  #joined(): Buffer {
    if (this.#chunks.length > 1) this.#chunks.splice(0, this.#chunks.length, Buffer.concat(this.#chunks))
    return this.#chunks[0] ?? Buffer.alloc(0)
  }

  #take(length: number): Buffer {
    if (length === 0) return Buffer.alloc(0)
    const first = this.#chunks[0]
    if (first !== undefined && first.length > length) {
      this.#chunks[0] = first.subarray(length)
      this.#size -= length
      return first.subarray(0, length)
    }
    const parts: Buffer[] = []
    for (let left = length; left > 0;) {
      const chunk = this.#chunks.shift() as Buffer
      parts.push(chunk.subarray(0, left))
      if (chunk.length > left) this.#chunks.unshift(chunk.subarray(left))
      left -= Math.min(left, chunk.length)
    }
    this.#size -= length
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
  }
}
