/**
 * Says which interface an application is written against, by looking at what was exported.
 * The order of the rules is part of the contract: the first match wins.
 */
import { GneissError } from './errors.ts'

import type { InterfaceName } from './protocol.ts'

/** An interface, and why it was chosen: a clause that begins with `because`. */
export interface Detection {
  readonly interface: InterfaceName
  readonly why: string
}

/** Registered, so that an application marked by another copy of this package is still recognised. */
const MARK: unique symbol = Symbol.for('gneiss.interface') as never

const NAMES: readonly string[] = ['asgi', 'rsgi', 'fetch', 'node'] satisfies InterfaceName[]

/** Marks an application, see `defineApp`. */
export function markInterface(app: object, name: InterfaceName): void {
  Object.defineProperty(app, MARK, { value: name, configurable: true })
}

/** The interface `defineApp` has marked an application with. */
export function markOf(app: object): InterfaceName | undefined {
  const mark = (app as { [MARK]?: unknown })[MARK]
  return typeof mark === 'string' && NAMES.includes(mark) ? (mark as InterfaceName) : undefined
}

/** The interface of an application, or undefined for what is none. Never throws, never calls the application. */
export function recognizeInterface(app: unknown): Detection | undefined {
  if ((typeof app !== 'object' && typeof app !== 'function') || app === null) return undefined
  const mark = markOf(app)
  if (mark !== undefined) return { interface: mark, why: 'because defineApp says so' }
  if (hasMethod(app, 'fetch')) return { interface: 'fetch', why: 'because the export has a fetch function' }
  if (hasMethod(app, '__rsgi__')) return { interface: 'rsgi', why: 'because the export has an __rsgi__ function' }
  const framework = frameworkOf(app)
  if (framework !== undefined) return { interface: 'node', why: `because the export is ${framework}` }
  return typeof app === 'function' && !isClass(app) ? byArity(app.length) : undefined
}

/**
 * The interface to serve an application through. `wanted` is the `interface` option, `name` what the
 * messages call the application.
 * @throws `ERR_APP` when it is no application, or not one of the wanted kind; `ERR_APP_INTERFACE` when
 *   the interface is unknown or not available in this version.
 */
export function selectInterface(
  app: unknown,
  wanted: InterfaceName | 'auto' = 'auto',
  name = 'the application',
): Detection {
  if (wanted !== 'auto' && !NAMES.includes(wanted)) {
    throw new GneissError(
      'ERR_APP_INTERFACE',
      `the interface ${JSON.stringify(wanted)} is unknown; it is one of auto, ${NAMES.join(', ')}`,
    )
  }
  const found = recognizeInterface(app)
  const detection = wanted === 'auto' ? found : { interface: wanted, why: 'because the interface option says so' }
  if (detection === undefined)
    throw new GneissError('ERR_APP', `${name} is no application: it is ${describeValue(app)}`)
  if (detection.interface === 'node') throw unavailableNode(app, detection, name)
  if (!fits(app, detection.interface)) {
    throw new GneissError('ERR_APP', `${name} cannot be served as ${detection.interface}: it is ${describeValue(app)}`)
  }
  return detection
}

/** A value in words, for messages: what it is, never what it holds. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'function') {
    const name = value.name === '' ? '' : ` ${value.name}`
    if (isClass(value)) return `the class${name}, not an instance of it`
    return `the function${name} with ${value.length} argument${value.length === 1 ? '' : 's'}`
  }
  if (typeof value !== 'object') return `a ${typeof value}`
  if (Array.isArray(value)) return 'an array'
  const keys = Object.keys(value)
  if (keys.length === 0) return 'an object without keys'
  return `an object with ${keys.slice(0, 8).join(', ')}${keys.length > 8 ? ', ...' : ''}`
}

function byArity(arity: number): Detection | undefined {
  switch (arity) {
    case 0:
    case 1:
      return {
        interface: 'fetch',
        why: `because the export is a function with ${arity === 1 ? '1 argument' : 'no arguments'}`,
      }
    case 2:
      return { interface: 'node', why: 'because the export is a function with 2 arguments' }
    case 3:
      return { interface: 'asgi', why: 'because the export is a function with 3 arguments' }
    default:
      return undefined
  }
}

/** Whether an explicit interface can be tried at all; the adapter decides the rest. */
function fits(app: unknown, name: InterfaceName): boolean {
  if (typeof app === 'function') return !isClass(app) || hasMethod(app, 'fetch') || hasMethod(app, '__rsgi__')
  if (typeof app !== 'object' || app === null) return false
  return name === 'fetch' ? hasMethod(app, 'fetch') : name === 'rsgi' && hasMethod(app, '__rsgi__')
}

/**
 * Frameworks that answer through `(req, res)`. Only methods are looked at: some of their getters
 * throw or start the framework.
 */
function frameworkOf(app: object): string | undefined {
  if (hasMethod(app, 'getHttpAdapter')) return 'a Nest application'
  if (hasMethod(app, 'routing') && hasMethod(app, 'ready')) return 'a Fastify instance'
  if (hasMethod(app, 'callback') && hasMethod(app, 'use')) return 'a Koa application'
  if (typeof app === 'function' && hasMethod(app, 'handle') && hasMethod(app, 'use')) {
    return hasMethod(app, 'set') ? 'an Express application' : 'a Connect application'
  }
  if (typeof app === 'object' && hasMethod(app, 'handler') && hasMethod(app, 'listen')) return 'a Polka application'
  if (hasMethod(app, 'listen') && hasMethod(app, 'address') && 'headersTimeout' in app) return 'an http.Server'
  return undefined
}

function unavailableNode(app: unknown, { why }: Detection, name: string): GneissError {
  const hint =
    typeof app === 'function' && app.length === 2
      ? '; a function (scope, protocol) is served with --interface rsgi, a function (request, info) with --interface fetch'
      : ''
  return new GneissError(
    'ERR_APP_INTERFACE',
    `${name} needs the node interface, ${why}, and that is not available in this version${hint}`,
  )
}

function hasMethod(value: object, name: string): boolean {
  try {
    return typeof (value as Record<string, unknown>)[name] === 'function'
  } catch {
    // A getter that throws is not the method that was looked for.
    return false
  }
}

function isClass(value: object): boolean {
  return typeof value === 'function' && Function.prototype.toString.call(value).startsWith('class')
}
