/** One server in this process: binds, starts the application, serves, and stops without leaving anything. */
import { Abandoned } from './abandoned.ts'
import { createAsgiAdapter } from './asgi.ts'
import { selectInterface } from './detect.ts'
import { createDispatch, createNotify } from './dispatch.ts'
import { Farewell } from './draining.ts'
import { GneissError, codedError } from './errors.ts'
import { createFetchAdapter } from './fetch.ts'
import { installFetchGlobals } from './fetch/globals.ts'
import { createLifespan } from './lifespan.ts'
import { loadApp } from './loader.ts'
import { createLogger } from './log.ts'
import { EventKind, native } from './native.ts'
import { entryOf } from './options.ts'
import { urlOf } from './options/address.ts'
import { toMilliseconds, toNativeConfig } from './options/native.ts'
import { resolveServeOptions } from './options/resolve.ts'
import { readValue } from './options/values.ts'
import { createRsgiAdapter } from './rsgi.ts'
import { Deadline } from './server/deadline.ts'
import { StartupQueue } from './server/startup-queue.ts'

import type { AsgiApp } from './asgi/types.ts'
import type { FetchApp } from './fetch.ts'
import type { RequestHooks } from './hooks.ts'
import type { Logger } from './log.ts'
import type { Dispatch, NativeConfig, NativeGate } from './native.ts'
import type { Config, Duration, Options } from './options.ts'
import type { Adapter, Host, InterfaceName, Lifespan } from './protocol.ts'
import type { RsgiApp } from './rsgi.ts'
import type { HealthProbe } from './server/probe.ts'
import type { Address, App, CloseOptions, Server, Stats } from './server/types.ts'

/**
 * Serves an application in this process. `app` is the application, or a target such as
 * `app.ts:createApp()` that is loaded relative to the current directory.
 *
 * Addresses are bound first, so that `ERR_BIND` comes before any code of the application has run.
 * Then the application is loaded and started; requests that come meanwhile wait for it.
 *
 * Rejects with `ERR_OPTION`, `ERR_BIND`, `ERR_APP`, `ERR_APP_INTERFACE` or `ERR_LIFESPAN_STARTUP`;
 * nothing stays open then.
 * @example
 * ```ts
 * await using server = await serve((request) => new Response('hello'), { bind: '127.0.0.1:0' })
 * console.log(server.url)
 * ```
 */
export async function serve(app: App | string, options: Options = {}): Promise<Server> {
  const { config, warnings } = resolveServeOptions(options)
  const log = createLogger(config.logLevel)
  for (const warning of warnings) log.warn(warning)
  return await serveFinished(app, config)
}

/** What the program adds to `serve`. */
export interface WorkerParts {
  /** The cell of one of several workers that share listeners: it accepts only when it is its turn. */
  readonly gate?: NativeGate
  /** What is still to be done between the start of the application and the first request. */
  readonly beforeOpen?: (server: Server) => Promise<void>
  /** How many errors nobody has handled; that is the program's to see. */
  readonly uncaught?: () => number
  /** The stop begins: the application is not stopped before this is fulfilled, or the time is over. It never rejects. */
  readonly leaving?: () => Promise<void>
  readonly hooks?: RequestHooks | undefined
  /** What the server asks itself behind that; nobody else is answered before. */
  readonly probe?: HealthProbe | undefined
}

/**
 * What `serve` does, for the program, with a configuration that is finished: to read the values of one a second time
 * takes longer than to open the server. With a gate it accepts only from the moment its application has started.
 */
export async function serveFinished(app: App | string, config: Config, parts: WorkerParts = {}): Promise<Server> {
  // What is no application is refused before anything is opened.
  const detection = typeof app === 'string' ? undefined : selectInterface(app, config.interface)
  const server = new LocalServer(config, parts)
  try {
    if (detection === undefined) {
      const loaded = await loadApp(app as string, { interface: config.interface })
      await server.start(loaded.interface, loaded.app)
    } else {
      await server.start(detection.interface, app)
    }
  } catch (error) {
    await server.abandon()
    throw error
  }
  return server
}

/** Gauges that the addon keeps for all servers of the isolate together. */
const NO_ISOLATE_GAUGES = { queuedMessages: 0, slots: 0, timers: 0 } as const

/** Time the application always gets to stop, even when the requests have used up the whole timeout. */
const LIFESPAN_GRACE = 1000

class LocalServer implements Server {
  readonly addresses: readonly Address[]
  interface!: InterfaceName

