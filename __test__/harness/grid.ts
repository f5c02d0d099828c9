/** The payloads of `__test__/grid/grid.json`, and what came of one. The data is explained beside it. */
import { readFileSync } from 'node:fs'

import { RawClient } from './client.ts'

import type { RsgiAppObject, RsgiProtocol, RsgiScope } from '../../dist/index.js'
import type { Target } from './client.ts'

/** One payload and what must come of it. */
export interface Variant {
  readonly name: string
  readonly send: readonly (string | { readonly repeat: string; readonly times: number })[]
  readonly answers: readonly number[]
  readonly messages: number
  readonly after: 'closed' | 'open'
  readonly refusedIn?: 'body' | 'head'
  readonly app?: 'early'
  readonly host?: string
  readonly target?: string
  readonly absent?: readonly string[]
  readonly interim?: boolean
}

/** A row: what the payloads have in common. */
export interface Row {
  readonly row: number
  readonly title: string
  readonly variants: readonly Variant[]
}

/** All rows, in order. */
export const ROWS: readonly Row[] = (
  JSON.parse(readFileSync(new URL('../grid/grid.json', import.meta.url), 'utf8')) as { rows: Row[] }
).rows

/** A request without fault. */
export const GOOD = 'GET /good HTTP/1.1\r\nhost: good\r\n\r\n'

/** The bytes of a payload. */
export function bytesOf({ send }: Variant): Buffer {
  const parts = send.map((part) => (typeof part === 'string' ? part : part.repeat.repeat(part.times)))
  return Buffer.from(parts.join(''), 'latin1')
}

/** What an application saw. */
export interface Seen {
  readonly target: string
  readonly headers: readonly (readonly [string, string])[]
  /** It has read the body to its end, or did not want to. */
  isWhole: boolean
}

/** An application that does what the variant says and keeps what it saw. */
export function createApp(variant: Variant): { app: RsgiAppObject; seen: Seen[] } {
  const seen: Seen[] = []
  const app = {
    async __rsgi__({ rawPath, queryString, headers }: RsgiScope, protocol: RsgiProtocol): Promise<void> {
      const target = queryString === '' ? rawPath : `${rawPath}?${queryString}`
      const entry: Seen = { target, headers: [...headers], isWhole: false }
      seen.push(entry)
      if (variant.app !== 'early') await protocol.body()
      entry.isWhole = true
      protocol.responseEmpty(200, [])
    },
  }
  return { app, seen }
}

/** What a client of one connection got. */
export interface Found {
  /** Statuses of final answers, in order. */
  readonly answers: number[]
  readonly hasInterim: boolean
}

/** Asked behind everything else: whoever answers it has gone on with the connection. */
export const LAST = 'GET /last HTTP/1.1\r\nhost: last\r\nconnection: close\r\n\r\n'

/** Sends the pieces and what follows them on one connection and reads answers until the server ends it. */
export async function exchange(to: Target, pieces: readonly Uint8Array[], next: string = LAST): Promise<Found> {
  const client = await RawClient.connect(to)
  try {
    await client.sendSplit(pieces)
    await client.send(next)
    return readAnswers(await client.reader.toEnd())
  } finally {
    await client.close()
  }
}

/** Reads answers whose bodies have a length. Throws where one is not whole. */
export function readAnswers(bytes: Buffer): Found {
  const text = bytes.toString('latin1')
  const answers: number[] = []
  let hasInterim = false
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\r\n\r\n', at)
    const [line = '', ...fields] = text.slice(at, end).split('\r\n')
    const status = Number(line.slice(9, 12))
    if (end < 0 || !line.startsWith('HTTP/1.') || !(status >= 100))
      throw new Error(`no answer: ${JSON.stringify(text.slice(at, at + 200))}`)
    const length = fields.find((field) => field.toLowerCase().startsWith('content-length:'))?.slice(15) ?? '0'
    at = end + 4 + Number(length)
    if (at > text.length) throw new Error(`an answer was cut: ${JSON.stringify(text.slice(-200))}`)
    if (status < 200) hasInterim = true
    else answers.push(status)
  }
  return { answers, hasInterim }
}
