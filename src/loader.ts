/** Loads the application that a target names: file, export, factory, interface. */
import { relative } from 'node:path'
import { isPromise } from 'node:util/types'

import { describeValue, markOf, recognizeInterface, selectInterface } from './detect.ts'
import { GneissError } from './errors.ts'
import { chooseDefault, chooseNamed } from './loader/exports.ts'
import { explainImport, firstLineOf, importFile } from './loader/module.ts'
import { parseTarget, resolveFile } from './loader/target.ts'

import type { Detection } from './detect.ts'
import type { Found, Namespace } from './loader/exports.ts'
import type { Target } from './loader/target.ts'
import type { InterfaceName } from './protocol.ts'

/** How to load. */
export interface LoadOptions {
  /** Directory the file is relative to; the current one unless named. */
  readonly chdir?: string | undefined
  /** Call the export to get the application; a target written as a call does so anyway. */
  readonly factory?: boolean | undefined
  /** The `interface` option; `auto` unless named. */
  readonly interface?: InterfaceName | 'auto' | undefined
}

/** A loaded application. */
export interface LoadedApp {
  readonly app: unknown
  readonly interface: InterfaceName
  /** Why this interface: a clause that begins with `because`. */
  readonly why: string
  /** Absolute path of the module. */
  readonly file: string
  /** Name of the export, with `()` when it was called. */
  readonly exportName: string
}

/**
 * Loads the application a target names (`file[:export[.path]]`, `file:factory()`).
 * @throws `ERR_APP` when file or export is missing, the module or factory throws, or what was exported
 *   is no application; `ERR_APP_INTERFACE` when it needs an interface that is not available.
 * @example const { app } = await loadApp('app.ts:createApp()')
 */
export async function loadApp(target: string, options: LoadOptions = {}): Promise<LoadedApp> {
  const parsed = parseTarget(target)
  const directory = options.chdir ?? process.cwd()
  const file = resolveFile(parsed.file, directory)
  const shownFile = relative(directory, file) || file
  const listeners = listenerCount()
  const namespace = await importApplication(file, shownFile)
  const isFactory = options.factory === true || parsed.isCall
  const wanted = options.interface ?? 'auto'
  let found: Found
  try {
    found = choose(namespace, parsed, { isFactory, wanted, shownFile })
  } catch (cause) {
    // The commonest way to write an application of node:http is to listen and to export nothing.
    // A listener with a host name opens its socket one turn of the loop later.
    await new Promise((resolve) => setImmediate(resolve))
    if (parsed.path !== undefined || listenerCount() <= listeners) throw cause
    throw listeningByItself(shownFile, cause)
  }
  const { value, name } = isFactory ? await callFactory(found, shownFile) : await settle(found, shownFile)
  const isFetch = wanted === 'auto' && isNamedFetch({ value, name })
  const detection = isFetch ? NAMED_FETCH : selectInterface(value, wanted, `${name} of ${shownFile}`)
  return { app: value, interface: detection.interface, why: detection.why, file, exportName: name }
}

const NAMED_FETCH: Detection = { interface: 'fetch', why: 'because the export is named fetch' }

interface Choice {
  readonly isFactory: boolean
  readonly wanted: InterfaceName | 'auto'
  readonly shownFile: string
}

async function importApplication(file: string, shownFile: string): Promise<Namespace> {
  try {
    return await importFile(file)
  } catch (cause) {
    throw new GneissError('ERR_APP', `${shownFile} could not be loaded: ${await explainImport(cause, file)}`, { cause })
  }
}

function choose(namespace: Namespace, { path }: Target, { isFactory, wanted, shownFile }: Choice): Found {
  const accept = (found: Found): boolean =>
    isFactory ? typeof found.value === 'function' && found.name !== 'fetch' : isApplication(found, wanted)
  if (path === undefined) return chooseDefault(namespace, accept, shownFile)
  if (path.length === 1 && path[0] === 'default') return chooseDefault(namespace, accept, shownFile, path)
  return chooseNamed(namespace, path, shownFile)
}

/** A promise of an application is one: it is awaited once it was chosen. */
function isApplication(found: Found, wanted: InterfaceName | 'auto'): boolean {
  if (found.name === 'fetch') return (wanted === 'auto' || wanted === 'fetch') && isNamedFetch(found)
  if (isPromise(found.value)) return true
  if (wanted === 'auto') return recognizeInterface(found.value) !== undefined
  try {
    selectInterface(found.value, wanted)
    return true
  } catch (error) {
    // An interface that is not available in this version is said once something was chosen.
    return error instanceof GneissError && error.code === 'ERR_APP_INTERFACE'
  }
}

/** A function exported as `fetch` is a fetch handler whatever its arity, unless it is marked as something else. */
function isNamedFetch({ value, name }: Found): boolean {
  const isFetch = name === 'fetch' || name.endsWith('.fetch')
  return isFetch && typeof value === 'function' && markOf(value) === undefined
}

function listenerCount(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length
}

function listeningByItself(shownFile: string, cause: unknown): GneissError {
  return new GneissError(
    'ERR_APP_INTERFACE',
    `${shownFile} exports no application but listens by itself, which needs the node interface, and that is not available ` +
      'in this version; export an application instead',
    { cause },
  )
}

async function callFactory({ value, name }: Found, shownFile: string): Promise<Found> {
  if (typeof value !== 'function') {
    throw new GneissError(
      'ERR_APP',
      `${name} of ${shownFile} cannot be called to make the application: it is ${describeValue(value)}`,
    )
  }
  try {
    return await settle({ value: (value as () => unknown)(), name: `${name}()` }, shownFile)
  } catch (cause) {
    if (cause instanceof GneissError && cause.code === 'ERR_APP') throw cause
    throw new GneissError('ERR_APP', `${name}() of ${shownFile} failed: ${firstLineOf(cause)}`, { cause })
  }
}

/** Awaits promises only: a framework's own `then` would start the framework, or register a route. */
async function settle({ value, name }: Found, shownFile: string): Promise<Found> {
  if (!isPromise(value)) return { value, name }
  try {
    return { value: await value, name }
  } catch (cause) {
    throw new GneissError('ERR_APP', `${name} of ${shownFile} failed: ${firstLineOf(cause)}`, { cause })
  }
}
