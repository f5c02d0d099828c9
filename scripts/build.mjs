/**
 * `npm run build [-- --profile NAME | --debug]`: builds what is stale, the addon first.
 *
 * `--profile` names a cargo profile; `profiling` is the release build with symbols. `--debug` is the
 * profile `dev`: slow, with the thread checks of the border. The default is `release`.
 */
import { parseArgs } from 'node:util'

import { buildAddon } from './addon.mjs'
import { buildTypeScript } from './typescript.mjs'

const { values } = parseArgs({ options: { profile: { type: 'string' }, debug: { type: 'boolean', default: false } } })

if (values.debug && values.profile !== undefined)
  throw new Error('--debug is a profile of its own; leave out --profile')
await buildAddon(values.debug ? 'dev' : (values.profile ?? 'release'))
await buildTypeScript()
