/** The finished configuration as the addon takes it: milliseconds and parsed addresses. */
import { parseAddress } from './address.ts'
import { parseBodyRoute } from './routes.ts'

import type { NativeBind, NativeConfig } from '../native.ts'
import type { Config } from '../options.ts'

/** Bun and Deno export the names of libuv without what belongs to them. */
const exportsStubs = process.versions.bun !== undefined || 'deno' in process.versions

/** Converts; seconds become whole milliseconds, never 0 from something else. */
export function toNativeConfig(config: Config): NativeConfig {
  return {
    bind: config.bind.map((text) => bindOf(text, config.reusePort)),
    backlog: config.backlog,
    limitRequestHead: config.limitRequestHead,
    limitRequestLine: config.limitRequestLine,
    limitRequestFieldSize: config.limitRequestFieldSize,
    limitRequestFields: config.limitRequestFields,
    limitTrailers: config.limitTrailers,
    limitTrailerFields: config.limitTrailerFields,
    maxBody: config.maxBody,
    maxBodyRoutes: config.maxBodyRoutes.map(parseBodyRoute),
    streamBuffer: config.streamBuffer,
    bodyReadAhead: config.bodyReadAhead,
    maxQueue: config.maxQueue,
    maxQueueWait: toMilliseconds(config.maxQueueWait),
    shedExempt: config.shedExempt,
    workerConnections: config.workerConnections,
    firstByteTimeout: toMilliseconds(config.firstByteTimeout),
    headTimeout: toMilliseconds(config.headTimeout),
    bodyIdleTimeout: toMilliseconds(config.bodyIdleTimeout),
    bodyMinRate: config.bodyMinRate,
    requestTimeout: toMilliseconds(config.requestTimeout),
    responseIdleTimeout: toMilliseconds(config.responseIdleTimeout),
    writeTimeout: toMilliseconds(config.writeTimeout),
    keepAlive: toMilliseconds(config.keepAlive),
    keepAliveMaxAge: toMilliseconds(config.keepAliveMaxAge),
    allowHalfOpen: config.allowHalfOpen,
    forwardedAllowIps: config.forwardedAllowIps,
    serverHeader: config.serverHeader,
    runtimeMode: config.runtimeMode === 'auto' && exportsStubs ? 'thread' : config.runtimeMode,
    runtimeThreads: config.runtimeThreads,
    ...(config.accessLog === null ? {} : { accessLog: config.accessLog }),
    accessLogFormat: config.accessLogFormat,
  }
}

/** An address as the addon takes it. What is inherited was bound by somebody else, who has decided. */
export function bindOf(text: string, reusePort: boolean): NativeBind {
  const bind = parseAddress(text)
  return bind.host === undefined ? bind : { ...bind, reusePort }
}

/** Times of the configuration are seconds, at least 0.1 or 0. */
export function toMilliseconds(seconds: number): number {
  return Math.round(seconds * 1000)
}
