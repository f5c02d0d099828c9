/** The driver that a run of the specs goes through: the whole suite runs once for each. */

/** Drivers of connections. */
export const MODES = ['loop', 'thread'] as const

/** The driver of this run. */
export const MODE: (typeof MODES)[number] = MODES.find((mode) => mode === process.env.TEST_RUNTIME_MODE) ?? 'loop'

/** What a process of a test finds in its environment. */
export const MODE_ENV: Readonly<Record<string, string>> = { GNEISS_RUNTIME_MODE: MODE, TEST_RUNTIME_MODE: MODE }
