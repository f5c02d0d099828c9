/** Any `Response` through another interface than the one it was made for. */
import { closeBody } from '../bridge/source.ts'
import { GneissError, errorCodeOf, typeErrorOf } from '../errors.ts'
import { isHeld } from '../fetch/body.ts'
import { headToSend, partsOf } from '../fetch/parts.ts'
import { sendUnheld } from '../fetch/send.ts'
import { methodOf } from '../scope.ts'

import type { Answer } from '../bridge/answer.ts'
import type { Exchange } from '../exchange.ts'
import type { ResponseHead } from '../fetch/head.ts'

/** How a response leaves: what is the interface's own. */
export interface Way {
  /** The exchange behind it, unless somebody has wrapped what the interface gave. */
  readonly exchange: Exchange | undefined
  /** Called once, when the response is known to be one. */
  readonly answerOf: (status: number, head: ResponseHead) => Answer
}

/**
 * Sends `response` and settles when it is out, or when the client has gone.
 * @throws (rejects with) `ERR_RESPONSE` for what is no response, `ERR_BODY_USED` for one that was read before, what the
 *   interface refuses, and what the body's source throws.
 */
export async function sendThrough(response: unknown, { exchange, answerOf }: Way): Promise<void> {
  const { status, source, head, isError, isUsed } = headToSend(partsOf(response))
  if (isError) throw new GneissError('ERR_RESPONSE', 'Response.error() is no response that can be sent.')
  if (isUsed) throw typeErrorOf('ERR_BODY_USED', 'The body of the Response is locked or was read before.')
  const answer = answerOf(status, head)
  try {
    if (source === null || isHeld(source)) {
      await answer.respond(source ?? undefined)
    } else if (status === 204 || status === 304 || (exchange !== undefined && methodOf(exchange) === 'HEAD')) {
      closeBody(source)
      await answer.respond(undefined)
    } else {
      await sendUnheld(answer, source)
    }
  } catch (error) {
    if (exchange?.abortError === undefined && errorCodeOf(error) !== 'ERR_CLIENT_DISCONNECTED') throw error
  }
}

/** Says through the server's log where there is one, and else as a warning of the process. */
export function reportLate(exchange: Exchange | undefined, error: unknown): void {
  const text = 'a response source failed while it was closed'
  if (exchange !== undefined) exchange.host.log.error(text, error)
  else process.emitWarning(`${text}: ${String(error)}`, { code: 'GNEISS_SOURCE' })
}
