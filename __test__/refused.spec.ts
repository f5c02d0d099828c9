/** What the server's own log says of requests that it refuses: little, whatever a client does. */
import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { RawClient, turns } from './harness/client.ts'
import { capturedLog } from './harness/logs.ts'

import type { Options, Server } from './harness/app.ts'

function serve(options: Options = {}): Promise<Server> {
  return serveApp({ __rsgi__: (_scope, protocol) => protocol.responseEmpty(204) }, options)
}

/** Sends bytes that are refused, and reads the answer. */
async function refuse(server: Server, bytes: string): Promise<number> {
  const client = await RawClient.connect(server)
  await client.send(bytes)
  return (await client.read()).status
}

function refusals(): string[] {
  return capturedLog()
    .split('\n')
    .filter((line) => line.includes('refused a request'))
}

async function untilLogged(count: number): Promise<string[]> {
  while (refusals().length < count) await turns(1)
  return refusals()
}

describe('a refused request', () => {
  test.each<[string, string, Options]>([
    ['400 HostTwice', 'GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n', {}],
    ['431 FieldTooLong', `GET /a HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(99)}\r\n\r\n`, { limitRequestFieldSize: 64 }],
    ['413 BodyTooLarge', 'POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n', { maxBody: 8 }],
    ['400 ChunkSize', 'POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n', {}],
  ])('is a line at info with a coded reason: %s', async (code, bytes, options) => {
    const server = await serve(options)
    expect(await refuse(server, bytes)).toBe(Number(code.slice(0, 3)))
    const [line = ''] = await untilLogged(1)
    expect(line).toMatch(/^\[[^\]]+\] \[\d+\] \[info\] refused a request with /)
    expect(line).toContain(`refused a request with ${code}: `)
    expect(line).toContain('from 127.0.0.1')
  })

  test('shows nothing that a client could forge or must keep to itself', async () => {
    const server = await serve()
    await refuse(server, 'GET /a"\x1b[31m?token=secret HTTP/1.1\r\nauthorization: Basic x\r\n\r\n')
    const [line = ''] = await untilLogged(1)
    expect(line).toContain('"GET /a\\"\\x1b[31m..."')
    expect(capturedLog()).not.toMatch(/secret|Basic|\x1b/)
  })

  test('in a flood is a few lines, which say how many there were', async () => {
    const server = await serve()
    const started = performance.now()
    for (let round = 0; round < 60; round++) await refuse(server, 'nonsense\r\n\r\n')
    await turns(5)
    // So many in each second, however long the flood takes.
    expect(refusals().length).toBeLessThanOrEqual(8 * Math.ceil((performance.now() - started) / 1000))
    expect(server.stats().refusedTotal).toBe(60)
    const began = performance.now()
    while (performance.now() - began < 1100) await turns(1)
    const before = refusals().length
    await refuse(server, 'nonsense\r\n\r\n')
    const lines = await untilLogged(before + 1)
    expect(lines.at(-1)).toMatch(/\(\d+ more were refused before it\)$/)
  })

  test('is no line where the log is for warnings', async () => {
    const server = await serve({ logLevel: 'warn' })
    await refuse(server, 'nonsense\r\n\r\n')
    await turns(10)
    expect(refusals()).toEqual([])
  })
})
