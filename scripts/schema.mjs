/**
 * The JSON Schema of the configuration file, from the table of options. It is for editors: whatever gneiss
 * accepts, the schema accepts. It refuses the same but for what a pattern cannot calculate: the range and
 * the whole bytes of a time or a size that is written as text.
 */
import { OPTION_KEYS, entryOf } from '../dist/options.js'
import { kebabOf } from '../dist/options/entry.js'
import { formatValue, rangeOf } from '../dist/options/values.js'

/** @typedef {import('../dist/options.js').OptionKey} OptionKey */
/** @typedef {import('../dist/options/entry.js').OptionEntry} OptionEntry */
/** @typedef {Record<string, unknown>} Schema */

// A NUL has no place in any text.
const TEXT = '[^\\u0000]'
const PORT = '0*(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])'
// Eight groups, or fewer and a gap; whether the gap is wide enough is left to gneiss.
const IPV6 = '(?=[^%]*::|(?:[0-9A-Fa-f]{1,4}:){6})[0-9A-Fa-f:.]+(?:%[\\w.-]+)?'
const ADDRESSES = [
  `(?![0-9]+$)[\\w.-]+(?::${PORT})?`,
  `:${PORT}`,
  IPV6,
  `\\[${IPV6}\\](?::${PORT})?`,
  `unix:(?!(?://)?$)${TEXT}+`,
  'fd://[0-9]{1,9}',
]
// White space is cut off; in a value of a field, none stands at its ends.
const FIELD_EDGE = '[!-~\\x80-\\x9f\\xa1-\\xff]'

const BYTE = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const PREFIX4 = '0?0?[0-9]|0?[12][0-9]|0?3[0-2]'
const PREFIX6 = '0?0?[0-9]|0?[0-9]{2}|1[01][0-9]|12[0-8]'
const PEER = [
  '\\*',
  'unix',
  `${BYTE}(?:\\.${BYTE}){3}(?:/(?:${PREFIX4}))?`,
  `(?=[^%,]*::|(?:[0-9A-Fa-f]{1,4}:){6})[0-9A-Fa-f:.]+(?:/(?:${PREFIX6}))?`,
].join('|')

const FORMS = {
  class: '^(?:async|[^#\\u0000]+#[^#.\\u0000]+(?:\\.[^#.\\u0000]+)*)$',
  assignment: `^[^=\\u0000][^=\\u0000]*=${TEXT}*$`,
  field: `^(?:${FIELD_EDGE}(?:[\\t -~\\x80-\\xff]*${FIELD_EDGE})?)?$`,
  peer: `^\\s*(?:(?:${PEER})?\\s*,\\s*)*(?:${PEER})?\\s*$`,
  prefix: `^(?:/${TEXT}*)?$`,
  route: `^/${TEXT}*=0*[1-9][0-9]{0,15}[kKmMgG]?$`,
  target: '^/[!"$-~]*$',
}

/**
 * The schema, as draft 7: the newest that all editors know.
 * @returns {Schema}
 */
export function configSchema() {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Configuration of gneiss',
    description: 'What gneiss.config.json may hold. docs/options.md says the same in words.',
    type: 'object',
    properties: {
      $schema: { description: 'Where the schema is: ./node_modules/gneiss/schema.json.', type: 'string' },
      ...Object.fromEntries(OPTION_KEYS.map((key) => [key, optionSchema(entryOf(key))])),
    },
    // Not among the properties, so that an editor offers one spelling, and takes all.
    patternProperties: Object.fromEntries(
      OPTION_KEYS.filter((key) => spellingsOf(key).length > 1).map((key) => [
        `^(?!${key}$)${key.replaceAll(/[A-Z]/g, (letter) => `(?:${letter}|[_-]${letter.toLowerCase()})`)}$`,
        { $ref: `#/properties/${key}` },
      ]),
    ),
    additionalProperties: false,
    // An option has one spelling in a file.
    dependencies: Object.fromEntries(OPTION_KEYS.flatMap(exclusionsOf)),
  }
}

/** @param {OptionEntry} entry */
function optionSchema(entry) {
  const forms = formsOf(entry)
  const [only] = forms
  return {
    description: describe(entry),
    ...(forms.length === 1 ? only : { anyOf: forms }),
    ...(entry.default === null || entry.derived !== undefined ? {} : { default: entry.default }),
  }
}

