/**
 * Where the program speaks for itself: on stdout and stderr, also while those of the process belong to the
 * application. A leaf.
 */

/** What the program writes to. */
export interface Outlet {
  /** A person reads there. */
  readonly isTTY?: boolean
  /** Whether the terminal shows colours. */
  hasColors?(): boolean
  write(text: string): unknown
}

/** Both of them. */
export interface Outlets {
  readonly stdout: Outlet
  readonly stderr: Outlet
}

let own: Outlets | undefined

/** Where the program says something. */
export function outlets(): Outlets {
  return own ?? process
}

/** Has the program speak there; undefined is stdout and stderr of the process. */
export function directProgram(to: Outlets | undefined): void {
  own = to
}
