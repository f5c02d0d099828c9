/** The option table: values, layers, the native configuration, help, the printed configuration. */
import { availableParallelism } from 'node:os'

import { describe, expect, test } from 'vitest'

import { OPTIONS, OPTION_KEYS, entryOf, environmentNameOf, flagOf } from '../dist/options.js'
import { formatAddress, parseAddress } from '../dist/options/address.js'
import { parseArguments } from '../dist/options/arguments.js'
import { descriptorLimit } from '../dist/options/descriptor-limit.js'
import { layerOfEnvironment, layerOfPlatform } from '../dist/options/environment.js'
import { formatHelp } from '../dist/options/help.js'
import { toNativeConfig } from '../dist/options/native.js'
import { layerOfObject } from '../dist/options/object.js'
import { formatConfig } from '../dist/options/print.js'
import { resolveOptions, resolveServeOptions } from '../dist/options/resolve.js'

import type { Config, OptionKey } from '../dist/options.js'

const FILE = { kind: 'file', name: 'gneiss.config.js' } as const

function fromFlags(...argv: string[]): Config {
  return resolveOptions([parseArguments(argv)]).config
}

function refusal(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    expect(error).toMatchObject({ name: 'GneissError', code: 'ERR_OPTION', exitCode: 2 })
    return (error as Error).message
  }
  throw new Error('it was accepted')
}

describe('the table', () => {
  test('no two options share a flag, a letter or an environment name', () => {
    const letters = OPTION_KEYS.flatMap((key) => entryOf(key).short ?? [])
    expect(new Set(OPTION_KEYS.map(flagOf)).size).toBe(OPTION_KEYS.length)
    expect(new Set(OPTION_KEYS.map(environmentNameOf)).size).toBe(OPTION_KEYS.length)
    expect(new Set([...letters, 'h', 'v']).size).toBe(letters.length + 2)
  })

  test.each(OPTION_KEYS)(
    '%s has a default that it would accept itself, and one sentence that says what it is',
    (key) => {
      const { default: value, doc } = entryOf(key)
      expect(doc).toMatch(/^[A-Z][^\n]*[^.\s]\.$/)
      if (value === null) return
      const { config } = resolveOptions([layerOfObject({ [key]: value }, FILE)])
      expect(config[key]).toEqual(value)
    },
  )

  test('the defaults of the limits and deadlines are those of the design', () => {
    const { config } = resolveOptions([])
    expect(config).toMatchObject({
      bind: ['127.0.0.1:8000'],
      backlog: 4096,
      workers: 1,
      lifespan: 'auto',
      gracefulTimeout: 30,
      requestTimeout: 30,
      timeout: null,
      firstByteTimeout: 5,
      headTimeout: 15,
      bodyIdleTimeout: 30,
      bodyMinRate: 240,
      responseIdleTimeout: 300,
      writeTimeout: 60,
      keepAlive: 75,
      keepAliveMaxAge: 0,
      maxQueue: 1024,
      maxQueueWait: 10,
      shedExempt: [],
      limitRequestHead: 32 * 1024,
      limitRequestLine: 8 * 1024,
      limitRequestFieldSize: 8 * 1024,
      limitRequestFields: 100,
      limitTrailers: 16 * 1024,
      limitTrailerFields: 32,
      maxBody: 16 * 1024 * 1024,
      maxBodyRoutes: [],
      streamBuffer: 256 * 1024,
      bodyReadAhead: 64 * 1024,
      allowHalfOpen: false,
      serverHeader: '',
      fastResponse: true,
      runtimeMode: 'auto',
      logLevel: 'info',
      accessLog: null,
      accessLogFormat: 'combined',
      procName: 'gneiss',
    } satisfies Partial<Config>)
  })

  test('a worker takes 10,000 connections, or 80 % of the descriptors where that is less', () => {
    expect(descriptorLimit()).toBeGreaterThan(0)
    const expected = Math.min(10_000, Math.floor(descriptorLimit() * 0.8))
    expect(resolveOptions([]).config.workerConnections).toBe(expected)
  })

  test('the library keeps the global Response, the program replaces it', () => {
    expect(resolveOptions([]).config.fastResponse).toBe(true)
    expect(resolveServeOptions().config.fastResponse).toBe(false)
  })
})

