//! How the end of an answer is marked, and what the server writes on its own account.

use super::tests::{DATE, DATE_LINE, PLAIN, encoded, fault, plan, with};
use super::*;

#[test]
fn a_stream_is_framed_by_what_the_peer_understands() {
    let stream = AnswerHead {
        body: AnswerBody::Stream,
        ..PLAIN
    };
    assert_eq!(
        encoded(&stream),
        (
            "transfer-encoding: chunked\r\n\r\n".into(),
            plan(AnswerFraming::Chunked, true)
        )
    );
    let known = AnswerHead {
        body: AnswerBody::Stream,
        ..with("content-length:7\n")
    };
    assert_eq!(
        encoded(&known),
        (
            "content-length: 7\r\n\r\n".into(),
            plan(AnswerFraming::Length(7), true)
        )
    );
    let old = AnswerHead {
        version: Version::Http10,
        ..stream
    };
    assert_eq!(
        encoded(&old),
        (
            "connection: close\r\n\r\n".into(),
            plan(AnswerFraming::UntilClose, false)
        )
    );
    let old_known = AnswerHead {
        version: Version::Http10,
        ..known
    };
    assert_eq!(
        encoded(&old_known),
        (
            "content-length: 7\r\nconnection: keep-alive\r\n\r\n".into(),
            plan(AnswerFraming::Length(7), true)
        )
    );
}

#[test]
fn the_connection_field_says_what_happens() {
    for (version, keep_alive, line) in [
        (Version::Http11, true, ""),
        (Version::Http11, false, "connection: close\r\n"),
        (Version::Http10, true, "connection: keep-alive\r\n"),
        (Version::Http10, false, "connection: close\r\n"),
    ] {
        let (fields, found) = encoded(&AnswerHead {
            version,
            keep_alive,
            ..PLAIN
        });
        assert_eq!(fields, format!("content-length: 5\r\n{line}\r\n"));
        assert_eq!(found.keep_alive, keep_alive);
    }
}

#[test]
fn head_204_and_304_have_no_body() {
    let head = AnswerHead {
        is_head: true,
        ..PLAIN
    };
    let no_content = AnswerHead {
        status: 204,
        ..PLAIN
    };
    let not_modified = AnswerHead {
        status: 304,
        ..PLAIN
    };
    let none = plan(AnswerFraming::NoBody, true);
    for (answer, body, headers, fields) in [
        (head, AnswerBody::Whole(5), "", "content-length: 5\r\n\r\n"),
        (head, AnswerBody::Whole(0), "", "\r\n"),
        (head, AnswerBody::Stream, "", "\r\n"),
        (
            head,
            AnswerBody::Whole(0),
            "content-length:7\n",
            "content-length: 7\r\n\r\n",
        ),
        (
            head,
            AnswerBody::Stream,
            "content-length:7\n",
            "content-length: 7\r\n\r\n",
        ),
        (no_content, AnswerBody::Whole(5), "", "\r\n"),
        (
            no_content,
            AnswerBody::Whole(0),
            "a:b\ncontent-length:0\n",
            "a: b\r\n\r\n",
        ),
        (no_content, AnswerBody::Stream, "", "\r\n"),
        (not_modified, AnswerBody::Whole(0), "", "\r\n"),
        (not_modified, AnswerBody::Whole(5), "", "\r\n"),
        (
            not_modified,
            AnswerBody::Whole(0),
            "content-length:7\n",
            "content-length: 7\r\n\r\n",
        ),
    ] {
        let answer = AnswerHead {
            body,
            headers: headers.as_bytes(),
            count: headers.lines().count(),
            ..answer
        };
        assert_eq!(
            encoded(&answer),
            (fields.to_owned(), none),
            "{} {body:?} {headers:?}",
            answer.status
        );
    }
    let old = AnswerHead {
        version: Version::Http10,
        body: AnswerBody::Stream,
        ..head
    };
    assert!(
        encoded(&old).1.keep_alive,
        "nothing follows, so nothing must end by closing"
    );
    let bad = AnswerHead {
        is_head: true,
        ..with("content-length:x\n")
    };
    assert_eq!(fault(&bad), HeadFault::ContentLength { field: 0 });
}

#[test]
fn chunks_have_hexadecimal_sizes() {
    for size in [1, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 65_535, 65_536] {
        let mut out = Vec::new();
        encode_chunk(&mut out, &vec![b'x'; size]);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("{size:x}\r\n{}\r\n", "x".repeat(size))
        );
    }
    let mut out = Vec::new();
    encode_chunk(&mut out, b"");
    assert!(out.is_empty());
    encode_last_chunk(&mut out);
    assert_eq!(out, b"0\r\n\r\n");
}

#[test]
fn error_answers_of_the_server_are_complete() {
    for status in [400, 405, 408, 413, 414, 417, 431, 500, 501, 503, 504, 505] {
        let mut out = Vec::new();
        encode_refusal(&mut out, status, false, DATE);
        let text = String::from_utf8(out).unwrap();
        let (fields, body) = text.split_once("\r\n\r\n").unwrap();
        let phrase = reason_phrase(status);
        assert!(
            fields.starts_with(&format!("HTTP/1.1 {status} {phrase}\r\n{DATE_LINE}")),
            "{fields}"
        );
        assert!(fields.contains(&format!("\r\ncontent-length: {}\r\n", phrase.len())));
        assert!(fields.ends_with("\r\nconnection: close"));
        assert_eq!(body, phrase);
        assert!(!phrase.is_empty());
        assert_eq!(fields.contains("\r\nallow: GET, "), status == 405);
        assert_eq!(fields.contains("\r\nretry-after: "), status == 503);
        let mut out = Vec::new();
        encode_refusal(&mut out, status, true, DATE);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{fields}\r\n\r\n"));
    }
    for method in crate::http1::METHODS.iter().skip(1) {
        assert!(std::str::from_utf8(ALLOW).unwrap().contains(method));
    }
}

#[test]
fn the_interim_answer_is_a_status_line() {
    let mut out = Vec::new();
    encode_continue(&mut out);
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
}
