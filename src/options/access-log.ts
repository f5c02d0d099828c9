/** Rows of the table: where requests are logged. A leaf. */
export const ACCESS_LOG = {
  accessLog: {
    type: 'string',
    default: null,
    placeholder: 'FILE',
    doc: 'File of the access log, or - for stdout; there is none unless named.',
  },
  accessLogFormat: {
    type: 'string',
    default: 'combined',
    placeholder: 'FORMAT',
    doc: 'Line of the access log: common, combined, json, or text with atoms of Gunicorn such as %(h)s.',
  },
} as const
