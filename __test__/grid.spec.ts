/** The grid over real sockets: what hostile bytes get, and that nothing of them reaches the application. */
import { describe, expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { GOOD, LAST, ROWS, bytesOf, createApp, exchange } from './harness/grid.ts'
import { scaled, timeLimit } from './harness/scale.ts'

import type { Options } from './harness/app.ts'
import type { Variant } from './harness/grid.ts'

/** The drivers that the grid runs in. */
const MODES = ['loop'] as const satisfies readonly Options['runtimeMode'][]

/** How many places a payload is cut at; over sockets each costs a connection. */
const CUTS = scaled(6, 1000)

test('the grid has 33 rows, and at least 39 payloads that must be refused', () => {
  expect(ROWS.map(({ row }) => row)).toEqual(Array.from({ length: 33 }, (_, index) => index + 1))
  const refused = ROWS.flatMap(({ variants }) => variants).filter(({ refusedIn }) => refusedIn !== undefined)
  expect(refused.length).toBeGreaterThanOrEqual(39)
})

describe.each(MODES)('in mode %s', (runtimeMode) => {
  test.each(ROWS.map(({ row, title, variants }) => [row, title, variants] as const))(
    'row %i: %s',
    async (_row, _title, variants) => {
      for (const variant of variants) await judge(variant, runtimeMode)
    },
    timeLimit(20_000),
  )
})

async function judge(variant: Variant, runtimeMode: Options['runtimeMode']): Promise<void> {
  const { app, seen } = createApp(variant)
  const server = await serveApp(app, { interface: 'rsgi', runtimeMode })
  const bytes = bytesOf(variant)
  const isOpen = variant.after === 'open'
  const last = isOpen ? [200] : []
  // A client of HTTP/1.0 that sends more after its request cannot be sure of the answer.
  const isOver = !isOpen && variant.refusedIn === undefined && variant.app === undefined
  const ways: [string, Buffer[], number][] = [
    ['whole', [bytes], 0],
    ['behind a good request', [Buffer.concat([Buffer.from(GOOD), bytes])], 1],
    ...cutsOf(bytes).map((at): [string, Buffer[], number] => [
      `cut at ${at}`,
      [bytes.subarray(0, at), bytes.subarray(at)],
      0,
    ]),
  ]
  for (const [way, pieces, good] of ways) {
    seen.length = 0
    const found = await exchange(server, pieces, isOver ? '' : LAST)
    const name = `${variant.name}, ${way}`
    expect(found.answers, name).toEqual([...(good > 0 ? [200] : []), ...variant.answers, ...last])
    if (variant.interim !== undefined) expect(found.hasInterim, name).toBe(variant.interim)
    const own = seen.slice(good, seen.length - last.length)
    expect(
      seen.filter(({ target }) => target === '/last'),
      name,
    ).toHaveLength(last.length)
    expect(own.filter(({ isWhole }) => isWhole).length, name).toBe(variant.messages)
    // What is wrong in a head, or comes together with its head, the application never hears of.
    const isUnheard = variant.refusedIn === 'head' || (variant.refusedIn === 'body' && isOnePiece(pieces))
    if (isUnheard) expect(own, name).toEqual([])
    const [first] = own
    if (variant.target !== undefined) expect(first?.target, name).toBe(variant.target)
    if (variant.host !== undefined)
      expect(
        first?.headers.filter(([field]) => field === 'host'),
        name,
      ).toEqual([['host', variant.host]])
    const names = first?.headers.map(([field]) => field) ?? []
    expect(
      variant.absent?.filter((field) => names.includes(field)),
      name,
    ).toEqual(variant.absent === undefined ? undefined : [])
  }
  const { panicsTotal } = server.stats()
  expect(panicsTotal).toBe(0)
}

/** Small enough that one read takes it together with what precedes it. */
function isOnePiece(pieces: readonly Buffer[]): boolean {
  return pieces.length === 1 && (pieces[0]?.length ?? 0) + LAST.length < 2000
}

/** Places spread over the payload. */
function cutsOf({ length }: Buffer): number[] {
  const count = Math.min(CUTS, length - 1)
  return Array.from({ length: count }, (_, index) => 1 + Math.floor((index * (length - 1)) / count))
}