describe('values', () => {
  test.each([
    ['30', 30],
    ['30s', 30],
    ['500ms', 0.5],
    ['1.5s', 1.5],
    ['5m', 300],
    ['1h', 3600],
    ['100ms', 0.1],
  ])('the time %s is %d seconds', (text, seconds) => {
    expect(fromFlags('--keep-alive', text).keepAlive).toBe(seconds)
    const typed = text === '30' ? 30 : text
    expect(resolveServeOptions({ keepAlive: typed as never }).config.keepAlive).toBe(seconds)
  })

  test.each([
    ['65536', 65_536],
    ['64k', 65_536],
    ['64K', 65_536],
    ['16m', 16 * 1024 ** 2],
    ['1g', 1024 ** 3],
    ['1.5k', 1536],
  ])('the size %s is %d bytes', (text, bytes) => {
    expect(fromFlags('--max-body', text).maxBody).toBe(bytes)
  })

  test.each([
    ['--keep-alive', '99ms', 'it must be 100ms to 168h'],
    ['--keep-alive', '0', 'it must be 100ms to 168h'],
    ['--keep-alive', '-1', 'it must be 100ms to 168h'],
    ['--keep-alive', '169h', 'it must be 100ms to 168h'],
    ['--keep-alive', 'soon', 'it must be seconds, or a time such as 500ms, 30s, 5m or 1h'],
    ['--keep-alive', '3k', 'it must be seconds'],
    ['--keep-alive', '', 'it must be seconds'],
    ['--keep-alive', 'NaN', 'it must be seconds'],
    ['--request-timeout', '50ms', 'it must be 100ms to 168h, or 0 (off)'],
    ['--max-body', '1.5', 'it must be bytes, or a size such as 64k or 16m'],
    ['--max-body', '0', 'it must be 1 to 1024g'],
    ['--max-body', '5s', 'it must be bytes'],
    ['--backlog', '1.5', 'it must be an integer'],
    ['--backlog', '0x10', 'it must be an integer'],
    ['--backlog', '1e3', 'it must be an integer'],
    ['--backlog', '70000', 'it must be 1 to 65535'],
    ['--interface', 'wsgi', 'it must be one of auto|asgi|rsgi|fetch|node'],
    ['--interface', 'ASGI', 'it must be one of auto|asgi|rsgi|fetch|node'],
    ['--print-config=yaml', undefined, 'it must be one of off|text|json'],
    ['--factory=maybe', undefined, 'it must be on or off'],
    ['--root-path', 'api', 'it must begin with a slash'],
    ['--server-header', 'a\r\nb', 'it must be a field value'],
    ['--server-header', '\u010a', 'it must be a field value'],
    ['--env', 'NAME', 'it must be KEY=VALUE'],
    ['--max-body-route', '/upload', 'it must be PATH=SIZE, such as /upload=1g'],
    ['--max-body-route', 'upload=1g', 'it must be PATH=SIZE, such as /upload=1g'],
    ['--max-body-route', '/upload=0', 'it must have a size of 1 to 1024g'],
    ['--max-body-route', '/upload=2048g', 'it must have a size of 1 to 1024g'],
    ['--chdir', 'a\0b', 'it must not hold a NUL'],
  ])('%s %s is refused', (flag, text, message) => {
    const argv = text === undefined ? [flag] : [flag, text]
    const said = refusal(() => fromFlags(...argv))
    expect(said.startsWith(`${flag.split('=')[0]} is `)).toBe(true)
    expect(said).toContain(message)
  })

  test('0 turns off what can be off, and is refused where a state would have no deadline', () => {
    const off = [
      'requestTimeout',
      'timeout',
      'gracefulTimeout',
      'responseIdleTimeout',
      'keepAliveMaxAge',
      'bodyMinRate',
      'maxQueue',
      'maxQueueWait',
    ] as const
    const config = resolveServeOptions(Object.fromEntries(off.map((key) => [key, 0]))).config
    expect(off.map((key) => config[key])).toEqual(off.map(() => 0))
    for (const key of ['firstByteTimeout', 'headTimeout', 'bodyIdleTimeout', 'writeTimeout', 'keepAlive'] as const) {
      expect(refusal(() => resolveServeOptions({ [key]: 0 }))).toContain(`option ${key} is 0; it must be 100ms`)
    }
  })

  test('an object says what it means: numbers are numbers there, switches true or false', () => {
    expect(refusal(() => resolveServeOptions({ backlog: '5' as never }))).toBe(
      'option backlog is "5"; it must be an integer, 1 to 65535',
    )
    expect(refusal(() => resolveServeOptions({ allowHalfOpen: 'on' as never }))).toBe(
      'option allowHalfOpen is "on"; it must be true or false',
    )
    expect(refusal(() => resolveServeOptions({ serverHeader: 5 as never }))).toBe(
      'option serverHeader is 5; it must be a string',
    )
    expect(refusal(() => resolveServeOptions({ keepAlive: Infinity }))).toContain('it must be seconds')
    expect(refusal(() => resolveServeOptions({ keepAlive: (() => 1) as never }))).toContain(
      'is a function; it must be seconds',
    )
    expect(refusal(() => resolveServeOptions({ bind: [1n] as never }))).toContain('it must be a string')
    expect(resolveServeOptions({ bind: ':1' }).config.bind).toEqual(['0.0.0.0:1'])
    expect(resolveServeOptions({ timeout: undefined, keepAlive: undefined }).config.keepAlive).toBe(75)
  })

  test('a path may have a limit of its own for bodies', () => {
    const { maxBodyRoutes } = fromFlags('--max-body-route', '/upload=1g', '--max-body-route', '/a=b=64K')
    expect(toNativeConfig({ ...resolveServeOptions().config, maxBodyRoutes }).maxBodyRoutes).toEqual([
      { path: '/upload', limit: 1024 ** 3 },
      { path: '/a=b', limit: 65_536 },
    ])
  })

  test('workers are a number, or one for each cpu that the process may use', () => {
    expect(fromFlags('-w', '0').workers).toBe(0)
    expect(fromFlags('-w', '8').workers).toBe(8)
    const { workers } = fromFlags('-w', 'auto')
    expect(workers).toBeGreaterThanOrEqual(1)
    expect(workers).toBeLessThanOrEqual(availableParallelism())
    expect(refusal(() => fromFlags('-w', '1025'))).toBe('-w is "1025"; it must be 0 to 1024, or auto')
  })

  test.each([
    ['022', '022'],
    ['0o27', '027'],
    ['7', '007'],
  ])('a mask of %s is read as octal', (text, mask) => {
    expect(fromFlags('-m', text).umask).toBe(mask)
  })

  test('a mask that is no octal number is refused', () => {
    expect(refusal(() => fromFlags('--umask', '089'))).toBe('--umask is "089"; it must be an octal number, 0 to 777')
  })

  test('timeout of Gunicorn sets both timeouts it stood for', () => {
    expect(fromFlags('-t', '7')).toMatchObject({ requestTimeout: 7, loopTimeout: 7 })
    expect(fromFlags('-t', '7', '--loop-timeout', '3')).toMatchObject({ requestTimeout: 7, loopTimeout: 3 })
  })
})

