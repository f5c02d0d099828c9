/** The JSON Schema of the configuration file, against the resolver: an editor and gneiss are of one opinion. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { Ajv } from 'ajv'
import { describe, expect, test } from 'vitest'

import { OPTION_KEYS, entryOf } from '../dist/options.js'
import { kebabOf } from '../dist/options/entry.js'
import { layerOfObject } from '../dist/options/object.js'
import { resolveOptions } from '../dist/options/resolve.js'
import { ROOT, runCli } from './harness/cli.ts'
import { folderWith } from './harness/folder.ts'

import type { OptionKey } from '../dist/options.js'

interface Property {
  readonly description: string
  readonly default?: unknown
}

const schema = JSON.parse(readFileSync(join(ROOT, 'schema.json'), 'utf8')) as {
  readonly properties: Readonly<Record<string, Property>>
}
// Strict: a keyword that is misspelled is an error.
const isValid = new Ajv({ strict: true, strictRequired: false }).compile(schema)

/** Whether gneiss starts with this file. */
function isAccepted(config: object): boolean {
  try {
    resolveOptions([layerOfObject(config, { kind: 'file', name: 'gneiss.config.json' })])
    return true
  } catch {
    return false
  }
}

const ADDRESSES = [
  ':0 :80 :65535 :65536 : :x :-1 :00080 :080 127.0.0.1 127.0.0.1:0 127.0.0.1: 8000 0 1.2 example.test example.test:80',
  'a_b-c.d:1 a/b a/b:1 http://a a:b:1 1:2:3 ::1 :: ::1:80 [::1] [::1]:80 [::1]: [::1]80 [::1 [localhost]:80 [] [1:2]',
  '::ffff:1.2.3.4 fe80::1%eth0 [fe80::1%eth0]:1 unix: unix:/ unix:/run/a unix:a unix:// unix:///a unix:a:b',
  'fd:// fd://3 fd://-1 fd://1234567890 fd://a UNIX:/a ä:1 a%b',
].flatMap((line) => line.split(' '))

const NUMBERS = [0, 1, 2, 5, 15, 16, 99, 100, 255, 256, 1024, 65_535, 65_536, 70_000, 604_800, 604_801, 1e6, 1e6 + 1]
  .concat([1e9, 1e9 + 1, 2 ** 20, 2 ** 20 + 1, 2 ** 30, 2 ** 30 + 1, 2 ** 40, 2 ** 40 + 1, 2 ** 53, 1e300])
  .concat([0.05, 0.0999, 0.1, 0.5, 1.5, 1.000_000_1, -0.1, -1, -1e9])

const TEXTS = [
  '| |0|00|0.0|1|30| 30 |1.5|.5|5.|1e3|0x10|-1|-1s|+1|NaN|soon|500ms|500MS|30s|5m|1h|1.5h|30 s|0s|0ms|0.0h|3d|64k|64K',
  'exit|degrade|async|022|0o17|089|1000|16m|1g|1.5k|0k|1t|1kb|auto|AUTO|on|off|true|false|yes|loop|thread|asgi|ASGI|fetch|info|json|debug|gneiss|text',
  '/|/api|api|A=1|=1|A|A=|A=\n|a\0b|A=\0|/\0| a|a |a b|a\tb|\u00e4|\u00a0a|a\u00a0|a\u00a0b|\u0085a|\u010a|a\r\nb|\x7f|*',
  '/=5|/up=1g|/up=64K|/a=b=7|/a=0|/a=|/a=1.5k|/a=1t|/a=-1|up=1|/up|/a=2048g|/a=00|/a=007',
].flatMap((line) => line.split('|'))

const LISTS = [
  [],
  [1],
  [''],
  ['a', 1],
  [null],
  [['A=1']],
  ['A=1', 'B=2'],
  ['/a', 'b'],
  [':1', '::1'],
  [':1', ''],
  ['\0'],
]

const VALUES: readonly unknown[] = [true, false, null, {}, { a: 1 }, ...NUMBERS, ...TEXTS, ...ADDRESSES, ...LISTS]

/** What a pattern cannot calculate: the range and the whole bytes of a number in text. The schema lets it pass. */
function isBeyondPatterns(key: OptionKey, value: unknown): boolean {
  const { type, form } = entryOf(key)
  return (type === 'duration' || type === 'size' || form === 'route') && typeof value === 'string'
}

/** `auto` is the number of processors, so whether it is in the range depends on the machine. */
function dependsOnMachine(key: OptionKey, value: unknown): boolean {
  return typeof value === 'string' && entryOf(key).words?.includes(value) === true
}

