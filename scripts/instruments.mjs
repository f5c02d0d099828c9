/**
 * Builds addons that look into themselves: with faults on demand (`--cfg gneiss_probe`), and with the address
 * sanitizer on top of that. Each has a target folder of its own, and a copy of `dist` with the addon in it;
 * `dist` itself is what ships and is never touched.
 */
import { cpSync, linkSync, mkdtempSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { ROOT, mustRun } from './command.mjs'

/**
 * An addon for tests.
 * @typedef {object} Instrument
 * @property {readonly string[]} args Of cargo.
 * @property {Record<string, string>} env
 * @property {string} output The library, from the target folder.
 */

const TRIPLE = 'x86_64-unknown-linux-gnu'

/** @type {Record<'probe' | 'asan', Instrument>} */
const INSTRUMENTS = {
  probe: {
    args: [],
    env: { RUSTFLAGS: '--cfg gneiss_probe' },
    output: 'debug/libgneiss_node.so',
  },
  asan: {
    // Without a target the flag would apply to build scripts and macros too, which run without the runtime.
    args: ['--target', TRIPLE, '--profile', 'asan'],
    // The sanitizers are part of every compiler, behind a switch that is meant for nightly ones.
    env: { RUSTC_BOOTSTRAP: '1', RUSTFLAGS: '-Zsanitizer=address -Cforce-frame-pointers=yes --cfg gneiss_probe' },
    output: `${TRIPLE}/asan/libgneiss_node.so`,
  },
}

/**
 * Builds an instrument and puts it beside a copy of what ships, a new one for each caller: they run side by side.
 * @param {'probe' | 'asan'} name
 * @returns {Promise<string>} The copy of `dist`; the caller removes it.
 */
export async function buildInstrument(name) {
  const { args, env, output } = INSTRUMENTS[name]
  const target = join(ROOT, 'target', name)
  await mustRun('cargo', ['build', '--package', 'gneiss-node', '--locked', '--target-dir', target, ...args], { env })
  // Inside of the checkout, because its package.json says that these are modules.
  const copy = mkdtempSync(join(target, 'dist-'))
  cpSync(join(ROOT, 'dist'), copy, { recursive: true, filter: (path) => !path.endsWith('.node') })
  for (const addon of readdirSync(join(ROOT, 'dist')).filter((file) => file.endsWith('.node')))
    linkSync(join(target, output), join(copy, addon))
  return copy
}

if (process.argv[1] === import.meta.filename) {
  const [, , name] = process.argv
  if (name !== 'probe' && name !== 'asan') throw new Error('name one of: probe, asan')
  process.stdout.write(`${await buildInstrument(name)}\n`)
}