describe('addresses', () => {
  test.each([
    ['example.test', { host: 'example.test', port: 8000 }],
    ['127.0.0.1', { host: '127.0.0.1', port: 8000 }],
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65_535 }],
    [':80', { host: '0.0.0.0', port: 80 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['[::1]', { host: '::1', port: 8000 }],
    ['::1', { host: '::1', port: 8000 }],
    ['::', { host: '::', port: 8000 }],
    ['unix:/run/app.sock', { path: '/run/app.sock' }],
    ['unix:///run/app.sock', { path: '/run/app.sock' }],
    ['unix:app.sock', { path: 'app.sock' }],
    ['fd://3', { fd: 3 }],
  ])('%s', (text, expected) => {
    expect(parseAddress(text)).toEqual(expected)
    expect(parseAddress(formatAddress(parseAddress(text)))).toEqual(expected)
  })

  test.each([
    ['', 'it is no address'],
    ['8000', 'a port alone is written :8000'],
    ['http://127.0.0.1:80', 'an address has no scheme'],
    ['127.0.0.1:', 'the port must be a number'],
    ['127.0.0.1:65536', 'the port must be a number'],
    ['127.0.0.1:-1', 'the port must be a number'],
    ['127.0.0.1:8e3', 'the port must be a number'],
    ['a b:80', 'is no host name'],
    ['[::1', 'must be an IPv6 address'],
    ['[localhost]:80', 'must be an IPv6 address'],
    ['[::1]80', 'only :PORT may follow'],
    ['1:2:3', 'written [ADDRESS]:PORT'],
    ['unix:', 'needs a path'],
    ['fd://', 'needs the number'],
    ['fd://-1', 'needs the number'],
  ])('%j is refused', (text, message) => {
    expect(refusal(() => resolveServeOptions({ bind: text }))).toContain(message)
  })
})

