/** The grid over real sockets: what hostile bytes get, and that nothing of them reaches the application. */
import { expect, test } from 'vitest'

import { serveApp } from './harness/app.ts'
import { GOOD, LAST, ROWS, bytesOf, createApp, exchange } from './harness/grid.ts'
import { scaled, timeLimit } from './harness/scale.ts'

import type { Variant } from './harness/grid.ts'

/** How many places a payload is cut at; over sockets each costs a connection. */
const CUTS = scaled(6, 1000)

test('the grid has 33 rows, and at least 39 payloads that must be refused', () => {
  expect(ROWS.map(({ row }) => row)).toEqual(Array.from({ length: 33 }, (_, index) => index + 1))
  const refused = ROWS.flatMap(({ variants }) => variants).filter(({ refusedIn }) => refusedIn !== undefined)
  expect(refused.length).toBeGreaterThanOrEqual(39)
})

test.each(ROWS.map(({ row, title, variants }) => [row, title, variants] as const))(
  'row %i: %s',
  async (_row, _title, variants) => {
    const faults: string[] = []
    for (const variant of variants) faults.push(...(await judge(variant)))
    expect(faults).toEqual([])
  },
  timeLimit(20_000),
)

/** One way of sending a payload. */
interface Way {
  readonly name: string
  readonly pieces: readonly Buffer[]
  /** Good requests in front of it. */
  readonly good: number
}

/** Everything that is not as the variant says. */
async function judge(variant: Variant): Promise<string[]> {
  const { app, seen } = createApp(variant)
  const server = await serveApp(app, { interface: 'rsgi' })
  const bytes = bytesOf(variant)
  const last = variant.after === 'open' ? 1 : 0
  // A client of HTTP/1.0 that sends more after its request cannot be sure of the answer.
  const isOver = last === 0 && variant.refusedIn === undefined && variant.app === undefined
  const ways: Way[] = [
    { name: 'whole', pieces: [bytes], good: 0 },
    { name: 'behind a good request', pieces: [Buffer.concat([Buffer.from(GOOD), bytes])], good: 1 },
    ...cutsOf(bytes).map((at) => ({
      name: `cut at ${at}`,
      pieces: [bytes.subarray(0, at), bytes.subarray(at)],
      good: 0,
    })),
  ]
  const faults: string[] = []
  for (const { name, pieces, good } of ways) {
    seen.length = 0
    const { answers, hasInterim } = await exchange(server, pieces, isOver ? '' : LAST)
    const own = seen.slice(good, seen.length - last)
    const [first] = own
    const fields = first?.headers ?? []
    // What is wrong in a head, or comes together with its head, the application never hears of.
    const isUnheard = variant.refusedIn === 'head' || (variant.refusedIn === 'body' && isOnePiece(pieces))
    const facts: Record<string, boolean> = {
      answers: answers.join() === [...ones(good), ...variant.answers, ...ones(last)].join(),
      goesOn: seen.filter(({ target }) => target === '/last').length === last,
      messages: own.filter(({ isWhole }) => isWhole).length === variant.messages,
      unheard: !isUnheard || own.length === 0,
      interim: variant.interim === undefined || variant.interim === hasInterim,
      target: variant.target === undefined || variant.target === first?.target,
      host: variant.host === undefined || fields.some((field) => field.join() === `host,${variant.host}`),
      absent: !fields.some(([field]) => variant.absent?.includes(field) === true),
      panics: server.stats().panicsTotal === 0,
    }
    for (const [fact, isSo] of Object.entries(facts)) {
      if (!isSo) faults.push(`${variant.name}, ${name}: ${fact}; answers ${answers.join()}; ${JSON.stringify(seen)}`)
    }
  }
  return faults
}

/** So many good answers. */
function ones(count: number): number[] {
  return Array.from({ length: count }, () => 200)
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
