/** Bodies larger than any buffer pass through a process that does not grow with them. */
import { spawn } from 'node:child_process'

import { expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { ROOT, cleanEnv, startCli, watch } from './harness/cli.ts'
import { RawClient, formatRequest, request, turns } from './harness/client.ts'
import { residentBound, timeLimit } from './harness/scale.ts'
import { onTeardown } from './harness/teardown.ts'

import type { RsgiApp } from '../dist/index.js'

const MIB = 1024 * 1024
/** When the collector comes is its own affair and differs between releases of Node; that it comes is what is tested. */
const MARGIN = 32 * MIB
/**
 * A young generation of one size from the start, as that of a busy process is. The memory of pieces waits until
 * the collector comes for the objects around them, and a start that allocates more makes it come later: without
 * this the two servers would be compared by what they load.
 */
const SAME_COLLECTOR = ['--min-semi-space-size=16', '--max-semi-space-size=16']
/** Runs of one and the same server lie as far apart as this, measured on Node 20, 24 and 26. */
const NOISE = 7 * MIB
/** The size line around a chunk of 64 KiB and the line end behind it. */
const CHUNK_FRAMING = '10000\r\n\r\n'.length

/** Peak of the resident set in bytes, as the process itself sees it. */
async function peakOf(url: string): Promise<number> {
  const { bytes } = JSON.parse((await request(url, { path: '/peak' })).text) as { bytes: number }
  return bytes
}

/** How much the peak grows while `work` runs. A small round first lets the process settle. */
async function growthOf(
  url: string,
  work: (url: string, size: number) => Promise<void>,
  size: number,
): Promise<number> {
  await work(url, MIB)
  const before = await peakOf(url)
  await work(url, size)
  return (await peakOf(url)) - before
}

/** Sends a body of `size` bytes as fast as the server takes it. */
async function upload(url: string, size: number): Promise<void> {
  const piece = Buffer.alloc(64 * 1024, 'x')
  const client = await RawClient.connect(url)
  const headers = [['content-length', String(size)]] as const
  await client.send(formatRequest({ method: 'POST', path: '/upload', headers }))
  for (let left = size; left > 0; left -= piece.length)
    await client.send(piece.subarray(0, Math.min(left, piece.length)))
  expect(JSON.parse((await client.read()).text)).toEqual({ size })
  await client.close()
}

/** Reads an answer of `size` bytes more slowly than it is produced: it stops for some turns after each MiB. */
async function slowDownload(url: string, size: number): Promise<void> {
  const client = await RawClient.connect(url)
  await client.send(formatRequest({ path: `/download?size=${size}` }))
  await client.readHead()
  for (let seen = client.reader.received; client.reader.received < size; seen = client.reader.received) {
    await client.reader.skip(client.reader.available || 1)
    if (Math.floor(client.reader.received / MIB) === Math.floor(seen / MIB)) continue
    client.pause()
    await turns(20)
    client.resume()
  }
  await client.reader.through('0\r\n\r\n')
  await client.close()
}

/** The platform's own server with the same routes: its growth is the measure. */
async function startNode(): Promise<string> {
  const running = watch(
    spawn(process.execPath, [...SAME_COLLECTOR, `${ROOT}__test__/fixtures/sizes-node.js`], {
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  )
  const { url } = await running.line('ready')
  onTeardown('processes', () => void running.child.kill())
  return String(url)
}

async function startOurs(nodeArgs: readonly string[] = []): Promise<string> {
  const args = ['__test__/fixtures/sizes.js', '--bind', '127.0.0.1:0', '--max-body', '2048m']
  const { url } = await startCli(args, { nodeArgs })
  return url
}

test(
  'an upload of 100 MiB costs no more memory than it costs on node:http, and the next one nothing',
  async () => {
    const size = 100 * MIB
    const [ours, node] = [await startOurs(SAME_COLLECTOR), await startNode()]
    const [grown, nodeGrown] = [await growthOf(ours, upload, size), await growthOf(node, upload, size)]
    expect(grown).toBeLessThanOrEqual(residentBound(nodeGrown + NOISE))
    expect(await growthOf(ours, upload, size)).toBeLessThan(residentBound(MARGIN))
  },
  timeLimit(60_000),
)

/** What the application and the client of the two tests below move at once, and the most that the engine reads at once. */
const PIECE = new Uint8Array(64 * 1024)

test('an upload that the application reads slowly waits with the client', async () => {
  const readAhead = 32 * 1024
  const held: number[] = []
  const app = {
    async fetch(request: Request) {
      let size = 0
      for await (const piece of request.body ?? []) {
        size += piece.length
        await turns(3)
        held.push(server.stats().bodyBytes)
      }
      return Response.json({ size })
    },
  }
  const server = await serveApp(app, { bodyReadAhead: readAhead, maxBody: 200 * MIB })
  await upload(server.url, 100 * MIB)
  // The buffer was full while the application waited, and never more than that and one read.
  expect(Math.max(...held)).toBeGreaterThanOrEqual(readAhead)
  expect(Math.max(...held)).toBeLessThanOrEqual(readAhead + PIECE.length)
})

test('an answer that the client does not read waits in the application', async () => {
  const streamBuffer = 128 * 1024
  const held: number[] = []
  const app: RsgiApp = {
    async __rsgi__(_scope, protocol) {
      const transport = protocol.responseStream(200, [])
      // Until the client goes, which rejects the send that waits.
      for (;;) {
        const room = transport.sendBytes(PIECE)
        held.push(server.stats().responseBytes)
        await room
      }
    },
  }
  const server = await serveApp(app, { streamBuffer })
  const client = await RawClient.connect(server.url)
  await client.send(formatRequest({ path: '/endless' }))
  await client.readHead()
  client.pause()
  // The kernel takes some megabytes first.
  for (let seen = -1; seen < held.length; await turns(50)) seen = held.length
  // What an I/O thread has done is told a moment later, and the application may have to go on once more.
  while (server.stats().responseBytes <= streamBuffer / 2) await turns(1)
  // The application is let in again when half of the buffer has left.
  expect(server.stats().responseBytes).toBeGreaterThan(streamBuffer / 2)
  // It waits before the buffer is full, so that the limit is what the stream costs with all that belongs to it.
  expect(Math.max(...held)).toBeGreaterThan(streamBuffer / 2)
  expect(Math.max(...held)).toBeLessThanOrEqual(streamBuffer + PIECE.length + CHUNK_FRAMING)
  client.reset()
})

const megabytes = 1024
test(
  `an answer of ${megabytes} MiB to a slow reader does not gather in memory`,
  async () => {
    const growth = await growthOf(await startOurs(), slowDownload, megabytes * MIB)
    expect(growth).toBeLessThan(2 * MARGIN)
  },
  timeLimit(60_000),
)
