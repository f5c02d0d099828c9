/**
 * Puts the light `Response` in the place of the platform's, and makes the rest of the platform's
 * Fetch accept our requests. Only the `fastResponse` option asks for it: a library leaves globals alone.
 */
import { isInstanceOf, loadPlatform } from './platform.ts'
import { LazyRequest, linkLazyRequest } from './request.ts'
import { Response as LightResponse } from './response.ts'

/**
 * Replaces the global `Response`. Where the platform keeps the state of its requests in private fields
 * (Node 24 and later), `Request` and `fetch` are replaced too, by ones that take a request of ours for
 * `new Request(request)` and `fetch(request)`. Call it before the application is loaded.
 *
 * Returns what gives the globals back once every caller has asked for that.
 */
export function installFetchGlobals(): () => void {
  if (holders === 0) replaceGlobals()
  holders += 1
  let isHolding = true
  return () => {
    if (!isHolding) return
    isHolding = false
    holders -= 1
    if (holders === 0) restoreGlobals()
  }
}

type GlobalName = 'Request' | 'Response' | 'fetch'

let holders = 0
const replaced = new Map<GlobalName, { readonly ours: unknown; readonly theirs: PropertyDescriptor | undefined }>()

function replaceGlobals(): void {
  const platform = loadPlatform()
  replaceGlobal('Response', LightResponse)
  if (linkLazyRequest()) return
  replaceGlobal('Request', createRequestClass(platform.Request))
  replaceGlobal('fetch', function fetch(input: unknown, init?: RequestInit): Promise<Response> {
    return platform.fetch(acceptable(input) as string, init)
  })
}

/** What somebody else has replaced in the meantime is theirs. */
function restoreGlobals(): void {
  for (const [name, { ours, theirs }] of replaced) {
    if (globalThis[name] === ours && theirs !== undefined) Object.defineProperty(globalThis, name, theirs)
  }
  replaced.clear()
}

function createRequestClass(PlatformRequest: typeof Request): typeof Request {
  const AcceptingRequest = class Request extends PlatformRequest {
    constructor(input: unknown, init?: RequestInit) {
      super(acceptable(input) as string, init)
    }

    static override [Symbol.hasInstance](value: unknown): boolean {
      return isInstanceOf(this, AcceptingRequest, PlatformRequest, value)
    }
  }
  return AcceptingRequest as typeof Request
}

function acceptable(input: unknown): unknown {
  return LazyRequest.isOne(input) ? LazyRequest.toPlatform(input) : input
}

/** Keeps what the platform says of the property, so that nobody sees it in a loop over the globals. */
function replaceGlobal(name: GlobalName, value: unknown): void {
  const theirs = Object.getOwnPropertyDescriptor(globalThis, name)
  replaced.set(name, { ours: value, theirs })
  Object.defineProperty(globalThis, name, {
    value,
    enumerable: theirs?.enumerable ?? false,
    configurable: true,
    writable: true,
  })
}
