/** The finished configuration, printed for `--print-config`. */
import { OPTION_KEYS } from '../options.ts'
import { describeOrigin } from './resolve.ts'

import type { Resolved } from './resolve.ts'

/** One line an option, `name = JSON value  # origin`; or one JSON object of `{ value, origin }` by name. */
export function formatConfig({ config, origins }: Resolved, format: 'json' | 'text'): string {
  if (format === 'json') {
    const rows = OPTION_KEYS.map((key) => [key, { value: config[key], origin: describeOrigin(origins[key]) }])
    return `${JSON.stringify(Object.fromEntries(rows), undefined, 2)}\n`
  }
  return OPTION_KEYS.map((key) => `${key} = ${JSON.stringify(config[key])}  # ${describeOrigin(origins[key])}\n`).join(
    '',
  )
}
