/**
 * Puts the configuration of the program together: directory, environment, preloads, configuration
 * file, then all layers. Changes the process as the options say, which is why `serve` has no part in it.
 */
import { readFileSync, statSync } from 'node:fs'
import { relative, resolve } from 'node:path'
// Not by name: an old Node would refuse to link the program that tells it that it is old.
import * as nodeUtil from 'node:util'

import { GneissError } from './errors.ts'
import { HOOK_NAMES, hasWorkerHooks, splitHooks } from './hooks.ts'
import { explainImport, firstLineOf, importFile, importPreload } from './loader/module.ts'
import { layerOfEnvironment, layerOfPlatform } from './options/environment.ts'
import { layerOfObject } from './options/object.ts'
import { resolveOption, resolveOptions } from './options/resolve.ts'
import { suggestionOf } from './suggest.ts'

import type { Hooks } from './hooks.ts'
import type { Config, OptionKey, Options } from './options.ts'
import type { Layer, Resolved } from './options/resolve.ts'

/** Names of the configuration file, in the order in which they are looked for. */
export const CONFIG_FILES = ['gneiss.config.ts', 'gneiss.config.js', 'gneiss.config.mjs', 'gneiss.config.json'] as const

/** What a program sets in code: under its configuration file, and over its environment. */
export interface CodeLayers {
  readonly below?: Options
  readonly above?: Options
}

/** The configuration, and what else its file says. */
export interface LoadedConfig extends Resolved {
  readonly hooks: Partial<Hooks>
  /** Absolute path of the file, if it has hooks that run in workers. */
  readonly hooksFile: string | undefined
}

/**
 * Finishes the configuration of the program. What the command line and the environment name
 * (`--config`, `--env-file`) is relative to the directory gneiss was started in; everything that the
 * configuration file names is relative to the directory of `chdir`.
 * @throws `ERR_OPTION` for an option; `ERR_CONFIG` for a file that cannot be read or exports no configuration;
 *   `ERR_APP` for a preload that fails.
 */
export async function loadConfig(
  commandLine: Layer,
  { below = {}, above = {} }: CodeLayers = {},
): Promise<LoadedConfig> {
  const [lowest, highest] = [below, above].map((options) =>
    layerOfObject(options, { kind: 'file', name: 'the program' }),
  ) as [Layer, Layer]
  const start = process.cwd()
  // What decides where the rest is found must be known before the rest.
  const first = readFirst([lowest, layerOfEnvironment(process.env), highest, commandLine])
  if (first.chdir !== null) changeDirectory(first.chdir)
  applyEnvironment(first.envFiles, first.rawEnv, start)
  const fromEnvironment = layerOfEnvironment(process.env)
  await importAll(first.imports)
  const file = first.config === null ? findConfig() : resolve(start, first.config)
  const { layers: fileLayers, hooks } = file === undefined ? { layers: [], hooks: {} } : await readConfig(file, start)
  const layers = [layerOfPlatform(process.env), lowest, ...fileLayers, fromEnvironment, highest, commandLine]
  const resolved = resolveOptions(layers)
  await applyFile(resolved)
  return { ...resolved, hooks, hooksFile: hasWorkerHooks(hooks) ? file : undefined }
}

/** Imports the preloads of a configuration that another process has finished. @throws `ERR_APP`. */
export async function importPreloads(config: Config): Promise<void> {
  await importAll(config.imports)
}

/** The hooks of a configuration file. @throws `ERR_CONFIG` when it cannot be read. */
export async function loadHooks(file: string): Promise<Partial<Hooks>> {
  const { hooks } = await readConfig(file, process.cwd())
  return hooks
}

type FirstKey = 'chdir' | 'config' | 'envFiles' | 'imports' | 'rawEnv'

function readFirst(layers: readonly Layer[]): Pick<Config, FirstKey> {
  const keys: readonly FirstKey[] = ['chdir', 'config', 'envFiles', 'imports', 'rawEnv']
  return Object.fromEntries(keys.map((key) => [key, resolveOption(key, layers).value])) as Pick<Config, FirstKey>
}

/** The file says some of this too, for the application rather than for itself. */
async function applyFile({ config, origins }: Resolved): Promise<void> {
  const isFromFile = (key: OptionKey): boolean => origins[key].kind === 'file'
  if (isFromFile('chdir') && config.chdir !== null) changeDirectory(config.chdir)
  applyEnvironment(
    isFromFile('envFiles') ? config.envFiles : [],
    isFromFile('rawEnv') ? config.rawEnv : [],
    process.cwd(),
  )
  if (isFromFile('imports')) await importAll(config.imports)
}

