/**
 * The lifetime bugs that servers of this kind have had before us, each with a name. A name is either in the
 * title of tests, or waits here with the reason.
 */
import { describe, expect, test } from 'vitest'

import { sourcesIn } from '../harness/sources.ts'

const NAMES = [
  'g01_disconnect_once',
  'g02_cancelled_receive',
  'g03_source_closed',
  'g04_upload_memory',
  'g05_cancel_drop',
  'g06_gc_pending',
  'g07_cancel_vs_complete',
  'g08_publish_order',
  'g09_bad_utf8',
  'g10_wrong_thread',
  'g11_slow_head',
  'g12_idle_disconnect',
  'g13_slow_client',
  'g14_real_promises',
  'g15_frameworks',
  'g16_fd_once',
  'g17_init_order',
  'g18_accept_error',
  'g19_ws_reset',
  'g20_ws_accept_race',
  'g21_early_head',
  'g22_bad_arguments',
  'g23_no_lock_call',
  'g24_ws_orders',
  'g25_stalled_send',
  'g26_handle_count',
  'g27_pool_growth',
  'g28_stop_under_load',
  'g29_stop_busy_loop',
  'g30_lost_wakeup',
  'g31_stop_every_state',
  'g32_h2_reset_seen',
  'g33_async_context',
  'g34_mixed_soak',
  'g35_wrappers',
  'g36_embedded',
  'g37_option_mix',
  'g38_bounded_stop',
] as const

type Name = (typeof NAMES)[number]

const THREADS = 'one thread runs everything in the loop driver: a model of the thread driver has to show it'

/** Names that no test proves, and what is missing for that. */
const PENDING: Partial<Record<Name, string>> = {
  g07_cancel_vs_complete: THREADS,
  g08_publish_order: THREADS,
  g19_ws_reset: 'there is no WebSocket yet',
  g20_ws_accept_race: 'there is no WebSocket yet',
  g24_ws_orders: 'there is no WebSocket yet',
  g27_pool_growth: 'there is no pool of processors yet',
  g30_lost_wakeup: THREADS,
  g32_h2_reset_seen: 'there is no HTTP/2 yet',
  g37_option_mix: 'there are no workers whose lifetime or memory is watched yet',
}

const specs = sourcesIn('__test__', '.spec.ts').filter(({ path }) => !path.endsWith('granian/list.spec.ts'))

/** Names in the titles of tests. */
const proved = new Set(
  specs.flatMap(({ text }) => Array.from(text.matchAll(/['`][^'`\n]*?\b(g\d\d_[a-z0-9_]+)/g), ([, name = '']) => name)),
)

describe('the list', () => {
  test('holds the numbers from 1 to 38, each once', () => {
    expect(NAMES.map((name) => Number(name.slice(1, 3)))).toEqual(NAMES.map((_name, index) => index + 1))
    expect(NAMES.length).toBe(38)
  })

  test('every name is proved by a test or waits for a reason, and none does both', () => {
    expect(NAMES.filter((name) => !proved.has(name) && PENDING[name] === undefined)).toEqual([])
    expect(NAMES.filter((name) => proved.has(name) && PENDING[name] !== undefined)).toEqual([])
  })

  test('a test carries no other name', () => {
    const known = new Set<string>(NAMES)
    expect([...proved].filter((name) => !known.has(name))).toEqual([])
  })
})

test.for(Object.entries(PENDING))('%s waits', ([, reason], context) => {
  expect(reason).not.toBe('')
  context.skip(reason)
})
