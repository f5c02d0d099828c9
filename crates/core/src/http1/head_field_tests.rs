//! The rows of the HTTP/1 grid that concern the fields the server itself understands.

use super::tests::{accepted, assert_field_refused, assert_refused, judge, with};
use super::*;
use crate::http1::refusal::Refusal as R;

#[test]
fn rows_1_to_9_framing() {
    assert_field_refused(&[
        (
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            R::LengthAndEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            R::LengthAndEncoding,
        ),
        (
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            R::ContentLengthTwice,
        ),
        (
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            R::ContentLengthTwice,
        ),
        ("Content-Length: 2, 2\r\n", R::ContentLength),
        ("Content-Length: +2\r\n", R::ContentLength),
        ("Content-Length: -1\r\n", R::ContentLength),
        ("Content-Length: 0x2\r\n", R::ContentLength),
        ("Content-Length:\r\n", R::ContentLength),
        ("Content-Length: 1 2\r\n", R::ContentLength),
        ("Content-Length: 10000000000000000000\r\n", R::ContentLength),
        ("Content-Length: 00000000000000000002\r\n", R::ContentLength),
        ("Transfer-Encoding: xchunked\r\n", R::TransferEncoding),
        ("Transfer-Encoding: chunkedx\r\n", R::TransferEncoding),
        (
            "Transfer-Encoding: chunked, identity\r\n",
            R::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            R::TransferEncoding,
        ),
        ("Transfer-Encoding: \"chunked\"\r\n", R::TransferEncoding),
        ("Transfer-Encoding: chunked;q=1\r\n", R::TransferEncoding),
        ("Transfer-Encoding: ,chunked\r\n", R::TransferEncoding),
        ("Transfer-Encoding: chunked,\r\n", R::TransferEncoding),
        ("Transfer-Encoding: identity\r\n", R::TransferEncoding),
        ("Transfer-Encoding: gzip\r\n", R::TransferEncoding),
        ("Transfer-Encoding:\r\n", R::TransferEncoding),
        ("Transfer-Encoding: \x0bchunked\r\n", R::FieldValue),
        (
            "Transfer-Encoding: identity, chunked\r\n",
            R::TransferEncodingUnsupported,
        ),
        (
            "Transfer-Encoding: gzip\t,\tchunked\r\n",
            R::TransferEncodingUnsupported,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            R::TransferEncodingTwice,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            R::TransferEncodingTwice,
        ),
    ]);
    assert_refused(&[(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        R::TransferEncodingOnHttp10,
    )]);
    for (fields, framing) in [
        ("", BodyFraming::None),
        ("Content-Length: 0\r\n", BodyFraming::None),
        ("Content-Length:\t2 \t\r\n", BodyFraming::Length(2)),
        (
            "content-length: 0000000000000000002\r\n",
            BodyFraming::Length(2),
        ),
        (
            "Content-Length: 9999999999999999999\r\n",
            BodyFraming::Length(9_999_999_999_999_999_999),
        ),
        ("Transfer-Encoding: chunked\r\n", BodyFraming::Chunked),
        ("TRANSFER-ENCODING:\tCHUNKED\t\r\n", BodyFraming::Chunked),
    ] {
        assert_eq!(with(fields).unwrap().0.framing, framing, "{fields:?}");
    }
}

#[test]
fn rows_19_to_21_host() {
    assert_refused(&[
        ("GET / HTTP/1.1\r\n\r\n", R::HostMissing),
        ("GET http://a/ HTTP/1.1\r\n\r\n", R::HostMissing),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", R::HostTwice),
        ("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", R::HostTwice),
    ]);
    for host in [
        "a/b@c", "a?b", "a#b", "a b", "a@b", ":80", "a:b", "a:65536", "[::1", "\u{e9}",
    ] {
        let input = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(
            judge(input.as_bytes()).err(),
            Some(R::HostInvalid),
            "{host:?}"
        );
    }
    accepted("GET / HTTP/1.0\r\n\r\n");
    accepted("GET / HTTP/1.1\r\nHost:\r\n\r\n");
}

#[test]
fn row_30_any_method_may_have_a_body() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let (head, ..) = accepted(&format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
        ));
        assert_eq!(head.framing, BodyFraming::Length(3));
    }
}

#[test]
fn row_33_expect() {
    let expects = |fields: &str| with(fields).map(|(head, ..)| head.expect_continue);
    assert_eq!(
        expects("Expect: 100-Continue\r\nContent-Length: 1\r\n"),
        Ok(true)
    );
    assert_eq!(
        expects("Content-Length: 1\r\nExpect:\t100-continue\t\r\n"),
        Ok(true)
    );
    assert_eq!(
        expects("Expect: 100-continue\r\n"),
        Ok(false),
        "nobody waits to send nothing"
    );
    for other in ["200-ok", "", "100-continue, a", "100-continue;a=b"] {
        assert_eq!(
            expects(&format!("Expect: {other}\r\nContent-Length: 1\r\n")),
            Err(R::Expectation),
            "{other:?}"
        );
    }
    let (head, ..) =
        accepted("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert!(!head.expect_continue, "HTTP/1.0 has no interim answers");
}

#[test]
fn connection_is_a_list_with_tabs_and_spaces() {
    for (version, value, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "close", false),
        ("1.1", "Close", false),
        ("1.1", "\tclose\t", false),
        ("1.1", "foo ,\tCLOSE\t, bar", false),
        ("1.1", "keep-alive, close", false),
        ("1.1", "closed", true),
        ("1.0", "", false),
        ("1.0", "keep-alive", true),
        ("1.0", "Keep-Alive\t", true),
        ("1.0", "keep-alive, close", false),
        ("1.0", "keep-alive\r\nConnection: close", false),
    ] {
        let (head, ..) = accepted(&format!(
            "GET / HTTP/{version}\r\nHost: a\r\nConnection:{value}\r\n\r\n"
        ));
        assert_eq!(head.keep_alive, keep_alive, "{version} {value:?}");
    }
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    let upgrades = |fields: &str| with(fields).unwrap().0.upgrade;
    assert!(upgrades(
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    ));
    assert!(!upgrades("Upgrade: websocket\r\n"));
    assert!(!upgrades("Connection: upgrade\r\n"));
    let (head, ..) =
        accepted("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(!head.upgrade);
}
