/**
 * The master: binds, starts workers, keeps them alive, stops them. It runs no code of the application, so
 * that nothing of that can stop it from doing its work.
 */
import { closeSync, openSync } from 'node:fs'

import { printReady, printStopped } from '../banner.ts'
import { closeErrorLog, openErrorLog, reopenErrorLog } from '../error-log.ts'
import { GneissError } from '../errors.ts'
import { QUICK_TIMEOUT, SIGNAL_NUMBERS } from '../lifecycle.ts'
import { createLogger } from '../log.ts'
import { native } from '../native.ts'
import { urlOf } from '../options/address.ts'
import { availableCpus } from '../options/cpus.ts'
import { MasterHooks } from './hooks.ts'
import { identityOf } from './identity.ts'
import { bindListeners, lendListeners, releaseListeners } from './listeners.ts'
import { reapOrphans } from './orphans.ts'
import { takePidfile } from './pidfile.ts'
import { RestartPolicy } from './policy.ts'
import { Pool } from './pool.ts'
import { ServiceManager } from './service.ts'
import { ExitCode } from './tables.ts'

import type { Hooks, MasterInfo } from '../hooks.ts'
import type { StopSignal } from '../lifecycle.ts'
import type { Logger } from '../log.ts'
import type { Config } from '../options.ts'
import type { WorkerChild } from './child.ts'
import type { Death } from './deaths.ts'
import type { BoundListener, LentListeners } from './listeners.ts'
import type { WorkerFailure } from './pool.ts'
import type { EarlyWorker } from './spawn.ts'

/** What a master is started with. */
export interface MasterOptions {
  readonly config: Config
  readonly hooks: Partial<Hooks>
  /** Configuration file, if it has hooks for workers. */
  readonly hooksFile: string | undefined
  /** Directory in which the program was started. */
  readonly startDirectory: string
  /** File that a worker process runs. */
  readonly file: string
  /** URL of a module that workers import to have the application made. */
  readonly module?: string | undefined
  /** Arguments of the program. */
  readonly argv: readonly string[]
  /** The process of the first worker, if it was started already. */
  readonly early?: EarlyWorker | undefined
  /**
   * The process goes on behind the master, so that its signals are given back. A program that ends then keeps them to
   * its last moment, because a signal that nobody hears would end it by itself.
   */
  readonly isEmbedded: boolean
}

/** Cells beyond the number of workers: for successors that start before their predecessors have ended, and for SIGTTIN. */
const SPARE_CELLS = 16

const LOOPING = 'workers keep dying, and none has been ready for crashLoopGrace'

/** Runs until it is told to stop. Fulfilled with the exit code; rejects when nothing could be started. */
export async function runMaster(options: MasterOptions): Promise<number> {
  return await new Master(options).run()
}

class Master {
  readonly #options: MasterOptions
  readonly #config: Config
  readonly #log: Logger
  readonly #hooks: MasterHooks
  readonly #service: ServiceManager
  readonly #handlers = new Map<NodeJS.Signals, () => void>()
  readonly #hasTerminal = hasTerminal()
  readonly #ended: Promise<number>
  #listeners: readonly BoundListener[] = []
  #cells: number | undefined = undefined
  #pool!: Pool
  #end!: (exitCode: number) => void
  #fail!: (error: unknown) => void
  #stops = 0
  #stopping: Promise<void> | undefined = undefined
  #cutCode = 0
  #delayTimer: NodeJS.Timeout | undefined = undefined
  #isAnnounced = false
  #orphans: (() => void) | undefined = undefined

