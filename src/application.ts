/** A server as an object, for programs that want to be the command line themselves. */
import { fileURLToPath } from 'node:url'

import { loadConfig } from './config.ts'
import { selectInterface } from './detect.ts'
import { GneissError } from './errors.ts'
import { formatFailure, exitCodeOf } from './failure.ts'
import { Lifecycle } from './lifecycle.ts'
import { loadApp } from './loader.ts'
import { createLogger } from './log.ts'
import { parseArguments } from './options/arguments.ts'

import type { LoadedConfig } from './config.ts'
import type { EndOptions } from './lifecycle.ts'
import type { Logger } from './log.ts'
import type { Config, Options } from './options.ts'
import type { InterfaceName } from './protocol.ts'
import type { App, Server } from './server/types.ts'

/** What an application object is made with: options, which everything a person says may replace, and where it is. */
export interface ApplicationOptions extends Options {
  /** `import.meta.url` of the module that exports the class, or runs it: worker processes import that. */
  readonly module?: string
  /** Arguments to read as the command line does, such as `process.argv.slice(2)`. Default: none. */
  readonly args?: readonly string[]
}

/** How a reload has ended. */
export interface ReloadResult {
  readonly isDone: boolean
  readonly reason: string
}

/** What a worker process tells an application object that is made in it. */
export interface WorkerPlace {
  readonly config: Config
  /** Takes the object that the module runs. */
  adopt(application: Application): void
}

let place: WorkerPlace | undefined

/** Called once in a worker process, before the module is imported. */
export function settleIn(worker: WorkerPlace): void {
  place = worker
}

/**
 * The program of gneiss as an object. Without workers (`workers: 0`) it serves in this process whatever
 * `load` returns. With workers, each of them imports the application: the `app` option names it, or
 * `module` names the file of a subclass whose `load` makes it.
 * @example
 * ```ts
 * export class Shop extends Application {
 *   override async load() {
 *     return (request: Request) => new Response('hello')
 *   }
 * }
 * if (process.argv[1] === import.meta.filename) process.exitCode = await new Shop({ module: import.meta.url }).run()
 * ```
 */
export class Application {
  readonly #options: Options
  readonly #module: string | undefined
  readonly #args: readonly string[]
  #loadedConfig: Promise<LoadedConfig> | undefined = undefined
  #app: Promise<App> | undefined = undefined

  constructor({ module, args = [], ...options }: ApplicationOptions = {}) {
    this.#options = options
    this.#module = module
    this.#args = args
  }

  /** More options: a layer under the command line and over everything else. Override it. Default: none. */
  init(_options: Options, _args: readonly string[]): Options | Promise<Options> {
    return {}
  }

  /**
   * The finished configuration, from defaults, environment, configuration file, `init` and arguments.
   * @throws `ERR_OPTION`, `ERR_CONFIG`, `ERR_APP`.
   */
  async loadConfig(): Promise<Config> {
    return place === undefined ? (await this.#configuration()).config : place.config
  }

  /**
   * The application; made once. Override it to make it in code.
   * @throws `ERR_OPTION` when nothing names it, `ERR_APP` when it cannot be loaded.
   */
  async load(): Promise<App> {
    const { app, factory, interface: name } = await this.loadConfig()
    if (app === null)
      throw new GneissError('ERR_OPTION', 'no application was named; set the option app, or override load')
    return (await loadApp(app, { factory, interface: name })).app as App
  }

  /** Replaces the workers by new ones. Not available in this version: the result says so. */
  reload(): Promise<ReloadResult> {
    return Promise.resolve({ isDone: false, reason: 'reloading is not available in this version' })
  }

  /**
   * Serves until a signal ends it; fulfilled with the exit code. Errors are written to stderr and become
   * exit codes. It never ends the process by itself.
   */
  async run(): Promise<number> {
    if (place !== undefined) {
      place.adopt(this)
      // What stands behind this call is the program's, and a worker is not the program.
      return await new Promise(() => {})
    }
    try {
      const resolved = await this.#configuration()
      const log = createLogger(resolved.config.logLevel)
      for (const warning of resolved.warnings) log.warn(warning)
      return resolved.config.workers > 0 ? await this.#runMaster(resolved) : await this.#runHere(resolved, log)
    } catch (error) {
      process.stderr.write(formatFailure(error))
      return exitCodeOf(error)
    }
  }

  async #runMaster({ config, hooks, hooksFile }: LoadedConfig): Promise<number> {
    const isMadeInCode = this.load !== Application.prototype.load
    if (this.#module === undefined && (isMadeInCode || config.app === null)) {
      throw new GneissError(
        'ERR_OPTION',
        'workers need an application that another process can import: set the option app, or module to import.meta.url, or workers to 0',
      )
    }
    const { runMaster } = await import('./workers/master.ts')
    return await runMaster({
      config,
      hooks,
      hooksFile,
      startDirectory: process.cwd(),
      file: fileURLToPath(new URL('worker.js', import.meta.url)),
      module: isMadeInCode ? this.#module : undefined,
      argv: this.#args,
      isEmbedded: true,
    })
  }

  async #runHere({ config, hooks }: LoadedConfig, log: Logger): Promise<number> {
    const { Alone } = await import('./alone.ts')
    // Before it serves, the signals and errors of the program are its own.
    const lifecycle = new LateLifecycle((isQuick) => alone.leaving(isQuick))
    const load = async (): Promise<{ app: App; interface: InterfaceName }> => {
      this.#app ??= this.load()
      const app = await this.#app
      return { app, interface: selectInterface(app, config.interface).interface }
    }
    const { fastResponse } = config
    const alone = new Alone({ config, hooks, log, lifecycle, fastResponse, load, announce: () => {} })
    try {
      return (await alone.run()).exitCode
    } finally {
      lifecycle.detach()
    }
  }

  #configuration(): Promise<LoadedConfig> {
    this.#loadedConfig ??= (async () => {
      const commandLine = parseArguments(this.#args)
      const above = await this.init(this.#options, this.#args)
      return await loadConfig(commandLine, { below: this.#options, above })
    })()
    return this.#loadedConfig
  }
}

/** A lifecycle that begins when the server serves. */
class LateLifecycle {
  readonly #leaving: (isQuick: boolean) => void
  #options: EndOptions | undefined = undefined
  #lifecycle: Lifecycle | undefined = undefined

  constructor(leaving: (isQuick: boolean) => void) {
    this.#leaving = leaving
  }

  get ended(): Promise<number> {
    return (this.#lifecycle as Lifecycle).ended
  }

  get uncaught(): number {
    return this.#lifecycle?.uncaught ?? 0
  }

  starting(options: EndOptions): void {
    this.#options = options
  }

  serving(server: Server): boolean {
    const lifecycle = new Lifecycle({
      failed: refuse,
      stalled: refuse,
      leaving: (_reason, isQuick) => this.#leaving(isQuick),
    })
    this.#lifecycle = lifecycle
    lifecycle.starting(this.#options as EndOptions)
    return lifecycle.serving(server)
  }

  detach(): void {
    this.#lifecycle?.detach()
  }
}

/** Nothing fails to start after it has started. */
function refuse(): never {
  throw new Error('the lifecycle began after the start')
}
