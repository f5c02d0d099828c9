/** Where settings come from: arguments, environment, objects; and what is said of the wrong ones. */
import { describe, expect, test } from 'vitest'

import { LATER_HOOKS, isHookName } from '../dist/hooks.js'
import { OPTION_KEYS, entryOf, environmentNameOf, flagOf, isOptionKey } from '../dist/options.js'
import { parseArguments } from '../dist/options/arguments.js'
import { layerOfEnvironment, layerOfPlatform } from '../dist/options/environment.js'
import { layerOfObject } from '../dist/options/object.js'
import { resolveOptions, resolveServeOptions } from '../dist/options/resolve.js'

import type { Config, Options } from '../dist/options.js'

/** Settings of Gunicorn 23, as its documentation lists them. */
const GUNICORN = `config bind backlog workers worker_class threads worker_connections max_requests max_requests_jitter
  timeout graceful_timeout keepalive limit_request_line limit_request_fields limit_request_field_size reload reload_engine
  reload_extra_files spew check_config print_config preload_app sendfile reuse_port chdir daemon raw_env pidfile
  worker_tmp_dir user group umask initgroups tmp_upload_dir secure_scheme_headers forwarded_allow_ips accesslog
  disable_redirect_access_to_syslog access_log_format errorlog loglevel capture_output logger_class logconfig
  logconfig_dict logconfig_json syslog_addr syslog syslog_prefix syslog_facility enable_stdio_inheritance statsd_host
  dogstatsd_tags statsd_prefix proc_name default_proc_name pythonpath paste on_starting on_reload when_ready pre_fork
  post_fork post_worker_init worker_int worker_abort pre_exec pre_request post_request child_exit worker_exit
  nworkers_changed on_exit ssl_context proxy_protocol proxy_allow_ips keyfile certfile ssl_version cert_reqs ca_certs
  suppress_ragged_eofs do_handshake_on_connect ciphers raw_paste_global_conf permit_obsolete_folding strip_header_spaces
  permit_unconventional_http_method permit_unconventional_http_version casefold_http_method forwarder_headers header_map
  wsgi_app`

const FILE = { kind: 'file', name: 'gneiss.config.js' } as const

function fromFlags(...argv: string[]): Config {
  return resolveOptions([parseArguments(argv)]).config
}

