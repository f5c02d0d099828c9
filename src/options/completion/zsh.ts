/** Completion for zsh, over its own `_arguments`. */
import { ADDRESSES, APPLICATION_EXTENSIONS } from './flags.ts'

import type { CompletionFlag, FlagValue } from './flags.ts'

/** The script: a file `_gneiss` in `fpath`, or for `source <(gneiss --completion zsh)` behind `compinit`. */
export function formatZsh(flags: readonly CompletionFlag[]): string {
  return `#compdef gneiss
# Completion of gneiss for zsh. In ~/.zshrc behind compinit: source <(gneiss --completion zsh)

_gneiss() {
  _arguments -s -S : \\
${flags.map((flag) => `    ${specOf(flag)} \\\n`).join('')}    '1:APP:_files -g "*.(${APPLICATION_EXTENSIONS.join('|')})"'
}

_gneiss_address() {
  if compset -P 'unix:'; then
    _files
  else
    compadd ${ADDRESSES.filter((address) => !address.endsWith(':')).join(' ')}
    compadd -S '' ${ADDRESSES.filter((address) => address.endsWith(':')).join(' ')}
  fi
}

if [[ $funcstack[1] == _gneiss ]]; then
  _gneiss "$@"
else
  compdef _gneiss gneiss
fi
`
}

function specOf(flag: CompletionFlag): string {
  const { name, short, doc, value, excludes } = flag
  const excluded = [
    ...excludes.map((other) => `--${other}`),
    ...(short !== undefined && excludes.length > 0 ? [`-${short}`] : []),
  ]
  const before = excluded.length === 0 ? "'*'" : `'(${excluded.join(' ')})'`
  const long = `--${name}${value === undefined ? '' : value.isAttached ? '=-' : '='}`
  const names = short === undefined ? long : `{-${short}${value === undefined ? '' : '+'},${long}}`
  return `${before}${names}'[${quote(doc)}]${value === undefined ? '' : actionOf(value)}'`
}

function actionOf(value: FlagValue): string {
  const { kind, words, isAttached, placeholder } = value
  return `${isAttached ? '::' : ':'}${placeholder}:${kind === 'words' ? `(${words.join(' ')})` : ACTIONS[kind]}`
}

const ACTIONS = { address: '_gneiss_address', directory: '_files -/', file: '_files', free: '' } as const

/** For a text in brackets and in single quotes. */
function quote(text: string): string {
  return text.replaceAll(/[\\[\]:]/g, String.raw`\$&`).replaceAll("'", String.raw`'\''`)
}
