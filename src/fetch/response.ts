/**
 * The light `Response`: the platform's surface without the platform's stream.
 *
 * A platform response makes a stream of every body, which on Node 20 costs more than the whole
 * request. This one keeps strings and bytes as they are and its headers as one string; it builds a
 * stream or a `Headers` only for who asks for one.
 */
import { isStream, isUsed } from '../bridge/source.ts'
import { typeErrorOf } from '../errors.ts'
import { TEXT_TYPE, bodyOf, bytesOf, heldBehind, isHeld, streamOf, textOf } from './body.ts'
import { addField, emptyHead, headOf, pairsOf } from './head.ts'
import { LightHeaders, linkLightHeaders } from './headers.ts'
import { inheritFrom, isInstanceOf, loadPlatform } from './platform.ts'

import type { BodySource } from './body.ts'
import type { ResponseHead } from './head.ts'

/** What a `Response` can be made of. Bytes are not copied: leave them alone until they are sent. */
export type ResponseBody =
  | string
  | ArrayBuffer
  | NodeJS.ArrayBufferView
  | Blob
  | FormData
  | URLSearchParams
  | ReadableStream<unknown>
  | AsyncIterable<unknown>
  | null

/** A response as the sender wants it. */
export interface ResponseParts {
  readonly status: number
  readonly head: ResponseHead
  readonly source: BodySource
  readonly isError: boolean
  readonly isUsed: boolean
}

/**
 * A `Response` with the platform's surface, which is `instanceof Response` and returned like any other.
 *
 * Unlike the platform's it does not copy byte bodies, may be returned again while its body is a string
 * or bytes, and lets the headers of `redirect()` be changed.
 * @throws RangeError for a status outside 200-599, TypeError for bad headers, a bad `statusText`, a body
 *   with a status that has none (204, 205, 304), or a stream that is in use.
 * @example
 * ```ts
 * import { Response } from 'gneiss'
 * export default { fetch: () => new Response('hello', { headers: { 'cache-control': 'no-store' } }) }
 * ```
 */
class LightResponse {
  static {
    Object.defineProperty(this, 'name', { value: 'Response', configurable: true })
  }

  #status = 200
  #statusText = ''
  #source: BodySource = null
  /** Content type that the body brings along, for as long as the headers name none. */
  #type = ''
  /** The fields until `headers` is read; from then on `#headers` is the truth. */
  #head: ResponseHead | undefined = undefined
  #headers: LightHeaders | undefined = undefined
  /** The stream that `body` gave out. */
  #stream: ReadableStream<unknown> | undefined = undefined
  /** The body was read without a stream. */
  #isTaken = false

  constructor(body?: ResponseBody, init?: ResponseInit) {
    if (!isLinked) link()
    if (init !== undefined && init !== null) this.#takeInit(init)
    if (body === null || body === undefined) return
    if (typeof body === 'string') {
      this.#source = body
      this.#type = TEXT_TYPE
    } else {
      const { source, type } = bodyOf(body)
      this.#source = source
      this.#type = type
    }
    if (this.#status !== 200 && isNullBodyStatus(this.#status)) {
      throw new TypeError(`A response with status ${this.#status} has no body.`)
    }
  }

  get status(): number {
    return this.#status
  }

  get statusText(): string {
    return this.#statusText
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status <= 299
  }

  get headers(): Headers {
    this.#headers ??= new LightHeaders('', pairsOf(this.#completeHead()))
    return this.#headers as unknown as Headers
  }

