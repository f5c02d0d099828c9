/**
 * Reads what the sanitizers have written: whose each block is, and which processes were looked at.
 *
 * There is no suppressions file, on purpose. A suppression matches any frame of a stack, and everything that we
 * allocate is called by V8: one that hides V8's own blocks would hide ours. Whose a block is says the function
 * that has allocated it, the first one below the allocator and the standard library.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { Symbols } from './asan-symbols.mjs'

/** They allocate for whoever has called them. */
const ALLOCATORS = [
  /^(?:malloc|calloc|realloc|reallocarray|posix_memalign|memalign|aligned_alloc|strdup|strndup)$/,
  /^(?:___?interceptor_|operator new\b|__rust_|__rdl_|__rg_)/,
  // The standard library and the hash maps of Rust: `alloc::vec::Vec::new`, `<alloc::raw_vec::RawVec<u8>>::grow`.
  /^<*(?:alloc|core|std|hashbrown)::/,
  /^<.* as (?:alloc|core|std|hashbrown)::/,
]

/**
 * Functions that leave blocks behind by design when a process ends by `process.exit`, and why. V8 frees none of
 * them then, because it does not end its heap: the operating system takes it. What points to them lies in pages
 * that V8 has mapped by itself, where the sanitizer does not look. In an isolate that ends before its process
 * they are freed. None of these is a function of Node-API (`napi_`, `v8impl::`): what those make is ours to free.
 * @type {readonly { pattern: RegExp, reason: string }[]}
 */
export const LEFT_BY_DESIGN = [
  {
    pattern: /^(?:\w[\w ]* )?v8::(?:internal::|\w)/,
    reason: 'V8: pages, slot sets, handles, templates and caches of a heap that is not ended',
  },
  { pattern: /^(?:Builtins_|construct_stub_)/, reason: 'V8: write barriers and stores in code that is built in' },
  {
    pattern: /^\(<unknown module>\)$/,
    reason: 'V8: the same in code that it compiles at run time, which is in no file; our own image is never unloaded',
  },
]

/**
 * What napi-rs loses: it keeps one reference a thread for itself, and drops that of an earlier load when the same
 * image is loaded a second time in one isolate (3.16.1, `REFLECT_INTRINSICS` in its `error.rs`). It is the call that
 * is named, from the inside out: what else asks for references is ours to free.
 */
const LOST_BY_NAPI_RS = [/^napi_sys::.*::napi_create_reference\b/, /^napi::error::cache_reflect_intrinsics_for_env\b/]

/**
 * @typedef {object} Judgement
 * @property {readonly string[]} errors Errors of memory, of whomever.
 * @property {readonly string[]} leaks Blocks that nobody meant to leave, in processes that have the addon.
 * @property {number} byDesign Blocks of `LEFT_BY_DESIGN`.
 * @property {number} napi Blocks of `LOST_BY_NAPI_RS`.
 * @property {number} foreign Blocks of other addons and programs.
 */

/**
 * Judges a report whose functions have names.
 * @param {string} text
 * @returns {Judgement}
 */
function judge(text) {
  const blocks = text.split('\n\n').filter((block) => !block.endsWith(CUT))
  const leaked = blocks.filter((block) => /^\s*(?:Direct|Indirect) leak of/.test(block))
  const owners = leaked.map(ownerOf)
  return {
    errors: blocks.filter((block) => /ERROR: AddressSanitizer/.test(block)),
    leaks: leaked.filter((_block, index) => owners[index] === 'ours'),
    byDesign: owners.filter((owner) => owner === 'design').length,
    napi: owners.filter((owner) => owner === 'napi').length,
    foreign: owners.filter((owner) => owner === 'foreign').length,
  }
}

/**
 * Whose a leaked block is.
 * @param {string} block
 * @returns {'design' | 'napi' | 'foreign' | 'ours'}
 */
