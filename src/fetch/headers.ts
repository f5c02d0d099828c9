/**
 * The `Headers` of requests and light responses.
 *
 * A platform `Headers` of ten fields costs more than answering the request does. This one searches the
 * head of the request for `get` and `has`, and makes a list of it only for who changes or iterates.
 */
import { fieldNameOf, fieldValueOf } from '../header-text.ts'
import { fieldsOf } from '../scope.ts'
import { inheritFrom, loadPlatform } from './platform.ts'

/** A name in lower case and a value. */
export type HeaderPair = readonly [name: string, value: string]

/** Complete, mutable and `instanceof Headers`; see the standard for each member. Iterating takes a snapshot. */
export class LightHeaders {
  readonly #head: string
  /** Where it is set it is the only truth. */
  #pairs: HeaderPair[] | undefined
  #sorted: readonly HeaderPair[] | undefined = undefined

  /** Takes the head of a request, see `Dispatch`, or a list of valid pairs instead, which is then its own. */
  constructor(head: string, pairs?: HeaderPair[]) {
    this.#head = head
    this.#pairs = pairs
  }

  get(name: string): string | null {
    const { lower, needle, isSingle } = fieldNameOf(String(name))
    if (this.#pairs !== undefined) return combine(this.#pairs, lower)
    const head = this.#head
    const at = head.indexOf(needle)
    if (at < 0) return null
    const end = head.indexOf('\n', at + needle.length)
    if (!isSingle && head.indexOf(needle, end) >= 0) return combine(this.#list(), lower)
    return head.slice(at + needle.length, end)
  }

  has(name: string): boolean {
    const { lower, needle } = fieldNameOf(String(name))
    return this.#pairs === undefined ? this.#head.includes(needle) : this.#pairs.some(([key]) => key === lower)
  }

  getSetCookie(): string[] {
    return this.#list()
      .filter(([name]) => name === 'set-cookie')
      .map(([, value]) => value)
  }

  append(name: string, value: string): void {
    const { lower } = fieldNameOf(String(name))
    this.#change().push([lower, fieldValueOf(value)])
  }

  set(name: string, value: string): void {
    const { lower } = fieldNameOf(String(name))
    const pair: HeaderPair = [lower, fieldValueOf(value)]
    const pairs = this.#change()
    const first = pairs.findIndex(([key]) => key === lower)
    if (first < 0) {
      pairs.push(pair)
    } else {
      pairs[first] = pair
      remove(pairs, lower, first + 1)
    }
  }

  delete(name: string): void {
    remove(this.#change(), fieldNameOf(String(name)).lower, 0)
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, thisArgument?: unknown): void {
    if (typeof callback !== 'function') throw new TypeError('Headers.forEach needs a function.')
    for (const [name, value] of this.#sort()) callback.call(thisArgument, value, name, this as unknown as Headers)
  }

  *entries(): Generator<[string, string], undefined> {
    // Pairs are copied: who changes one must not change the headers for the next reader.
    for (const [name, value] of this.#sort()) yield [name, value]
  }

  *keys(): Generator<string, undefined> {
    for (const [name] of this.#sort()) yield name
  }

  *values(): Generator<string, undefined> {
    for (const [, value] of this.#sort()) yield value
  }

  [Symbol.iterator](): Generator<[string, string], undefined> {
    return this.entries()
  }

  /** The fields in their own order, as they are sent; undefined if `value` is no `LightHeaders`. */
  static pairsOf(value: object): readonly HeaderPair[] | undefined {
    return #head in value ? value.#list() : undefined
  }

  #list(): readonly HeaderPair[] {
    return this.#pairs ?? pairsOfHead(this.#head)
  }

  #change(): HeaderPair[] {
    this.#sorted = undefined
    return (this.#pairs ??= pairsOfHead(this.#head))
  }

  /** Sorted by name, fields of one name joined, each set-cookie alone: the order the standard iterates in. */
  #sort(): readonly HeaderPair[] {
    return (this.#sorted ??= sortPairs(this.#list()))
  }
}

/** Makes `LightHeaders` an heir of the platform's class. Called before the first one is built. */
export function linkLightHeaders(): void {
  if (isLinked) return
  isLinked = true
  const { Headers: PlatformHeaders } = loadPlatform()
  inheritFrom({
    ours: LightHeaders,
    theirs: PlatformHeaders,
    toPlatform: (headers) => new PlatformHeaders([...headers]),
    shown: Object.fromEntries,
  })
}

let isLinked = false

/** Cookie pairs are the one list that is not separated by commas (RFC 6265 section 4.2.1). */
function separatorOf(name: string): string {
  return name === 'cookie' ? '; ' : ', '
}

/** The fields of a request; of those that make no list the first. */
function pairsOfHead(head: string): HeaderPair[] {
  const seen = new Set<string>()
  return fieldsOf(head).filter(([name]) => {
    if (!fieldNameOf(name).isSingle) return true
    const isFirst = !seen.has(name)
    seen.add(name)
    return isFirst
  })
}

function combine(pairs: readonly HeaderPair[], lower: string): string | null {
  const values = pairs.filter(([name]) => name === lower).map(([, value]) => value)
  return values.length === 0 ? null : values.join(separatorOf(lower))
}

function remove(pairs: HeaderPair[], lower: string, from: number): void {
  for (let index = pairs.length - 1; index >= from; index--) {
    if ((pairs[index] as HeaderPair)[0] === lower) pairs.splice(index, 1)
  }
}

function sortPairs(pairs: readonly HeaderPair[]): readonly HeaderPair[] {
  const sorted: [string, string][] = []
  const byName = new Map<string, [string, string]>()
  for (const [name, value] of pairs) {
    const earlier = name === 'set-cookie' ? undefined : byName.get(name)
    if (earlier === undefined) {
      const pair: [string, string] = [name, value]
      byName.set(name, pair)
      sorted.push(pair)
    } else {
      earlier[1] += separatorOf(name) + value
    }
  }
  // Names are ASCII, so comparing code units is comparing bytes; the sort is stable.
  return sorted.sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0))
}
