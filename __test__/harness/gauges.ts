/** The numbers that tell whether anything of a server is left behind. */

/** What of these gauges is not zero when every client has gone, although the server still listens. */
const EXCHANGE_GAUGES = [
  'connections',
  'requests',
  'bodies',
  'bodyBytes',
  'responseBytes',
  'slots',
  'externalBytes',
  'tasks',
  'queuedMessages',
  'pendingReleases',
  'wrongThreadDrops',
  'panicsTotal',
] as const

/** What of these gauges is not zero when the server is closed. */
const SERVER_GAUGES = [...EXCHANGE_GAUGES, 'doorbellRefs', 'timers', 'fileDescriptors', 'threads'] as const

/** Flat statistics, as `server.stats()` and the last line of the command line give them. */
export type Stats = Readonly<Record<string, number | string>>

/** Names and values of the gauges that keep a listening server from its idle baseline. */
export function busyGauges(stats: Stats): string[] {
  return nonZero(stats, EXCHANGE_GAUGES)
}

/** Names and values of the gauges that a closed server has left behind. */
export function leftGauges(stats: Stats): string[] {
  return nonZero(stats, SERVER_GAUGES)
}

/** A gauge that is missing counts as a fault: a check of nothing would always pass. */
function nonZero(stats: Stats, names: readonly string[]): string[] {
  return names.filter((name) => stats[name] !== 0).map((name) => `${name}=${stats[name] ?? 'missing'}`)
}
