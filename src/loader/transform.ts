/**
 * Turns TypeScript into JavaScript where Node does not, with the optional peer `oxc-transform`.
 * Runs on Node's hook thread as well, so this file imports nothing of ours but `tsconfig.ts`.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { compileFunction } from 'node:vm'

import { projectOf } from './tsconfig.ts'

import type { CompilerOptions } from './tsconfig.ts'

/** A module that Node can run. */
export interface Transformed {
  readonly format: 'commonjs' | 'module'
  readonly source: string
}

/** The little of `oxc-transform` that is used; its own types would make every user install it. */
interface Oxc {
  transformSync(file: string, source: string, options: object): OxcResult
}

interface OxcResult {
  readonly code: string
  readonly map?: { sources: string[] }
  readonly errors: readonly { readonly message: string; readonly codeframe: string | null }[]
  readonly helpersUsed: Readonly<Record<string, string>>
}

/** Where `oxc-transform` is, seen from the application first, then from here. Undefined when it is not installed. */
export function locateOxc(file: string): string | undefined {
  for (const origin of [file, import.meta.url]) {
    try {
      return createRequire(origin).resolve('oxc-transform')
    } catch {
      continue
    }
  }
  return undefined
}

/**
 * Transforms a TypeScript file as its `tsconfig.json` says.
 * @throws a `SyntaxError` with the place of the fault; an `Error` for decorators that nobody here can lower.
 */
export function transformFile(file: string, oxcPath: string): Transformed {
  const { options, file: configFile } = projectOf(file)
  const text = readFileSync(file, 'utf8')
  // Without a tsconfig.json nothing says which decorators are meant; only one kind can be lowered.
  const hasLegacyDecorators = options.experimentalDecorators ?? configFile === undefined
  const kind = kindOf(file)
  const settings = {
    ...settingsOf(options, hasLegacyDecorators),
    sourceType: kind === 'commonjs' ? 'commonjs' : 'module',
  }
  const first = run(oxcPath, file, text, settings)
  if (!hasLegacyDecorators && text.includes('@')) refuseDecorators(oxcPath, file, text, settings)
  const format = kind ?? detectFormat(first.code)
  // Code for CommonJS differs where the transform adds imports, as that of JSX does.
  const result =
    format === 'commonjs' && kind === undefined
      ? run(oxcPath, file, text, { ...settings, sourceType: 'commonjs' })
      : first
  return { format, source: assemble(result, file, format) }
}

/** Whether a text may need more than its types taken away; wrong only on the safe side. */
export function needsTransform(text: string): boolean {
  return SYNTAX_TO_TRANSFORM.some((pattern) => pattern.test(text)) || hasParameterProperties(text)
}

