/** Switches TypeScript on before the first TypeScript file is imported, and explains what is missing. */
import * as nodeModule from 'node:module'

import { errorCodeOf } from '../errors.ts'
import { configure, loadSync, resolveSync, untransformed } from './hooks.ts'
import { locateOxc } from './transform.ts'

import type { HookData } from './hooks.ts'

const EXTENSIONS: readonly string[] = ['.ts', '.mts', '.cts', '.tsx']

let enabledWith: HookData | undefined

/**
 * Registers the hooks, once for this isolate. `file` is the first TypeScript file; `oxc-transform` is
 * looked for from there.
 */
export function enableTypeScript(file: string): void {
  if (enabledWith !== undefined) return
  enabledWith = { oxcPath: locateOxc(file) }
  if (typeof nodeModule.registerHooks === 'function') {
    configure(enabledWith)
    nodeModule.registerHooks({ resolve: resolveSync, load: loadSync })
    return
  }
  // Maps are collected when a module is compiled, which happens on this thread.
  if (enabledWith.oxcPath !== undefined) process.setSourceMapsEnabled(true)
  nodeModule.register(new URL('./hooks.js', import.meta.url), { data: enabledWith })
}

/** What to do about an import that failed because of TypeScript; undefined when it failed for another reason. */
export function explainTypeScript(error: unknown): string | undefined {
  const code = errorCodeOf(error)
  const message = error instanceof Error ? error.message : ''
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION' && EXTENSIONS.some((extension) => message.includes(`"${extension}"`))) {
    return enabledWith === undefined
      ? `Node ${process.version} imports no TypeScript by itself; make the application itself a TypeScript file, or pass --import tsx`
      : `Node ${process.version} does not run this kind of TypeScript file by itself; ${INSTALL}`
  }
  if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX')
    return `Node only strips types, and this needs a transform; ${INSTALL}`
  // Decorators pass the stripping and fail as unknown syntax.
  if (error instanceof SyntaxError && untransformed.length > 0)
    return `${untransformed[0]} may need a transform; ${INSTALL}`
  return undefined
}

const INSTALL = 'run `npm install --save-dev oxc-transform`, or pass --import with a loader of yours such as tsx'