describe('layers', () => {
  test('each layer beats the one below it, and the origin of every value is known', () => {
    const layers = [
      layerOfPlatform({ PORT: '1' }),
      layerOfObject({ bind: ':2' }, FILE),
      layerOfEnvironment({ GNEISS_BIND: ':3' }),
      parseArguments(['-b', ':4']),
    ]
    const seen = [0, 1, 2, 3, 4].map((count) => {
      const resolved = resolveOptions(layers.slice(0, count))
      return [resolved.config.bind[0], formatConfig(resolved, 'text').match(/^bind = .*# (.*)$/m)?.[1]]
    })
    expect(seen).toEqual([
      ['127.0.0.1:8000', 'default'],
      ['0.0.0.0:1', 'env PORT'],
      ['0.0.0.0:2', 'file gneiss.config.js'],
      ['0.0.0.0:3', 'env GNEISS_BIND'],
      ['0.0.0.0:4', 'command line'],
    ])
  })

  test('the peers to believe come in one text or many, and FORWARDED_ALLOW_IPS names them for any program', () => {
    const peers = ['10.0.0.0/8', '2001:db8::/32', 'unix', '*', '::1']
    expect(fromFlags('--forwarded-allow-ips', peers.join(', ')).forwardedAllowIps).toEqual(peers)
    expect(fromFlags('--forwarded-allow-ips', '').forwardedAllowIps).toEqual([])
    const platform = layerOfPlatform({ FORWARDED_ALLOW_IPS: '*' })
    expect(resolveOptions([platform]).config.forwardedAllowIps).toEqual(['*'])
    for (const peer of ['localhost', '10.0.0.0/33', '::/129', '1.2.3.4/', '1.2.3.4/x', '1.2.3.4:80', 'fe80::1%eth0']) {
      expect(refusal(() => fromFlags('--forwarded-allow-ips', peer))).toContain('must be an IP address')
    }
  })

  test('lists replace each other, they are not joined', () => {
    const { config } = resolveOptions([layerOfObject({ bind: [':1', ':2'] }, FILE), parseArguments(['-b', ':3'])])
    expect(config.bind).toEqual(['0.0.0.0:3'])
  })

  test('timeout sets requestTimeout, unless a layer at least as high names that', () => {
    expect(fromFlags('-t', '5')).toMatchObject({ timeout: 5, requestTimeout: 5 })
    expect(fromFlags('-t', '0').requestTimeout).toBe(0)
    expect(fromFlags('-t', '5', '--request-timeout', '6').requestTimeout).toBe(6)
    const high = resolveOptions([layerOfEnvironment({ GNEISS_REQUEST_TIMEOUT: '6' }), parseArguments(['-t', '5'])])
    expect(high.config.requestTimeout).toBe(5)
    expect(high.origins.requestTimeout).toEqual({ kind: 'flag', name: '-t' })
    const low = resolveOptions([
      layerOfEnvironment({ GNEISS_TIMEOUT: '6' }),
      parseArguments(['--request-timeout', '5']),
    ])
    expect(low.config.requestTimeout).toBe(5)
  })

  test('a finished configuration means the same when it is given again', () => {
    const config = fromFlags('-b', '[::1]:0', '-b', 'unix:/a', '--keep-alive', '500ms', '--max-body', '1g', '-t', '5')
    const keys = OPTION_KEYS.filter((name) => entryOf(name).isForProgram !== true)
    const again = resolveServeOptions(Object.fromEntries(keys.map((key) => [key, config[key]]))).config
    for (const key of keys) expect(again[key]).toEqual(config[key])
  })
})

describe('the native configuration', () => {
  test('has milliseconds, bytes and parsed addresses', () => {
    const native = toNativeConfig(
      fromFlags('-b', ':1', '-b', 'fd://4', '--keep-alive', '1.5s', '--max-body', '1k', '-t', '0'),
    )
    expect(native).toMatchObject({
      bind: [{ host: '0.0.0.0', port: 1 }, { fd: 4 }],
      keepAlive: 1500,
      requestTimeout: 0,
      keepAliveMaxAge: 0,
      headTimeout: 15_000,
      maxBody: 1024,
      bodyMinRate: 240,
      runtimeMode: 'auto',
    })
    expect(Object.values(native).every((value) => value !== undefined && !Number.isNaN(value))).toBe(true)
  })
})

describe('the help', () => {
  const lines = formatHelp().split('\n')

  test.each(OPTION_KEYS)('has a line for %s with its flag, environment name and default', (key: OptionKey) => {
    const entry = entryOf(key)
    const flag = entry.positional === true ? 'APP' : `--${entry.default === true ? 'no-' : ''}${flagOf(key)}`
    const line = lines.find((candidate) => candidate.includes(`[${environmentNameOf(key)}; `))
    expect(line).toMatch(new RegExp(`(^|[ ,])${flag}[ [=]`))
    expect(line).toContain('; default ')
    expect(line).toContain(OPTIONS[key].doc)
    if (entry.range !== undefined) expect(line).toMatch(/; \d\S* to \d/)
  })

  test('is grouped, and says what a time and a size are', () => {
    for (const title of ['Application', 'Sockets', 'Processes', 'Deadlines', 'Limits', 'Answers', 'Operation']) {
      expect(lines).toContain(title)
    }
    expect(formatHelp()).toContain('500ms, 30s, 5m, 1h')
  })
})

describe('the printed configuration', () => {
  const resolved = resolveOptions([parseArguments(['app.js', '--keep-alive', '5m'])])

  test('has one line an option: name, JSON value, origin', () => {
    const lines = formatConfig(resolved, 'text').trimEnd().split('\n')
    expect(lines.map((line) => line.split(' = ')[0])).toEqual(OPTION_KEYS)
    expect(lines).toContain('app = "app.js"  # command line')
    expect(lines).toContain('keepAlive = 300  # command line')
    expect(lines).toContain('bind = ["127.0.0.1:8000"]  # default')
    expect(lines).toContain('timeout = null  # default')
  })

  test('is one object for programs', () => {
    const printed = JSON.parse(formatConfig(resolved, 'json')) as Record<string, unknown>
    expect(Object.keys(printed)).toEqual(OPTION_KEYS)
    expect(printed['keepAlive']).toEqual({ value: 300, origin: 'command line' })
  })
})
