/** Runs around every test of every spec: nothing is left behind and nothing unexpected is logged. */
import { afterEach, beforeEach } from 'vitest'

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
