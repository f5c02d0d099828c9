/** Rows of the table: when requests are turned away. A leaf. */
export const OVERLOAD = {
  maxQueue: {
    type: 'integer',
    default: 1024,
    range: [1, 1_000_000],
    zero: 'no limit',
    doc: 'Requests that may wait for JavaScript in one worker, else 503.',
  },
  maxQueueWait: {
    type: 'duration',
    default: 10,
    range: [0.1, 604_800],
    zero: 'off',
    doc: 'Longest wait of a request for JavaScript, real or predicted, else 503.',
  },
  shedExempt: {
    type: 'string',
    form: 'prefix',
    default: [],
    repeatable: true,
    placeholder: 'PATH',
    doc: 'Path that is never answered 503 for want of time, with all below it.',
  },
} as const
