/** Runs the programs that the other scripts are made of. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Root of the checkout; every command runs there. */
export const ROOT = fileURLToPath(new URL('../', import.meta.url))

/**
 * What a finished command says.
 * @typedef {{ code: number, output: string }} Outcome
 */

/**
 * Surroundings of a command.
 * @typedef {object} CommandOptions
 * @property {Record<string, string>} [env] Added to the caller's environment.
 * @property {boolean} [collect] Whether stdout is kept as well as shown.
 * @property {string} [cwd] Default: the root of the checkout.
 * @property {number} [timeout] Milliseconds after which the command is ended; it has failed then.
 */

/**
 * Runs a command with its output on our own. Resolves also when it fails: the caller judges.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {CommandOptions} [options]
 * @returns {Promise<Outcome>}
 */
export function run(command, args, { env = {}, collect = false, timeout, cwd = ROOT } = {}) {
  return new Promise((resolve, reject) => {
    let output = ''
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', collect ? 'pipe' : 'inherit', 'inherit'],
      ...(timeout === undefined ? {} : { timeout, killSignal: 'SIGKILL' }),
    })
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      output += text
      process.stdout.write(text)
    })
    child.on('error', (error) => {
      const isMissing = /** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT'
      reject(isMissing ? new Error(missingText(command), { cause: error }) : error)
    })
    child.on('close', (code, signal) => {
      if (signal !== null) process.stderr.write(`${command} was ended by ${signal}\n`)
      resolve({ code: code ?? 1, output })
    })
  })
}

/**
 * Runs a command that has to succeed.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {CommandOptions} [options]
 * @returns {Promise<string>} What it wrote, if that was collected.
 */
export async function mustRun(command, args, options) {
  const { code, output } = await run(command, args, options)
  if (code !== 0) throw new Error(`${[command, ...args].join(' ')} failed with exit code ${code}`)
  return output
}

/**
 * Runs npm as the caller runs it: inside a package script, npm says which file it is.
 * @param {readonly string[]} args
 */
export async function npm(args) {
  const script = process.env.npm_execpath
  if (script !== undefined && script.endsWith('.js')) await mustRun(process.execPath, [script, ...args])
  else await mustRun('npm', args)
}

/** @param {string} command */
function missingText(command) {
  const hint = command === 'cargo' ? ' Install Rust 1.88 or later with its cargo, clippy and rustfmt.' : ''
  return `${command} was not found.${hint}`
}
