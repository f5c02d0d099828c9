/**
 * Writes the JavaScript of `dist`. Opening, resolving and linking a file costs more than running what is
 * in it, so what a start needs is in few chunks. Every module can still be imported under its own path,
 * and is there once, whichever way it is reached.
 */
import { join, posix, relative } from 'node:path'

import { rolldown } from 'rolldown'

/**
 * Chunks by name, with the modules whose static imports fill them; the first that claims a module has it. Every process
 * needs `start`. What loads the addon is not in it, because help and messages have to do without.
 */
const CHUNKS = {
  start: [
    'cli.ts',
    'worker.ts',
    'clock.ts',
    'workers/hooks.ts',
    'workers/identity.ts',
    'workers/protocol.ts',
    'workers/tables.ts',
  ],
  addon: ['native.ts', 'workers/listeners.ts', 'workers/pidfile.ts', 'workers/service.ts'],
  serve: ['index.ts', 'alone.ts', 'worker/run.ts'],
  master: ['workers/master.ts'],
}

/** In files of their own: the programs, and what only those load who embed it. */
const APART = ['cli.ts', 'worker.ts', 'index.ts', 'application.ts']

/**
 * Bundles the modules of a folder.
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
    plugins: [placeKeeper(source)],
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
  const chunks = new Map()
  for (const [name, roots] of Object.entries(CHUNKS)) {
    for (const module of roots.flatMap((root) => reachable(join(source, root), importsOf))) {
      if (!chunks.has(module)) chunks.set(module, name)
    }
  }
  for (const module of APART) chunks.delete(join(source, module))
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

/** Stands for the path of a module in its own `import.meta.url`, until it is known which file the module is in. */
const PLACE = 'gneiss:'

/**
 * A module that asks for its own URL is told the one it would have in a file of its own, because it finds its
 * neighbours by it. And who imports a module when it is needed is sent to the chunk that holds it, past the file that
 * has nothing but its names.
 * @param {string} source
 * @returns {import('rolldown').Plugin}
 */
function placeKeeper(source) {
  return {
    name: 'place-keeper',
    transform(code, id) {
      const own = relative(source, id).replace(/\.ts$/, '.js')
      // As an argument or an element: a message may name it too.
      return code.replaceAll(
        /(?<=[(,] ?)import\.meta\.url(?=[),\]])/g,
        `new URL('${PLACE}${own}', import.meta.url).href`,
      )
    },
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter((file) => file.type === 'chunk')
      for (const chunk of chunks) {
        const folder = posix.dirname(chunk.fileName)
        /** @type {(file: string) => string} */
        const pathTo = (file) => {
          const path = posix.relative(folder, file)
          return path.startsWith('.') ? path : `./${path}`
        }
        chunk.code = chunk.code.replaceAll(
          new RegExp(`new URL\\(["']${PLACE}([^"']+)["'], import\\.meta\\.url\\)\\.href`, 'g'),
          (_, own) => (own === chunk.fileName ? 'import.meta.url' : `new URL("${pathTo(own)}", import.meta.url).href`),
        )
        for (const file of chunk.dynamicImports) {
          const door = chunks.find(({ fileName }) => fileName === file)
          const room = chunks.find(({ fileName }) => fileName === door?.imports[0])
          if (door?.moduleIds.length !== 0 || !door.exports.every((name) => room?.exports.includes(name))) continue
          chunk.code = chunk.code.replaceAll(`import("${pathTo(file)}")`, `import("${pathTo(room?.fileName ?? file)}")`)
        }
      }
    },
  }
}
