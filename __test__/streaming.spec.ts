/** What a body's source can count on: one piece at a time, and closed exactly once. */
import { describe, expect, test } from 'vitest'

import { pumpIterable } from '../dist/streaming.js'
import { failureOf, pending } from './harness/promises.ts'

import type { Exchange } from '../dist/exchange.js'

/** An exchange that writes down what is done to it. The behaviour over sockets is in the specs of the interfaces. */
class Recorder {
  readonly calls: string[] = []
  readonly logged: unknown[] = []
  readonly host = { log: { debug: () => undefined, error: (_: string, error: unknown) => this.logged.push(error) } }
  isOpen = true
  abortError: Error | undefined = undefined
  room: Promise<void> | undefined = undefined
  fault: Error | undefined = undefined
  #listeners: ((error: Error) => void)[] = []

  write(piece: string | Uint8Array): Promise<void> | undefined {
    if (this.fault !== undefined) throw this.fault
    this.calls.push(`write ${Buffer.from(piece).toString()}`)
    return this.room
  }

  end(): void {
    this.isOpen = false
    this.calls.push('end')
  }

  reset(): void {
    this.isOpen = false
    this.calls.push('reset')
  }

  onAbort(listener: (error: Error) => void): void {
    this.#listeners.push(listener)
  }

  abort(error: Error): void {
    this.isOpen = false
    this.abortError = error
    for (const listener of this.#listeners) listener(error)
  }

  pump(source: AsyncIterable<unknown> | Iterable<unknown>): Promise<void> {
    return pumpIterable(this as unknown as Exchange, source)
  }
}

/** A source that counts how often it is closed. */
class Source implements AsyncIterable<unknown>, AsyncIterator<unknown> {
  returns = 0
  readonly #next: () => Promise<IteratorResult<unknown>>
  readonly #onReturn: () => Promise<IteratorResult<unknown>>

  constructor(
    next: () => Promise<IteratorResult<unknown>>,
    onReturn = (): Promise<IteratorResult<unknown>> => Promise.resolve({ done: true, value: undefined }),
  ) {
    this.#next = next
    this.#onReturn = onReturn
  }

  next(): Promise<IteratorResult<unknown>> {
    return this.#next()
  }

