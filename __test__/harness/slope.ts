/** How fast a series grows. */

/** The median of the slopes between all pairs of values (Theil and Sen): outliers do not move it. 0 for fewer than two. */
export function theilSen(values: readonly number[]): number {
  const slopes: number[] = []
  for (const [later, value] of values.entries()) {
    for (const [earlier, before] of values.slice(0, later).entries()) slopes.push((value - before) / (later - earlier))
  }
  slopes.sort((a, b) => a - b)
  return slopes[Math.floor(slopes.length / 2)] ?? 0
}
