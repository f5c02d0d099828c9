/** What a body's source can count on: one piece at a time, and closed exactly once. */
import { Readable } from 'node:stream'

import { describe, expect, test } from 'vitest'

import { closeBody, openSource } from '../dist/bridge/source.js'
import { failureOf, pending, thrownCode } from './harness/promises.ts'
import { Recorder, Source, done, gone, later, never, step } from './harness/recorder.ts'

describe('a source that ends', () => {
  test.each<[string, () => unknown]>([
    ['an array', () => ['a', Buffer.from('b'), '', 'c']],
    ['an array of promises', () => [later('a'), 'b', Promise.resolve('c')]],
    [
      'an async generator',
      async function* () {
        yield 'a'
        await undefined
        yield new Uint8Array([0x62]).buffer
        yield new DataView(new Uint8Array([0x63]).buffer)
      },
    ],
    ['a web stream', () => ReadableStream.from(['a', 'b', 'c'])],
    [
      'a byte stream',
      () => {
        const left = ['a', 'b', 'c']
        return new ReadableStream({
          type: 'bytes',
          pull(to) {
            const next = left.shift()
            if (next === undefined) to.close()
            else to.enqueue(new TextEncoder().encode(next))
          },
        })
      },
    ],
    ['a stream of Node', () => Readable.from(['a', Buffer.from('b'), 'c'])],
  ])('%s is sent piece by piece and ends the answer', async (_what, make) => {
    const answer = new Recorder()
    await answer.carry((make as () => unknown)())
    expect(answer.calls).toEqual(['start', 'write a', 'write b', 'write c', 'end'])
  })

  test.each<[string, () => unknown, string]>([
    ['an empty one', () => [], 'respond '],
    ['one piece', () => ['a'], 'respond a'],
    ['one empty piece', () => [''], 'respond '],
    ['a string', () => 'whole', 'respond whole'],
    ['bytes', () => new Uint8Array([0x62]).buffer, 'respond b'],
    ['a stream of one piece', () => ReadableStream.from(['a']), 'respond a'],
  ])('%s leaves in one call', async (_what, make, call) => {
    const answer = new Recorder()
    await answer.carry(make())
    expect(answer.calls).toEqual([call])
  })

  test('is not closed, because it has ended by itself', async () => {
    const answer = new Recorder()
    const source = new Source(() => later(done))
    await answer.carry(source)
    expect([answer.calls, source.returns]).toEqual([['start', 'end'], 0])
  })
})

test('the head of a source that is silent leaves at once', async () => {
  const answer = new Recorder()
  void answer.carry(new Source(never))
  await later(undefined)
  expect(answer.calls).toEqual(['start'])
})

test('a piece that takes many microtasks is still an answer in one go', async () => {
  const answer = new Recorder()
  const pieces = async function* (): AsyncGenerator<string> {
    for (let turn = 0; turn < 100; turn++) await undefined
    yield 'a'
    for (let turn = 0; turn < 100; turn++) await undefined
  }
  await answer.carry(pieces())
  expect(answer.calls).toEqual(['respond a'])
})

describe('when a source falls silent after its first piece', () => {
  /** Gives one piece at once, and then what the test says. */
  const afterOne = (next: () => Promise<IteratorResult<unknown>>): Source => {
    let asked = 0
    return new Source(() => ((asked += 1) === 1 ? Promise.resolve(step('a')) : next()))
  }

  test('the piece leaves with the head', async () => {
    const answer = new Recorder()
    void answer.carry(afterOne(never))
    await later(undefined)
    expect(answer.calls).toEqual(['start', 'write a'])
  })

  test('the next one waits until there is room', async () => {
    const answer = new Recorder()
    const room = pending()
    answer.room = room.promise
    let asked = 0
    const carried = answer.carry(afterOne(() => ((asked += 1) === 1 ? later(step('b')) : later(done))))
    await later(undefined)
    await later(undefined)
    expect([asked, answer.calls]).toEqual([1, ['start', 'write a']])
    answer.room = undefined
    room.resolve()
    await carried
    expect(answer.calls).toEqual(['start', 'write a', 'write b', 'end'])
  })

  test('a head that is refused is reported, and closes the source', async () => {
    const answer = new Recorder()
    const error = new TypeError('bad head')
    answer.start = () => {
      throw error
    }
    const source = afterOne(never)
    expect(await failureOf(answer.carry(source))).toBe(error)
    expect([answer.calls, source.returns]).toEqual([[], 1])
  })

  test('a client that leaves while the head is on its way finds a source that has ended, and does not close it', async () => {
    const answer = new Recorder()
    const head = pending()
    answer.start = () => head.promise
    let end!: () => void
    const last = new Promise<IteratorResult<unknown>>((resolve) => (end = () => resolve(done)))
    const source = afterOne(() => last)
    const carried = answer.carry(source)
    await later(undefined)
    end()
    await later(undefined)
    answer.leave(gone)
    head.resolve()
    await carried
    expect([source.returns, answer.reported]).toEqual([0, []])
  })

  test('a client that leaves while the head is on its way ends the sending', async () => {
    const answer = new Recorder()
    answer.start = () => Promise.reject(gone)
    const source = afterOne(never)
    await answer.carry(source)
    expect([answer.calls, source.returns]).toEqual([[], 1])
  })
})

