/** Limits of what a client may send and what is held for it: a part of the table. A leaf. */

/** Rows of the table. */
export const LIMIT_OPTIONS = {
  limitRequestHead: {
    type: 'size',
    default: 32_768,
    range: [256, 1_048_576],
    doc: 'Whole request head, else 431.',
  },
  limitRequestLine: {
    type: 'size',
    default: 8192,
    range: [16, 1_048_576],
    doc: 'Request line, else 414.',
  },
  limitRequestFieldSize: {
    type: 'size',
    default: 8192,
    range: [16, 1_048_576],
    doc: 'One field of the request head, else 431.',
  },
  limitRequestFields: {
    type: 'integer',
    default: 100,
    range: [1, 10_000],
    doc: 'Number of fields in the request head, else 431.',
  },
  limitTrailers: {
    type: 'size',
    default: 16_384,
    range: [16, 1_048_576],
    doc: 'All trailer fields of a request body, else 400.',
  },
  limitTrailerFields: {
    type: 'integer',
    default: 32,
    range: [1, 10_000],
    doc: 'Number of trailer fields of a request body, else 400.',
  },
  maxBody: {
    type: 'size',
    default: 16_777_216,
    range: [1, 1_099_511_627_776],
    doc: 'Request body, else 413.',
  },
  maxBodyRoutes: {
    type: 'string',
    form: 'route',
    default: [],
    flag: 'max-body-route',
    repeatable: true,
    placeholder: 'PATH=SIZE',
    doc: 'Path whose request bodies have another limit than maxBody, with all below it; the longest path counts.',
  },
  bodyReadAhead: {
    type: 'size',
    default: 65_536,
    range: [1024, 1_073_741_824],
    doc: 'Request body held for an application that has not read it yet.',
  },
  streamBuffer: {
    type: 'size',
    default: 262_144,
    range: [1024, 1_073_741_824],
    doc: 'Answer held for a client that has not read it yet.',
  },
} as const
