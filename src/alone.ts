/**
 * The program without a master (`--workers 0`): one process does what a master and its worker do, in the
 * same order. What takes privileges comes first, and the application is loaded when they are given up.
 */
import { monotonic } from './clock.ts'
import { closeErrorLog, openErrorLog } from './error-log.ts'
import { requestHooksOf } from './hooks.ts'
import { native } from './native.ts'
import { serveFinished } from './server.ts'
import { MasterHooks, WorkerHooks } from './workers/hooks.ts'
import { assume, identityOf } from './workers/identity.ts'
import { bindListeners, releaseListeners } from './workers/listeners.ts'
import { takePidfile } from './workers/pidfile.ts'
import { ServiceManager } from './workers/service.ts'

import type { Hooks, MasterInfo, ServerInfo } from './hooks.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { Logger } from './log.ts'
import type { Config } from './options.ts'
import type { InterfaceName } from './protocol.ts'
import type { App, Server } from './server/types.ts'
import type { Custom } from './workers/custom.ts'
import type { BoundListener } from './workers/listeners.ts'
import type { WorkerInfo } from './workers/protocol.ts'

/** What one process is started with. */
export interface AloneOptions<Loaded> {
  readonly config: Config
  readonly hooks: Partial<Hooks>
  readonly log: Logger
  readonly lifecycle: Pick<Lifecycle, 'ended' | 'serving' | 'starting' | 'uncaught'>
  /** The light `Response` is to be the global one while the server lives; the command line has seen to that. */
  readonly fastResponse: boolean
  /** Has the application made. Called when the process is who it will be. */
  load(): Promise<Loaded>
  /** The server accepts connections. */
  announce(server: Server, loaded: Loaded): void
}

/** One process, from its start to its end. */
export class Alone<Loaded extends { readonly app: unknown; readonly interface: InterfaceName }> {
  readonly #options: AloneOptions<Loaded>
  readonly #masterHooks: MasterHooks
  readonly #workerHooks: WorkerHooks
  readonly #service = new ServiceManager(process.env)
  readonly #worker: WorkerInfo = Object.freeze({ number: 1, generation: 1, pid: process.pid })
  #listeners: readonly BoundListener[] = []
  readonly #startedAt: number = monotonic()
  #hasPidfile = false
  #custom: Custom | undefined = undefined

  constructor(options: AloneOptions<Loaded>) {
    const { hooks, config, log } = options
    this.#options = options
    this.#masterHooks = new MasterHooks(hooks, config.hookTimeout * 1000, log)
    this.#workerHooks = new WorkerHooks(hooks, this.#worker, log)
  }

  /**
   * Serves until it is told to stop. Fulfilled with the exit code and the server that has stopped.
   * @throws `ERR_PIDFILE`, `ERR_HOOK`, `ERR_BIND`, `ERR_OPTION`, and what loading and starting the application throws.
   */
  async run(): Promise<{ exitCode: number; server: Server }> {
    process.on('exit', this.#release)
    this.#workerHooks.hearAbort()
    try {
      await this.#prepare()
      const server = await this.#serve()
      const exitCode = await this.#options.lifecycle.ended
      await this.#custom?.stop()
      await this.#masterHooks.run('workerExit', this.#serverInfo, this.#worker)
      await this.#masterHooks.run('onExit', this.#info)
      return { exitCode, server }
    } finally {
      process.off('exit', this.#release)
      this.#workerHooks.ignoreAbort()
      this.#service.end()
      closeErrorLog()
      this.#release()
    }
  }

  /** The stop begins. */
  readonly leaving = (isQuick: boolean): void => {
    this.#service.stopping()
    if (isQuick) void this.#workerHooks.interrupt()
  }

  async #prepare(): Promise<void> {
    const { config } = this.#options
    process.title = `gneiss: [${config.procName}]`
    if (config.pidfile !== null) takePidfile(config.pidfile)
    this.#hasPidfile = config.pidfile !== null
    const identity = identityOf(config)
    openErrorLog(config.errorLog, identity)
    await this.#masterHooks.start(this.#info)
    this.#listeners = bindListeners(config, identity)
    assume(config)
    if (config.captureOutput) (await import('./workers/output.ts')).captureOutput()
    await this.#workerHooks.postFork(this.#serverInfo)
    if (config.workerClass !== 'async') {
      const context = { worker: this.#worker, server: this.#serverInfo, config }
      this.#custom = await (await import('./workers/custom.ts')).Custom.begin(context)
    }
  }

  async #serve(): Promise<Server> {
    const { config, log, lifecycle, fastResponse } = this.#options
    const loaded = await this.#options.load()
    const { gracefulTimeout, shutdownDelay, onUncaught, healthProbe, bootTimeout } = config
    lifecycle.starting({ log, gracefulTimeout, shutdownDelay, onUncaught })
    // The server takes over what was bound here, the files of the sockets as well.
    const bind = this.#listeners.map(({ fd }) => `fd://${fd}`)
    const options = { ...config, bind, interface: loaded.interface, fastResponse }
    const server = await serveFinished(loaded.app as App, options, {
      beforeOpen: async (opening) => {
        await this.#workerHooks.postWorkerInit()
        await this.#custom?.start(opening)
      },
      uncaught: () => lifecycle.uncaught,
      leaving: async () => this.#custom?.drain(),
      hooks: requestHooksOf(this.#options.hooks, this.#worker),
      probe: healthProbe === null ? undefined : { target: healthProbe, deadline: this.#startedAt + bootTimeout * 1000 },
    })
    if (lifecycle.serving(server)) {
      this.#options.announce(server, loaded)
      this.#service.ready('serving')
      void this.#masterHooks.run('whenReady', this.#info)
    }
    return server
  }

  get #info(): MasterInfo {
    return {
      pid: process.pid,
      addresses: this.#listeners.map(({ address }) => address),
      log: this.#options.log,
      workers: [this.#worker],
    }
  }

  get #serverInfo(): ServerInfo {
    return { masterPid: process.pid, log: this.#options.log }
  }

  /** Also for an end without a stop, such as a signal while the application is loaded. */
  readonly #release = (): void => {
    const { pidfile } = this.#options.config
    releaseListeners(this.#listeners)
    native.removeSocketFiles()
    if (this.#hasPidfile && pidfile !== null) native.releasePidfile(pidfile)
    this.#hasPidfile = false
  }
}
