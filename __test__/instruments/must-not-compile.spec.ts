/** What the compiler has to refuse: JavaScript values that change threads or outlive their scope. */
import { execFileSync } from 'node:child_process'

import { describe, expect, test } from 'vitest'

import { ROOT } from '../harness/cli.ts'
import { MODE } from '../harness/mode.ts'
import { BUILD_TIME } from './instrument.ts'

/** The error of each case of `must_not_compile.rs`, by crate. E0277: not `Send` or `Sync`. E0521: it escapes. E0382: it was moved. */
const CASES = {
  'gneiss-node': {
    scope_to_thread: 'E0277',
    scope_shared_with_thread: 'E0277',
    value_to_thread: 'E0277',
    reference_to_thread: 'E0277',
    context_to_thread: 'E0277',
    handle_to_thread: 'E0277',
    state_to_thread: 'E0277',
    threads_to_thread: 'E0277',
    value_in_bell: 'E0277',
    reference_in_bell: 'E0277',
    value_outlives_handles: 'E0521',
    scope_outlives_call: 'E0521',
    reference_released_twice: 'E0382',
  },
  'gneiss-core': {
    engine_names_javascript: 'E0433',
    engine_has_unsafe_code: 'unsafe_code',
  },
} as const

for (const [crate, cases] of Object.entries(CASES)) {
  // The compiler does not know the modes: once is enough.
  describe.runIf(MODE === 'loop')(`${crate}`, () => {
    test('compiles without any of the cases', { timeout: BUILD_TIME }, () => {
      expect(errorsOf(crate, undefined)).toEqual([])
    })

    test.each(Object.entries(cases))('%s is refused with %s', (name, code) => {
      expect(errorsOf(crate, name)).toEqual([code])
    })
  })
}

/** Codes of the errors that the compiler finds, each once; another file than that of the cases is named. */
function errorsOf(crate: string, name: string | undefined): string[] {
  const cfgs = ['gneiss_must_not_compile', ...(name === undefined ? [] : [`gneiss_must_not_compile="${name}"`])]
  // The test profile's dependencies are left as they are: only the crate itself is compiled with the case.
  const args = ['rustc', '--package', crate, '--lib', '--profile', 'check', '--locked', '--message-format=json']
  const flags = cfgs.flatMap((cfg) => ['--cfg', cfg])
  const found: string[] = []
  for (const line of output([...args, '--target-dir', 'target/must-not-compile', '--', ...flags]).split('\n')) {
    if (!line.startsWith('{')) continue
    const { reason, message } = JSON.parse(line) as Line
    if (reason !== 'compiler-message' || message.level !== 'error' || message.spans.length === 0) continue
    const file = message.spans.find(({ is_primary }) => is_primary)?.file_name
    found.push(file?.endsWith('/must_not_compile.rs') === true ? (message.code?.code ?? message.message) : String(file))
  }
  // One error for each field that must not change threads, and all of them are the same fault.
  return [...new Set(found)]
}

function output(args: readonly string[]): string {
  try {
    return execFileSync('cargo', args, {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 1 << 26,
    })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    if (!stdout.includes('"reason":"compiler-message"')) throw new Error(`cargo failed: ${stderr}`, { cause: error })
    return stdout
  }
}

interface Line {
  readonly reason: string
  readonly message: {
    readonly level: string
    readonly message: string
    readonly code?: { readonly code: string }
    readonly spans: readonly { readonly file_name: string; readonly is_primary: boolean }[]
  }
}
