/** The access log: what its lines say, and that it never stands in the way of a request. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'

import { describe, expect, onTestFinished, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { startCli } from './harness/cli.ts'
import { RawClient, request, turns } from './harness/client.ts'
import { folderWith } from './harness/folder.ts'
import { INTERFACES, serveHandler } from './harness/interfaces.ts'
import { MODE } from './harness/mode.ts'

import type { Options, Server } from './harness/app.ts'

const app = {
  __rsgi__: (scope: { path: string }, protocol: { responseStr(...args: unknown[]): void }) =>
    protocol.responseStr(
      200,
      [
        ['set-cookie', 'secret=1'],
        ['x-out', 'o"ut'],
      ],
      scope.path === '/empty' ? '' : 'hello',
    ),
}

/** Serves with a log; `lines` closes the server, so that everything is there. */
async function serve(
  format: string,
  options: Options = {},
): Promise<{ server: Server; lines: () => Promise<string[]> }> {
  const file = join(folderWith({}), 'access.log')
  const server = await serveApp(app as never, { accessLog: file, accessLogFormat: format, ...options })
  const lines = async (): Promise<string[]> => {
    await server.close()
    return readFileSync(file, 'utf8').split('\n').slice(0, -1)
  }
  return { server, lines }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turns(1)
}

