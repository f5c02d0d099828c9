/** `close` drains, then cuts, and leaves nothing. */
import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { serveBadEnd } from './harness/bad-end.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { expectLog } from './harness/logs.ts'
import { MODE } from './harness/mode.ts'
import { failureOf, pending } from './harness/promises.ts'
import { soon } from './harness/scale.ts'

import type { RsgiProtocol, RsgiScope } from '../dist/index.js'
import type { Server } from './harness/app.ts'

const RSGI = { interface: 'rsgi' } as const
const hello = (_scope: RsgiScope, protocol: RsgiProtocol): void => protocol.responseStr(200, [], 'hello')

/** A server with a request that the application has heard of and never answers. */
async function serveUnanswered(): Promise<{ server: Server; client: RawClient; signal: AbortSignal }> {
  const open = pending<AbortSignal>()
  const server = await serveApp(async (_scope: RsgiScope, protocol: RsgiProtocol) => {
    open.resolve(protocol.signal)
    await protocol.clientDisconnect()
  }, RSGI)
  const client = await RawClient.connect(server)
  await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
  return { server, client, signal: await open.promise }
}

describe('close', () => {
  test('closes idle connections soon and refuses new ones', async () => {
    const server = await serveApp(hello, RSGI)
    const client = await RawClient.connect(server)
    await client.request()
    const before = performance.now()
    await server.close({ timeout: 10 })
    expect(performance.now() - before).toBeLessThan(soon(2000))
    expect(await client.ended()).toBe('fin')
    await expect(RawClient.connect(server)).rejects.toThrow('ECONNREFUSED')
  })

  test('answers 100 connections that wait in its queue, also those that have not asked yet', async () => {
    const server = await serveApp(hello, RSGI)
    const connecting = Array.from({ length: 100 }, () => RawClient.connect(server))
    // Node connects in its next tick, and the loop accepts in its next turn: now they wait.
    await new Promise<void>((resolve) => process.nextTick(resolve))
    if (MODE === 'loop') expect(server.stats()['connectionsTotal']).toBe(0)
    const closing = server.close({ timeout: 10 })
    const clients = await Promise.all(connecting)
    const answers = await Promise.all(clients.map((client) => client.request()))
    expect(answers.map(({ text }) => text)).toEqual(clients.map(() => 'hello'))
    expect(new Set(answers.map((answer) => answer.header('connection')))).toEqual(new Set(['close']))
    await closing
    expect(server.stats()).toMatchObject({ connectionsTotal: 100, fileDescriptors: 0 })
    await expect(RawClient.connect(server)).rejects.toThrow('ECONNREFUSED')
  })

  test('waits a second for the first request of a connection, and no longer', async () => {
    const server = await serveApp(hello, RSGI)
    const client = await RawClient.connect(server)
    await turns(3)
    const before = performance.now()
    await server.close({ timeout: 10 })
    expect(performance.now() - before).toBeGreaterThan(500)
    expect(performance.now() - before).toBeLessThan(soon(2000))
    expect(await client.ended()).toBe('fin')
  })

  test('waits for open requests, whose answers close their connections', async () => {
    const open = pending()
    const finish = pending()
    const server = await serveApp(async (_scope: RsgiScope, protocol: RsgiProtocol) => {
      open.resolve()
      await finish.promise
      protocol.responseStr(200, [], 'complete')
    }, RSGI)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await open.promise
    let isClosed = false
    const closing = server.close({ timeout: 10 }).then(() => {
      isClosed = true
    })
    await turns(5)
    expect(isClosed).toBe(false)
    finish.resolve()
    const answer = await client.read()
    expect([answer.text, answer.header('connection')]).toEqual(['complete', 'close'])
    await closing
    expect(await client.ended()).toBe('fin')
  })

  test('cuts what is open at the deadline, and tells the application why before', async () => {
    const { server, client, signal } = await serveUnanswered()
    await server.close({ timeout: '100ms' })
    expect(signal.aborted).toBe(true)
    expect(signal.reason).toMatchObject({ code: 'ERR_SHUTDOWN' })
    expect(await client.reader.ended).not.toBe('closed')
  })

  test('cuts at once without a warning when there is no time', async () => {
    const { server, signal } = await serveUnanswered()
    await server.close({ timeout: 0 })
    expect(signal.reason).toMatchObject({ code: 'ERR_SERVER_CLOSED' })
  })

  test('is idempotent, and a second call with less time brings the end forward', async () => {
    const open = pending()
    const server = await serveApp(async (_scope: RsgiScope, protocol: RsgiProtocol) => {
      open.resolve()
      await protocol.clientDisconnect()
    }, RSGI)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await open.promise
    const before = performance.now()
    await Promise.all([server.close({ timeout: 30 }), server.close({ timeout: 60 }), server.close({ timeout: 0 })])
    await server.close()
    expect(performance.now() - before).toBeLessThan(5000)
  })

  test('takes a timeout longer than any timer', async () => {
    const open = pending()
    const finish = pending()
    const server = await serveApp(async (_scope: RsgiScope, protocol: RsgiProtocol) => {
      open.resolve()
      await finish.promise
      protocol.responseStr(200, [], 'complete')
    }, RSGI)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await open.promise
    const closing = server.close({ timeout: 1e9 })
    await turns(5)
    finish.resolve()
    expect((await client.read()).text).toBe('complete')
    await closing
  })

  test.each([['soon'], [-1], [Number.NaN], ['10x']])('refuses the timeout %j and goes on serving', async (timeout) => {
    const server = await serveApp(hello, RSGI)
    expect(await failureOf(server.close({ timeout: timeout as never }))).toMatchObject({ code: 'ERR_OPTION' })
    expect((await request(server)).text).toBe('hello')
  })

  test('waits for what was given to waitUntil, also for what follows from it', async () => {
    const work = pending()
    const steps: string[] = []
    const server = await serveApp(
      (incoming: Request) => {
        const { waitUntil } = incoming as unknown as { waitUntil(work: Promise<unknown>): void }
        waitUntil.call(
          incoming,
          work.promise.then(() => {
            steps.push('first')
            waitUntil.call(
              incoming,
              turns(3).then(() => steps.push('second')),
            )
          }),
        )
        return new Response('answered')
      },
      { interface: 'fetch' },
    )
    expect((await request(server)).text).toBe('answered')
    expect(server.stats().background).toBe(1)
    const closing = server.close({ timeout: 10 }).then(() => steps.push('closed'))
    await turns(5)
    work.resolve()
    await closing
    expect(steps).toEqual(['first', 'second', 'closed'])
    expect(server.stats().background).toBe(0)
  })

  test('does not wait longer than the timeout for waitUntil, and says so', async () => {
    expectLog('1 promises given to waitUntil were still pending')
    const server = await serveBadEnd(
      (incoming: Request) => {
        ;(incoming as unknown as { waitUntil(work: Promise<unknown>): void }).waitUntil(new Promise(() => {}))
        return new Response('answered')
      },
      { interface: 'fetch' },
    )
    await request(server)
    await server.close({ timeout: '100ms' })
    expect(server.stats().background).toBe(1)
  })

  test('await using closes', async () => {
    const server = await serveApp(hello, RSGI)
    const { url } = server
    await server[Symbol.asyncDispose]()
    await expect(RawClient.connect(url)).rejects.toThrow('ECONNREFUSED')
  })

  test('removes the one exit listener of the process with the last server', async () => {
    const before = process.listenerCount('exit')
    const servers = await Promise.all([serveApp(hello, RSGI), serveApp(hello, RSGI), serveApp(hello, RSGI)])
    expect(process.listenerCount('exit')).toBe(before + 1)
    await servers[0].close()
    expect(process.listenerCount('exit')).toBe(before + 1)
    await Promise.all(servers.map((server) => server.close()))
    expect(process.listenerCount('exit')).toBe(before)
  })
})
