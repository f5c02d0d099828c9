/**
 * An HTTP/1 client that hides nothing: it sends the bytes it is given and parses answers strictly.
 * Every connection is closed after the test that opened it.
 */
import { connect as connectSocket } from 'node:net'
import type { Socket } from 'node:net'

import { ByteReader } from './reader.ts'
import { onTeardown } from './teardown.ts'

import type { Ending } from './reader.ts'

/** One answer as it stood on the wire. */
export interface RawResponse {
  readonly version: string
  readonly status: number
  readonly reason: string
  /** Fields in wire order, names as sent. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: Buffer
  /** Sizes of the chunks of a chunked body, without the last one; empty for every other framing. */
  readonly chunks: readonly number[]
  readonly trailers: readonly (readonly [string, string])[]
  /** Body as UTF-8. */
  readonly text: string
  /** The only value of a field. Throws if the field was sent twice. */
  header(name: string): string | undefined
  /** All values of a field. */
  headerAll(name: string): string[]
}

/** A request for `RawClient.request`; `host` and `content-length` are added where they are absent. */
export interface RawRequest {
  /** Default: GET. */
  readonly method?: string
  /** Default: `/`. */
  readonly path?: string
  readonly headers?: readonly (readonly [string, string])[]
  readonly body?: string | Uint8Array
}

/** Where to connect: a server with `url`, an `http://` URL, or `unix:PATH`. */
export type Target = string | { readonly url: string }

const opened = new Map<string, number>()

/** How many connections this process has opened to a port, or to the path of a Unix socket. */
export function openedTo(place: number | string): number {
  return opened.get(String(place)) ?? 0
}

/** A connection on which the test decides over every byte. */
export class RawClient {
  readonly socket: Socket
  readonly reader: ByteReader

  private constructor(socket: Socket) {
    this.socket = socket
    this.reader = new ByteReader(socket)
    socket.setNoDelay(true)
    onTeardown('clients', () => this.close())
  }

