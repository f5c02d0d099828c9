/** Counts what passed and failed across programs that each count in their own way. */
import { writeFileSync } from 'node:fs'

/**
 * What a step found; notes are shown below its line at the end.
 * @typedef {{ passed: number, failed: number, notes?: readonly string[] }} Counts
 */

/** What all steps found. */
export class Totals {
  /** @type {(Counts & { name: string, seconds: number })[]} */
  #steps = []

  get passed() {
    return this.#steps.reduce((sum, { passed }) => sum + passed, 0)
  }

  get failed() {
    return this.#steps.reduce((sum, { failed }) => sum + failed, 0)
  }

  /**
   * Runs a step and adds what it counted. A step that throws counts as one failure.
   * @param {string} name
   * @param {() => Promise<Counts>} step
   */
  async add(name, step) {
    const begin = performance.now()
    process.stdout.write(`\n== ${name}\n`)
    /** @type {Counts} */
    let counts
    try {
      counts = await step()
    } catch (error) {
      process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`)
      counts = { passed: 0, failed: 1, notes: [String(error)] }
    }
    this.#steps.push({ name, ...counts, seconds: (performance.now() - begin) / 1000 })
  }

  /**
   * Prints a line for each step and the sum, writes the sum to `file` if one is named, and sets the
   * exit code of this process.
   * @param {string | undefined} file
   */
  finish(file) {
    process.stdout.write('\n')
    for (const { name, passed, failed, seconds, notes = [] } of this.#steps) {
      process.stdout.write(
        `${failed === 0 ? 'ok  ' : 'FAIL'} ${name}: ${passed} passed, ${failed} failed, ${seconds.toFixed(1)} s\n`,
      )
      for (const note of notes) process.stdout.write(`       ${note}\n`)
    }
    if (file !== undefined) writeFileSync(file, JSON.stringify({ passed: this.passed, failed: this.failed }))
    process.stdout.write(`${this.passed} passed, ${this.failed} failed\n`)
    process.exitCode = this.failed === 0 && this.passed > 0 ? 0 : 1
  }
}

/**
 * A step that is one check: it passed if the command did.
 * @param {number} code Exit code.
 */
export function asCheck(code) {
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }
}
