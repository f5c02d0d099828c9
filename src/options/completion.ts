/** Scripts that make a shell complete the command, printed from the table: `--completion`. */
import { formatBash } from './completion/bash.ts'
import { formatFish } from './completion/fish.ts'
import { completionFlags } from './completion/flags.ts'
import { formatZsh } from './completion/zsh.ts'

import type { Shell } from './arguments.ts'
import type { CompletionFlag } from './completion/flags.ts'

const FORMATS: Readonly<Record<Shell, (flags: readonly CompletionFlag[]) => string>> = {
  bash: formatBash,
  fish: formatFish,
  zsh: formatZsh,
}

/** The script for a shell, to be evaluated when it starts. */
export function formatCompletion(shell: Shell): string {
  return FORMATS[shell](completionFlags())
}