/**
 * The ways in which a value may be written.
 * @param {OptionEntry} entry
 * @returns {Schema[]}
 */
function formsOf(entry) {
  const forms = scalarForms(entry)
  if (entry.repeatable === true) {
    const items = forms.length === 1 ? forms[0] : { anyOf: forms }
    forms.push({ type: 'array', items, ...(entry.type === 'address' ? { minItems: 1 } : {}) })
  }
  if (entry.default === null) forms.push({ type: 'null' })
  return forms
}

/**
 * @param {OptionEntry} entry
 * @returns {Schema[]}
 */
function scalarForms(entry) {
  switch (entry.type) {
    case 'boolean':
      return [{ type: 'boolean' }]
    case 'enum':
      return enumForms(entry)
    case 'address':
      return [{ type: 'string', pattern: `^(?:${ADDRESSES.join('|')})$` }]
    case 'string':
      if (entry.form === 'octal')
        return [
          { type: 'integer', minimum: 0, maximum: 0o777 },
          { type: 'string', pattern: '^(?:0o?)?[0-7]{1,3}$' },
        ]
      return [{ type: 'string', pattern: entry.form === undefined ? `^${TEXT}*$` : FORMS[entry.form] }]
    default:
      return numberForms(entry)
  }
}

/** @param {OptionEntry} entry */
function enumForms(entry) {
  // A key that reads like a switch may be used as one.
  return [{ enum: entry.values ?? [] }, ...(entry.implied === undefined ? [] : [{ type: 'boolean' }])]
}

/** @param {OptionEntry} entry */
function numberForms(entry) {
  const [minimum = 0, maximum = Number.MAX_SAFE_INTEGER] = entry.range ?? []
  const type = entry.type === 'duration' ? 'number' : 'integer'
  // Where 0 is part of the range it needs no form of its own.
  const zero = entry.zero === undefined || minimum === 0 ? [] : [{ const: 0 }]
  const words = entry.words === undefined ? [] : [{ enum: [...entry.words] }]
  const text = entry.type === 'integer' ? [] : [{ type: 'string', pattern: textPattern(entry) }]
  return [{ type, minimum, maximum }, ...zero, ...words, ...text]
}

/** @param {OptionEntry} entry */
function textPattern(entry) {
  const units = entry.type === 'duration' ? '(?:[mM]?[sS]|[mMhH])' : '[kKmMgG]'
  // Nothing, in any unit, is no number of the range.
  const positive = entry.zero === undefined ? '(?!\\s*0+(?:\\.0+)?(?:[^0-9.]|$))' : ''
  return `^${positive}\\s*[0-9]+(?:\\.[0-9]+)?${units}?\\s*$`
}

/** @param {OptionEntry} entry */
function describe(entry) {
  const isNumber = ['duration', 'integer', 'size'].includes(entry.type)
  const facts = [
    ...(isNumber ? [rangeOf(entry), entry.unit] : []),
    entry.derived === undefined ? undefined : `default ${entry.derived}`,
    // A number alone does not say whether it means seconds or bytes.
    isNumber && entry.derived === undefined ? `default ${formatValue(entry, entry.default)}` : undefined,
    entry.isForProgram === true ? 'not for serve' : undefined,
  ].filter((fact) => fact !== undefined)
  return facts.length === 0 ? entry.doc : `${entry.doc} (${facts.join('; ')})`
}

/**
 * The usual spellings of a key: camelCase, snake_case, kebab-case.
 * @param {OptionKey} key
 */
function spellingsOf(key) {
  return [...new Set([key, kebabOf(key).replaceAll('-', '_'), kebabOf(key)])]
}

/**
 * No two spellings of a key together.
 * @param {OptionKey} key
 */
function exclusionsOf(key) {
  const spellings = spellingsOf(key)
  return spellings.slice(1).map((spelling, index) => {
    const others = spellings.slice(0, index + 1).map((other) => ({ required: [other] }))
    return [spelling, { not: others.length === 1 ? others[0] : { anyOf: others } }]
  })
}
