//! What a peer and an application say in the schedules of a connection.

/// Requests and pieces of them; the fuzzer finds others by itself.
pub(super) const TEXTS: [&[u8]; 16] = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /x?y HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"5;x=y\r\nhello\r\n",
    b"0\r\nt: v\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    b"hello",
    b"QUERY http://b/c HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n",
    b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"BAD\x00",
];

/// Field lines of answers, good and bad.
pub(super) const FIELDS: [(&[u8], usize); 12] = [
    (b"", 0),
    (b"content-type:text/plain\n", 1),
    (b"Content-Length:5\n", 1),
    (b"content-length:5\nContent-Length:5\n", 2),
    (b"connection:close\n", 1),
    (b"connection:keep-alive\n", 1),
    (b"transfer-encoding:chunked\n", 1),
    (b"x:a\nb\n", 1),
    (b"x:a\rb\n", 1),
    (b"bad name:x\n", 1),
    (b"date:now\nserver:me\n", 2),
    (b"content-length:x\n", 1),
];

pub(super) const STATUSES: [u16; 8] = [200, 204, 304, 404, 999, 100, 199, 1000];
