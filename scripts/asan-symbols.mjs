/**
 * Names the functions in reports of the sanitizers, after the processes have ended. A process that does it itself
 * starts a program for it and takes four seconds to end instead of one: longer than many a test gives it.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { basename, join } from 'node:path'

/** `    #2 0x0000011a0684  (/usr/bin/node+0x11a0684) (BuildId: …)`. */
const FRAME = /^(\s*#\d+ 0x[0-9a-f]+) +(\((\/.*)\+(0x[0-9a-f]+)\).*)$/gm
/** More than fits into a pipe at once is no trouble; what it answers is kept in memory. */
const MAX_ANSWER = 1 << 30

/** Looks each place up once, however many reports name it. */
export class Symbols {
  #dist
  /** Functions by offset, by module. @type {Map<string, Map<string, string[]>>} */
  #names = new Map()

  /** @param {string} dist Where a copy of the addon that is gone meanwhile is looked for. */
  constructor(dist) {
    this.#dist = dist
  }

  /**
   * The same report with the functions and lines of its frames; a frame that nobody can name stays as it is. What
   * is inlined becomes a frame of its own.
   * @param {string} report
   */
  addTo(report) {
    this.#lookUp(report)
    return report.replace(FRAME, (line, head, place, module, offset) => {
      const found = this.#names.get(module)?.get(offset) ?? []
      return found.length === 0 ? line : found.map((name) => `${head} in ${name} ${place}`).join('\n')
    })
  }

  /** @param {string} report */
  #lookUp(report) {
    /** @type {Map<string, Set<string>>} */
    const asked = new Map()
    for (const [, , , module = '', offset = ''] of report.matchAll(FRAME)) {
      if (this.#names.get(module)?.has(offset) === true) continue
      asked.set(module, (asked.get(module) ?? new Set()).add(offset))
    }
    for (const [module, offsets] of asked) {
      const known = this.#names.get(module) ?? new Map()
      this.#names.set(module, known)
      for (const offset of offsets) known.set(offset, [])
      const file = existsSync(module) ? module : join(this.#dist, basename(module))
      if (existsSync(file)) for (const [offset, names] of namesIn(file, [...offsets])) known.set(offset, names)
    }
  }
}

/**
 * Functions by offset, the innermost first, each with its line if that is known.
 * @param {string} file
 * @param {readonly string[]} offsets
 */
function namesIn(file, offsets) {
  /** @type {Map<string, string[]>} */
  const found = new Map()
  const args = ['--addresses', '--functions', '--inlines', '--demangle', `--exe=${file}`]
  const input = `${offsets.join('\n')}\n`
  const lines = execFileSync('addr2line', args, { input, encoding: 'utf8', maxBuffer: MAX_ANSWER }).split('\n')
  /** @type {string[]} */
  let names = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? ''
    if (/^0x[0-9a-f]+$/.test(line)) {
      names = []
      found.set(`0x${line.slice(2).replace(/^0+(?=.)/, '')}`, names)
      continue
    }
    // A name, and the line after it.
    const place = lines[++at] ?? ''
    if (line === '' || line === '??') continue
    names.push(place.startsWith('?') ? line : `${line} ${place}`)
  }
  return found
}