  return(): Promise<IteratorResult<unknown>> {
    this.returns += 1
    return this.#onReturn()
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

const gone = Object.assign(new Error('gone'), { code: 'ERR_CLIENT_DISCONNECTED' })

describe('a source that ends', () => {
  test.each<[string, () => AsyncIterable<unknown> | Iterable<unknown>]>([
    ['an array', () => ['a', Buffer.from('b'), '']],
    ['an array of promises', () => [Promise.resolve('a'), 'b']],
    [
      'an async generator',
      async function* () {
        yield 'a'
        await undefined
        yield new Uint8Array([0x62]).buffer
      },
    ],
    ['views', () => [new DataView(Buffer.from('xay').buffer.slice(0, 0)), 'a', new Uint8Array([1, 0x62]).subarray(1)]],
  ])('%s is sent piece by piece and ends the answer', async (_what, make) => {
    const exchange = new Recorder()
    await exchange.pump(make())
    expect(exchange.calls).toEqual(['write a', 'write b', 'end'])
  })

  test('is not closed, because it has ended by itself', async () => {
    const exchange = new Recorder()
    const source = new Source(() => Promise.resolve({ done: true, value: undefined }))
    await exchange.pump(source)
    expect([exchange.calls, source.returns]).toEqual([['end'], 0])
  })
})

test('a source is not asked while there is no room', async () => {
  const exchange = new Recorder()
  const room = pending()
  exchange.room = room.promise
  let asked = 0
  const source = new Source(() => {
    asked += 1
    return Promise.resolve(asked < 3 ? { done: false, value: String(asked) } : { done: true, value: undefined })
  })
  const pumped = exchange.pump(source)
  await new Promise((resolve) => setImmediate(resolve))
  expect(asked).toBe(1)
  exchange.room = undefined
  room.resolve()
  await pumped
  expect(exchange.calls).toEqual(['write 1', 'write 2', 'end'])
})

describe('g03_source_closed', () => {
  test('a source that fails cuts the answer, is reported, and is not closed again', async () => {
    const exchange = new Recorder()
    const error = new Error('source failed')
    const source = new Source(() => Promise.reject(error))
    expect(await failureOf(exchange.pump(source))).toBe(error)
    expect([exchange.calls, source.returns]).toEqual([['reset'], 0])
  })

  test('what is no iterable is reported', async () => {
    const exchange = new Recorder()
    expect(await failureOf(exchange.pump({} as never))).toBeInstanceOf(TypeError)
    expect(exchange.calls).toEqual(['reset'])
  })

  test.each([[1], [null], [{}], [undefined]])(
    'a piece that is %j is refused, and the source is closed',
    async (piece) => {
      const exchange = new Recorder()
      const source = new Source(() => Promise.resolve({ done: false, value: piece }))
      expect(await failureOf(exchange.pump(source))).toMatchObject({ code: 'ERR_BODY_TYPE' })
      expect([exchange.calls, source.returns]).toEqual([['reset'], 1])
    },
  )

  test('a piece that the exchange refuses closes the source and is reported', async () => {
    const exchange = new Recorder()
    exchange.fault = Object.assign(new TypeError('too long'), { code: 'ERR_BODY_LENGTH' })
    const source = new Source(() => Promise.resolve({ done: false, value: 'a' }))
    expect(await failureOf(exchange.pump(source))).toBe(exchange.fault)
    expect([exchange.calls, source.returns]).toEqual([['reset'], 1])
  })

  test('a client found gone closes the source and is no failure', async () => {
    const exchange = new Recorder()
    const source = new Source(() => {
      exchange.fault = gone
      return Promise.resolve({ done: false, value: 'a' })
    })
    const pumped = exchange.pump(source)
    await new Promise((resolve) => setImmediate(resolve))
    exchange.abort(gone)
    await pumped
    expect([exchange.calls, source.returns]).toEqual([[], 1])
  })

  test('an abort closes a source at once although its next is pending, and nobody waits for it', async () => {
    const exchange = new Recorder()
    const source = new Source(() => new Promise(() => {}))
    const pumped = exchange.pump(source)
    exchange.abort(gone)
    expect(source.returns).toBe(1)
    await pumped
    expect(exchange.calls).toEqual([])
  })

  test('what a closed source still gives or throws is dropped', async () => {
    for (const settle of [
      (step: (result: IteratorResult<unknown>) => void) => step({ done: false, value: 'late' }),
      (_: unknown, fail: (error: Error) => void) => fail(new Error('late')),
    ]) {
      const exchange = new Recorder()
      let give!: () => void
      const source = new Source(
        () =>
          new Promise((resolve, reject) => {
            give = () => settle(resolve, reject)
          }),
      )
      const pumped = exchange.pump(source)
      exchange.abort(gone)
      give()
      await pumped
      await new Promise((resolve) => setImmediate(resolve))
      expect([exchange.calls, source.returns, exchange.logged]).toEqual([[], 1, []])
    }
  })

  test('an abort while there is no room closes the source once', async () => {
    const exchange = new Recorder()
    let refuse!: (error: Error) => void
    exchange.room = new Promise((_, reject) => {
      refuse = reject
    })
    const source = new Source(() => Promise.resolve({ done: false, value: 'a' }))
    const pumped = exchange.pump(source)
    await new Promise((resolve) => setImmediate(resolve))
    refuse(gone)
    exchange.abort(gone)
    await pumped
    expect([exchange.calls, source.returns]).toEqual([['write a'], 1])
  })

  test('an exchange that is over before it begins closes the source unread', async () => {
    const exchange = new Recorder()
    exchange.isOpen = false
    let asked = 0
    const source = new Source(() => {
      asked += 1
      return Promise.resolve({ done: true, value: undefined })
    })
    await exchange.pump(source)
    expect([asked, source.returns]).toEqual([0, 1])
  })

  test('the finally of a generator runs, and what it throws is logged', async () => {
    const exchange = new Recorder()
    const error = new Error('in finally')
    const reached = pending()
    const pieces = async function* (): AsyncGenerator<string> {
      try {
        yield 'a'
        reached.resolve()
        yield 'b'
      } finally {
        // oxlint-disable-next-line no-unsafe-finally
        throw error
      }
    }
    const room = pending()
    const pumped = exchange.pump(pieces())
    await reached.promise
    exchange.room = room.promise
    await new Promise((resolve) => setImmediate(resolve))
    exchange.abort(gone)
    await pumped
    await new Promise((resolve) => setImmediate(resolve))
    expect(exchange.logged).toEqual([error])
  })

  test('a return that throws, rejects with the reason, or hangs harms nobody', async () => {
    const ends: [() => Promise<never>, number][] = [
      [() => Promise.reject(gone), 0],
      [() => Promise.reject(new Error('other')), 1],
      [() => new Promise(() => {}), 0],
      [
        () => {
          throw new Error('at once')
        },
        1,
      ],
    ]
    for (const [end, logs] of ends) {
      const exchange = new Recorder()
      const source = new Source(() => new Promise(() => {}), end)
      const pumped = exchange.pump(source)
      exchange.abort(gone)
      await pumped
      await new Promise((resolve) => setImmediate(resolve))
      expect([source.returns, exchange.logged.length]).toEqual([1, logs])
    }
  })
})
