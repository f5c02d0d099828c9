/** What a test opened and the harness closes after it, in this order. */

/** Clients go first: a server must come to rest by itself when its peers have left. */
export type TeardownPhase = 'clients' | 'servers' | 'processes'

const PHASES: readonly TeardownPhase[] = ['clients', 'servers', 'processes']
const open = new Map<TeardownPhase, (() => Promise<void> | void)[]>(PHASES.map((phase) => [phase, []]))

/** Runs `close` after the current test, whether it passed or not. */
export function onTeardown(phase: TeardownPhase, close: () => Promise<void> | void): void {
  open.get(phase)?.push(close)
}

/** Closes everything; returns what went wrong instead of stopping at the first fault. */
export async function runTeardown(): Promise<unknown[]> {
  const faults: unknown[] = []
  for (const phase of PHASES) {
    const closes = open.get(phase) ?? []
    open.set(phase, [])
    for (const result of await Promise.allSettled(closes.map(async (close) => close()))) {
      if (result.status === 'rejected') faults.push(result.reason)
    }
  }
  return faults
}