function ownerOf(block) {
  const frames = framesOf(block)
  const first = frames.findIndex(({ name }) => !ALLOCATORS.some((pattern) => pattern.test(name)))
  const owner = frames[first]
  if (owner === undefined) return 'ours'
  if (LOST_BY_NAPI_RS.every((pattern, index) => pattern.test(frames[first + index]?.name ?? ''))) return 'napi'
  if (LEFT_BY_DESIGN.some(({ pattern }) => pattern.test(owner.name))) return 'design'
  // Another addon's own, or a program's that is not Node: none of our code has anything to do with it.
  return frames.some(isOurs) ? 'ours' : 'foreign'
}

/** @param {{ name: string, place: string }} frame */
function isOurs({ place }) {
  return /gneiss\.[\w-]+\.node|crates\/(?:core|node)\/src\//.test(place)
}

/**
 * The functions of a stack, the innermost first.
 * @param {string} block
 */
function framesOf(block) {
  return block.split('\n').flatMap((line) => {
    const found = /^\s*#\d+ 0x[0-9a-f]+ (?:in )?\s*(.*)$/.exec(line)
    if (found === null) return []
    const [, text = ''] = found
    // `name /a/file:1:2`, `name file.cc`, `name (/a/module+0x1)`, `(<unknown module>)`.
    const end = text.search(/ (?=\(?\/|[\w-]+\.(?:cc|cpp|h|c|rs)\b)/)
    return [{ name: (end < 0 ? text : text.slice(0, end)).trim(), place: end < 0 ? text : text.slice(end) }]
  })
}

/**
 * Judges all reports whose names begin with `name`. A process that is killed while it reports leaves half a block
 * behind, of which nobody can say whose it is; the process itself is among those that ended without a check.
 * @param {string} folder
 * @param {string} name
 * @param {string} dist The one that has the watched addon.
 * @returns {Judgement}
 */
export function judgeReports(folder, name, dist) {
  const symbols = new Symbols(dist)
  const each = filesOf(folder, name, false).map((report) => {
    const whole = report.includes('SUMMARY: ') ? report : `${report.trimEnd()}${CUT}\n\n`
    return judge(symbols.addTo(whole))
  })
  return {
    errors: each.flatMap(({ errors }) => errors),
    leaks: each.flatMap(({ leaks }) => leaks),
    byDesign: each.reduce((sum, { byDesign }) => sum + byDesign, 0),
    napi: each.reduce((sum, { napi }) => sum + napi, 0),
    foreign: each.reduce((sum, { foreign }) => sum + foreign, 0),
  }
}

const CUT = '(cut)'

/**
 * Processes that had the addon: by their kind, how many were checked for leaks at their end, and the command lines
 * of those that ended without: by a signal, or by a call that ends a process at once.
 * @param {string} folder
 * @param {string} name
 */
export function readProcesses(folder, name) {
  /** @type {Record<string, { checked: number, unchecked: string[] }>} */
  const found = {}
  for (const list of filesOf(folder, name, true)) {
    const lines = list
      .trim()
      .split('\n')
      .map((line) => line.split('\t'))
    const [, command = ''] = lines.at(-1) ?? []
    const entry = (found[kindOf(command)] ??= { checked: 0, unchecked: [] })
    if (lines.some(([what = '']) => what.startsWith('checked'))) entry.checked++
    else entry.unchecked.push(command)
  }
  return found
}

/**
 * What a process was, by its command line.
 * @param {string} command
 */
function kindOf(command) {
  if (command.startsWith('gneiss: master')) return 'master'
  if (command.startsWith('gneiss: worker') || /\bdist\/worker\.js\b/.test(command)) return 'worker'
  if (command.startsWith('gneiss: [')) return 'command line without workers'
  if (/\bdist\/cli\.js\b/.test(command)) return 'command line that has ended before it served'
  if (/\bvitest\b.*\bforks\.js\b/.test(command)) return 'spec'
  return 'program'
}

/**
 * @param {string} folder
 * @param {string} name
 * @param {boolean} isList
 */
function filesOf(folder, name, isList) {
  const files = readdirSync(folder).filter((file) => file.startsWith(`${name}.`) && file.endsWith('.list') === isList)
  return files.map((file) => readFileSync(join(folder, file), 'utf8'))
}