describe('a line', () => {
  test('is by default the combined log format', async () => {
    const file = join(folderWith({}), 'access.log')
    const server = await serveApp(app as never, { accessLog: file })
    await request(server, {
      path: '/a?b=c',
      headers: [
        ['referer', 'http://here/'],
        ['user-agent', 'a "browser"\\ \xe9'],
      ],
    })
    await server.close()
    const time = '\\[\\d\\d/[A-Z][a-z]{2}/\\d{4}:\\d\\d:\\d\\d:\\d\\d \\+0000\\]'
    expect(readFileSync(file, 'utf8')).toMatch(
      new RegExp(
        `^127\\.0\\.0\\.1 - - ${time} "GET /a\\?b=c HTTP/1\\.1" 200 5 "http://here/" "a \\\\"browser\\\\"\\\\\\\\ \\\\xe9"\\n$`,
      ),
    )
  })

  test('holds the atoms that were asked for, and keeps secrets back', async () => {
    const { server, lines } = await serve(
      '%(m)s %(U)s %(q)s %(H)s %(s)s %(B)s %(b)s %({x-in}i)s %({none}i)s %({X-Out}o)s ' +
        '%({authorization}i)s %({Cookie}i)s %({Proxy-Authorization}i)s %({set-cookie}o)s 100%%',
    )
    await request(server, {
      method: 'BREW',
      path: '/empty?x=1',
      headers: [
        ['X-In', 'in'],
        ['authorization', 'Basic x'],
        ['cookie', 'a=b'],
        ['proxy-authorization', 'Basic y'],
      ],
    })
    expect(await lines()).toEqual([
      'BREW /empty x=1 HTTP/1.1 200 0 - in - o\\"ut [redacted] [redacted] [redacted] [redacted] 100%',
    ])
  })

  test('knows every atom of Gunicorn, each with its meaning', async () => {
    process.env.GNEISS_TEST_ATOM = 'from the environment'
    const atoms: readonly (readonly [string, string | RegExp])[] = [
      ['h', '127.0.0.1'],
      ['l', '-'],
      ['u', '-'],
      ['t', /^\[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\]$/],
      ['r', 'POST /p?q=1 HTTP/1.1'],
      ['s', '200'],
      ['m', 'POST'],
      ['U', '/p'],
      ['q', 'q=1'],
      ['H', 'HTTP/1.1'],
      ['b', '5'],
      ['B', '5'],
      ['f', 'http://here/'],
      ['a', 'agent'],
      ['T', /^0$/],
      ['D', /^\d+$/],
      ['M', /^\d+$/],
      ['L', /^0\.\d{6}$/],
      ['p', `<${process.pid}>`],
      ['{X-In}i', 'in'],
      ['{x-out}o', 'o\\"ut'],
      ['{GNEISS_TEST_ATOM}e', 'from the environment'],
      ['{GNEISS_TEST_NO_ATOM}e', '-'],
    ]
    const { server, lines } = await serve(atoms.map(([name]) => `%(${name})s`).join('|'))
    await request(server, {
      method: 'POST',
      path: '/p?q=1',
      body: 'body',
      headers: [
        ['referer', 'http://here/'],
        ['user-agent', 'agent'],
        ['x-in', 'in'],
        ['authorization', 'Basic dXNlcjpzZWNyZXQ='],
      ],
    })
    const [line = ''] = await lines()
    const values = line.split('|')
    expect(values).toHaveLength(atoms.length)
    for (const [index, [name, value]] of atoms.entries()) {
      if (typeof value === 'string') expect([name, values[index]]).toEqual([name, value])
      else expect(values[index]).toMatch(value)
    }
  })

  test('tells the time a request took', async () => {
    const { server, lines } = await serve('%(T)s %(M)s %(D)s %(L)s')
    await request(server)
    const [line = ''] = await lines()
    const [seconds, milliseconds, microseconds, decimal] = line.split(' ')
    expect(Number(microseconds)).toBeGreaterThan(0)
    expect(Math.floor(Number(microseconds) / 1000)).toBe(Number(milliseconds))
    expect([seconds, decimal]).toEqual(['0', `0.${String(microseconds).padStart(6, '0')}`])
  })

  test('is a JSON object where that is asked for', async () => {
    const { server, lines } = await serve('json')
    await request(server, { method: 'POST', path: '/p', body: 'body', headers: [['x-request-id', 'abc']] })
    await request(server, { path: '/"\\' })
    const [first, second] = (await lines()).map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(first).toMatchObject({
      id: 'abc',
      remote: '127.0.0.1',
      method: 'POST',
      path: '/p',
      protocol: 'HTTP/1.1',
      status: 200,
      sent: 5,
    })
    expect(first?.received).toBeGreaterThan(40)
    expect(first?.duration_us).toBeGreaterThan(0)
    expect(new Date(String(first?.time)).getTime()).toBeGreaterThan(Date.now() - 60_000)
    // Nobody brought an id along, so it has one of ours.
    expect(second?.path).toBe('/"\\')
    expect(second?.id).toMatch(/^[0-9a-f]{32}$/)
  })

  test('is there for requests that are refused, aborted, or never answered', async () => {
    const { server, lines } = await serve('%(s)s %(m)s "%(r)s"', {
      maxBody: 5,
      requestTimeout: '200ms',
      limitRequestFieldSize: 100,
    })
    const send = async (bytes: string): Promise<void> => {
      const client = await RawClient.connect(server)
      await client.send(bytes)
      await client.read()
    }
    await send('GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n')
    await send('\x16\x03"\x01\r\n\r\n')
    await send(`GET /431 HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(200)}\r\n\r\n`)
    await send('POST /413 HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n')
    await send('POST /bad HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxx\r\n')
    expect(await lines()).toEqual([
      '400 - "GET / HTTP/1.1"',
      '400 - "\\x16\\x03\\"\\x01"',
      '431 - "GET /431 HTTP/1.1"',
      '413 POST "POST /413 HTTP/1.1"',
      '400 POST "POST /bad HTTP/1.1"',
    ])
  })

  test.each(INTERFACES)('names what became of a request: 504, 499 and the size of a stream (%s)', async (name) => {
    const file = join(folderWith({}), 'access.log')
    const server = await serveHandler(
      name,
      async (call) => {
        if (call.path === '/never') await new Promise<void>((resolve) => call.onAbort(resolve))
        else {
          const sink = await call.stream(200, [])
          await sink.write('one')
          await sink.write('three')
          await sink.end()
        }
      },
      { accessLog: file, accessLogFormat: '%(U)s %(s)s %(B)s', requestTimeout: '300ms' },
    )
    expect((await request(server, { path: '/stream' })).text).toBe('onethree')
    expect((await request(server, { path: '/never' })).status).toBe(504)
    const client = await RawClient.connect(server)
    await client.send('GET /never HTTP/1.1\r\nhost: a\r\n\r\n')
    await until(() => server.stats().requests === 1)
    client.reset()
    await until(() => server.stats().requests === 0)
    await server.close()
    expect(readFileSync(file, 'utf8')).toBe('/stream 200 8\n/never 504 15\n/never 499 0\n')
  })

  test('is one for each pipelined request and for each shed one', async () => {
    const { server, lines } = await serve('%(s)s %(U)s', { maxQueueWait: '100ms' })
    const client = await RawClient.connect(server)
    await client.send([1, 2, 3].map((n) => `GET /${n} HTTP/1.1\r\nhost: a\r\n\r\n`).join(''))
    await client.readAll(3)
    expect(await lines()).toEqual(['200 /1', '200 /2', '200 /3'])
  })
})

