/** Rules of docs/hardening.md: what proxies say, what leaves, faults of our own. A leaf. */

const OUTPUT = '__test__/output.spec.ts'
const ENDING = '__test__/ending.spec.ts'
const FORWARDED = 'crates/core/src/http1/forwarded_tests.rs'

/**
 * Rules that are no numbers, by their heading; each with file and name of the test that proves it.
 * @type {Readonly<Record<string, readonly (readonly [string, readonly [string, string]])[]>>}
 */
export const RULES = {
  'What proxies say': [
    [
      'ignored unless `forwardedAllowIps` names the peer',
      ['__test__/forwarded.spec.ts', 'sees the peer itself when nobody trusts it'],
    ],
    [
      'the rightmost address that is no trusted proxy is the client; what stands to its left is its own claim',
      [FORWARDED, 'the_client_is_the_rightmost_hop_that_is_no_trusted_proxy'],
    ],
    [
      'fields that are malformed or contradict each other: 400, before the application',
      ['__test__/forwarded.spec.ts', 'fields that contradict each other are refused before the application is called'],
    ],
    [
      'peers of Unix sockets have no address: they are trusted by the word `unix`',
      ['__test__/forwarded.spec.ts', 'the peers of a Unix socket are a word of their own'],
    ],
    [
      'both logs name the client that a trusted proxy names, and the peer where nobody trusts it',
      ['__test__/access-log-client.spec.ts', 'the client that a trusted proxy names'],
    ],
  ],
  'What leaves': [
    ['names are tokens; anything else throws at the call, and none of it goes out', [OUTPUT, 'a name %s is refused']],
    [
      'CR, LF, NUL, other controls and what is above Latin-1 in a value: the same',
      [OUTPUT, 'a value with %s is refused'],
    ],
    ['what is allowed goes out byte by byte as it was given', [OUTPUT, 'a value with %s passes byte by byte']],
    ['a status is an integer of 200 to 999', [OUTPUT, 'the status %d is refused']],
    [
      'trailers follow the same rule, and none of them frames, routes or describes the body',
      ['__test__/asgi-trailers.spec.ts', '%s is refused, and the answer can still end well'],
    ],
    [
      'framing is ours: `transfer-encoding`, `connection` but `close`, `keep-alive`, `upgrade`',
      [OUTPUT, '%s: %s belongs to the server'],
    ],
    ['`connection: close` is honoured', [OUTPUT, 'connection: close is honoured']],
    ['no byte of a body follows HEAD, 204 and 304', [OUTPUT, 'no byte of a body follows %s %d']],
    ['more bytes than `content-length` throw', [ENDING, 'more bytes than content-length promised cut the connection']],
    ['fewer are a cut', [ENDING, 'fewer bytes than content-length promised cut the connection']],
    [
      'a second answer throws, and the first one stands',
      [ENDING, 'a second answer throws ERR_RESPONSE_ALREADY_SENT or ERR_MESSAGE'],
    ],
    [
      'an error before the head is a 500 that says nothing',
      [ENDING, 'a throw before the head is a 500 that says nothing'],
    ],
    [
      'an error after the head is a cut: the body never looks complete',
      [ENDING, 'a throw after the head cuts the connection: the body never looks complete'],
    ],
    [
      'where only a reset shows a cut (HTTP/1.0), it is a reset',
      [ENDING, 'a throw after the head on HTTP/1.0 is a reset'],
    ],
    [
      'where not even that shows it (HTTP/1.0 on a Unix socket), the log says so',
      ['__test__/unix-cut.spec.ts', 'a stream to HTTP/1.0 that is cut on a Unix socket is a line in the log'],
    ],
    [
      'a send after the client has left rejects and never ends the process',
      [
        '__test__/rsgi.spec.ts',
        'after the client has gone sends reject, responses do nothing, and neither ends the process',
      ],
    ],
    [
      'log values are escaped; `authorization`, `cookie`, `set-cookie` and `proxy-*` are redacted',
      ['__test__/access-log.spec.ts', 'holds the atoms that were asked for, and keeps secrets back'],
    ],
  ],
  'Faults of our own': [
    [
      'a panic ends its connection, is counted in `panicsTotal`, and no other connection notices',
      ['crates/core/src/table.rs', 'a_panic_ends_its_connection_and_no_other'],
    ],
    ['`panicsTotal` is 0 behind every test', ['__test__/harness/gauges.ts', 'panicsTotal']],
    [
      'fourteen calls of the system or of Node that fail end what they were for and leave nothing behind',
      ['__test__/instruments/failpoints.spec.ts', 'a fault at the point'],
    ],
    [
      'where no descriptor is left, what is open goes on, accepting is tried again every 100 ms, and the log says so once a second',
      ['__test__/descriptors.spec.ts', 'without a free descriptor serves those who are in, does not spin'],
    ],
    ['overflow checks stay on in the release build', ['Cargo.toml', 'overflow-checks = true']],
    ['the engine has no `unsafe`', ['__test__/tidy.spec.ts', 'the engine forbids unsafe']],
    [
      '`unsafe` has two addresses, a reason at each place, and a number that only a decision raises',
      ['__test__/tidy.spec.ts', 'places: a new one is a decision'],
    ],
  ],
}
