/**
 * Medians and spreads over rounds.
 */

/** Middle value; the mean of the two middle ones when their number is even. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Median, smallest and largest of the values. */
export function spreadOf(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

/** Spread of every key of equally shaped samples. */
export function summarize(samples) {
  return Object.fromEntries(Object.keys(samples[0]).map((key) => [key, spreadOf(samples.map((sample) => sample[key]))]))
}

/**
 * Spread of one server's figure over another's, paired by round: both ran within the same minute, so what slows the
 * whole machine down for a while divides out.
 */
export function ratioOf(samples, others, metric, plus = 0) {
  return spreadOf(samples.map((sample, round) => (sample[metric] - plus) / others[round][metric]))
}

/** Slope by Theil and Sen: the median of the slopes of all pairs, which single outliers do not move. */
export function slopeOf(points) {
  const slopes = []
  for (const [at, [x, y]] of points.entries()) {
    for (const [otherX, otherY] of points.slice(at + 1)) if (otherX !== x) slopes.push((otherY - y) / (otherX - x))
  }
  return median(slopes)
}
