/** Keeps the platform's Fetch from being loaded for applications that never touch it. */
import { loadApp } from '../loader.ts'

import type { LoadedApp } from '../loader.ts'
import type { Config } from '../options.ts'

/**
 * Loads the application that the configuration names. It may keep the global `Response` while it is loaded, which
 * `install` replaces where that was asked for.
 * @throws `ERR_APP`.
 */
export async function loadBesideGlobals(config: Config, app: string, install: () => void): Promise<LoadedApp> {
  const settle = config.fastResponse ? deferFetchGlobals(install) : () => {}
  const loaded = await loadApp(app, { factory: config.factory, interface: config.interface })
  // It will be needed: better now than within the first request.
  if (loaded.interface === 'fetch') settle()
  return loaded
}

/**
 * Calls `install`, which replaces the global `Response`, when somebody first asks for that: loading the
 * platform's classes takes as long as the rest of a start, and an ASGI or RSGI application has no use
 * for them. Only Node 20 keeps them behind a getter; later versions load them as soon as the property
 * is looked at, so there it is called at once. Returns what calls it now, if it was not called yet.
 */
function deferFetchGlobals(install: () => void): () => void {
  const platform = Object.getOwnPropertyDescriptor(globalThis, 'Response')
  if (platform?.get === undefined) {
    install()
    return () => {}
  }
  const settle = (): void => {
    // Whoever has defined the global anew, or has asked for it before, has ended the waiting.
    if (Object.getOwnPropertyDescriptor(globalThis, 'Response')?.get !== get) return
    Object.defineProperty(globalThis, 'Response', platform)
    install()
  }
  const get = (): unknown => {
    settle()
    return globalThis.Response
  }
  const set = (value: unknown): void => {
    settle()
    globalThis.Response = value as typeof Response
  }
  Object.defineProperty(globalThis, 'Response', { ...platform, get, set })
  return settle
}
