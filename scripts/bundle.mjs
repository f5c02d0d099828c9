/**
 * Writes the JavaScript of `dist`. Opening, resolving and linking a file costs more than running what is
 * in it, so what a start needs is in two chunks. Every module can still be imported under its own path,
 * and is there once, whichever way it is reached.
 */
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

import { rolldown } from 'rolldown'

/**
 * Chunks by name, with the module whose static imports fill them; the first that claims a module has it.
 * What `start` imports is in it as well, so the chunks never import each other in a circle.
 */
const CHUNKS = { start: 'cli.ts', serve: 'index.ts', master: 'workers/master.ts' }

/** Modules that masters and workers both need; together with what every start needs, they cost nothing. */
const COMMON_GROUND = [
  'clock.ts',
  'workers/hooks.ts',
  'workers/identity.ts',
  'workers/protocol.ts',
  'workers/tables.ts',
]

/**
 * Bundles the modules of a folder. The addon's loader, which is no module, is left alone.
 * @param {string} source Folder of the TypeScript, absolute.
 * @param {string} target Folder of the JavaScript, absolute.
 * @param {readonly string[]} modules Absolute paths of all modules.
 * @returns {Promise<string[]>} Absolute paths of what was written.
 */
export async function bundle(source, target, modules) {
  const build = await rolldown({
    cwd: join(source, '..'),
    // The file is left in its place, or holds nothing but the names of a module that is in a chunk. Sorted, because
    // the order of the modules in a chunk follows, and a file system lists them in any.
    input: Object.fromEntries(modules.toSorted().map((file) => [relative(source, file).slice(0, -'.ts'.length), file])),
    platform: 'node',
    external: /^node:/,
    tsconfig: false,
    transform: { target: 'es2023' },
    // Chunks may export what only other chunks need, also through the file of a module.
    preserveEntrySignatures: 'allow-extension',
    onLog: (level, { message }) => {
      if (level === 'warn') throw new Error(message)
    },
  })
  try {
    const { output } = await build.write({
      dir: target,
      format: 'esm',
      entryFileNames: '[name].js',
      chunkFileNames: 'chunks/[name].js',
      // Names and lines of a stack trace are to be found in the files as they are.
      minify: false,
      minifyInternalExports: false,
      // A quarter of the text, which would be read at every start. The types have them.
      comments: false,
      codeSplitting: {
        // Else a chunk would swallow modules that have to stay where they are.
        includeDependenciesRecursively: false,
        groups: [{ debugName: 'chunks', name: chunkNamer(source) }],
      },
    })
    return output.map(({ fileName }) => join(target, fileName))
  } finally {
    await build.close()
  }
}

/**
 * @param {string} source
 * @returns {import('rolldown').CodeSplittingNameFunction}
 */
function chunkNamer(source) {
  /** @type {Map<string, string> | undefined} */
  let chunks
  return (id, context) => {
    chunks ??= assign(source, (module) => context.getModuleInfo(module)?.importedIds ?? [])
    return chunks.get(id)
  }
}

/**
 * @param {string} source
 * @param {(module: string) => readonly string[]} importsOf
 */
function assign(source, importsOf) {
  /** @type {Map<string, string>} */
  const chunks = new Map(COMMON_GROUND.map((file) => [join(source, file), 'start']))
  for (const [name, root] of Object.entries(CHUNKS)) {
    for (const module of reachable(join(source, root), importsOf)) {
      if (!chunks.has(module) && !staysInPlace(module)) chunks.set(module, name)
    }
  }
  for (const root of Object.values(CHUNKS)) chunks.delete(join(source, root))
  return chunks
}

/**
 * A module and everything it imports statically.
 * @param {string} root
 * @param {(module: string) => readonly string[]} importsOf
 */
function reachable(root, importsOf) {
  const found = new Set([root])
  // A set is walked in the order of insertion, and what is added meanwhile is walked too.
  for (const module of found) for (const imported of importsOf(module)) found.add(imported)
  return [...found].filter((module) => !module.startsWith('node:'))
}

/**
 * Who asks for its own URL finds its neighbours by it.
 * @param {string} module
 */
function staysInPlace(module) {
  return readFileSync(module, 'utf8').includes('import.meta.')
}