  constructor(options: MasterOptions) {
    const { config, hooks } = options
    this.#options = options
    this.#config = config
    this.#log = createLogger(config.logLevel)
    this.#hooks = new MasterHooks(hooks, config.hookTimeout * 1000, this.#log)
    this.#service = new ServiceManager(process.env)
    this.#ended = new Promise((resolve, reject) => {
      this.#end = resolve
      this.#fail = reject
    })
  }

  async run(): Promise<number> {
    process.title = `gneiss: master [${this.#config.procName}]`
    const { pidfile } = this.#config
    if (pidfile !== null) takePidfile(pidfile)
    // Without workers nothing else would: a listener that nobody watches keeps no process alive.
    const alive = setInterval(() => {}, 2 ** 30)
    try {
      this.#hear()
      await this.#start()
      return await this.#ended
    } finally {
      clearInterval(alive)
      if (this.#options.isEmbedded) for (const [signal, handler] of this.#handlers) process.off(signal, handler)
      this.#orphans?.()
      releaseListeners(this.#listeners)
      if (this.#cells !== undefined) native.releaseCells(this.#cells)
      native.removeSocketFiles()
      if (pidfile !== null) native.releasePidfile(pidfile)
      this.#service.end()
      closeErrorLog()
    }
  }

  async #start(): Promise<void> {
    const { config } = this.#options
    const identity = identityOf(config)
    openErrorLog(config.errorLog, identity)
    await this.#hooks.start(this.#info)
    this.#listeners = bindListeners(config, identity)
    const count = config.workers + Math.max(config.workers, SPARE_CELLS)
    const cells = native.createCells(count)
    this.#cells = cells
    const policy = new RestartPolicy({
      workers: config.workers,
      cpus: availableCpus,
      crashLoop: config.crashLoop,
      crashLoopGrace: config.crashLoopGrace * 1000,
    })
    const { startDirectory, file, argv, hooksFile } = this.#options
    const hasAbortHook = this.#options.hooks.workerAbort !== undefined
    const lend = (): LentListeners => lendListeners(this.#listeners, config)
    let { early } = this.#options
    const takeEarly = (): EarlyWorker | undefined => {
      const taken = early
      early = undefined
      return taken
    }
    const launch = { cells, lend, takeEarly, startDirectory, file, argv, hasAbortHook }
    this.#pool = new Pool(
      { config, log: this.#log, launch, policy, cells: count, hooksFile, module: this.#options.module },
      {
        starting: (worker) => this.#hooks.run('preFork', this.#info, worker),
        ready: (child) => this.#workerReady(child),
        settled: () => this.#announce(),
        failed: (failures) => this.#failed(failures),
        unable: (error) => this.#giveUp(error),
        gone: (death) => this.#workerGone(death),
        exhausted: () => this.#giveUp(new GneissError('ERR_CRASH_LOOP', LOOPING)),
      },
    )
    this.#orphans = reapOrphans()
    this.#resize(config.workers, null)
  }

  get #info(): MasterInfo {
    return {
      pid: process.pid,
      addresses: this.#listeners.map(({ address }) => address),
      log: this.#log,
      workers: (this.#pool?.children ?? []).map(({ info }) => info),
    }
  }

  #hear(): void {
    const on = (signal: NodeJS.Signals, handler: () => void): void => {
      this.#handlers.set(signal, handler)
      process.on(signal, handler)
    }
    for (const signal of Object.keys(SIGNAL_NUMBERS) as StopSignal[]) on(signal, () => this.#stopBySignal(signal))
    on('SIGHUP', () => {
      if (this.#hasTerminal) this.#stopBySignal('SIGTERM')
      else this.#log.warn('SIGHUP: reloading is not available in this version; restart the service instead')
    })
    on('SIGUSR2', () => this.#log.warn('SIGUSR2: a binary upgrade is not available in this version; nothing was done'))
    on('SIGUSR1', () => {
      // Ours first: workers may have lost the right to make a file where it is.
      reopenErrorLog(this.#log)
      this.#log.info('SIGUSR1: log files are reopened')
      for (const child of this.#pool?.children ?? []) child.reopenLogs()
    })
    on('SIGTTIN', () => this.#resizeBy(1))
    on('SIGTTOU', () => this.#resizeBy(-1))
    on('SIGWINCH', () => {
      if (!this.#hasTerminal && this.#pool !== undefined) this.#resize(0, this.#pool.size)
    })
  }

  #resizeBy(step: number): void {
    if (this.#pool === undefined) return
    const { size } = this.#pool
    this.#resize(Math.max(1, size + step), size)
  }

  #resize(wanted: number, before: number | null): void {
    if (this.#stops > 0 || wanted === before) return
    const count = this.#pool.resize(wanted)
    if (count < wanted) this.#log.warn(`there is room for ${count} workers; restart with --workers ${wanted} for more`)
    if (count === before) return
    if (before !== null)
      this.#log.info(`${count} ${count === 1 ? 'worker is' : 'workers are'} wanted, ${before} before`)
    void this.#hooks.run('nworkersChanged', this.#info, count, before)
    if (before !== null) this.#tellStatus()
  }

  #workerReady(child: WorkerChild): void {
    if (this.#pool.ready === 1 && !this.#isAnnounced && child.ready !== undefined) {
      void this.#hooks.run('whenReady', this.#info)
      this.#service.ready(this.#status)
    }
    this.#tellStatus()
  }

  #workerGone({ number, pid, code, signal, reason }: Death): void {
    const worker = { number, pid, generation: this.#pool.generation }
    void this.#hooks.run('childExit', this.#info, worker, { code, signal, reason })
    if (this.#stops === 0) this.#tellStatus()
  }

  /** Says once that the server is ready: when all workers of the start have had their say. */
  #announce(): void {
    if (this.#isAnnounced || this.#stops > 0) return
    this.#isAnnounced = true
    const first = this.#pool.children.find(({ ready }) => ready !== undefined)?.ready
    const addresses = this.#listeners.map(({ address }) => address)
    const [address] = addresses
    if (first === undefined || address === undefined) return
    printReady({
      url: urlOf(address),
      addresses,
      interface: first.interface,
      why: first.why,
      mode: first.mode,
      workers: { ready: this.#pool.ready, wanted: this.#pool.size },
    })
  }

  /** No worker of the start became ready: what the first one said is why. */
  #failed(failures: readonly WorkerFailure[]): void {
    if (this.#stops > 0) return
    const [failure] = failures as [WorkerFailure, ...WorkerFailure[]]
    const { said, death } = failure
    if (said === undefined) {
      const how = death.reason === 'bootTimeout' ? 'was not ready within bootTimeout' : endingOf(death)
      this.#fail(new GneissError('ERR_BOOT', `worker ${death.number} ${how}`))
      return
    }
    process.stderr.write(said.text)
    this.#end(said.exitCode)
  }

  #giveUp(reason: unknown): void {
    void this.#stop(0, true).then(() => this.#fail(reason))
  }

  #stopBySignal(signal: StopSignal): void {
    this.#stops++
    if (this.#pool === undefined) {
      this.#end(ExitCode.clean)
      return
    }
    if (this.#stops === 1) {
      this.#log.debug(`${signal}: stopping`)
      this.#service.stopping()
      const isQuick = signal !== 'SIGTERM'
      const { shutdownDelay, gracefulTimeout } = this.#config
      if (isQuick || shutdownDelay === 0) this.#begin(isQuick ? QUICK_TIMEOUT : gracefulTimeout, isQuick)
      else this.#delayTimer = setTimeout(() => this.#begin(gracefulTimeout, false), shutdownDelay * 1000)
      return
    }
    clearTimeout(this.#delayTimer)
    if (this.#stops > 2) {
      this.#pool.kill()
      this.#end(128 + SIGNAL_NUMBERS[signal])
      return
    }
    this.#begin(QUICK_TIMEOUT, true)
    setTimeout(() => {
      this.#cutCode = 128 + SIGNAL_NUMBERS[signal]
      void this.#pool.stop(0, true)
    }, QUICK_TIMEOUT * 1000).unref()
  }

  #begin(timeout: number, isQuick: boolean): void {
    if (this.#stopping !== undefined) {
      void this.#pool.stop(timeout, isQuick)
      return
    }
    void this.#stop(timeout, isQuick)
      .then(() => this.#hooks.run('onExit', this.#info))
      .then(() => {
        if (this.#isAnnounced) printStopped(this.#pool.stats)
        this.#end(this.#cutCode || this.#pool.exitCode)
      })
      .catch(this.#fail)
  }

  /** Our own copies go first, so that the last worker that closes knows that it is the last. */
  async #stop(timeout: number, isQuick: boolean): Promise<void> {
    releaseListeners(this.#listeners)
    this.#stopping = this.#pool.stop(timeout, isQuick)
    await this.#stopping
  }

  get #status(): string {
    const { ready, size } = this.#pool
    return `${ready} of ${size} ${size === 1 ? 'worker' : 'workers'} ready`
  }

  #tellStatus(): void {
    this.#service.status(this.#status)
  }
}

function endingOf({ code, signal }: Death): string {
  return `${signal === null ? `ended with code ${code}` : `was ended by ${signal}`} before it was ready`
}

/** Whether a person at a terminal has started the program and can close its window. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return true
  } catch {
    return false
  }
}