  /** Opens a connection; `localAddress` picks another loopback address of our own. */
  static async connect(to: Target, options: { readonly localAddress?: string } = {}): Promise<RawClient> {
    const socket = connectSocket({ ...addressOf(to), ...options, allowHalfOpen: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    const address = addressOf(to)
    const place = 'path' in address ? address.path : address.port
    opened.set(String(place), openedTo(place) + 1)
    return new RawClient(socket)
  }

  /** Hands bytes to the kernel; strings are Latin-1, so that every byte can be written. Settles when the kernel has them. */
  send(bytes: string | Uint8Array): Promise<void> {
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    return new Promise((resolve) => {
      // A write that fails because the server has closed is a fact the reader reports.
      this.socket.write(data, () => resolve())
    })
  }

  /** Sends the pieces one by one, with turns of the event loop between, so that the server receives each alone. */
  async sendSplit(pieces: readonly (string | Uint8Array)[]): Promise<void> {
    for (const piece of pieces) {
      await this.send(piece)
      await turns(2)
    }
  }

  /** Sends a whole request and reads its answer; interim answers are skipped. */
  async request(request: RawRequest = {}): Promise<RawResponse> {
    void this.send(formatRequest(request))
    for (;;) {
      const response = await this.read(request.method)
      if (response.status >= 200) return response
    }
  }

  /** The next answer, interim ones included. `method` tells whether a body can follow. */
  async read(method = 'GET'): Promise<RawResponse> {
    const head = await this.readHead()
    const { headers, status } = head
    const values = headersOf(headers, 'transfer-encoding')
    if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return respond(head, Buffer.alloc(0))
    if (values.length > 0) {
      if (values.join() !== 'chunked') throw new Error(`unexpected transfer-encoding ${JSON.stringify(values)}`)
      return this.#readChunked(head)
    }
    const length = headersOf(headers, 'content-length')
    if (length.length > 1) throw new Error(`content-length was sent ${length.length} times`)
    if (length[0] !== undefined) return respond(head, await this.reader.exactly(Number(length[0])))
    return respond(head, await this.reader.toEnd())
  }

  /** `count` answers in order. */
  async readAll(count: number): Promise<RawResponse[]> {
    const responses: RawResponse[] = []
    while (responses.length < count) responses.push(await this.read())
    return responses
  }

  /** The next status line and fields; the body stays in the reader. */
  async readHead(): Promise<RawHead> {
    const text = (await this.reader.through('\r\n\r\n')).toString('latin1')
    const [statusLine = '', ...lines] = text.slice(0, -4).split('\r\n')
    const version = statusLine.slice(0, 8)
    const status = Number(statusLine.slice(9, 12))
    const isStatusLine =
      (version === 'HTTP/1.1' || version === 'HTTP/1.0') && statusLine[8] === ' ' && statusLine[12] === ' '
    if (!isStatusLine || !Number.isInteger(status)) throw new Error(`no status line: ${JSON.stringify(statusLine)}`)
    return { version, status, reason: statusLine.slice(13), headers: lines.map(fieldOf) }
  }

  /** Settles with how the server ended the connection. Rejects if it sends anything before. */
  async ended(): Promise<Ending> {
    const ending = await this.reader.ended
    if (this.reader.available > 0) {
      const rest = (await this.reader.exactly(this.reader.available)).toString('latin1')
      throw new Error(`unexpected bytes before the end: ${JSON.stringify(rest.slice(0, 200))}`)
    }
    return ending
  }

  /** Stops reading, so that the kernel's buffers fill and the server feels it. */
  pause(): void {
    this.socket.pause()
  }

  /** Reads again. */
  resume(): void {
    this.socket.resume()
  }

  /** Closes our sending side only. */
  finish(): Promise<void> {
    return new Promise((resolve) => {
      this.socket.end(() => resolve())
    })
  }

  /** Resets the connection (RST). */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  /** Closes the connection; settles when it is closed. */
  close(): Promise<void> {
    if (this.socket.closed) return Promise.resolve()
    return new Promise((resolve) => {
      this.socket.once('close', () => resolve())
      this.socket.destroy()
    })
  }

  async #readChunked(head: RawHead): Promise<RawResponse> {
    const chunks: Buffer[] = []
    for (;;) {
      const line = (await this.reader.through('\r\n')).toString('latin1').slice(0, -2)
      const size = Number.parseInt(line, 16)
      if (line === '' || size.toString(16) !== line.toLowerCase())
        throw new Error(`no chunk size: ${JSON.stringify(line)}`)
      if (size === 0) break
      chunks.push(await this.reader.exactly(size))
      const end = (await this.reader.exactly(2)).toString('latin1')
      if (end !== '\r\n') throw new Error(`a chunk ends with ${JSON.stringify(end)}`)
    }
    const trailers: (readonly [string, string])[] = []
    for (;;) {
      const line = (await this.reader.through('\r\n')).toString('latin1').slice(0, -2)
      if (line === '') break
      trailers.push(fieldOf(line))
    }
    const sizes = chunks.map((chunk) => chunk.length)
    return respond(head, Buffer.concat(chunks), sizes, trailers)
  }
}

/** Status line and fields of an answer. */
export type RawHead = Pick<RawResponse, 'version' | 'status' | 'reason' | 'headers'>

/** One request on a connection of its own. */
export async function request(to: Target, message: RawRequest = {}): Promise<RawResponse> {
  const client = await RawClient.connect(to)
  try {
    return await client.request(message)
  } finally {
    await client.close()
  }
}

/** The bytes of a request. */
export function formatRequest({ method = 'GET', path = '/', headers = [], body }: RawRequest): Buffer {
  const names = new Set(headers.map(([name]) => name.toLowerCase()))
  const fields = [...headers]
  if (!names.has('host')) fields.unshift(['host', 'example.test'])
  const bytes = Buffer.from(body ?? '')
  if (body !== undefined && !names.has('content-length') && !names.has('transfer-encoding')) {
    fields.push(['content-length', String(bytes.length)])
  }
  const head = `${method} ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes])
}

/** Lets the event loop turn `count` times: what was written is received and answered in between. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

function addressOf(to: Target): { host: string; port: number } | { path: string } {
  const text = typeof to === 'string' ? to : to.url
  if (text.startsWith('unix:')) return { path: text.slice('unix:'.length) }
  const url = new URL(text)
  return { host: url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname, port: Number(url.port) }
}

function fieldOf(line: string): readonly [string, string] {
  const colon = line.indexOf(':')
  const hasControl = Array.from(line).some((char) => char < ' ' && char !== '\t')
  if (colon < 1 || hasControl) throw new Error(`no header field: ${JSON.stringify(line)}`)
  return [line.slice(0, colon), line.slice(colon + 1).trim()]
}

function headersOf(headers: RawResponse['headers'], name: string): string[] {
  return headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value)
}

function respond(
  head: RawHead,
  body: Buffer,
  chunks: readonly number[] = [],
  trailers: RawResponse['trailers'] = [],
): RawResponse {
  const headerAll = (name: string): string[] => headersOf(head.headers, name.toLowerCase())
  return {
    ...head,
    body,
    chunks,
    trailers,
    text: body.toString('utf8'),
    headerAll,
    header: (name) => {
      const values = headerAll(name)
      if (values.length > 1) throw new Error(`${name} was sent ${values.length} times`)
      return values[0]
    },
  }
}