describe('each value', () => {
  test.each(OPTION_KEYS)('of %s is refused by the schema and by gneiss, or by neither', (key) => {
    const values = VALUES.filter((value) => !dependsOnMachine(key, value))
    const opinions = values.map((value) => ({
      value,
      schema: isValid({ [key]: value }),
      gneiss: isAccepted({ [key]: value }),
    }))
    const differing = opinions.filter((opinion) => opinion.schema !== opinion.gneiss)
    expect(differing.filter(({ value, schema: says }) => !says || !isBeyondPatterns(key, value))).toEqual([])
    // Both answers occur, so that agreement says something.
    expect(new Set(opinions.map(({ gneiss }) => gneiss))).toEqual(new Set([true, false]))
  })

  test.each(OPTION_KEYS.filter((key) => entryOf(key).range !== undefined))('of %s ends where its range ends', (key) => {
    const { range = [0, 0], type } = entryOf(key)
    const step = type === 'duration' ? 0.01 : 1
    const [low, high] = range
    for (const value of [low - step, low, low + step, high - step, high, high + step])
      expect({ value, schema: isValid({ [key]: value }) }).toEqual({ value, schema: isAccepted({ [key]: value }) })
  })
})

describe('each key', () => {
  test.each(OPTION_KEYS)('%s may be written as gneiss reads it, in one spelling', (key) => {
    const value = valueOf(key)
    const snake = kebabOf(key).replaceAll('-', '_')
    const spellings = [key, snake, kebabOf(key), key.replace(/[A-Z]/, (letter) => `_${letter.toLowerCase()}`)]
    const wrong = [key.toUpperCase(), `${key}s`, `_${key}`, snake.toUpperCase(), `${snake}_`, `--${kebabOf(key)}`]
    for (const name of [...spellings, ...wrong])
      expect({ name, schema: isValid({ [name]: value }) }).toEqual({ name, schema: isAccepted({ [name]: value }) })
    // The value is judged in every spelling.
    for (const name of spellings) expect(isValid({ [name]: {} })).toBe(false)
    for (const name of [snake, kebabOf(key)].filter((spelling) => spelling !== key)) {
      const twice = { [key]: value, [name]: value }
      expect({ twice, schema: isValid(twice) }).toEqual({ twice, schema: isAccepted(twice) })
      expect(isValid(twice)).toBe(false)
    }
  })

  test.each(['keepAlives', 'workerClasses', 'certfile', 'KEEP_ALIVE', ''])('%j is refused by both', (name) => {
    expect([isValid({ [name]: 1 }), isAccepted({ [name]: 1 })]).toEqual([false, false])
  })

  // Only a warning of gneiss, but an editor has no other way to say that it does nothing.
  test('that has no effect is marked', () => {
    expect([isValid({ preload: true }), isAccepted({ preload: true })]).toEqual([false, true])
  })

  test.each([[[]], ['text'], [null], [1]])('is missing in %j, which is no configuration', (config) => {
    expect([isValid(config), isAccepted(config as object)]).toEqual([false, false])
  })

  test('has the sentence of the table, and the default where that is the same everywhere', () => {
    expect(Object.keys(schema.properties)).toEqual(['$schema', ...OPTION_KEYS])
    for (const key of OPTION_KEYS) {
      const { doc, default: value, derived } = entryOf(key)
      const property = schema.properties[key] as Property
      expect(property.description.startsWith(doc)).toBe(true)
      expect(property.default).toEqual(derived === undefined ? (value ?? undefined) : undefined)
      if (property.default !== undefined) expect(isValid({ [key]: property.default })).toBe(true)
    }
    expect(schema.properties['keepAlive']?.description).toContain('(100ms to 168h; default 75s)')
  })
})

test('a whole configuration is valid, and serves with its $schema', async () => {
  const config = {
    $schema: './node_modules/gneiss/schema.json',
    bind: ['127.0.0.1:0', 'unix:app.sock'],
    keep_alive: '30s',
    'max-body': '64m',
    workers: 1,
    logLevel: 'warn',
    rawEnv: 'MODE=test',
    timeout: null,
  }
  expect(isValid(config)).toBe(true)
  const cwd = folderWith({ 'gneiss.config.json': JSON.stringify(config) })
  const { code, stdout, stderr } = await runCli(['--print-config=json'], { cwd })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(JSON.parse(stdout)).toMatchObject({ keepAlive: { value: 30 }, maxBody: { value: 64 * 1024 ** 2 } })
})

test('serve knows no $schema: there is no editor to read it', () => {
  expect(() => layerOfObject({ $schema: 'x' }, { kind: 'call' })).toThrow('unknown option $schema')
})

/** A value that the option takes. */
function valueOf(key: OptionKey): unknown {
  const entry = entryOf(key)
  return (
    VALUES.find((value) => isAccepted({ [key]: value }) && value !== null && isValid({ [key]: value })) ?? entry.default
  )
}
