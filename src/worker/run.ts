/**
 * What a worker process does, from the first message of its master on: takes its place in the master's cells, loads the application, serves it
 * on the master's listeners, and says on the channel how it goes.
 */
import { loadBesideGlobals } from '../cli/fetch-globals.ts'
import { monotonic } from '../clock.ts'
import { Lifecycle, loadFailure, stallFailure } from '../lifecycle.ts'
import { importPreloads, loadHooks } from '../config.ts'
import { selectInterface } from '../detect.ts'
import { openErrorLog } from '../error-log.ts'
import { GneissError } from '../errors.ts'
import { installFetchGlobals } from '../fetch/globals.ts'
import { requestHooksOf } from '../hooks.ts'
import { firstLineOf } from '../loader/module.ts'
import { createLogger } from '../log.ts'
import { native } from '../native.ts'
import { serveFinished } from '../server.ts'
import { WorkerHooks } from '../workers/hooks.ts'
import { assume } from '../workers/identity.ts'
import { fail, leaveUnstarted, tell } from './tell.ts'
import { Descriptor, isMasterMessage } from '../workers/protocol.ts'
import { ExitCode, IGNORED_BY_WORKERS } from '../workers/tables.ts'

import type { LoadedApp } from '../loader.ts'
import type { Config } from '../options.ts'
import type { WorkerParts } from '../server.ts'
import type { HealthProbe } from '../server/probe.ts'
import type { App, Server } from '../server/types.ts'
import type { StartMessage } from '../workers/protocol.ts'

/** Undefined until the configuration file is read, if it has any. */
let workerHooks: WorkerHooks | undefined

let lifecycle!: Lifecycle

/** Hears signals and the master from now on, and does what it says. */
export function runWorker(): void {
  lifecycle = new Lifecycle({
    failed: (phase, error) => fail(loadFailure(phase, error)),
    stalled: (phase) => fail(stallFailure(phase)),
    leaving: (reason, isQuick) => {
      tell({ gneiss: 'leaving', reason })
      if (isQuick) void workerHooks?.interrupt()
    },
  })
  for (const signal of IGNORED_BY_WORKERS) process.on(signal, () => {})
  process.on('SIGUSR1', () => {})
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  process.on('message', (message) => {
    if (!isMasterMessage(message)) return
    switch (message.gneiss) {
      case 'start':
        process.off('disconnect', leaveUnstarted)
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
}

async function run({ config, directory, worker, cell, hooksFile, module, isEarly }: StartMessage): Promise<never> {
  const [cells, ...listeners] = isEarly ? native.takeDescriptors(Descriptor.handover) : inherited(config)
  // What the master has opened is here already; everything else is done as the user of the worker.
  assume(config)
  const gate = { fd: cells as number, index: cell, ownsListeners: config.reusePort }
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
  if (config.captureOutput) (await import('../workers/output.ts')).captureOutput()
  const server = { masterPid: process.ppid, log }
  await importPreloads(config)
  const hooks = hooksFile === undefined ? {} : await loadHooks(hooksFile)
  const ours = new WorkerHooks(hooks, worker, log)
  workerHooks = ours
  ours.hearAbort()
  await ours.postFork(server)
  const custom =
    config.workerClass === 'async'
      ? undefined
      : await (await import('../workers/custom.ts')).Custom.begin({ worker, server, config })
  const loaded =
    module === undefined
      ? await loadBesideGlobals(config, config.app as string, installFetchGlobals)
      : await makeApplication(config, module)
  const { gracefulTimeout, onUncaught } = config
  lifecycle.starting({ log, gracefulTimeout, onUncaught })
  const running = await serve(config, listeners, loaded, {
    gate,
    beforeOpen: async (opening) => {
      await ours.postWorkerInit()
      await custom?.start(opening)
    },
    uncaught: () => lifecycle.uncaught,
    leaving: async () => custom?.drain(),
    hooks: requestHooksOf(hooks, worker),
    probe: probeOf(config),
  })
  if (lifecycle.serving(running)) {
    const { mode } = running.stats()
    tell({ gneiss: 'ready', interface: loaded.interface, why: loaded.why, mode })
  }
  const exitCode = await lifecycle.ended
  await custom?.stop()
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
  const { Application, settleIn } = await import('../application.ts')
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

/** The descriptors that a process is born with: of the cells, and of the listeners. */
function inherited({ bind }: Config): number[] {
  return [Descriptor.cells, ...bind.map((_, index) => Descriptor.listeners + index)]
}

async function serve(
  config: Config,
  listeners: readonly number[],
  loaded: Pick<LoadedApp, 'app' | 'interface'>,
  parts: WorkerParts,
): Promise<Server> {
  const bind = listeners.map((fd) => `fd://${fd}`)
  const { interface: name } = loaded
  return await serveFinished(loaded.app as App, { ...config, bind, interface: name, fastResponse: false }, parts)
}

/** What the worker asks itself. The master has counted from a little earlier, and what it says in the end would name no path. */
function probeOf({ healthProbe, bootTimeout }: Config): HealthProbe | undefined {
  if (healthProbe === null) return undefined
  const left = (bootTimeout - process.uptime()) * 1000 - Math.min(BOOT_MARGIN, bootTimeout * 100)
  return { target: healthProbe, deadline: monotonic() + left }
}

/** Milliseconds before the master's patience ends; a tenth of that where it is short. */
const BOOT_MARGIN = 500

async function stop(timeout: number, isQuick: boolean): Promise<void> {
  if (isQuick) await workerHooks?.interrupt()
  lifecycle.stop(timeout)
}
