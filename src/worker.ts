/**
 * The program of a worker process: takes its place in the master's cells, loads the application, serves it
 * on the master's listeners, and says on the channel how it goes.
 */
import { exitCodeOf, exitWith, formatFailure } from './failure.ts'
import { deferFetchGlobals } from './cli/fetch-globals.ts'
import { Lifecycle, loadFailure, stallFailure } from './lifecycle.ts'
import { importPreloads, loadHooks } from './config.ts'
import { selectInterface } from './detect.ts'
import { openErrorLog } from './error-log.ts'
import { GneissError, errorCodeOf } from './errors.ts'
import { installFetchGlobals } from './fetch/globals.ts'
import { requestHooksOf } from './hooks.ts'
import { loadApp } from './loader.ts'
import { firstLineOf } from './loader/module.ts'
import { createLogger } from './log.ts'
import { native } from './native.ts'
import { serveFinished } from './server.ts'
import { assume } from './workers/identity.ts'
import { Descriptor, YOUNG_GENERATION, isMasterMessage } from './workers/protocol.ts'
import { ExitCode, IGNORED_BY_WORKERS } from './workers/tables.ts'

import type { ErrorCode } from './errors.ts'
import type { HookName, Hooks } from './hooks.ts'
import type { LoadedApp } from './loader.ts'
import type { Config } from './options.ts'
import type { WorkerParts } from './server.ts'
import type { App, Server } from './server/types.ts'
import type { StartMessage, WorkerMessage } from './workers/protocol.ts'

/** Milliseconds for the hook of a quick stop. */
const INT_GRACE = 100

/** Milliseconds for the hook of an abort; a little more and the master kills. */
const ABORT_GRACE = 250

let hooks: Partial<Hooks> = {}
let start: StartMessage
let interrupting: Promise<void> | undefined

const lifecycle = new Lifecycle({
  failed: (phase, error) => fail(loadFailure(phase, error)),
  stalled: (phase) => fail(stallFailure(phase)),
  leaving: (reason, isQuick) => {
    tell({ gneiss: 'leaving', reason })
    if (isQuick) void interrupt()
  },
})
// What the application starts shall not have it, and a thread of Node would refuse it.
if (process.execArgv[0] === YOUNG_GENERATION) process.execArgv.shift()
for (const signal of IGNORED_BY_WORKERS) process.on(signal, () => {})
process.on('SIGUSR1', () => {})
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
process.on('message', (message) => {
  if (!isMasterMessage(message)) return
  switch (message.gneiss) {
    case 'start':
      start = message
      // Nothing but work may keep the process: that a start never ends is seen by that.
      process.channel?.unref()
      void run(message).catch(fail)
      break
    case 'stop':
      void stop(message.timeout, message.isQuick)
      break
    case 'reopen':
      process.emit('SIGUSR1', 'SIGUSR1')
      break
  }
})

async function run({ config, directory, worker, cell, hooksFile, module }: StartMessage): Promise<never> {
  // What the master has opened is here already; everything else is done as the user of the worker.
  assume(config)
  if (config.umask !== null) process.umask(Number.parseInt(config.umask, 8))
  const gate = { fd: Descriptor.cells, index: cell }
  native.joinCell(gate)
  native.watchLifeline(Descriptor.lifeline, config.gracefulTimeout * 1000)
  process.title = `gneiss: worker [${config.procName}]`
  const log = createLogger(config.logLevel)
  process.once('disconnect', () => {
    log.warn('the master is gone: open requests are finished, then the process ends')
    lifecycle.stop(config.gracefulTimeout, ExitCode.orphaned)
  })
  process.chdir(directory)
  openErrorLog(config.errorLog)
  const server = { masterPid: process.ppid, log }
  await importPreloads(config)
  if (hooksFile !== undefined) hooks = await loadHooks(hooksFile)
  if (hooks.workerAbort !== undefined) process.on('SIGABRT', abort)
  await runHook('postFork', () => hooks.postFork?.(server, worker))
  const loaded = module === undefined ? await loadApplication(config) : await makeApplication(config, module)
  const { gracefulTimeout, onUncaught } = config
  lifecycle.starting({ log, gracefulTimeout, onUncaught })
  const running = await serve(config, loaded, {
    gate,
    beforeOpen: () => runHook('postWorkerInit', () => hooks.postWorkerInit?.(worker)),
    hooks: requestHooksOf(hooks, worker),
  })
  if (lifecycle.serving(running)) {
    const { mode } = running.stats()
    tell({ gneiss: 'ready', interface: loaded.interface, why: loaded.why, mode })
  }
  const exitCode = await lifecycle.ended
  try {
    await hooks.workerExit?.(server, worker)
  } catch (error) {
    log.error('the hook workerExit failed', error)
  }
  tell({ gneiss: 'stopped', stats: running.stats() })
  process.exit(exitCode)
}

