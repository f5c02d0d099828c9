/** What an application or a configuration file says about itself. */
import { markInterface } from './detect.ts'
import { GneissError } from './errors.ts'

import type { Hooks } from './hooks.ts'
import type { Options } from './options.ts'
import type { InterfaceName } from './protocol.ts'

/** What `defineApp` may say. */
export interface DefineAppOptions {
  /** The interface the application is written against. No default: without it there is nothing to define. */
  readonly interface: InterfaceName
}

/** What a configuration file may export: options, or a function that returns them. */
export type ConfigInput = (Options & Partial<Hooks>) | (() => Options | Promise<Options>)

/**
 * Marks an application with its interface, so that nothing has to be guessed from its shape, and
 * returns the same application.
 * @throws `ERR_APP` for what cannot be marked (a frozen object, a string).
 * @example export default defineApp((scope, protocol) => protocol.responseStr(200, [], 'hi'), { interface: 'rsgi' })
 */
export function defineApp<App extends object>(app: App, options: DefineAppOptions): App {
  try {
    markInterface(app, options.interface)
  } catch (cause) {
    throw new GneissError(
      'ERR_APP',
      'defineApp cannot mark this application; give it a function or an object that is not frozen',
      { cause },
    )
  }
  return app
}

/**
 * Returns its argument; gives a configuration file its types.
 * @example export default defineConfig({ bind: ':8080', keepAlive: '30s' })
 */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config
}
