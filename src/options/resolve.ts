/**
 * Lays the layers over each other, lowest first, and finishes the configuration: one typed value and
 * one origin for each option. Who makes layers: `arguments.ts`, `environment.ts`, `object.ts`.
 */
import { GneissError } from '../errors.ts'
import { OPTION_KEYS, entryOf } from '../options.ts'
import { descriptorLimit } from './descriptor-limit.ts'
import { layerOfObject } from './object.ts'
import { reusePortFault, reusePortWarning } from './reuse-port.ts'
import { backlogWarning } from './somaxconn.ts'
import { readValue } from './values.ts'

import type { Config, OptionKey, Options } from '../options.ts'
import type { FinishedValue } from './values.ts'

/** Where a value came from. */
export type Origin =
  | { readonly kind: 'call' | 'default' }
  /** `name` is the variable, the file, or the flag as it was written. */
  | { readonly kind: 'environment' | 'file' | 'flag'; readonly name: string }

/** One value before it was read. */
export interface Setting {
  readonly value: unknown
  readonly origin: Origin
}

/** What one source sets, and what it has to say about that. */
export interface Layer {
  readonly settings: ReadonlyMap<OptionKey, Setting>
  readonly warnings: readonly string[]
}

/** One finished option. */
export interface ResolvedOption {
  readonly value: FinishedValue
  readonly origin: Origin
}

/** The finished configuration, where each value came from, and what a person should be told. */
export interface Resolved {
  readonly config: Config
  readonly origins: Readonly<Record<OptionKey, Origin>>
  readonly warnings: readonly string[]
}

/**
 * Finishes a configuration from layers, lowest first. `library` takes the defaults of `serve`.
 * @throws `ERR_OPTION` for a value that is not allowed; the message names the option, its origin and the value.
 */
export function resolveOptions(layers: readonly Layer[], defaults: 'library' | 'program' = 'program'): Resolved {
  const config: Partial<Record<OptionKey, FinishedValue>> = {}
  const origins: Partial<Record<OptionKey, Origin>> = {}
  for (const key of OPTION_KEYS) {
    const { value, origin } = resolveOption(key, layers, defaults)
    config[key] = value
    origins[key] = origin
  }
  const finished = { config: config as Config, origins: origins as Record<OptionKey, Origin> }
  return { ...finished, warnings: [...layers.flatMap((layer) => layer.warnings), ...doubtsOf(finished)] }
}

/**
 * What the kernel makes of options that it has a say in.
 * @throws `ERR_OPTION` for ports that cannot be shared.
 */
function doubtsOf({ config, origins }: Pick<Resolved, 'config' | 'origins'>): string[] {
  const { backlog, reusePort } = origins
  const doubts: (string | undefined)[] = []
  // Nobody has asked for the default: as much as the kernel grants is what it means.
  if (backlog.kind !== 'default') doubts.push(backlogWarning(config.backlog, labelOf('backlog', backlog)))
  if (config.reusePort) {
    const label = labelOf('reusePort', reusePort)
    const fault = reusePortFault(config.bind)
    if (fault !== undefined) throw new GneissError('ERR_OPTION', `${label} ${fault}`)
    doubts.push(reusePortWarning(label))
  }
  return doubts.filter((doubt) => doubt !== undefined)
}

/**
 * Finishes one option from layers, lowest first.
 * @throws `ERR_OPTION` for a value that is not allowed.
 */
export function resolveOption(
  key: OptionKey,
  layers: readonly Layer[],
  defaults: 'library' | 'program' = 'program',
): ResolvedOption {
  const setting = topmost(key, layers)
  if (setting === undefined) return { value: defaultOf(key, defaults), origin: { kind: 'default' } }
  return { value: readSetting(key, setting), origin: setting.origin }
}

/**
 * Finishes the options of a `serve` call: nothing of the environment counts there.
 * @throws `ERR_OPTION` for an unknown key or a value that is not allowed.
 */
export function resolveServeOptions(options: Options = {}): Resolved {
  return resolveOptions([layerOfObject(options, { kind: 'call' })], 'library')
}

/** An origin as the printed configuration names it. */
export function describeOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default'
    case 'environment':
      return `env ${origin.name}`
    case 'file':
      return `file ${origin.name}`
    case 'flag':
      return 'command line'
    case 'call':
      return 'call'
  }
}

/**
 * The highest layer decides. `timeout` stands for `requestTimeout` and `loopTimeout` unless a layer at
 * least as high sets one itself, because the plain name says more than the borrowed one.
 */
function topmost(key: OptionKey, layers: readonly Layer[]): Setting | undefined {
  for (const layer of layers.toReversed()) {
    const setting = layer.settings.get(key)
    if (setting !== undefined) return setting
    if (key !== 'requestTimeout' && key !== 'loopTimeout') continue
    const timeout = layer.settings.get('timeout')
    if (timeout !== undefined && timeout.value !== null) return timeout
  }
  return undefined
}

function readSetting(key: OptionKey, { value, origin }: Setting): FinishedValue {
  const entry = entryOf(key)
  if (value === null && entry.default === null) return defaultOf(key, 'program')
  try {
    return readValue(entry, { value, isText: origin.kind === 'flag' || origin.kind === 'environment' })
  } catch (cause) {
    throw new GneissError('ERR_OPTION', `${labelOf(key, origin)} is ${shown(value)}; it ${(cause as Error).message}`)
  }
}

function defaultOf(key: OptionKey, defaults: 'library' | 'program'): FinishedValue {
  const entry = entryOf(key)
  if (key === 'workerConnections') return Math.max(1, Math.min(10_000, Math.floor(descriptorLimit() * 0.8)))
  if (defaults === 'library' && entry.libraryDefault !== undefined) return entry.libraryDefault
  return Array.isArray(entry.default) ? [...(entry.default as string[])] : (entry.default as FinishedValue)
}

/** What a person would look for to mend the value. */
function labelOf(key: OptionKey, origin: Origin): string {
  switch (origin.kind) {
    case 'environment':
    case 'flag':
      return origin.name
    case 'file':
      return `${key} in ${origin.name}`
    case 'call':
    case 'default':
      return `option ${key}`
  }
}

function shown(value: unknown): string {
  if (Array.isArray(value) && value.length === 1) return shown(value[0])
  if (typeof value === 'function') return 'a function'
  try {
    const text = JSON.stringify(value) ?? String(value)
    return text.length > 80 ? `${text.slice(0, 77)}...` : text
  } catch {
    return typeof value
  }
}
