/**
 * A body that was cut short is never seen as complete: judged by clients that others have written, for
 * every interface and every way in which a body may be framed. A client that is not on this machine is skipped.
 */
import { execFile } from 'node:child_process'
import { get } from 'node:http'

import { describe, expect, test } from 'vitest'

import { stream } from '../dist/streaming.js'
import { turns } from './harness/client.ts'
import { INTERFACES } from './harness/interfaces.ts'
import { expectLog } from './harness/logs.ts'
import { serveResponse } from './harness/responses.ts'

/** What a client says of an answer: how many bytes, and whether that was all of it. */
interface Verdict {
  readonly isComplete: boolean
  readonly bytes: number
}

interface Run {
  readonly code: number | string
  readonly stdout: string
}

/** Undefined if there is no such program. */
function run(file: string, args: readonly string[]): Promise<Run | undefined> {
  return new Promise((resolve) => {
    execFile(file, args, { encoding: 'latin1', maxBuffer: 2 ** 26, timeout: 15_000 }, (error, stdout) => {
      if (error?.code === 'ENOENT') resolve(undefined)
      else resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? 'failed'), stdout })
    })
  })
}

const PYTHON = `
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1])
try:
    connection.request('GET', sys.argv[2])
    body = connection.getresponse().read()
    print('complete', len(body))
except http.client.IncompleteRead as error:
    print('cut', len(error.partial))
except OSError:
    print('cut', -1)
`

async function curl(url: string, ...args: string[]): Promise<Verdict | undefined> {
  const ended = await run('curl', ['--silent', '--no-buffer', ...args, url])
  return ended && { isComplete: ended.code === 0, bytes: ended.stdout.length }
}

const CLIENTS: Readonly<Record<string, (url: string) => Promise<Verdict | undefined>>> = {
  curl: (url) => curl(url),
  'curl of HTTP/1.0': (url) => curl(url, '--http1.0'),
  'http of Node': (url) =>
    new Promise((resolve) => {
      let bytes = 0
      const request = get(url, { agent: false }, (response) => {
        response.on('data', (chunk: Buffer) => (bytes += chunk.length))
        response.on('error', () => undefined)
        response.on('close', () => resolve({ isComplete: response.complete && response.errored === null, bytes }))
      })
      request.on('error', () => resolve({ isComplete: false, bytes }))
    }),
  'fetch of undici': async (url) => {
    let bytes = 0
    try {
      for await (const chunk of (await fetch(url)).body ?? []) bytes += chunk.length
      return { isComplete: true, bytes }
    } catch {
      return { isComplete: false, bytes }
    } finally {
      // It keeps its connections, and no answer before the last may close one: undici takes whatever came on a
      // connection that was to be closed for complete, also where the framing says that it is not.
      await (await fetch(new URL('/bye', url))).text()
    }
  },
  'http.client of Python': async (url) => {
    const { host, pathname } = new URL(url)
    const ended = await run('python3', ['-c', PYTHON, host, pathname])
    if (ended === undefined) return undefined
    const [word, bytes] = ended.stdout.trim().split(' ')
    if (word !== 'complete' && word !== 'cut') throw new Error(`no verdict: ${JSON.stringify(ended)}`)
    return { isComplete: word === 'complete', bytes: Number(bytes) }
  },
}

const PIECE = 'x'.repeat(1000)
const PIECES = 20

/** `/whole` is complete, everything else fails in the middle; `/sized` has a content-length. */
function make(path: string): Response {
  if (path === '/bye') return stream('bye', { headers: { connection: 'close' } })
  const pieces = async function* (): AsyncGenerator<string> {
    for (let index = 0; index < PIECES; index++) {
      yield PIECE
      await turns(1)
      if (index === PIECES / 2 && !path.startsWith('/whole')) throw new Error('the source is broken')
    }
  }
  const length = String(PIECE.length * PIECES)
  return stream(pieces(), path.endsWith('sized') ? { headers: { 'content-length': length } } : {})
}

describe.each(INTERFACES)('%s', (name) => {
  test.for(Object.entries(CLIENTS))('%s', async ([client, read], context) => {
    const server = await serveResponse(name, make)
    const whole = await read(`${server.url}/whole`)
    if (whole === undefined) return context.skip(`there is no ${client} on this machine`)
    // The client can tell: else its verdict on what was cut would mean nothing.
    expect([whole, await read(`${server.url}/whole-sized`)]).toEqual([
      { isComplete: true, bytes: 20_000 },
      { isComplete: true, bytes: 20_000 },
    ])
    expectLog('the source is broken')
    for (const path of ['/chunked', '/sized']) {
      const verdict = await read(`${server.url}${path}`)
      expect([path, verdict?.isComplete]).toEqual([path, false])
      expect(verdict?.bytes).toBeLessThan(20_000)
    }
    return undefined
  })
})