const SYNTAX_TO_TRANSFORM: readonly RegExp[] = [
  /\benum\s+[\w$]+\s*\{/,
  /\b(?:namespace|module)\s+[\w$.]+\s*\{/,
  /(?:^|[;{}()]|\bexport|\bdefault)\s*@[\w$(]/m,
  /^\s*(?:export\s+)?import\s+[\w$]+\s*=/m,
  /^\s*export\s*=/m,
]

function hasParameterProperties(text: string): boolean {
  for (const match of text.matchAll(/\bconstructor\s*\(/g)) {
    let depth = 1
    let end = match.index + match[0].length
    for (; end < text.length && depth > 0; end++) depth += text[end] === '(' ? 1 : text[end] === ')' ? -1 : 0
    if (/\b(?:public|private|protected|readonly|override)\s+[\w$]/.test(text.slice(match.index, end))) return true
  }
  return false
}

let oxc: Oxc | undefined

/** Loads `oxc-transform` ahead of its use, where waiting is possible: early versions of Node 22 warn of `require` for it. */
export async function preloadOxc(oxcPath: string): Promise<void> {
  oxc = (await import(pathToFileURL(oxcPath).href)) as Oxc
}

function run(oxcPath: string, file: string, text: string, settings: object): OxcResult {
  oxc ??= createRequire(import.meta.url)(oxcPath) as Oxc
  const result = oxc.transformSync(file, text, settings)
  const fault = result.errors[0]
  if (fault !== undefined) throw new SyntaxError(`${file}: ${fault.message}\n${fault.codeframe ?? ''}`.trimEnd())
  return result
}

function settingsOf(options: CompilerOptions, hasLegacyDecorators: boolean): object {
  const hasOldFields = options.useDefineForClassFields === false
  return {
    sourcemap: true,
    helpers: { mode: 'External' },
    decorator: { legacy: hasLegacyDecorators, emitDecoratorMetadata: options.emitDecoratorMetadata === true },
    assumptions: { setPublicClassFields: hasOldFields },
    typescript: {
      onlyRemoveTypeImports: options.verbatimModuleSyntax === true,
      removeClassFieldsWithoutInitializer: hasOldFields,
    },
    jsx: {
      runtime: options.jsx === 'react' ? 'classic' : 'automatic',
      development: options.jsx === 'react-jsxdev',
      ...(options.jsxImportSource === undefined ? {} : { importSource: options.jsxImportSource }),
      ...(options.jsxFactory === undefined ? {} : { pragma: options.jsxFactory }),
      ...(options.jsxFragmentFactory === undefined ? {} : { pragmaFrag: options.jsxFragmentFactory }),
    },
  }
}

/** Standard decorators would reach Node as they are, and it cannot parse them. */
function refuseDecorators(oxcPath: string, file: string, text: string, settings: object): void {
  const lowered = run(oxcPath, file, text, { ...settings, decorator: { legacy: true } })
  if (lowered.helpersUsed['decorate'] === undefined && lowered.helpersUsed['decorateParam'] === undefined) return
  throw new SyntaxError(
    `${file} uses standard decorators, which neither Node nor oxc-transform can run; ` +
      'set experimentalDecorators in tsconfig.json if it means the older ones, or pass --import tsx',
  )
}

/** Helpers and source map stand around the code, which keeps its own lines. */
function assemble({ code, map, helpersUsed }: OxcResult, file: string, format: Transformed['format']): string {
  const body = code.startsWith('#!') ? `//${code}` : code
  const strict = format === 'commonjs' && /^\s*(["'])use strict\1/.test(body) ? '"use strict";' : ''
  const prelude = Object.keys(helpersUsed).length === 0 ? '' : `${strict}${DECORATOR_HELPERS}`
  if (map === undefined) return `${prelude}${body}`
  // The helpers share the first line with the code; only its columns move.
  const json = JSON.stringify({ ...map, sources: [file] })
  return `${prelude}${body}\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(json).toString('base64')}\n`
}

/** The three helpers of older decorators, which oxc would import from a package that nobody has installed. */
const DECORATOR_HELPERS: string = [
  'const babelHelpers={',
  'decorate(d,t,k,s){var c=arguments.length,r=c<3?t:s===null?s=Object.getOwnPropertyDescriptor(t,k):s;',
  'if(typeof Reflect.decorate==="function")r=Reflect.decorate(d,t,k,s);',
  'else for(var i=d.length-1;i>=0;i--)if(d[i])r=(c<3?d[i](r):c>3?d[i](t,k,r):d[i](t,k))||r;',
  'if(c>3&&r)Object.defineProperty(t,k,r);return r},',
  'decorateParam(i,d){return function(t,k){d(t,k,i)}},',
  'decorateMetadata(k,v){if(typeof Reflect.metadata==="function")return Reflect.metadata(k,v)}',
  '};',
].join('')

/** By extension, or by the nearest `package.json`; undefined when both leave it to the syntax. */
function kindOf(file: string): Transformed['format'] | undefined {
  if (file.endsWith('.mts')) return 'module'
  if (file.endsWith('.cts')) return 'commonjs'
  return packageTypeOf(dirname(file))
}

const packageTypes = new Map<string, Transformed['format'] | undefined>()

function packageTypeOf(directory: string): Transformed['format'] | undefined {
  if (packageTypes.has(directory)) return packageTypes.get(directory)
  let type: Transformed['format'] | undefined
  try {
    const content = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { type?: unknown }
    type = content.type === 'module' || content.type === 'commonjs' ? content.type : undefined
  } catch {
    const parent = dirname(directory)
    type = parent === directory ? undefined : packageTypeOf(parent)
  }
  packageTypes.set(directory, type)
  return type
}

/** As Node does it: what compiles as CommonJS is CommonJS. Nothing is run. */
function detectFormat(code: string): Transformed['format'] {
  try {
    compileFunction(code.startsWith('#!') ? `//${code}` : code, [
      'exports',
      'require',
      'module',
      '__filename',
      '__dirname',
    ])
    return 'commonjs'
  } catch {
    return 'module'
  }
}
