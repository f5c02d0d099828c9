/**
 * The lifetime bugs that servers of this kind have had before us, each with a name. A name is in the title of
 * tests, or belongs to models of threads, or waits here with the reason.
 */
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'

import { describe, expect, test } from 'vitest'

import { ROOT } from '../harness/cli.ts'
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

/** Names that models prove: what crosses threads cannot be shown by a run, only by all interleavings. */
const MODELS: Partial<Record<Name, readonly string[]>> = {
  g07_cancel_vs_complete: [
    'cancel::an_answer_that_crosses_with_a_fin_ends_its_exchange_once',
    'cancel::a_late_answer_that_crosses_with_a_fin_ends_its_exchange_once',
    'cancel::an_answer_that_crosses_with_a_closed_socket_ends_its_exchange_once',
    'cancel::a_late_answer_that_crosses_with_a_closed_socket_ends_its_exchange_once',
    'cancel::an_answer_that_crosses_with_a_reset_ends_its_exchange_once',
    'cancel::a_late_answer_that_crosses_with_a_reset_ends_its_exchange_once',
  ],
  // Both look at the published numbers when they hear of the result.
  g08_publish_order: [
    'cancel::an_answer_that_crosses_with_a_fin_ends_its_exchange_once',
    'shutdown::closed_comes_last_and_the_numbers_are_final_then',
  ],
  g30_lost_wakeup: ['mailbox::a_reader_that_sleeps_until_it_is_told_gets_everything_once_and_in_order'],
}

/** Names that nothing proves, and what is missing for that. */
const PENDING: Partial<Record<Name, string>> = {
  g19_ws_reset: 'there is no WebSocket yet',
  g20_ws_accept_race: 'there is no WebSocket yet',
  g24_ws_orders: 'there is no WebSocket yet',
  g32_h2_reset_seen: 'there is no HTTP/2 yet',
}

const specs = sourcesIn('__test__', '.spec.ts').filter(({ path }) => !path.endsWith('granian/list.spec.ts'))

/** Names in the titles of tests. */
const proved = new Set(
  specs.flatMap(({ text }) => Array.from(text.matchAll(/['`][^'`\n]*?\b(g\d\d_[a-z0-9_]+)/g), ([, name = '']) => name)),
)

/** Tests of the modules that `thread/model.rs` has. */
const models = new Set(
  sourcesIn('crates/core/src/thread/model', '.rs').flatMap(({ path, text }) => {
    const module = posix.basename(path, '.rs')
    const isThere = new RegExp(`^mod ${module};$`, 'm').test(
      readFileSync(`${ROOT}crates/core/src/thread/model.rs`, 'utf8'),
    )
    const tests = isThere ? text.matchAll(/^#\[test\]\nfn (\w+)\(\)/gm) : []
    return Array.from(tests, ([, name = '']) => `${module}::${name}`)
  }),
)

describe('the list', () => {
  test('holds the numbers from 1 to 38, each once', () => {
    expect(NAMES.map((name) => Number(name.slice(1, 3)))).toEqual(NAMES.map((_name, index) => index + 1))
    expect(NAMES.length).toBe(38)
  })

  test('every name is proved by a test or a model or waits for a reason, and none does two of these', () => {
    const ways = (name: Name): number =>
      [proved.has(name), MODELS[name] !== undefined, PENDING[name] !== undefined].filter(Boolean).length
    expect(NAMES.filter((name) => ways(name) !== 1)).toEqual([])
  })

  test('every model that is named exists and is run', () => {
    const named = Object.values(MODELS).flat()
    expect(named.filter((model) => !models.has(model))).toEqual([])
    expect(readFileSync(`${ROOT}scripts/test.mjs`, 'utf8')).toMatch(/'thread::model'[\s\S]*--cfg gneiss_loom/)
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
