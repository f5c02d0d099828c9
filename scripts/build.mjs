/**
 * `npm run build [-- --profile NAME | --debug | --target TRIPLE [--cross]]`: builds what is stale, the addon first.
 *
 * `--profile` names a cargo profile; `profiling` is the release build with symbols. `--debug` is the
 * profile `dev`: slow, with the thread checks of the border. The default is `release`.
 * `--target` builds nothing but the release addon of that system, into `target/addons`; `--cross` links it
 * with cargo-zigbuild, so that it can be for any Linux and is loaded wherever Node is.
 */
import { parseArgs } from 'node:util'

import { buildAddon, buildAddonFor } from './addon.mjs'
import { buildTypeScript } from './typescript.mjs'

const { values } = parseArgs({
  options: {
    profile: { type: 'string' },
    debug: { type: 'boolean', default: false },
    target: { type: 'string' },
    cross: { type: 'boolean', default: false },
  },
})

if ((values.debug || values.target !== undefined) && values.profile !== undefined)
  throw new Error('--debug and --target have a profile of their own; leave out --profile')
if (values.cross && values.target === undefined) throw new Error('--cross needs a --target')
if (values.target !== undefined) {
  await buildAddonFor(values.target, values.cross)
} else {
  await buildAddon(values.debug ? 'dev' : (values.profile ?? 'release'))
  await buildTypeScript()
}