function changeDirectory(directory: string): void {
  try {
    process.chdir(directory)
  } catch (cause) {
    throw new GneissError(
      'ERR_OPTION',
      `the directory ${directory} of --chdir cannot be entered: ${firstLineOf(cause)}`,
      { cause },
    )
  }
}

/** Files first, and never over the real environment; single variables over everything. */
function applyEnvironment(files: readonly string[], assignments: readonly string[], directory: string): void {
  for (const file of files) {
    for (const [name, value] of Object.entries(readEnvironmentFile(resolve(directory, file), file))) {
      process.env[name] ??= value
    }
  }
  for (const assignment of assignments) {
    const equals = assignment.indexOf('=')
    process.env[assignment.slice(0, equals)] = assignment.slice(equals + 1)
  }
}

function readEnvironmentFile(path: string, shownFile: string): NodeJS.Dict<string> {
  try {
    return nodeUtil.parseEnv(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new GneissError('ERR_CONFIG', `the environment file ${shownFile} could not be read: ${firstLineOf(cause)}`, {
      cause,
    })
  }
}

async function importAll(specifiers: readonly string[]): Promise<void> {
  for (const specifier of specifiers) {
    try {
      await importPreload(specifier, process.cwd())
    } catch (cause) {
      throw new GneissError('ERR_APP', `${specifier} of --import could not be loaded: ${await explainImport(cause)}`, {
        cause,
      })
    }
  }
}

/** The configuration file of the current directory, if it has one. */
export function findConfig(): string | undefined {
  return CONFIG_FILES.map((name) => resolve(name)).find(
    (path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true,
  )
}

interface FileContents {
  readonly layers: readonly Layer[]
  readonly hooks: Partial<Hooks>
}

async function readConfig(file: string, start: string): Promise<FileContents> {
  const name = relative(start, file) || file
  const { exported, named } = file.endsWith('.json')
    ? { exported: readJson(file, name), named: {} }
    : await importConfig(file, name)
  if (typeof exported !== 'object' || exported === null || Array.isArray(exported)) {
    throw new GneissError(
      'ERR_CONFIG',
      `${name} does not export a configuration; write export default { ... }, or a function that returns one`,
    )
  }
  const inside = splitHooks(exported as Record<string, unknown>)
  const beside = splitHooks(named)
  const [fault] = [...beside.faults, ...inside.faults]
  if (fault !== undefined) throw new GneissError('ERR_OPTION', `${name}: ${fault}`)
  const layer = layerOfObject(inside.others, { kind: 'file', name })
  const warnings = [...layer.warnings, ...Object.entries(beside.others).flatMap((entry) => doubtOf(name, entry))]
  return { layers: [{ ...layer, warnings }], hooks: { ...beside.hooks, ...inside.hooks } }
}

/** A file may export what it likes; a function with nearly the name of a hook is likely meant as one. */
function doubtOf(file: string, [name, value]: readonly [string, unknown]): string[] {
  const suggestion = typeof value === 'function' ? suggestionOf(name, HOOK_NAMES) : ''
  return suggestion === '' ? [] : [`${file} exports ${name}, which is no hook and is never called${suggestion}`]
}

function readJson(file: string, name: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as unknown
  } catch (cause) {
    throw new GneissError('ERR_CONFIG', `${name} could not be read: ${firstLineOf(cause)}`, { cause })
  }
}

async function importConfig(
  file: string,
  name: string,
): Promise<{ exported: unknown; named: Record<string, unknown> }> {
  try {
    const { default: exported, ...named } = await importFile(file)
    const config = unwrap(exported)
    // A file of hooks alone is one as well.
    if (exported === undefined && isOfHooks(named)) return { exported: {}, named }
    return { exported: typeof config === 'function' ? await (config as () => unknown)() : config, named }
  } catch (cause) {
    throw new GneissError('ERR_CONFIG', `${name} could not be read: ${await explainImport(cause, file)}`, { cause })
  }
}

function isOfHooks(named: Record<string, unknown>): boolean {
  const { hooks, faults } = splitHooks(named)
  return Object.keys(hooks).length + faults.length > 0
}

/** Compiled modules wrap their default export once more. */
function unwrap(exported: unknown): unknown {
  const isWrapper = typeof exported === 'object' && exported !== null && 'default' in exported
  return isWrapper ? exported.default : exported
}