  readonly #number: number
  readonly #config: Config
  readonly #log: Logger
  readonly #host: Host
  readonly #queue = new StartupQueue()
  readonly #deadline = new Deadline()
  readonly #farewell: Farewell
  readonly #drained: Promise<void>
  readonly #parts: WorkerParts
  readonly #hold: Dispatch = (...request) => this.#queue.add(...request)
  #dispatch: Dispatch
  #lifespan: Lifespan | undefined = undefined
  #closing: Promise<void> | undefined = undefined
  #restoreGlobals: (() => void) | undefined = undefined
  #finalStats: Stats | undefined = undefined

  /** Binds. @throws `ERR_BIND`. */
  constructor(config: Config, parts: WorkerParts) {
    const log = createLogger(config.logLevel)
    this.#config = config
    this.#log = log
    this.#parts = parts
    this.#host = {
      log,
      rootPath: config.rootPath,
      state: {},
      background: new Set(),
      isDraining: false,
      abandoned: new Abandoned(toMilliseconds(config.disconnectGrace)),
    }
    this.#farewell = new Farewell(this.#host)
    this.#dispatch = this.#hold
    let setDrained!: () => void
    this.#drained = new Promise((resolve) => {
      setDrained = resolve
    })
    const notify = createNotify(() => {
      // The addon forgets the server when this returns. What the isolate holds then belongs to its other servers.
      this.#finalStats = { ...this.stats(), ...(running.size > 1 ? NO_ISOLATE_GAUGES : {}) }
      setDrained()
    })
    const { gate, probe } = parts
    this.#number = listen(
      {
        ...toNativeConfig(config),
        ...(gate === undefined ? {} : { gate }),
        ...(probe === undefined ? {} : { healthProbe: probe.target.split('?', 1)[0] as string }),
      },
      (id, meta, target, head) => this.#dispatch(id, meta, target, head),
      (id, kind, detail) => {
        if (kind === EventKind.refused) return this.#logRefusals()
        if (kind === EventKind.abort) StartupQueue.forget(id)
        return notify(id, kind, detail)
      },
    )
    this.addresses = Object.freeze(native.addresses(this.#number).map((address) => Object.freeze(address)))
    // The application may take the global `Response` while it is loaded.
    if (config.fastResponse) this.#restoreGlobals = installFetchGlobals()
    track(this)
  }

  /** Starts the application and serves what has come meanwhile. */
  async start(name: InterfaceName, app: unknown): Promise<void> {
    this.interface = name
    const adapter = createAdapter(name, app)
    const { lifespan: mode } = this.#config
    const lifespan = createLifespan(name, app, { mode, log: this.#log, state: this.#host.state })
    await lifespan.startup()
    this.#lifespan = lifespan
    const { beforeOpen, hooks, probe } = this.#parts
    await beforeOpen?.(this)
    const dispatch =
      hooks === undefined
        ? createDispatch(adapter, this.#host)
        : (await import('./dispatch/hooked.ts')).createHookedDispatch(adapter, this.#host, hooks)
    if (probe !== undefined) await this.#probe(probe, dispatch)
    this.#dispatch = dispatch
    this.#queue.release(dispatch)
    try {
      native.openServer(this.#number)
    } catch (cause) {
      throw codedError(cause)
    }
  }

  /** Asks itself, while what clients have sent waits. @throws `ERR_BOOT`. */
  async #probe(question: HealthProbe, dispatch: Dispatch): Promise<void> {
    const { isFromInside, probe } = await import('./server/probe.ts')
    this.#dispatch = (...request) => (isFromInside(request[3]) ? dispatch : this.#hold)(...request)
    await probe(native.connectInside(this.#number), question)
  }

  /** Leaves nothing of a server that could not start. */
  async abandon(): Promise<void> {
    this.#queue.clear()
    try {
      await this.#close(0)
    } catch (error) {
      this.#log.error('the application failed to stop after it had failed to start', error)
    }
  }

  get url(): string {
    return urlOf(this.addresses[0] as Address)
  }

  stats(): Stats {
    // An application may fail to the last, when the addon has forgotten its server.
    const uncaughtExceptionsTotal = this.#parts.uncaught?.() ?? 0
    if (this.#finalStats !== undefined) return { ...this.#finalStats, uncaughtExceptionsTotal }
    const { background, abandoned } = this.#host
    const counts = { background: background.size, requestsAbandonedTotal: abandoned.total, uncaughtExceptionsTotal }
    return { ...native.stats(this.#number), ...counts } as Stats
  }

  ref(): this {
    if (this.#closing === undefined) native.refServer(this.#number)
    return this
  }

  unref(): this {
    if (this.#closing === undefined) native.unrefServer(this.#number)
    return this
  }

  reopenLogs(): void {
    native.reopenLogs()
  }

  async close({ timeout }: CloseOptions = {}): Promise<void> {
    await this.#close(timeout === undefined ? toMilliseconds(this.#config.gracefulTimeout) : millisecondsOf(timeout))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #logRefusals(): void {
    for (const { text, isWarning } of native.takeRefusals(this.#number)) {
      if (isWarning) this.#log.warn(text)
      else this.#log.info(text)
    }
  }

  #close(timeout: number): Promise<void> {
    const isEarlier = this.#deadline.bringForward(timeout)
    if (isEarlier && this.#finalStats === undefined) {
      native.closeServer(this.#number, timeout)
      this.#farewell.begin(timeout)
    }
    this.#closing ??= this.#stop()
    return this.#closing
  }

  async #stop(): Promise<void> {
    const left = this.#parts.leaving?.()
    try {
      await this.#drained
      this.#farewell.end()
      await Promise.race([left, this.#deadline.passed])
      await this.#finishBackground()
      await this.#stopApplication()
    } finally {
      this.#deadline.clear()
      this.#host.abandoned.end()
      this.#restoreGlobals?.()
      untrack(this)
    }
  }

  /** Waits for what was given to `waitUntil`, also for what that gives to it in turn. */
  async #finishBackground(): Promise<void> {
    const { background } = this.#host
    while (background.size > 0 && !this.#deadline.hasPassed) {
      await Promise.race([Promise.all(background), this.#deadline.passed])
    }
    if (background.size > 0)
      this.#log.warn(`${background.size} promises given to waitUntil were still pending at the end`)
    this.#finalStats = { ...this.stats(), background: background.size }
  }

  async #stopApplication(): Promise<void> {
    const stopped = this.#lifespan?.shutdown()
    if (stopped === undefined) return
    let timer: NodeJS.Timeout | undefined
    const overdue = this.#deadline.passed.then(
      () =>
        new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(shutdownOverdue()), LIFESPAN_GRACE)
        }),
    )
    try {
      await Promise.race([stopped, overdue])
    } finally {
      clearTimeout(timer)
    }
  }
}

function createAdapter(name: InterfaceName, app: unknown): Adapter {
  switch (name) {
    case 'asgi':
      return createAsgiAdapter(app as AsgiApp)
    case 'rsgi':
      return createRsgiAdapter(app as RsgiApp)
    case 'fetch':
      return createFetchAdapter(app as FetchApp)
    case 'node':
      throw new GneissError('ERR_APP_INTERFACE', 'The node interface is not available in this version of gneiss.')
  }
}

/** The addon's errors carry a code; here they become ours. */
function listen(config: NativeConfig, ...callbacks: [Dispatch, Parameters<typeof native.listen>[2]]): number {
  try {
    return native.listen(config, ...callbacks, askForTurn)
  } catch (cause) {
    throw codedError(cause)
  }
}

/** Behind timers and I/O, which would otherwise wait as long as requests come. */
function askForTurn(): void {
  setImmediate(native.giveTurn)
}

function millisecondsOf(timeout: Duration): number {
  if (typeof timeout === 'number' && timeout >= 0 && timeout < Infinity) return Math.round(timeout * 1000)
  try {
    return toMilliseconds(readValue(entryOf('gracefulTimeout'), { value: timeout, isText: false }) as number)
  } catch (cause) {
    throw new GneissError('ERR_OPTION', `timeout of close ${(cause as Error).message}`)
  }
}

function shutdownOverdue(): GneissError {
  return new GneissError('ERR_LIFESPAN_SHUTDOWN', 'The application did not stop in time.')
}

const running = new Set<LocalServer>()

/** `process.exit` runs no clean-up of the addon on the main thread: what waits is written here, once, without blocking. */
function flushAtExit(): void {
  native.flushAtExit()
}

function track(server: LocalServer): void {
  if (running.size === 0) process.on('exit', flushAtExit)
  running.add(server)
}

function untrack(server: LocalServer): void {
  running.delete(server)
  if (running.size === 0) process.off('exit', flushAtExit)
}
