/** Runs around every test of every spec: nothing is left behind and nothing unexpected is logged. */
import { afterAll, afterEach, beforeEach } from 'vitest'

import { ROOT } from './cli.ts'
import { endCapture, startCapture } from './logs.ts'
import { runTeardown } from './teardown.ts'

beforeEach(() => {
  startCapture()
})

afterEach(async () => {
  const faults = await runTeardown()
  faults.push(...endCapture().map((text) => new Error(text)))
  if (faults.length === 1) throw faults[0]
  if (faults.length > 1) throw new AggregateError(faults, faults.map(String).join('\n'))
})

// The runner ends this process by a signal, so that nothing of it runs any more: whoever has a sanitizer is checked here.
afterAll(async () => {
  if (process.env['ASAN_OPTIONS'] === undefined) return
  const { loadAddon } = (await import(`${ROOT}dist/native/binding.js`)) as { loadAddon(): { probeCheckLeaks(): void } }
  loadAddon().probeCheckLeaks()
})
