/** The library call: what `serve` gives, and how it refuses. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, onTestFinished, test } from 'vitest'

import * as gneiss from '../dist/index.js'
import { atRest, serveApp } from './harness/app.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { capturedLog, expectLog } from './harness/logs.ts'
import { MODE } from './harness/mode.ts'
import { failureOf, pending } from './harness/promises.ts'

import type { RsgiProtocol, RsgiScope } from '../dist/index.js'
import type { Options } from './harness/app.ts'

const RSGI = { interface: 'rsgi' } as const
const hello = (_scope: RsgiScope, protocol: RsgiProtocol): void => protocol.responseStr(200, [], 'hello')

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gneiss-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return folder
}

describe('the package', () => {
  test('exports what its index says and nothing else', () => {
    expect(Object.keys(gneiss).toSorted()).toEqual([
      'Application',
      'ERROR_CODES',
      'GneissError',
      'Response',
      'defineApp',
      'defineConfig',
      'serve',
    ])
  })
})

describe('serve', () => {
  test('gives url, addresses and the interface it has found', async () => {
    const server = await serveApp(hello, RSGI)
    const [address] = server.addresses
    expect(address).toEqual({ host: '127.0.0.1', port: expect.any(Number), family: 'IPv4' })
    expect(server.addresses).toHaveLength(1)
    expect(server.url).toBe(`http://127.0.0.1:${address?.port}`)
    expect(server.interface).toBe('rsgi')
    expect(await (await fetch(server.url, { headers: { connection: 'close' } })).text()).toBe('hello')
  })

  test.each([
    ['0.0.0.0:0', 'http://127.0.0.1:'],
    ['[::]:0', 'http://[::1]:'],
    ['[::1]:0', 'http://[::1]:'],
    ['localhost:0', 'http://'],
  ])('of %s, url is one that a client on this machine can use', async (bind, prefix) => {
    const server = await serveApp(hello, { ...RSGI, bind })
    expect(server.url.startsWith(prefix)).toBe(true)
    expect((await request(server)).text).toBe('hello')
  })

  test('listens on several addresses, in the order of bind', async () => {
    const path = join(temporaryFolder(), 'socket')
    const server = await serveApp(hello, { ...RSGI, bind: ['127.0.0.1:0', '[::1]:0', `unix:${path}`] })
    expect(server.addresses.map(({ family }) => family)).toEqual(['IPv4', 'IPv6', 'unix'])
    expect(server.addresses[2]).toEqual({ host: path, port: 0, family: 'unix' })
    expect((await request(server)).text).toBe('hello')
    expect((await request(`http://[::1]:${server.addresses[1]?.port}`)).text).toBe('hello')
    expect((await request(`unix:${path}`)).text).toBe('hello')
  })

  test('of a Unix socket, url is its path', async () => {
    const path = join(temporaryFolder(), 'socket')
    const server = await serveApp(hello, { ...RSGI, bind: `unix:${path}` })
    expect(server.url).toBe(`unix:${path}`)
  })

  test('loads a target, relative to the current directory', async () => {
    const folder = temporaryFolder()
    writeFileSync(
      join(folder, 'app.mjs'),
      `export const make = () => ({ __rsgi__(scope, protocol) { protocol.responseStr(200, [], 'loaded') } })`,
    )
    const server = await serveApp(`${join(folder, 'app.mjs')}:make()`)
    expect(server.interface).toBe('rsgi')
    expect((await request(server)).text).toBe('loaded')
  })

  test('takes several servers in one process, each with its own application', async () => {
    const names = ['one', 'two', 'three']
    const servers = await Promise.all(
      names.map((name) =>
        serveApp((_scope: RsgiScope, protocol: RsgiProtocol) => protocol.responseStr(200, [], name), RSGI),
      ),
    )
    const texts = await Promise.all(servers.map(async (server) => (await request(server)).text))
    expect(texts).toEqual(names)
    expect(servers.map((server) => server.stats().requestsTotal)).toEqual([1, 1, 1])
  })

  test('a port in use is ERR_BIND at once, names the address, and runs nothing of the application', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    onTestFinished(() => {
      taken.close()
    })
    const { port } = taken.address() as AddressInfo
    let calls = 0
    const app = {
      __rsgi_init__() {
        calls += 1
      },
      __rsgi_del__() {
        calls += 1
      },
      __rsgi__() {},
    }
    const error = await failureOf(serveApp(app, { bind: ['127.0.0.1:0', `127.0.0.1:${port}`] }))
    expect(error).toBeInstanceOf(gneiss.GneissError)
    expect(error).toMatchObject({ code: 'ERR_BIND', fault: 'configuration', exitCode: 5 })
    expect(error?.message).toContain(`127.0.0.1:${port}`)
    expect(calls).toBe(0)
  })

  test.each<[string, Options, string]>([
    ['an unknown option', { keepAliv: 5 } as never, 'ERR_OPTION'],
    ['a value out of range', { keepAlive: -1 }, 'ERR_OPTION'],
    ['an address that is none', { bind: 'http://a/' }, 'ERR_OPTION'],
    ['a list without an address', { bind: [] }, 'ERR_OPTION'],
    ['a driver that is none', { runtimeMode: 'fast' as never }, 'ERR_OPTION'],
    ['more I/O threads than are of use', { runtimeThreads: 9 }, 'ERR_OPTION'],
    ['the interface that is not there yet', { interface: 'node' }, 'ERR_APP_INTERFACE'],
    ['a folder that is not there', { bind: 'unix:/nonexistent/gneiss.sock' }, 'ERR_BIND'],
  ])('%s is refused with %s', async (_what, options, code) => {
    expect(await failureOf(serveApp(hello, { ...RSGI, ...options }))).toMatchObject({ code })
  })

  test.each<[string, unknown]>([
    ['undefined', undefined],
    ['a number', 1],
    ['an empty object', {}],
    ['a target without a file', './nowhere.js:app'],
  ])('%s is no application: ERR_APP', async (_what, app) => {
    expect(await failureOf(serveApp(app as never))).toMatchObject({ code: 'ERR_APP' })
  })

  test('what has failed leaves no handle and no listener of the process', async () => {
    // The runner's own timers come and go.
    const held = (): unknown[] => [
      process
        .getActiveResourcesInfo()
        .filter((name) => name !== 'Timeout')
        .toSorted(),
      process.listenerCount('exit'),
    ]
    // What an earlier test has closed may still be on its way out.
    await turns(3)
    const before = held()
    for (let round = 0; round < 5; round++) {
      await failureOf(serveApp('./nowhere.js'))
      await failureOf(
        serveApp({
          __rsgi__() {},
          __rsgi_init__() {
            throw new Error('no')
          },
        }),
      )
    }
    await turns(3)
    expect(held()).toEqual(before)
  })

  test('an option that means nothing to a library call is a warning', async () => {
    expectLog('workers has no effect')
    await serveApp(hello, { ...RSGI, workers: 1 })
  })

  test('leaves the global Response alone unless fastResponse is on, and gives it back with the last server', async () => {
    const platform = Response
    const plain = await serveApp(hello, RSGI)
    expect(globalThis.Response).toBe(platform)
    const [first, second] = [
      await serveApp(hello, { ...RSGI, fastResponse: true }),
      await serveApp(hello, { ...RSGI, fastResponse: true }),
    ]
    expect(globalThis.Response).toBe(gneiss.Response)
    await first.close()
    await plain.close()
    expect(globalThis.Response).toBe(gneiss.Response)
    await second.close()
    expect(globalThis.Response).toBe(platform)
  })

  test('logs at logLevel', async () => {
    const server = await serveApp(
      () => {
        throw new Error('quiet')
      },
      { interface: 'fetch', logLevel: 'critical' },
    )
    expect((await request(server)).status).toBe(500)
    expect(capturedLog()).toBe('')
  })
})

describe('stats', () => {
  test('is flat: the mode, gauges, and totals that only grow', async () => {
    const open = pending<RsgiProtocol>()
    const finish = pending()
    const server = await serveApp(async ({ path }: RsgiScope, protocol: RsgiProtocol) => {
      if (path === '/open') {
        open.resolve(protocol)
        await finish.promise
      }
      protocol.responseStr(200, [], 'hello')
    }, RSGI)
    await request(server)
    const client = await RawClient.connect(server)
    await client.send('GET /open HTTP/1.1\r\nhost: a\r\n\r\n')
    await open.promise
    const stats = server.stats()
    expect(stats).toMatchObject({ mode: MODE, connections: 1, requests: 1, requestsTotal: 2, background: 0 })
    expect(Object.values(stats).every((value) => ['number', 'string'].includes(typeof value))).toBe(true)
    expect(Object.keys(stats).every((key) => /^[a-z][A-Za-z0-9]*$/.test(key))).toBe(true)
    finish.resolve()
    await client.read()
    await atRest(server).catch(() => undefined)
    expect(server.stats()).toMatchObject({ requests: 0, requestsTotal: 2 })
  })

  test('of a closed server are its last ones', async () => {
    const server = await serveApp(hello, RSGI)
    await request(server)
    await server.close()
    expect(server.stats()).toMatchObject({ mode: MODE, connections: 0, fileDescriptors: 0, requestsTotal: 1 })
    expect(server.stats()).toEqual(server.stats())
  })
})

describe('requests', () => {
  test('a store entered by one is never seen by another, not even on the same connection', async () => {
    const storage = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const server = await storage.run('of the caller', () =>
      serveApp(async ({ path }: RsgiScope, protocol: RsgiProtocol) => {
        seen.push(storage.getStore())
        storage.enterWith(path)
        await turns(1)
        const body = await protocol.body()
        seen.push(storage.getStore() === path && body.length)
        protocol.signal.addEventListener('abort', () => seen.push(storage.getStore()))
        protocol.responseStr(200, [], path)
      }, RSGI),
    )
    const client = await RawClient.connect(server)
    await client.send('POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nabPOST /b HTTP/1.1\r\nhost: a\r\n')
    expect((await client.read()).text).toBe('/a')
    await client.send('content-length: 3\r\n\r\na')
    await turns(5)
    await client.send('bc')
    expect((await client.read()).text).toBe('/b')
    expect(seen).toEqual([undefined, 2, undefined, 3])
  })

  test.each([
    ['at once', 0],
    ['after a wait', 2],
  ])('a store entered %s is kept across the callbacks of the addon', async (_when, waits) => {
    const storage = new AsyncLocalStorage<string>()
    const open = pending()
    const told = pending<unknown>()
    const server = await serveApp(async (_scope: RsgiScope, protocol: RsgiProtocol) => {
      if (waits > 0) await turns(waits)
      storage.enterWith('mine')
      protocol.signal.addEventListener('abort', () => told.resolve(storage.getStore()))
      open.resolve()
      await protocol.clientDisconnect()
    }, RSGI)
    const client = await RawClient.connect(server)
    await client.send('GET / HTTP/1.1\r\nhost: a\r\n\r\n')
    await open.promise
    client.reset()
    expect(await told.promise).toBe('mine')
  })
})