function fromEnvironment(environment: Record<string, string>): Config {
  return resolveOptions([layerOfPlatform(environment), layerOfEnvironment(environment)]).config
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

describe('arguments', () => {
  test.each([
    ['--workers 0', { workers: 0 }],
    ['--workers=0', { workers: 0 }],
    ['-w 0', { workers: 0 }],
    ['-w0', { workers: 0 }],
    ['-w=0', { workers: 0 }],
    ['-b :1 -b unix:/a --bind [::1]:2', { bind: ['0.0.0.0:1', 'unix:/a', '[::1]:2'] }],
    ['--factory', { factory: true }],
    ['--no-factory', { factory: false }],
    ['--factory=off', { factory: false }],
    ['--no-fast-response', { fastResponse: false }],
    ['--allow-half-open', { allowHalfOpen: true }],
    ['-e A=1 --env B=2=3', { rawEnv: ['A=1', 'B=2=3'] }],
    ['-n web', { procName: 'web' }],
    ['-c a.json', { config: 'a.json' }],
    ['--print-config', { printConfig: 'text' }],
    ['--print-config=json', { printConfig: 'json' }],
    ['--print-config app.js', { printConfig: 'text', app: 'app.js' }],
    ['--log-level error --log-level debug', { logLevel: 'debug' }],
    ['app.js:app', { app: 'app.js:app' }],
    ['-w 0 app.js -b :1', { workers: 0, app: 'app.js', bind: ['0.0.0.0:1'] }],
    ['-- -app.js', { app: '-app.js' }],
    ['--factory -- app.js', { factory: true, app: 'app.js' }],
  ] as const)('%s', (line, expected) => {
    expect(fromFlags(...line.split(' '))).toMatchObject(expected)
  })

  test('--help and --version ask for nothing else', () => {
    expect(parseArguments(['--help']).request).toBe('help')
    expect(parseArguments(['-h']).request).toBe('help')
    expect(parseArguments(['--version']).request).toBe('version')
    expect(parseArguments(['-v']).request).toBe('version')
    expect(parseArguments(['app.js']).request).toBeUndefined()
  })

  test.each([
    ['--wrokers 2', 'unknown option --wrokers; did you mean --workers?'],
    ['--grace-timeout=3', 'unknown option --grace-timeout; did you mean --graceful-timeout?'],
    ['--zzzzzzzzzz', 'unknown option --zzzzzzzzzz'],
    ['-x', 'unknown option -x'],
    ['--app x', 'unknown option --app'],
    ['--bind', '--bind needs a value'],
    ['--bind --factory', '--bind needs a value'],
    ['-b', '-b needs a value'],
    ['--no-factory=yes', '--no-factory takes no value'],
    ['--no-bind', 'unknown option --no-bind'],
    ['a.js b.js', 'one application is served at a time, not both a.js and b.js'],
  ])('%s is refused', (line, message) => {
    expect(refusal(() => fromFlags(...line.split(' ')))).toContain(message)
  })

  test('a negative number is a value, and refused as one', () => {
    expect(refusal(() => fromFlags('--backlog', '-1'))).toContain('--backlog is "-1"; it must be 1 to 65535')
  })
})

describe('options of Gunicorn and Granian', () => {
  test.each([
    ['--keyfile=x', '--keyfile is not an option of gneiss', 'TLS'],
    ['--threads=4', '--threads is not an option of gneiss', 'start more processes'],
    ['--threads 4', '--threads is not an option of gneiss', 'start more processes'],
    ['--max-requests 10', '--max-requests is not an option of gneiss', 'service manager'],
    ['--access-logfile -', '--access-logfile is not an option of gneiss', '--access-log'],
    ['--certfile x', '--certfile is not an option of gneiss', 'TLS'],
    ['--http 2', '--http is not an option of gneiss', 'HTTP/1.1'],
    ['--no-ws', '--no-ws is not an option of gneiss', 'HTTP/1.1'],
    ['--static-path-mount public', '--static-path-mount is not an option of gneiss', 'static files'],
    ['--workers-max-rss 512', '--workers-max-rss is not an option of gneiss', 'service manager'],
    ['-D', '-D is not an option of gneiss', 'service manager'],
    ['--limit-request-field_size 1', 'unknown option --limit-request-field_size', '--limit-request-field-size'],
  ])('%s is refused by name', (line, what, advice) => {
    const message = refusal(() => fromFlags(...line.split(' ')))
    expect(message).toContain(what)
    expect(message).toContain(advice)
  })

  test.each(['accesslog', 'logger_class', 'tmp_upload_dir', 'raw_paste_global_conf'])(
    '%s in a file is refused by name',
    (key) => {
      expect(refusal(() => layerOfObject({ [key]: 'x' }, FILE))).toMatch(
        new RegExp(`^option ${key} in gneiss.config.js is not an option of gneiss: .`),
      )
    },
  )

  test('every setting of Gunicorn in a file is one of ours, has no effect, or is refused by name', () => {
    const others = GUNICORN.split(/\s+/).filter((name) => {
      const key = name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
      return !isOptionKey(key) && !isHookName(key) && !LATER_HOOKS.has(key)
    })
    const ignored = ['preload_app', 'worker_tmp_dir']
    for (const name of others) {
      const read = (): readonly string[] => layerOfObject({ [name]: 'x' }, FILE).warnings
      if (ignored.includes(name)) expect(read()).toEqual([expect.stringContaining(`option ${name} in `)])
      else
        expect(refusal(read)).toMatch(new RegExp(`^option ${name} in gneiss.config.js is not an option of gneiss: .`))
    }
    expect(others.length).toBeGreaterThan(40)
  })

  test('preloading and the temporary directory of workers are accepted, have no effect, and warn', () => {
    const flags = parseArguments(['--preload', '--worker-tmp-dir=/dev/shm', 'app.js'])
    expect(flags.warnings).toEqual([
      expect.stringContaining('--preload has no effect: '),
      expect.stringContaining('--worker-tmp-dir has no effect: '),
    ])
    expect([...flags.settings.keys()]).toEqual(['app'])
    const object = layerOfObject({ preloadApp: true, worker_tmp_dir: '/x' }, FILE)
    expect(object.warnings).toHaveLength(2)
    expect(object.settings.size).toBe(0)
  })
})

describe('the environment', () => {
  test.each(OPTION_KEYS.filter((key) => key !== 'app'))('%s has a name that is its flag', (key) => {
    expect(environmentNameOf(key)).toBe(`GNEISS_${flagOf(key).toUpperCase().replaceAll('-', '_')}`)
  })

  test('values are read as on the command line, lists are separated by commas, the empty text is unset', () => {
    const config = fromEnvironment({
      GNEISS_APP: 'app.js',
      GNEISS_BIND: ':1, unix:/a,',
      GNEISS_KEEP_ALIVE: '5m',
      GNEISS_FACTORY: 'yes',
      GNEISS_FAST_RESPONSE: '0',
      GNEISS_MAX_BODY: '1k',
      GNEISS_LOG_LEVEL: '',
      GNEISS_ENV: 'A=1,B=2',
    })
    expect(config).toMatchObject({
      app: 'app.js',
      bind: ['0.0.0.0:1', 'unix:/a'],
      keepAlive: 300,
      factory: true,
      fastResponse: false,
      maxBody: 1024,
      logLevel: 'info',
      rawEnv: ['A=1', 'B=2'],
    })
  })

  test('an unknown name is a warning with the nearest name', () => {
    const { settings, warnings } = layerOfEnvironment({ GNEISS_WROKERS: '2', GNEISSY: 'x' })
    expect(settings.size).toBe(0)
    expect(warnings).toEqual(['unknown environment variable GNEISS_WROKERS; did you mean GNEISS_WORKERS?'])
  })

  test('a value that is not allowed is refused under the name of its variable', () => {
    expect(refusal(() => fromEnvironment({ GNEISS_BACKLOG: 'x' }))).toContain(
      'GNEISS_BACKLOG is "x"; it must be an integer',
    )
    expect(refusal(() => fromEnvironment({ PORT: 'http' }))).toContain('PORT is "0.0.0.0:http"; it is no address')
    expect(refusal(() => fromEnvironment({ WEB_CONCURRENCY: 'many' }))).toContain(
      'WEB_CONCURRENCY is "many"; it must be an integer',
    )
  })

  test.each([
    [{ PORT: '80' }, '0.0.0.0:80'],
    [{ PORT: '80', HOST: 'example.test' }, 'example.test:80'],
    [{ PORT: '80', HOST: '::' }, '[::]:80'],
    [{ HOST: '0.0.0.0' }, '0.0.0.0:8000'],
    [{ HOST: 'localhost' }, 'localhost:8000'],
    [{ HOST: 'x86_64-conda-linux-gnu' }, '127.0.0.1:8000'],
    [{ PORT: '' }, '127.0.0.1:8000'],
  ])('%j binds %s', (environment, address) => {
    expect(fromEnvironment(environment as Record<string, string>).bind).toEqual([address])
  })
})

describe('an object', () => {
  test('the snake_case spelling of a key is the same key', () => {
    const options = { graceful_timeout: 1, limit_request_field_size: '9k', raw_env: ['A=1'], proc_name: 'web' }
    expect(resolveOptions([layerOfObject(options, FILE)]).config).toMatchObject({
      gracefulTimeout: 1,
      limitRequestFieldSize: 9 * 1024,
      rawEnv: ['A=1'],
      procName: 'web',
    })
  })

  test.each([null, 8080, 'localhost', [':8080']])('%j in its place is refused', (options) => {
    expect(refusal(() => resolveServeOptions(options as never))).toBe(
      "options must be an object such as { bind: '127.0.0.1:8000' }",
    )
  })

  test('one key in two spellings is refused', () => {
    expect(refusal(() => layerOfObject({ keepAlive: 1, keep_alive: 2 }, FILE))).toBe(
      'option keepAlive in gneiss.config.js is given in two spellings; keep one',
    )
  })

  test('an unknown key is refused with the file and the nearest name', () => {
    expect(refusal(() => layerOfObject({ keepAlives: 1 }, FILE))).toBe(
      'unknown option keepAlives in gneiss.config.js; did you mean keepAlive?',
    )
    expect(refusal(() => resolveServeOptions({ max_bdy: 1 } as Options))).toBe(
      'unknown option max_bdy; did you mean maxBody?',
    )
    expect(refusal(() => resolveServeOptions({ ['__proto__x']: 1 } as Options))).toContain('unknown option __proto__x')
    expect(refusal(() => resolveServeOptions({ constructor: 1 } as Options))).toContain('unknown option constructor')
  })

  test('serve takes every key and says which of them mean nothing to it', () => {
    const every = Object.fromEntries(OPTION_KEYS.map((key) => [key, resolveOptions([]).config[key]]))
    const { warnings } = resolveServeOptions(every)
    const program = OPTION_KEYS.filter((key) => entryOf(key).isForProgram === true)
    expect(warnings.map((warning) => warning.split(' ')[1])).toEqual(program)
  })
})

describe('sockets of the service manager', () => {
  test('are bound when they are meant for this process, before PORT', () => {
    const { settings } = layerOfPlatform({ LISTEN_PID: '7', LISTEN_FDS: '2', PORT: '1' }, 7)
    expect(settings.get('bind')).toEqual({
      value: ['fd://3', 'fd://4'],
      origin: { kind: 'environment', name: 'LISTEN_FDS' },
    })
  })

  test.each([
    { LISTEN_PID: '8', LISTEN_FDS: '2' },
    { LISTEN_FDS: '2' },
    { LISTEN_PID: '7', LISTEN_FDS: 'x' },
    { LISTEN_PID: '7', LISTEN_FDS: '0' },
  ])('are left alone with %o', (environment) => {
    expect(layerOfPlatform(environment, 7).settings.size).toBe(0)
  })
})
