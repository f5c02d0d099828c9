//! The rows of the HTTP/1 grid that concern bodies, each also fed byte by byte and with little room.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow in a test fails the test"
)]

use proptest::prelude::*;

use super::*;
use crate::http1::encode::{encode_chunk, encode_last_chunk};
use crate::http1::refusal::Refusal as R;

const LIMITS: TrailerLimits = TrailerLimits {
    bytes: 16 * 1024,
    fields: 32,
};

/// Payload and bytes consumed, or the refusal, when the input arrives in pieces of `piece` bytes.
fn decode_pieces(
    framing: BodyFraming,
    input: &[u8],
    piece: usize,
    room: usize,
) -> Result<(Vec<u8>, usize), R> {
    let mut decoder = BodyDecoder::new(framing, LIMITS);
    let mut payload = Vec::new();
    let mut consumed = 0;
    let mut received = 0;
    while !decoder.is_done() {
        let before = (consumed, payload.len());
        consumed += decoder.decode(&input[consumed..received], room, &mut payload)?;
        assert!(payload.len() - before.1 <= room);
        if before == (consumed, payload.len()) && !decoder.is_done() {
            assert!(
                received < input.len(),
                "incomplete: {}",
                input.escape_ascii()
            );
            assert_eq!(
                consumed, received,
                "bytes were left although there was room"
            );
            received = (received + piece).min(input.len());
        }
    }
    Ok((payload, consumed))
}

fn decode(framing: BodyFraming, input: &[u8]) -> Result<(Vec<u8>, usize), R> {
    let whole = decode_pieces(framing, input, usize::MAX / 2, usize::MAX);
    assert_eq!(
        decode_pieces(framing, input, 1, usize::MAX),
        whole,
        "byte by byte: {}",
        input.escape_ascii()
    );
    assert_eq!(
        decode_pieces(framing, input, 7, 1),
        whole,
        "with little room: {}",
        input.escape_ascii()
    );
    whole
}

fn chunked(input: &str) -> Result<(Vec<u8>, usize), R> {
    decode(BodyFraming::Chunked, input.as_bytes())
}

#[test]
fn a_known_length_ends_exactly_there() {
    let mut decoder = BodyDecoder::new(BodyFraming::Length(5), LIMITS);
    let mut payload = Vec::new();
    assert_eq!(decoder.decode(b"hel", 2, &mut payload), Ok(2));
    assert!(!decoder.is_done());
    assert_eq!(decoder.decode(b"l", 0, &mut payload), Ok(0));
    assert_eq!(decoder.decode(b"lloGET /", 100, &mut payload), Ok(3));
    assert!(decoder.is_done());
    assert_eq!(decoder.decode(b"GET /", 100, &mut payload), Ok(0));
    assert_eq!(payload, b"hello");
}

#[test]
fn no_body_and_an_empty_one_are_done_at_once() {
    for framing in [BodyFraming::None, BodyFraming::Length(0)] {
        assert!(BodyDecoder::new(framing, LIMITS).is_done());
    }
}

#[test]
fn chunks_are_joined_and_the_next_request_is_left_alone() {
    for (input, payload) in [
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        (
            "5\r\nhello\r\n0A\r\n, chunked!\r\n000\r\n\r\n",
            "hello, chunked!",
        ),
        ("0\r\n\r\n", ""),
        ("0000000000000001\r\nx\r\n0\r\n\r\n", "x"),
        ("1;a=b;c=\"d;\\\"\te\u{e9}\"\r\nx\r\n0;z\r\n\r\n", "x"),
        ("1 \t;a\r\nx\r\n0 ;\r\n\r\n", "x"),
        ("1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", "\r\n"),
    ] {
        let piped = format!("{input}GET / HTTP/1.1\r\n");
        assert_eq!(
            chunked(&piped),
            Ok((payload.as_bytes().to_vec(), input.len())),
            "{input:?}"
        );
    }
}

#[test]
fn rows_14_to_16_malformed_chunks() {
    for (input, expected) in [
        ("0x2\r\nab\r\n0\r\n\r\n", R::ChunkSize),
        ("-1\r\nab\r\n", R::ChunkSize),
        ("+2\r\nab\r\n", R::ChunkSize),
        ("2_0\r\nab\r\n", R::ChunkSize),
        ("00000000000000002\r\nab\r\n", R::ChunkSize),
        ("10000000000000000\r\nab\r\n", R::ChunkSize),
        ("\r\nab", R::ChunkSize),
        (";a\r\nab", R::ChunkSize),
        (" 2\r\nab", R::ChunkSize),
        ("2 \r\nab", R::ChunkSize),
        ("2 2\r\nab", R::ChunkSize),
        ("g\r\nab", R::ChunkSize),
        ("2\nab\r\n", R::ChunkSize),
        ("2\rab", R::ChunkSize),
        ("0\n\n", R::ChunkSize),
        ("2;a\nab\r\n", R::ChunkExtension),
        ("2;a\0\r\nab\r\n", R::ChunkExtension),
        ("2;a\r\rab", R::ChunkSize),
        ("2\r\nabc\r\n", R::ChunkEnd),
        ("2\r\nab\n0\r\n", R::ChunkEnd),
        ("2\r\nab\rc", R::ChunkEnd),
        ("2\r\nab0\r\n\r\n", R::ChunkEnd),
    ] {
        assert_eq!(chunked(input), Err(expected), "{input:?}");
        assert_eq!(expected.status(), 400);
    }
}

