/** Completion for fish. */
import { ADDRESSES, APPLICATION_EXTENSIONS } from './flags.ts'

import type { CompletionFlag, FlagValue } from './flags.ts'

/** The script: a file `gneiss.fish` in the directory of completions, or for `gneiss --completion fish | source`. */
export function formatFish(flags: readonly CompletionFlag[]): string {
  return `# Completion of gneiss for fish. In config.fish: gneiss --completion fish | source

function __gneiss_app
  for path in (__fish_complete_path (commandline -ct))
    string match -qr '(/|\\.(${APPLICATION_EXTENSIONS.join('|')}))$' -- (string split -f 1 \\t -- $path)
    and echo $path
  end
end

function __gneiss_address
  set -l typed (commandline -ct | string replace -r '^(--bind=|-b)' '')
  if string match -q 'unix:*' -- $typed
    for path in (__fish_complete_path (string sub -s 6 -- $typed))
      echo unix:$path
    end
  else
    string join \\n ${ADDRESSES.join(' ')}
  end
end

complete -c gneiss -e
complete -c gneiss -f -a '(__gneiss_app)'
${flags.map(lineOf).join('')}`
}

function lineOf({ name, short, doc, value }: CompletionFlag): string {
  const names = `${short === undefined ? '' : `-s ${short} `}-l ${name}`
  return `complete -c gneiss ${names}${value === undefined ? '' : valueOf(value)} -d '${quote(doc)}'\n`
}

/** A value that only follows = is one that fish may take or leave. */
function valueOf({ kind, words, isAttached }: FlagValue): string {
  const needed = isAttached ? '-f' : '-x'
  switch (kind) {
    case 'address':
      return ` ${needed} -a '(__gneiss_address)'`
    case 'directory':
      return ` ${needed} -a '(__fish_complete_directories (commandline -ct))'`
    case 'file':
      return ' -r -F'
    case 'words':
      return ` ${needed} -a '${words.join(' ')}'`
    case 'free':
      return ` ${needed}`
  }
}

function quote(text: string): string {
  return text.replaceAll(/[\\']/g, String.raw`\$&`)
}
