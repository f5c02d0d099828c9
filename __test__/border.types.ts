/**
 * Compiled and never run: what `native.ts` says of the cold calls is what the addon declares. A field
 * or function that only one side knows does not compile.
 */
import type * as generated from '../src/native/addon.mjs'
import type { Native, NativeAddress, NativeBind, NativeConfig } from '../dist/native.js'

type HotCalls = 'respond' | 'start' | 'chunk' | 'end' | 'reset' | 'takeBody' | 'extend' | 'giveTurn'

/** `true` if the types accept each other's values, else a type that `true` is not assignable to. */
type Same<Left, Right> = [Left, Right] extends [Right, Left] ? true : { readonly left: Left; readonly right: Right }

const addresses: Same<NativeAddress, generated.NativeAddress> = true
const bind: Same<NativeBind, generated.NativeBind> = true
const config: Same<NativeConfig, generated.NativeConfig> = true
const calls: Same<Exclude<keyof Native, HotCalls>, keyof typeof generated> = true
const listen: Same<Parameters<Native['listen']>[0], Parameters<typeof generated.listen>[0]> = true

export const agreed: readonly true[] = [addresses, bind, config, calls, listen]