describe('a log', () => {
  test('that cannot be opened, or whose format is wrong, ends the start with its reason', async () => {
    await expect(serveApp(app as never, { accessLog: '/nowhere/access.log' })).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION',
        message: expect.stringContaining('/nowhere/access.log') as string,
      }),
    )
    await expect(serveApp(app as never, { accessLog: '-', accessLogFormat: '%(x)s' })).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION',
        message: expect.stringContaining('accessLogFormat: %(x)s is no atom') as string,
      }),
    )
  })

  test.runIf(existsSync('/dev/full'))('on a full disk fails no request, and counts its lines', async () => {
    const server = await serveApp(app as never, { accessLog: '/dev/full' })
    const clients = await Promise.all(Array.from({ length: 10 }, () => RawClient.connect(server)))
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all(clients.map((client) => client.request()))
      expect(answers.every(({ status }) => status === 200)).toBe(true)
    }
    await until(() => server.stats().accessLogDroppedTotal === 100)
  })

  test.runIf(process.platform === 'linux')(
    'in a pipe that nobody reads delays nobody, and counts what is lost',
    async () => {
      const pipe = join(folderWith({}), 'pipe')
      execFileSync('mkfifo', [pipe])
      // A reader that opens its end and never reads.
      const reader = await startReader(pipe)
      const server = await serveApp(app as never, { accessLog: pipe, accessLogFormat: `%(s)s ${'x'.repeat(2000)}` })
      const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(server)))
      // The line's constant part costs nothing on its way, so the request brings the bulk of the record.
      const path = `/${'p'.repeat(7000)}`
      while (Number(server.stats().accessLogDroppedTotal) === 0) {
        const answers = await Promise.all(clients.map((client) => client.request({ path })))
        expect(answers.every(({ status }) => status === 200)).toBe(true)
      }
      reader.kill()
    },
  )

  test('is opened anew on SIGUSR1, and no inspector is', async () => {
    const folder = folderWith({
      'app.mjs': `export const app = { __rsgi__(scope, protocol) { protocol.responseStr(200, [], scope.path) } }`,
    })
    const server = await startCli(
      ['app.mjs', '--bind', '127.0.0.1:0', '--access-log', 'access.log', '--access-log-format', '%(U)s'],
      { cwd: folder },
    )
    const [first, second] = [join(folder, 'access.log'), join(folder, 'access.log.1')]
    await request(server.url, { path: '/before' })
    await until(() => readFileSync(first, 'utf8') === '/before\n')
    renameSync(first, second)
    server.child.kill('SIGUSR1')
    await until(() => existsSync(first))
    await request(server.url, { path: '/after' })
    await server.stop()
    expect([readFileSync(second, 'utf8'), readFileSync(first, 'utf8')]).toEqual(['/before\n', '/after\n'])
    expect(server.output().stderr).not.toContain('Debugger')
  })

  test('on stdout stands between the lines of the program', async () => {
    const server = await startCli(
      ['app.mjs', '--bind', '127.0.0.1:0', '--access-log=-', '--access-log-format', 'seen %(U)s'],
      {
        cwd: folderWith({
          'app.mjs': `export const app = { __rsgi__(scope, protocol) { protocol.responseStr(200, [], scope.path) } }`,
        }),
      },
    )
    await request(server.url, { path: '/x' })
    const { stdout } = await server.stop()
    expect(stdout.split('\n')).toContain('seen /x')
  })

  test('is complete when the application ends the process', async () => {
    const folder = folderWith({
      'app.mjs': `export const app = { __rsgi__(scope, protocol) {
        protocol.responseStr(200, [], scope.path)
        if (scope.path === '/exit') process.exit(0)
      } }`,
    })
    const server = await startCli(
      // A master would replace a worker that ends itself.
      [
        'app.mjs',
        '--bind',
        '127.0.0.1:0',
        '--workers',
        '0',
        '--access-log',
        'access.log',
        '--access-log-format',
        '%(U)s',
      ],
      { cwd: folder },
    )
    for (let n = 0; n < 20; n++) await request(server.url, { path: '/x' })
    const client = await RawClient.connect(server.url)
    void client.send('GET /exit HTTP/1.1\r\nhost: a\r\n\r\n')
    await server.exited()
    const lines = readFileSync(join(folder, 'access.log'), 'utf8').split('\n')
    expect(lines.filter((line) => line === '/x')).toHaveLength(20)
  })
})

test.runIf(MODE === 'loop' && process.getuid?.() === 0)(
  'a disk of 1 MiB that fills up fails no request',
  async ({ skip }) => {
    const disk = join(folderWith({}), 'disk')
    mkdirSync(disk)
    const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status === 0
    if (!isMounted) {
      skip('this machine mounts no tmpfs')
    }
    onTestFinished(() => void spawnSync('umount', ['-l', disk]))
    const server = await serveApp(app as never, {
      accessLog: join(disk, 'access.log'),
      accessLogFormat: `%(s)s ${'x'.repeat(2000)}`,
    })
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(server)))
    while (Number(server.stats().accessLogDroppedTotal) === 0) {
      const answers = await Promise.all(clients.map((client) => client.request()))
      expect(answers.every(({ status }) => status === 200)).toBe(true)
    }
    await server.close()
    const { requestsTotal, accessLogDroppedTotal } = server.stats()
    // What is there is whole lines but for the last one, and every other one was counted.
    const lines = readFileSync(join(disk, 'access.log'), 'utf8').split('\n').slice(0, -1)
    expect(lines.length).toBeGreaterThan(100)
    expect(lines.length + Number(accessLogDroppedTotal)).toBe(requestsTotal)
    expect(lines.every((line) => line === `200 ${'x'.repeat(2000)}`)).toBe(true)
  },
)

async function startReader(pipe: string): Promise<{ kill(): void }> {
  const { spawn } = await import('node:child_process')
  const child = spawn('sh', ['-c', `exec 3<"$0"; echo open; exec sleep 60`, pipe], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return { kill: () => void child.kill('SIGKILL') }
}
