/** All pairs: a short list of cases in which any two values of two dimensions meet at least once. */

/**
 * Builds the list greedily and without chance, so that a case has the same number in every run.
 * @template {Record<string, readonly string[]>} T
 * @param {T} dimensions
 * @returns {{ [K in keyof T]: T[K][number] }[]}
 */
export function allPairs(dimensions) {
  const names = Object.keys(dimensions)
  const missing = pairsOf(names, dimensions)
  const cases = []
  while (missing.size > 0) cases.push(nextCase(names, dimensions, missing))
  return /** @type {never} */ (cases)
}

/**
 * Pairs of values that no case holds.
 * @param {Record<string, readonly string[]>} dimensions
 * @param {readonly Record<string, string>[]} cases
 */
export function missingPairs(dimensions, cases) {
  const missing = pairsOf(Object.keys(dimensions), dimensions)
  for (const one of cases) for (const pair of pairsIn(one)) missing.delete(pair)
  return [...missing]
}

/**
 * @param {readonly string[]} names
 * @param {Record<string, readonly string[]>} dimensions
 */
function pairsOf(names, dimensions) {
  /** @type {Set<string>} */
  const pairs = new Set()
  for (const [index, left] of names.entries()) {
    for (const right of names.slice(index + 1)) {
      for (const a of dimensions[left] ?? []) for (const b of dimensions[right] ?? []) pairs.add(key(left, a, right, b))
    }
  }
  return pairs
}

/** @param {Record<string, string>} one */
function pairsIn(one) {
  const entries = Object.entries(one)
  return entries.flatMap(([left, a], index) => entries.slice(index + 1).map(([right, b]) => key(left, a, right, b)))
}

/**
 * Begins with the first pair that is missing and adds to it, dimension by dimension, what covers most.
 * @param {readonly string[]} names
 * @param {Record<string, readonly string[]>} dimensions
 * @param {Set<string>} missing
 */
function nextCase(names, dimensions, missing) {
  const [first = ''] = missing
  const [left = '', a = '', right = '', b = ''] = first.split('\n')
  /** @type {Record<string, string>} */
  const chosen = { [left]: a, [right]: b }
  for (const name of names) {
    if (name in chosen) continue
    let best = ''
    let most = -1
    for (const value of dimensions[name] ?? []) {
      const count = pairsIn(sorted(names, { ...chosen, [name]: value })).filter((pair) => missing.has(pair)).length
      if (count > most) [best, most] = [value, count]
    }
    chosen[name] = best
  }
  const complete = sorted(names, chosen)
  for (const pair of pairsIn(complete)) missing.delete(pair)
  return complete
}

/**
 * @param {readonly string[]} names
 * @param {Record<string, string>} values
 */
function sorted(names, values) {
  return Object.fromEntries(names.filter((name) => name in values).map((name) => [name, values[name] ?? '']))
}

/** @param {readonly string[]} parts */
function key(...parts) {
  return parts.join('\n')
}