test('a source is not asked while there is no room', async () => {
  const answer = new Recorder()
  const room = pending()
  answer.room = room.promise
  let asked = 0
  const source = new Source(() => {
    asked += 1
    return Promise.resolve(asked < 4 ? step(String(asked)) : done)
  })
  const carried = answer.carry(source)
  await later(undefined)
  // One piece further than what was written: by that it is known whether the answer is whole.
  expect([asked, answer.calls]).toEqual([2, ['start', 'write 1']])
  answer.room = undefined
  room.resolve()
  await carried
  expect(answer.calls).toEqual(['start', 'write 1', 'write 2', 'write 3', 'end'])
})

describe('g03_source_closed', () => {
  test('a source that fails first is reported, and nothing was sent', async () => {
    const answer = new Recorder()
    const error = new Error('source failed')
    const source = new Source(() => Promise.reject(error))
    expect(await failureOf(answer.carry(source))).toBe(error)
    expect([answer.calls, source.returns]).toEqual([[], 0])
  })

  test('a source that fails later cuts the answer, is reported, and is not closed again', async () => {
    const answer = new Recorder()
    const error = new Error('source failed')
    const source = new Source(() => later(undefined).then(() => Promise.reject(error)))
    expect(await failureOf(answer.carry(source))).toBe(error)
    expect([answer.calls, source.returns]).toEqual([['start', 'cut'], 0])
  })

  test('a promise of a plain iterable that is rejected closes the iterator', async () => {
    const answer = new Recorder()
    let finals = 0
    const pieces = function* (): Generator<unknown> {
      try {
        yield later(undefined).then(() => Promise.reject(new Error('source failed')))
      } finally {
        finals += 1
      }
    }
    expect((await failureOf(answer.carry(pieces())))?.message).toBe('source failed')
    expect([answer.calls, finals]).toEqual([['start', 'cut'], 1])
  })

  test.each([[{}], [null], [42], [undefined]])('%j is no source', (what) => {
    expect(thrownCode(() => openSource(what))).toBe('ERR_BODY_TYPE')
    expect(() => closeBody(what)).not.toThrow()
  })

  test.each([[1], [null], [{}], [undefined]])(
    'a piece that is %j is refused, and the source is closed',
    async (piece) => {
      for (const [slow, calls] of [
        [false, []],
        [true, ['start', 'cut']],
      ] as const) {
        const answer = new Recorder()
        const source = new Source(() => (slow ? later(step(piece)) : Promise.resolve(step(piece))))
        expect(await failureOf(answer.carry(source))).toMatchObject({ code: 'ERR_BODY_TYPE' })
        expect([answer.calls, source.returns]).toEqual([calls, 1])
      }
    },
  )

  test('a piece that the answer refuses closes the source and is reported', async () => {
    const answer = new Recorder()
    answer.fault = Object.assign(new TypeError('too long'), { code: 'ERR_BODY_LENGTH' })
    const source = new Source(() => later(step('a')))
    expect(await failureOf(answer.carry(source))).toBe(answer.fault)
    expect([answer.calls, source.returns]).toEqual([['start', 'cut'], 1])
  })

  test('an end that the answer refuses is reported, although the answer is over by that', async () => {
    const answer = new Recorder()
    const error = Object.assign(new TypeError('too short'), { code: 'ERR_BODY_LENGTH' })
    answer.end = () => {
      answer.isOpen = false
      throw error
    }
    expect(await failureOf(answer.carry(new Source(() => later(done))))).toBe(error)
  })

  test('a client found gone closes the source and is no failure', async () => {
    const answer = new Recorder()
    const source = new Source(() => {
      answer.fault = gone
      return later(step('a'))
    })
    const carried = answer.carry(source)
    await later(undefined)
    await later(undefined)
    answer.leave(gone)
    await carried
    expect([answer.calls, source.returns]).toEqual([['start'], 1])
  })

  test('a client that leaves closes a source at once although its next is pending, and nobody waits for it', async () => {
    const answer = new Recorder()
    const source = new Source(never)
    const carried = answer.carry(source)
    await later(undefined)
    answer.leave(gone)
    expect(source.returns).toBe(1)
    await carried
    expect(answer.calls).toEqual(['start'])
  })

  test('what a closed source still gives or throws is dropped', async () => {
    for (const settle of [
      (give: (result: IteratorResult<unknown>) => void) => give(step('late')),
      (_: unknown, fail: (error: Error) => void) => fail(new Error('late')),
    ]) {
      const answer = new Recorder()
      let give!: () => void
      const source = new Source(
        () =>
          new Promise((resolve, reject) => {
            give = () => settle(resolve, reject)
          }),
      )
      const carried = answer.carry(source)
      await later(undefined)
      answer.leave(gone)
      give()
      await carried
      await later(undefined)
      expect([answer.calls, source.returns, answer.reported]).toEqual([['start'], 1, []])
    }
  })

  test('a client that leaves while there is no room closes the source once', async () => {
    const answer = new Recorder()
    let refuse!: (error: Error) => void
    answer.room = new Promise((_, reject) => {
      refuse = reject
    })
    const source = new Source(() => later(step('a')))
    const carried = answer.carry(source)
    await expect.poll(() => answer.calls.length).toBe(2)
    refuse(gone)
    answer.leave(gone)
    await carried
    expect([answer.calls, source.returns]).toEqual([['start', 'write a'], 1])
  })

  test('an answer that is over before it begins closes the source unread', async () => {
    const answer = new Recorder()
    answer.isOpen = false
    let asked = 0
    const source = new Source(() => {
      asked += 1
      return Promise.resolve(done)
    })
    await answer.carry(source)
    expect([asked, source.returns]).toEqual([0, 1])
  })

  test('a stream of Node is destroyed at once, and what it fails with then ends nobody', async () => {
    for (const wasAsked of [true, false]) {
      let destroys = 0
      const stream = new Readable({
        read() {},
        destroy(_error, callback) {
          destroys += 1
          setImmediate(callback, new Error('fails while it is destroyed'))
        },
      })
      if (wasAsked) {
        const answer = new Recorder()
        const carried = answer.carry(stream)
        await later(undefined)
        answer.leave(gone)
        expect(destroys).toBe(1)
        await carried
      } else {
        closeBody(stream)
      }
      await later(undefined)
      await later(undefined)
      expect(destroys).toBe(1)
    }
  })

  test('the finally of a generator runs, and what it throws is reported', async () => {
    const answer = new Recorder()
    const error = new Error('in finally')
    const pieces = async function* (): AsyncGenerator<string> {
      try {
        yield later('a')
        yield later('b')
      } finally {
        // oxlint-disable-next-line no-unsafe-finally
        throw error
      }
    }
    const room = pending()
    answer.room = room.promise
    const carried = answer.carry(pieces())
    await expect.poll(() => answer.calls.length).toBe(2)
    answer.leave(gone)
    await carried
    await later(undefined)
    expect(answer.reported).toEqual([error])
  })

  test('a return that throws, rejects with the reason, or hangs harms nobody', async () => {
    const ends: [() => Promise<never>, number][] = [
      [() => Promise.reject(gone), 0],
      [() => Promise.reject(new Error('other')), 1],
      [never, 0],
      [
        () => {
          throw new Error('at once')
        },
        1,
      ],
    ]
    for (const [end, reports] of ends) {
      const answer = new Recorder()
      const source = new Source(never, end)
      const carried = answer.carry(source)
      await later(undefined)
      answer.leave(gone)
      await carried
      await later(undefined)
      expect([source.returns, answer.reported.length]).toEqual([1, reports])
    }
  })
})
