/** Worker classes of a user: what `--worker-class FILE#EXPORT` names, and what is called of it around the server of a worker. */
import { GneissError } from '../errors.ts'
import { chooseNamed } from '../loader/exports.ts'
import { explainImport, firstLineOf, importFile } from '../loader/module.ts'
import { resolveFile } from '../loader/target.ts'
import { within } from './hooks.ts'

import type { Await, ServerInfo } from '../hooks.ts'
import type { Namespace } from '../loader/exports.ts'
import type { Logger } from '../log.ts'
import type { Config } from '../options.ts'
import type { Server } from '../server/types.ts'
import type { WorkerInfo } from './protocol.ts'

/** What a worker class is made with. */
export interface WorkerContext {
  readonly worker: WorkerInfo
  readonly server: ServerInfo
  /** The finished configuration. */
  readonly config: Readonly<Config>
}

/**
 * What a worker does beside serving. Everything is optional, sync or async; one at least has to be there. Each is called
 * once, in this order.
 */
export interface CustomWorker {
  /** Behind `postFork`, before the application is imported. What it throws ends the start, with exit code 3. */
  init?(): Await
  /** Behind `postWorkerInit`, before the worker is ready. What it throws ends the start, with exit code 3. */
  start?(server: Server): Await
  /**
   * The stop begins: the server answers what is open meanwhile, and the application is stopped when both are done or
   * `gracefulTimeout` is over. Called only if `start` has succeeded, as is `stop`.
   */
  drain?(): Await
  /** The application has stopped; `workerExit` comes next. It is given `hookTimeout`. */
  stop?(): Await
}

/** A class of workers. One of them is made in each worker process, behind `postFork`. */
export type WorkerClass = new (context: WorkerContext) => CustomWorker

const METHODS = ['init', 'start', 'drain', 'stop'] as const

/**
 * The class that the option names, FILE#EXPORT, relative to the current directory.
 * @throws `ERR_OPTION` for a file or an export that is not there, and for what is no class; `ERR_APP` when the file
 *   cannot be loaded.
 */
export async function loadWorkerClass(option: string): Promise<WorkerClass> {
  const hash = option.lastIndexOf('#')
  const [name, exportName] = [option.slice(0, hash), option.slice(hash + 1)]
  const file = refusing(option, () => resolveFile(name, process.cwd()))
  const namespace = await importClass(option, file)
  const { value } = refusing(option, () => chooseNamed(namespace, exportName.split('.'), name))
  if (typeof value === 'function' && value.prototype !== undefined) return value as WorkerClass
  throw refusal(option, `${exportName} of ${name} is no class`)
}

async function importClass(option: string, file: string): Promise<Namespace> {
  try {
    return await importFile(file)
  } catch (cause) {
    const reason = await explainImport(cause, file)
    throw new GneissError('ERR_APP', `${option} of --worker-class could not be loaded: ${reason}`, { cause })
  }
}

/** A file or an export that is not there is a fault of the configuration, and not of an application. */
function refusing<Found>(option: string, find: () => Found): Found {
  try {
    return find()
  } catch (error) {
    throw refusal(option, (error as Error).message)
  }
}

function refusal(option: string, what: string): GneissError {
  return new GneissError('ERR_OPTION', `--worker-class is ${JSON.stringify(option)}: ${what}`)
}

/** One object of such a class, and the calls of it. */
export class Custom {
  readonly #name: string
  readonly #log: Logger
  readonly #timeout: number
  #worker: CustomWorker | undefined = undefined
  #isStarted = false
  #isDraining = false

  /** `name` is the option; `timeout` of `stop` in milliseconds. */
  constructor(name: string, timeout: number, log: Logger) {
    this.#name = name
    this.#log = log
    this.#timeout = timeout
  }

  /**
   * Makes the object and has it begin.
   * @throws `ERR_OPTION`, `ERR_APP`, `ERR_BOOT`.
   */
  static async begin(context: WorkerContext): Promise<Custom> {
    const { workerClass, hookTimeout } = context.config
    const custom = new Custom(workerClass, hookTimeout * 1000, context.server.log)
    await custom.#init(context)
    return custom
  }

  async #init(context: WorkerContext): Promise<void> {
    const Class = await loadWorkerClass(this.#name)
    const worker = await this.#beforeReady('the constructor', () => new Class(context))
    const found = METHODS.filter((name) => worker[name] !== undefined && worker[name] !== null)
    const odd = found.find((name) => typeof worker[name] !== 'function')
    if (odd !== undefined) throw refusal(this.#name, `${odd} is no function; leave it out, or make it one`)
    if (found.length === 0)
      throw refusal(this.#name, `it has none of ${METHODS.join(', ')}, so that nothing of it would ever be called`)
    this.#worker = worker
    await this.#beforeReady('init', () => worker.init?.())
  }

  /** The worker is about to be ready. @throws `ERR_BOOT`. */
  async start(server: Server): Promise<void> {
    await this.#beforeReady('start', () => this.#worker?.start?.(server))
    this.#isStarted = true
  }

  /** The stop begins. Fulfilled when it is done; never rejected. */
  async drain(): Promise<void> {
    const worker = this.#worker
    if (!this.#isStarted || worker?.drain === undefined) return
    this.#isDraining = true
    await this.#atTheEnd('drain', () => worker.drain?.())
    this.#isDraining = false
  }

  /** The application has stopped. Fulfilled when it is done or has had its time; never rejected. */
  async stop(): Promise<void> {
    const worker = this.#worker
    if (!this.#isStarted) return
    if (this.#isDraining) this.#log.warn(`drain of ${this.#name} was still at work when the time for the stop was over`)
    if (worker?.stop === undefined) return
    const isDone = await within(this.#timeout, () => this.#atTheEnd('stop', () => worker.stop?.()))
    if (!isDone) this.#log.warn(`stop of ${this.#name} takes longer than hookTimeout; the worker ends without it`)
  }

  async #beforeReady<Result>(what: string, work: () => Result): Promise<Awaited<Result>> {
    try {
      return await work()
    } catch (cause) {
      throw new GneissError('ERR_BOOT', `${what} of ${this.#name} failed: ${firstLineOf(cause)}`, { cause })
    }
  }

  async #atTheEnd(what: string, work: () => Await): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#log.error(`${what} of ${this.#name} failed`, error)
    }
  }
}