/** Has the module's own object make the application: the one it runs, or one of the class it exports. */
async function makeApplication(config: Config, module: string): Promise<Pick<LoadedApp, 'app' | 'interface' | 'why'>> {
  const { Application, settleIn } = await import('./application.ts')
  const running = new Promise<InstanceType<typeof Application>>((resolve) => {
    settleIn({ config, adopt: resolve })
  })
  const exported = import(module).then((namespace: Record<string, unknown>) => {
    const made = Object.values(namespace).find(
      (value): value is typeof Application => typeof value === 'function' && value.prototype instanceof Application,
    )
    if (made !== undefined) return new made()
    throw new GneissError(
      'ERR_APP',
      `${module} exports no class that extends Application and runs none; export the class`,
    )
  })
  let app: unknown
  try {
    app = await (await Promise.race([running, exported])).load()
  } catch (cause) {
    if (cause instanceof GneissError) throw cause
    throw new GneissError('ERR_APP', `load of ${module} failed: ${firstLineOf(cause)}`, { cause })
  }
  return { app, ...selectInterface(app, config.interface, 'what load returned') }
}

async function loadApplication(config: Config): Promise<LoadedApp> {
  // The application may keep the global `Response` while it is loaded.
  const install = config.fastResponse ? deferFetchGlobals(installFetchGlobals) : () => {}
  const loaded = await loadApp(config.app as string, { factory: config.factory, interface: config.interface })
  // It will be needed: better now than within the first request.
  if (loaded.interface === 'fetch') install()
  return loaded
}

async function serve(
  config: Config,
  loaded: Pick<LoadedApp, 'app' | 'interface'>,
  parts: WorkerParts,
): Promise<Server> {
  const bind = config.bind.map((_, index) => `fd://${Descriptor.listeners + index}`)
  const { interface: name } = loaded
  return await serveFinished(loaded.app as App, { ...config, bind, interface: name, fastResponse: false }, parts)
}

async function stop(timeout: number, isQuick: boolean): Promise<void> {
  if (isQuick) await interrupt()
  lifecycle.stop(timeout)
}

/** A quick stop, whoever asks for it: the hook hears of it once. */
function interrupt(): Promise<void> {
  const { workerInt } = hooks
  if (workerInt !== undefined) interrupting ??= runWithin('workerInt', INT_GRACE, () => workerInt(start.worker))
  return interrupting ?? Promise.resolve()
}

/** The loop turns, else nobody would be here. The hook has its time, then the signal does what it always does. */
function abort(): void {
  process.off('SIGABRT', abort)
  void runWithin('workerAbort', ABORT_GRACE, () => hooks.workerAbort?.(start.worker)).then(() =>
    process.kill(process.pid, 'SIGABRT'),
  )
}

/** Runs a hook of the end, for so many milliseconds at most. What it throws changes nothing any more. */
async function runWithin(name: HookName, milliseconds: number, hook: () => void | Promise<void>): Promise<void> {
  const late = new Promise<void>((resolve) => {
    setTimeout(resolve, milliseconds).unref()
  })
  const work = (async () => hook())().catch((error: unknown) =>
    createLogger(start.config.logLevel).error(`the hook ${name} failed`, error),
  )
  await Promise.race([late, work])
}

/** A hook before the worker is ready: it may refuse. */
async function runHook(name: string, hook: () => void | Promise<void>): Promise<void> {
  try {
    await hook()
  } catch (cause) {
    throw new GneissError('ERR_BOOT', `the hook ${name} failed: ${(cause as Error)?.message ?? String(cause)}`, {
      cause,
    })
  }
}

/** Tells the master why; it says so to people, once for all workers. */
function fail(error: unknown): never {
  if (!process.connected) exitWith(error)
  const exitCode = exitCodeOf(error)
  tell({ gneiss: 'failed', code: errorCodeOf(error) as ErrorCode | undefined, exitCode, text: formatFailure(error) })
  process.exit(exitCode)
}

/** The channel is written at once, so that a message before the end is not lost. */
function tell(message: WorkerMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}