#[test]
fn row_17_extensions_have_one_limit_for_the_whole_body() {
    let body = |extension: usize, chunks: usize| {
        format!("1;{}\r\nx\r\n", "e".repeat(extension)).repeat(chunks) + "0\r\n\r\n"
    };
    assert_eq!(
        chunked(&body(EXTENSION_BYTES - 1, 1)).map(|(payload, _)| payload.len()),
        Ok(1)
    );
    assert_eq!(
        chunked(&body(EXTENSION_BYTES, 1)),
        Err(R::ChunkExtensionsTooLong)
    );
    assert_eq!(
        chunked(&body(0, EXTENSION_BYTES)).map(|(payload, _)| payload.len()),
        Ok(EXTENSION_BYTES)
    );
    assert_eq!(
        chunked(&body(0, EXTENSION_BYTES + 1)),
        Err(R::ChunkExtensionsTooLong)
    );
    let endless = format!("1{}", " ".repeat(EXTENSION_BYTES + 1));
    assert_eq!(chunked(&endless), Err(R::ChunkExtensionsTooLong));
    // Whichever comes first is reported: a fault behind the limit is not looked at.
    let behind = format!("1;{}\0", "e".repeat(EXTENSION_BYTES));
    assert_eq!(chunked(&behind), Err(R::ChunkExtensionsTooLong));
    let fault = format!("1;\0{}", "e".repeat(EXTENSION_BYTES));
    assert_eq!(chunked(&fault), Err(R::ChunkExtension));
}

#[test]
fn row_18_trailers_are_judged_and_dropped() {
    for trailers in [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nHost: a\r\nHost: b\r\n",
        "Authorization: a\r\nCookie: b\r\n",
        "A:\r\nX-B:\t\u{e9} \r\n",
    ] {
        let input = format!("1\r\nx\r\n0\r\n{trailers}\r\n");
        assert_eq!(
            chunked(&format!("{input}next")),
            Ok((b"x".to_vec(), input.len())),
            "{trailers:?}"
        );
    }
    for trailers in [
        "A\r\n",
        ":a\r\n",
        "A : b\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\n",
        "A: \0\r\n",
        "A: b\rc\r\n",
        "A: b\r\r\n",
        "\n",
        "\r\r",
        "A\0: b\r\n",
    ] {
        assert_eq!(
            chunked(&format!("0\r\n{trailers}\r\n")),
            Err(R::Trailer),
            "{trailers:?}"
        );
    }
}

#[test]
fn trailers_have_limits_of_bytes_and_of_fields() {
    let fields = |count: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(chunked(&fields(LIMITS.fields)).is_ok());
    assert_eq!(chunked(&fields(LIMITS.fields + 1)), Err(R::TrailersTooMany));
    let bytes = |count: usize| format!("0\r\na:{}\r\n\r\n", "b".repeat(count - 4));
    assert!(chunked(&bytes(LIMITS.bytes)).is_ok());
    assert_eq!(chunked(&bytes(LIMITS.bytes + 1)), Err(R::TrailersTooLong));
    assert_eq!(
        chunked(&format!("0\r\n{}", "a".repeat(LIMITS.bytes + 1))),
        Err(R::TrailersTooLong)
    );
    let behind = format!("0\r\na:{}\0", "b".repeat(LIMITS.bytes));
    assert_eq!(chunked(&behind), Err(R::TrailersTooLong));
    // Extension bytes of the chunks before do not count as trailers.
    let both = format!(
        "1;{}\r\nx\r\n{}",
        "e".repeat(EXTENSION_BYTES - 1),
        bytes(LIMITS.bytes)
    );
    assert!(chunked(&both).is_ok());
}

/// Bytes that are mostly those of chunked framing.
fn nearly_chunked() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "1\r\nx\r\n",
        "2\r\nxy\r\n",
        "0\r\n",
        "\r\n",
        "A: b\r\n",
        "3;e=f\r\n",
        "abc",
        "10\r\n0123456789abcdef\r\n",
        ";",
        " ",
        "\n",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

/// As `decode_pieces`, for bytes that may end before the message does.
fn decode_any(input: &[u8], ends: &[usize], room: usize) -> (Result<bool, R>, Vec<u8>, usize) {
    let mut decoder = BodyDecoder::new(BodyFraming::Chunked, LIMITS);
    let mut payload = Vec::new();
    let mut consumed = 0;
    for end in ends.iter().copied().chain([input.len()]) {
        loop {
            match decoder.decode(&input[consumed..end.max(consumed)], room, &mut payload) {
                Ok(0) => break,
                Ok(count) => consumed += count,
                // How much of the piece was consumed before the fault is nobody's business.
                Err(refusal) => return (Err(refusal), Vec::new(), 0),
            }
        }
    }
    (Ok(decoder.is_done()), payload, consumed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_was_encoded_comes_back(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..6),
        piece in 1..40_usize,
        room in 1..50_usize,
    ) {
        let mut wire = Vec::new();
        for piece in &pieces {
            encode_chunk(&mut wire, piece);
        }
        encode_last_chunk(&mut wire);
        let length = wire.len();
        wire.extend_from_slice(b"next");
        prop_assert_eq!(decode_pieces(BodyFraming::Chunked, &wire, piece, room), Ok((pieces.concat(), length)));
    }

    #[test]
    fn cuts_and_room_change_nothing(
        input in prop_oneof![nearly_chunked(), prop::collection::vec(any::<u8>(), 0..40)],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        room in 1..20_usize,
    ) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        ends.sort_unstable();
        let whole = decode_any(&input, &[], usize::MAX);
        prop_assert_eq!(&decode_any(&input, &ends, room), &whole);
        let bytewise: Vec<usize> = (1..input.len()).collect();
        prop_assert_eq!(&decode_any(&input, &bytewise, usize::MAX), &whole);
    }
}
