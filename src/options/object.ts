/** Options written as an object: in a configuration file, or for `serve`. */
import { GneissError } from '../errors.ts'
import { HOOK_NAMES } from '../hooks.ts'
import { OPTION_KEYS, entryOf, isOptionKey } from '../options.ts'
import { suggestionOf } from '../suggest.ts'
import { gunicornAdvice } from './gunicorn.ts'

import type { OptionKey } from '../options.ts'
import type { Layer, Origin, Setting } from './resolve.ts'

/**
 * A layer of an object's keys; the snake_case spelling of a key is the same key, undefined is unset.
 * @throws `ERR_OPTION` for an unknown key, with the nearest name, and for what is no such object.
 */
export function layerOfObject(options: object, origin: Origin): Layer {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new GneissError('ERR_OPTION', "options must be an object such as { bind: '127.0.0.1:8000' }")
  }
  const settings = new Map<OptionKey, Setting>()
  const warnings: string[] = []
  const where = origin.kind === 'file' ? ` in ${origin.name}` : ''
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue
    // Editors find the schema of a file by it.
    if (name === '$schema' && origin.kind === 'file') continue
    const key = camelOf(name)
    if (!isOptionKey(key)) {
      const advice = gunicornAdvice(key)
      if (advice === undefined) {
        const known = typeof value === 'function' ? [...OPTION_KEYS, ...HOOK_NAMES] : OPTION_KEYS
        throw new GneissError('ERR_OPTION', `unknown option ${name}${where}${suggestionOf(key, known)}`)
      }
      if (advice.isRefused)
        throw new GneissError('ERR_OPTION', `option ${name}${where} is not an option of gneiss: ${advice.text}`)
      warnings.push(`option ${name}${where} has no effect: ${advice.text}`)
      continue
    }
    if (settings.has(key))
      throw new GneissError('ERR_OPTION', `option ${key}${where} is given in two spellings; keep one`)
    if (origin.kind === 'call' && entryOf(key).isForProgram === true) {
      warnings.push(`option ${key} has no effect on serve: it belongs to the command line and its configuration file`)
    }
    settings.set(key, { value, origin })
  }
  return { settings, warnings }
}

function camelOf(name: string): string {
  return name.replace(/[_-]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}
