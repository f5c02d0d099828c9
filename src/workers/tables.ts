/** Exit codes and signals of the program: what it does and what its documentation says. A leaf. */

/** Exit codes by name. */
export const ExitCode = {
  clean: 0,
  crash: 1,
  usage: 2,
  boot: 3,
  load: 4,
  bind: 5,
  orphaned: 6,
  crashLoop: 7,
} as const

/** One row of the documentation. */
export interface ExitRow {
  readonly code: number | string
  readonly from: string
  readonly meaning: string
}

/** Every exit code. `docs/deployment.md` has this table. */
export const EXIT_ROWS: readonly ExitRow[] = [
  { code: ExitCode.clean, from: 'both', meaning: 'It was stopped, and ended cleanly.' },
  { code: ExitCode.crash, from: 'both', meaning: 'It crashed, or the application did not stop in time.' },
  {
    code: ExitCode.usage,
    from: 'both',
    meaning: 'Usage or configuration, or the pid file is held by another process.',
  },
  {
    code: ExitCode.boot,
    from: 'both',
    meaning: 'A worker did not start: its lifespan failed, it ended early, or it took longer than bootTimeout.',
  },
  { code: ExitCode.load, from: 'both', meaning: 'The application could not be loaded.' },
  { code: ExitCode.bind, from: 'master', meaning: 'An address could not be bound.' },
  { code: ExitCode.orphaned, from: 'worker', meaning: 'Its master is gone.' },
  { code: ExitCode.crashLoop, from: 'master', meaning: 'Workers kept dying, and none was ready for crashLoopGrace.' },
  { code: '128+n', from: 'both', meaning: 'A second signal n cut what was open.' },
  { code: '133, 134, 139', from: 'worker', meaning: 'A fatal error of V8 or of native code.' },
]

/** What a signal does. */
export interface SignalRow {
  readonly signals: readonly NodeJS.Signals[]
  readonly master: string
  readonly worker: string
}

/** Every signal that is handled. `docs/deployment.md` has this table. */
export const SIGNAL_ROWS: readonly SignalRow[] = [
  {
    signals: ['SIGTERM'],
    master:
      'Graceful stop: serves on for shutdownDelay, then no new connections, open requests finish within gracefulTimeout. A second signal leaves 2 s for what is left, a third ends at once.',
    worker: 'Finishes what is open and ends; the master replaces it at once and counts no crash.',
  },
  {
    signals: ['SIGINT', 'SIGQUIT'],
    master: 'Quick stop: open requests have 2 s.',
    worker: 'The same, and it is replaced.',
  },
  {
    signals: ['SIGHUP'],
    master:
      'Without a terminal: reload, which this version only logs. With one: graceful stop, because its window was closed.',
    worker: 'Ignored.',
  },
  { signals: ['SIGTTIN', 'SIGTTOU'], master: 'One worker more; one less, but never none.', worker: 'Ignored.' },
  {
    signals: ['SIGWINCH'],
    master: 'Without a terminal: all workers are stopped, the listeners stay. With one it is ignored.',
    worker: 'Ignored.',
  },
  { signals: ['SIGUSR1'], master: 'Reopens log files, and tells the workers.', worker: 'Reopens log files.' },
  { signals: ['SIGUSR2'], master: 'Ignored with a line in the log.', worker: 'Ignored.' },
]

/** Signals that a worker does not react to. */
export const IGNORED_BY_WORKERS: readonly NodeJS.Signals[] = SIGNAL_ROWS.filter(
  ({ worker }) => worker === 'Ignored.',
).flatMap(({ signals }) => signals)
