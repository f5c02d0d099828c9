/** How our own helpers see the exchange behind a `receive` without taking a message of it. */
import type { Exchange } from '../exchange.ts'

/**
 * Given to `receive` in place of nothing, it is filled in and no message is taken. A `receive` that somebody
 * has wrapped knows nothing of it and gives a message instead.
 */
export class ExchangeProbe {
  /** Filled in by our own `receive`. */
  exchange: Exchange | undefined = undefined
}
