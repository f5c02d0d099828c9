/**
 * The platform's own Fetch classes, and how ours take their place beside them.
 *
 * Loading them costs Node some 20 ms, so nothing here touches them before the fetch interface or the
 * light `Response` is used. They are captured once: a global that is replaced later changes nothing.
 */

/** The classes as they were found. */
export interface Platform {
  readonly Headers: typeof Headers
  readonly Request: typeof Request
  readonly Response: typeof Response
  readonly fetch: typeof fetch
}

/** A class of ours or of the platform. */
export interface Class<T extends object> {
  readonly name: string
  readonly prototype: T
}

/** The platform's classes, loaded at the first call. */
export function loadPlatform(): Platform {
  if (platform !== undefined) return platform
  const found: Platform = {
    Headers: globalThis.Headers,
    Request: globalThis.Request,
    Response: globalThis.Response,
    fetch: globalThis.fetch,
  }
  // The program puts our Response in the platform's place when somebody first looks at that, which was just now:
  // then the platform's was captured on the way, and what we have found is ours.
  platform ??= found
  return platform
}

/** A class of ours that passes for one of the platform's. */
export interface Heir<T extends object> {
  readonly ours: Class<T>
  readonly theirs: Class<object>
  /** Makes an object of the platform of one of ours. */
  readonly toPlatform: (value: T) => object
  /** What `console.log` shows of one. */
  readonly shown: (value: T) => object
}

/**
 * Puts the platform's class behind ours, so that `instanceof` holds. The platform's members look for
 * private state that our objects do not have: those which ours does not define itself (a later Node
 * may add some) are answered by a platform object made with `toPlatform`.
 */
export function inheritFrom<T extends object>({ ours, theirs, toPlatform, shown }: Heir<T>): void {
  const inspectThis = function (this: T, _depth: number, options: object, inspect: Inspect): string {
    return `${theirs.name} ${inspect(shown(this), options)}`
  }
  Object.defineProperty(ours.prototype, INSPECT, { value: inspectThis, configurable: true, writable: true })
  Object.setPrototypeOf(ours, theirs)
  Object.setPrototypeOf(ours.prototype, theirs.prototype)
  for (const key of Reflect.ownKeys(theirs.prototype)) {
    const { get, value } = Object.getOwnPropertyDescriptor(theirs.prototype, key) ?? {}
    if (Object.hasOwn(ours.prototype, key) || (get === undefined && typeof value !== 'function')) continue
    const member =
      get === undefined
        ? { value: delegateMethod(key, toPlatform), writable: true }
        : { get: delegateGetter(key, toPlatform) }
    Object.defineProperty(ours.prototype, key, { ...member, configurable: true, enumerable: true })
  }
}

/**
 * Makes the platform accept our objects where it wants one of its own, as far as it keeps its state
 * under symbols (undici 6: Node 20 and 22). Returns false where it uses private fields, which nobody
 * else can provide.
 */
export function shareState<T extends object>(
  ours: Class<T>,
  sample: object,
  toPlatform: (value: T) => object,
): boolean {
  const symbols = Object.getOwnPropertySymbols(sample)
  for (const symbol of symbols) {
    Object.defineProperty(ours.prototype, symbol, { get: delegateGetter(symbol, toPlatform), configurable: true })
  }
  return symbols.length > 0
}

/**
 * The answer to `instanceof` for a class of ours that stands in for a platform class: the class itself
 * takes every instance of the platform's, a class that extends it only its own.
 */
export function isInstanceOf(asked: unknown, ours: unknown, theirs: unknown, value: unknown): boolean {
  return Function.prototype[Symbol.hasInstance].call(asked === ours ? theirs : asked, value)
}

type Inspect = (value: unknown, options: object) => string

const INSPECT = Symbol.for('nodejs.util.inspect.custom')
let platform: Platform | undefined

function delegateGetter<T extends object>(key: PropertyKey, toPlatform: (value: T) => object): (this: T) => unknown {
  return function (this: T): unknown {
    return Reflect.get(toPlatform(this), key)
  }
}

function delegateMethod<T extends object>(
  key: PropertyKey,
  toPlatform: (value: T) => object,
): (this: T, ...rest: unknown[]) => unknown {
  return function (this: T, ...rest: unknown[]): unknown {
    const target = toPlatform(this)
    return Reflect.apply(Reflect.get(target, key) as (...rest: unknown[]) => unknown, target, rest)
  }
}
