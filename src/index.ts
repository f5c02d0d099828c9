/**
 * The public door: everything a program may import from `gneiss`, and nothing else. What is not here
 * (adapters, exchange, native calls) may change in any release.
 */
export { Application } from './application.ts'
export { defineApp, defineConfig } from './define.ts'
export { ERROR_CODES, GneissError } from './errors.ts'
export { Response } from './fetch/response.ts'
export { serve } from './server.ts'

export type {
  AsgiApp,
  AsgiVersions,
  DrainMessage,
  HttpDisconnectMessage,
  HttpRequestMessage,
  HttpResponseBodyMessage,
  HttpResponseStartMessage,
  HttpScope,
  LifespanScope,
  LifespanShutdownAnswer,
  LifespanShutdownMessage,
  LifespanStartupAnswer,
  LifespanStartupMessage,
  Receive,
  ReceiveMessage,
  Scope,
  Send,
  SendMessage,
  TimeoutMessage,
} from './asgi/types.ts'
export type { ApplicationOptions, ReloadResult } from './application.ts'
export type { ConfigInput, DefineAppOptions } from './define.ts'
export type { CodeEntry, ErrorCode, Fault } from './errors.ts'
export type { FetchApp, FetchAppObject, FetchHandler, FetchInfo, RemoteAddress } from './fetch.ts'
export type { RequestExtras, ServerRequest } from './fetch/request.ts'
export type { ResponseBody } from './fetch/response.ts'
export type { Await, Hooks, MasterInfo, RequestInfo, ResponseInfo, ServerInfo, WorkerExit } from './hooks.ts'
export type { LogLevel } from './log.ts'
export type { Config, Duration, OptionKey, Options, Size } from './options.ts'
export type { InterfaceName } from './protocol.ts'
export type { RsgiApp, RsgiAppObject, RsgiHandler, RsgiHeader, RsgiProtocol, RsgiStream } from './rsgi.ts'
export type { RsgiHeaders, RsgiScope } from './rsgi/scope.ts'
export type { Address, App, CloseOptions, Server, Stats } from './server/types.ts'
export type { CustomWorker, WorkerClass, WorkerContext } from './workers/custom.ts'
export type { ExitReason, WorkerInfo } from './workers/protocol.ts'
