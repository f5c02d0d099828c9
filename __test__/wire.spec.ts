/** Real applications behind real sockets: order, splits, sizes and numbers. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { atRest, serveApp } from './harness/app.ts'
import { RawClient, formatRequest, request, turns } from './harness/client.ts'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'

import type { Handler } from './harness/interfaces.ts'

const TEXT = [['content-type', 'text/plain']] as const

/** Answers with the method, the path and the body of the request. */
const echo: Handler = async ({ method, path, read, respond }) => {
  const pieces: Uint8Array[] = []
  for (let piece = await read(); piece !== undefined; piece = await read()) pieces.push(piece)
  return respond(200, TEXT, `${method} ${path} ${Buffer.concat(pieces).toString('latin1')}`)
}

describe.each(INTERFACES)('%s', (name) => {
  test('pipelined requests are answered in order, although later ones take less time', async () => {
    const count = 16
    const server = await serveHandler(name, async ({ path, respond }) => {
      await turns(count - Number(path.slice(1)))
      return respond(200, TEXT, path)
    })
    const client = await RawClient.connect(server)
    await client.send(Buffer.concat(Array.from({ length: count }, (_, index) => formatRequest({ path: `/${index}` }))))
    const answers = await client.readAll(count)
    expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: count }, (_, index) => `/${index}`))
  })

  test('pipelined requests with bodies are told apart, whoever reads them', async () => {
    const server = await serveHandler(name, async (call) => {
      if (call.path === '/unread') return call.respond(200, TEXT, 'unread')
      return echo(call)
    })
    const client = await RawClient.connect(server)
    await client.send(
      Buffer.concat([
        formatRequest({ method: 'POST', path: '/a', body: 'first' }),
        formatRequest({ method: 'POST', path: '/unread', body: 'GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n' }),
        formatRequest({ method: 'POST', path: '/b', body: 'last' }),
      ]),
    )
    const texts = (await client.readAll(3)).map(({ text }) => text)
    expect(texts).toEqual(['POST /a first', 'unread', 'POST /b last'])
  })

  test('a request split at any byte is the same request', async () => {
    const server = await serveHandler(name, echo)
    const bytes = Buffer.from(
      'POST /split?x=1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nt: v\r\n\r\n' +
        'GET /next HTTP/1.1\r\nhost: a\r\n\r\n',
    )
    for (let at = 1; at < bytes.length; at++) {
      const client = await RawClient.connect(server)
      await client.sendSplit([bytes.subarray(0, at), bytes.subarray(at)])
      const texts = (await client.readAll(2)).map(({ text }) => text)
      expect(texts, `split at ${at}`).toEqual(['POST /split hello world', 'GET /next '])
      await client.close()
    }
  })

  test('a request that comes byte by byte is the same request', async () => {
    const server = await serveHandler(name, echo)
    const client = await RawClient.connect(server)
    await client.sendSplit(
      Array.from(formatRequest({ method: 'POST', path: '/slow', body: 'body' }), (byte) => Buffer.of(byte)),
    )
    expect((await client.read()).text).toBe('POST /slow body')
  })
})

describe('many connections', () => {
  const count = 1000
  test(`${count} at once are all answered`, async () => {
    const waiting: (() => void)[] = []
    const server = await serveApp(
      async (incoming: Request) => {
        // Nobody is answered before everybody has asked, so that all are open at the same time.
        await new Promise<void>((resolve) => {
          waiting.push(resolve)
          if (waiting.length === count) for (const release of waiting) release()
        })
        return new Response(new URL(incoming.url).pathname)
      },
      { interface: 'fetch' },
    )
    const clients = await Promise.all(Array.from({ length: count }, () => RawClient.connect(server)))
    const answers = await Promise.all(clients.map((client, index) => client.request({ path: `/${index}` })))
    expect(answers.map(({ text }) => text)).toEqual(clients.map((_, index) => `/${index}`))
    expect(server.stats().connections).toBe(count)
  })

  test('connections that are aborted at any point leave nothing, and the others do not notice', async () => {
    const server = await serveHandler('rsgi', echo)
    const bytes = formatRequest({ method: 'POST', path: '/cut', body: 'a body of some length' })
    const witness = await RawClient.connect(server)
    for (let at = 0; at < bytes.length; at++) {
      const client = await RawClient.connect(server)
      await client.send(bytes.subarray(0, at))
      if (at % 2 === 0) client.reset()
      else await client.close()
      if (at % 10 === 0) expect((await witness.request({ path: '/fine' })).text).toBe('GET /fine ')
    }
    await witness.close()
    await atRest(server)
  })
})

describe('addresses', () => {
  test('a server answers on IPv6', async () => {
    const server = await serveApp(() => new Response('six'), { interface: 'fetch', bind: '[::1]:0' })
    expect(server.url).toContain('[::1]')
    expect((await request(server)).text).toBe('six')
  })

  test('a server answers on a Unix socket and removes it when it closes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gneiss-'))
    try {
      const path = join(folder, 'app.sock')
      const server = await serveApp(() => new Response('local'), { interface: 'fetch', bind: `unix:${path}` })
      expect((await request(`unix:${path}`)).text).toBe('local')
      await server.close({ timeout: 1 })
      await expect(request(`unix:${path}`)).rejects.toThrow('ENOENT')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('a server answers on several addresses at once', async () => {
    const server = await serveApp(() => new Response('both'), { interface: 'fetch', bind: ['127.0.0.1:0', '[::1]:0'] })
    expect(server.addresses).toHaveLength(2)
    for (const { host, port } of server.addresses) {
      const url = host.includes(':') ? `http://[${host}]:${port}` : `http://${host}:${port}`
      expect((await request(url)).text).toBe('both')
    }
  })
})