  get body(): ReadableStream<Uint8Array> | null {
    if (this.#source === null) return null
    if (this.#stream === undefined) {
      this.#stream = streamOf(this.#source)
      // Read as a whole already: whoever asks now finds the stream used, as on any other response.
      if (this.#isTaken) void this.#stream.cancel()
    }
    return this.#stream as ReadableStream<Uint8Array>
  }

  get bodyUsed(): boolean {
    if (this.#isTaken) return true
    const stream = this.#stream ?? this.#source
    return isStream(stream) && isUsed(stream)
  }

  get type(): Response['type'] {
    return this.#status === 0 ? 'error' : 'default'
  }

  get url(): string {
    return ''
  }

  get redirected(): boolean {
    return false
  }

  async text(): Promise<string> {
    const source = this.#take()
    if (source === null) return ''
    return isHeld(source) ? textOf(source) : this.#readAs('text')
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text())
  }

  async bytes(): Promise<Uint8Array> {
    const source = this.#take()
    if (source === null) return new Uint8Array(0)
    return isHeld(source) ? bytesOf(source) : new Uint8Array(await this.#readAs('arrayBuffer'))
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).buffer as ArrayBuffer
  }

  async blob(): Promise<Blob> {
    this.#take()
    return this.#readAs('blob')
  }

  async formData(): Promise<FormData> {
    this.#take()
    return this.#readAs('formData')
  }

  clone(): LightResponse {
    if (this.bodyUsed || this.#stream?.locked === true) throw usedError('cloned')
    const copy = new LightResponse()
    copy.#status = this.#status
    copy.#statusText = this.#statusText
    copy.#type = this.#type
    copy.#head = this.#headers === undefined ? this.#head : headOf(this.#headers)
    if (this.#source === null || isHeld(this.#source) || this.#source instanceof Blob) {
      copy.#source = this.#source
    } else {
      const [mine, theirs] = (this.body as ReadableStream<unknown>).tee()
      this.#source = mine
      this.#stream = mine
      copy.#source = theirs
    }
    return copy
  }

  /** A JSON response with `content-type: application/json` unless `init` names one. @throws TypeError for what JSON cannot hold. */
  static json(data: unknown, init?: ResponseInit): LightResponse {
    const text: string | undefined = JSON.stringify(data)
    if (text === undefined) throw new TypeError('The value cannot be written as JSON.')
    const response = new LightResponse(text, init)
    response.#type = 'application/json'
    return response
  }

  /** A redirect to an absolute URL. @throws TypeError for a bad URL, RangeError for a status that is no redirect. */
  static redirect(url: string | URL, status = 302): LightResponse {
    const location = new URL(String(url)).href
    if (!REDIRECTS.includes(status))
      throw new RangeError(`${status} is no redirect status: use ${REDIRECTS.join(', ')}.`)
    return new LightResponse(null, { status, headers: { location } })
  }

  /** A network error; returned to the server, it is answered 500. */
  static error(): LightResponse {
    const response = new LightResponse()
    response.#status = 0
    return response
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return isInstanceOf(this, LightResponse, loadPlatform().Response, value)
  }

  /** What the sender needs, or undefined if `value` is another kind of response. */
  static partsOf(value: object): ResponseParts | undefined {
    if (!(#status in value)) return undefined
    return value.#parts()
  }

  /** Makes a platform response of this one, which shares its body. */
  static toPlatform(response: LightResponse): Response {
    const { body, status, statusText, headers } = response
    return new (loadPlatform().Response)(body as never, { status, statusText, headers })
  }

  #parts(): ResponseParts {
    const stream = this.#stream ?? (isStream(this.#source) ? this.#source : undefined)
    return {
      status: this.#status,
      head: this.#completeHead(),
      source: stream === undefined ? this.#source : (heldBehind(stream) ?? stream),
      isError: this.#status === 0,
      isUsed: this.#isTaken || (stream !== undefined && (stream.locked || isUsed(stream))),
    }
  }

  /** The fields with the content type that the body brings along. */
  #completeHead(): ResponseHead {
    if (this.#headers !== undefined) return headOf(this.#headers)
    if (this.#type === '' || this.#head?.hasType === true) return this.#head ?? emptyHead()
    // A copy: a response that is returned again must not name its type twice.
    const head = this.#head === undefined ? emptyHead() : { ...this.#head }
    addField(head, 'content-type', this.#type)
    return head
  }

  #takeInit(init: ResponseInit): void {
    if (typeof init !== 'object' && typeof init !== 'function') {
      throw new TypeError(`The second argument of a Response must be an object, not ${typeof init}.`)
    }
    const { status, statusText } = init
    if (status !== undefined) this.#status = statusOf(status)
    if (statusText !== undefined && statusText !== '') this.#statusText = statusTextOf(statusText)
    // Frameworks pass a response as the init of the next one: its fields need no `Headers` for that.
    if (#status in init) this.#head = (init as LightResponse).#completeHead()
    else if (init.headers !== undefined) this.#head = headOf(init.headers)
  }

  /** Marks the body as read and returns it. @throws TypeError if it was read before or is being read. */
  #take(): BodySource {
    if (this.#source === null) return null
    const stream = this.#stream ?? this.#source
    if (this.#isTaken || (isStream(stream) && (stream.locked || isUsed(stream)))) throw usedError('read')
    this.#isTaken = true
    return this.#source
  }

  /** Lets the platform read the body. */
  #readAs(kind: 'text'): Promise<string>
  #readAs(kind: 'arrayBuffer'): Promise<ArrayBuffer>
  #readAs(kind: 'blob'): Promise<Blob>
  #readAs(kind: 'formData'): Promise<FormData>
  #readAs(kind: 'text' | 'arrayBuffer' | 'blob' | 'formData'): Promise<unknown> {
    const { Response: PlatformResponse } = loadPlatform()
    let body: BodySource = this.#source
    // Kept, so that `body` gives the stream that is being read and no second one.
    if (body !== null && !isHeld(body)) body = this.#stream ??= streamOf(body)
    const type = this.headers.get('content-type')
    return new PlatformResponse(body as never, type === null ? {} : { headers: { 'content-type': type } })[kind]()
  }
}

export { LightResponse as Response }

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308]
let isLinked = false

/** Not done when this file is loaded, because it loads the platform's classes. */
function link(): void {
  isLinked = true
  linkLightHeaders()
  inheritFrom({
    ours: LightResponse,
    theirs: loadPlatform().Response,
    toPlatform: LightResponse.toPlatform,
    shown: ({ status, statusText, headers, bodyUsed, type }) => ({ status, statusText, headers, bodyUsed, type }),
  })
}

function isNullBodyStatus(status: number): boolean {
  return status === 204 || status === 205 || status === 304
}

/** A status as the standard converts it: to an integer of 16 bits, then refused outside 200-599. */
function statusOf(value: unknown): number {
  const status = typeof value === 'number' ? value : Number(value)
  const integer = Number.isInteger(status) ? status : Math.trunc(status)
  if (integer >= 200 && integer <= 599) return integer
  throw new RangeError(`The status of a response must be from 200 to 599, not ${String(value)}.`)
}

function statusTextOf(value: unknown): string {
  const text = String(value)
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) {
      throw new TypeError('The statusText of a response holds a control or a character above U+00FF.')
    }
  }
  return text
}

function usedError(what: 'cloned' | 'read'): TypeError {
  return typeErrorOf(
    'ERR_BODY_USED',
    `The body of the response was read before or is being read; it cannot be ${what}.`,
  )
}
