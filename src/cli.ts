#!/usr/bin/env node
/**
 * The program: `gneiss [options] APP`. Finishes the configuration, loads the application, serves it in
 * this process, and ends with an exit code that says why.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { printReady, printStopped } from './banner.ts'
import { exitWith } from './failure.ts'
import { loadBesideGlobals } from './cli/fetch-globals.ts'
import { Lifecycle, loadFailure, stallFailure } from './lifecycle.ts'
import { findConfig, loadConfig } from './config.ts'
import { GneissError } from './errors.ts'
import { createLogger } from './log.ts'
import { requireNode } from './native/node-version.ts'
import { parseArguments } from './options/arguments.ts'
import { layerOfEnvironment, layerOfPlatform } from './options/environment.ts'
import { EarlyWorker, canStartEarly, isMasterLikely } from './workers/spawn.ts'

import type { LoadedApp } from './loader.ts'
import type { Config } from './options.ts'
import type { Shell } from './options/arguments.ts'
import type { Layer, Resolved } from './options/resolve.ts'
import type { Server } from './server/types.ts'
import type { Command } from './workers/spawn.ts'

void main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<void> {
  ignoreClosedOutput()
  try {
    requireNode()
    const commandLine = parseArguments(argv)
    if (commandLine.request === 'help') finish((await import('./options/help.ts')).formatHelp())
    if (commandLine.request === 'version') finish(`gneiss ${readVersion()}\n`)
    if (commandLine.request !== undefined) await printCompletion(commandLine.request.completion)
    const onLeaving: ((isQuick: boolean) => void)[] = []
    const lifecycle = new Lifecycle({
      failed: (phase, error) => exitWith(loadFailure(phase, error)),
      stalled: (phase) => exitWith(stallFailure(phase)),
      leaving: (_reason, isQuick) => {
        for (const hear of onLeaving) hear(isQuick)
      },
    })
    const startDirectory = process.cwd()
    const file = fileURLToPath(new URL('worker.js', import.meta.url))
    let early: EarlyWorker | undefined
    const known = [layerOfPlatform(process.env), layerOfEnvironment(process.env), commandLine]
    if (isMasterLikely(known)) {
      early = startEarly(known, { file, argv, startDirectory })
      // The worker waits for the master, whose files are read meanwhile.
      void import('./workers/master.ts').catch(() => {})
    }
    const resolved = await loadConfig(commandLine)
    const { config } = resolved
    const log = createLogger(config.logLevel)
    for (const warning of resolved.warnings) log.warn(warning)
    if (config.printConfig !== 'off') await printConfig(resolved)
    const { app } = config
    if (app === null)
      throw new GneissError(
        'ERR_OPTION',
        'no application was named; write gneiss app.js, or gneiss --help for everything',
      )
    if (config.checkConfig) await checkApplication(config, app)
    const { hooks, hooksFile } = resolved
    if (config.workers > 0) {
      lifecycle.detach()
      const { runMaster } = await import('./workers/master.ts')
      process.exit(await runMaster({ config, hooks, hooksFile, startDirectory, file, argv, early, isEmbedded: false }))
    }
    early?.kill()
    const { Alone } = await import('./alone.ts')
    const load = (): Promise<LoadedApp> => loadApplication(config, app)
    // The globals are replaced before the application is loaded, where that was asked for.
    const alone = new Alone({ config, hooks, log, lifecycle, fastResponse: false, load, announce })
    onLeaving.push(alone.leaving)
    const { exitCode, server } = await alone.run()
    printStopped(server.stats())
    process.exit(exitCode)
  } catch (error) {
    exitWith(error)
  }
}

async function checkApplication(config: Config, app: string): Promise<never> {
  const isCustom = config.workerClass !== 'async'
  if (isCustom) await (await import('./workers/custom.ts')).loadWorkerClass(config.workerClass)
  const { exportName, interface: name, why } = await loadApplication(config, app)
  const more = isCustom ? `${config.workerClass} is fine: it is a class\n` : ''
  return finish(`${app} is fine: ${exportName} is served as ${name}, ${why}\n${more}`)
}

async function printCompletion(shell: Shell): Promise<never> {
  const { formatCompletion } = await import('./options/completion.ts')
  return finish(formatCompletion(shell))
}

/** Starts the first worker before the configuration is complete, where that cannot change the process. */
function startEarly(known: readonly Layer[], command: Command): EarlyWorker | undefined {
  if (!canStartEarly(known, findConfig() !== undefined)) return undefined
  try {
    return new EarlyWorker(command)
  } catch {
    // The master meets with the same, and says so.
    return undefined
  }
}

/** Prints all values, and ends unless the application is to be checked as well. */
async function printConfig(resolved: Resolved): Promise<void> {
  const { printConfig: format, checkConfig } = resolved.config
  const { formatConfig } = await import('./options/print.ts')
  const text = formatConfig(resolved, format === 'json' ? 'json' : 'text')
  if (!checkConfig) finish(text)
  process.stdout.write(text)
}

async function loadApplication(config: Config, app: string): Promise<LoadedApp> {
  const { installFetchGlobals } = await import('./fetch/globals.ts')
  return await loadBesideGlobals(config, app, installFetchGlobals)
}

function announce(server: Server, loaded: LoadedApp): void {
  const { url, addresses } = server
  const { interface: name, why } = loaded
  const { mode } = server.stats()
  printReady({ url, addresses, interface: name, why, mode })
}

/** Nothing that the application has opened keeps a program that has said everything. */
function finish(text: string): never {
  process.stdout.write(text)
  process.exit(0)
}

/** Whoever read the output may go away; that ends neither the server nor the program. */
function ignoreClosedOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
}

function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return version
}
