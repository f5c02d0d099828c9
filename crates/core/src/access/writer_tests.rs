use super::*;

fn line(format: &str, record: &Record, pieces: &[Option<&[u8]>]) -> String {
    let mut text = Vec::new();
    for piece in pieces {
        match piece {
            Some(piece) => {
                text.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_le_bytes());
                text.extend_from_slice(piece);
            }
            None => text.extend_from_slice(&u32::MAX.to_le_bytes()),
        }
    }
    let mut out = Vec::new();
    let format = Format::parse(format).unwrap();
    format.write_line(&mut out, record, &text, &mut HttpDate::new(0));
    String::from_utf8(out).unwrap()
}

fn served() -> Record {
    Record {
        unix_milliseconds: 1_795_875_437_042,
        microseconds: 1_234_567,
        status: 200,
        minor: Some(1),
        sent: 5,
        received: 40,
        length: 0,
    }
}

const PIECES: [Option<&[u8]>; 6] = [
    Some(b"127.0.0.1"),
    Some(b"GET"),
    Some(b"/a?b=c"),
    Some(b"id-1"),
    Some(b"http://x/"),
    Some(b"curl \"8\"\x1b"),
];

#[test]
fn the_named_formats() {
    assert_eq!(
        line("combined", &served(), &PIECES),
        "127.0.0.1 - - [28/Nov/2026:14:17:17 +0000] \"GET /a?b=c HTTP/1.1\" 200 5 \"http://x/\" \
         \"curl \\\"8\\\"\\x1b\"\n"
    );
    assert_eq!(
        line("common", &served(), &PIECES),
        "127.0.0.1 - - [28/Nov/2026:14:17:17 +0000] \"GET /a?b=c HTTP/1.1\" 200 5\n"
    );
    assert_eq!(
        line("json", &served(), &PIECES),
        "{\"time\":\"2026-11-28T14:17:17.042Z\",\"id\":\"id-1\",\"remote\":\"127.0.0.1\",\"method\":\"GET\",\
         \"path\":\"/a\",\"query\":\"b=c\",\"protocol\":\"HTTP/1.1\",\"referer\":\"http://x/\",\
         \"agent\":\"curl \\\"8\\\"\\u001b\",\"status\":200,\"sent\":5,\"received\":40,\"duration_us\":1234567}\n"
    );
}

#[test]
fn every_atom() {
    let format = "%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(T)s|%(M)s|%(D)s|%(L)s|%(id)s|%({a}i)s|%({b}o)s";
    let pieces = [&PIECES[..4], &[None], &[Some(b"out".as_slice())]].concat();
    let empty = Record {
        sent: 0,
        ..served()
    };
    assert_eq!(
        line(format, &empty, &pieces),
        "GET|/a|b=c|HTTP/1.1|200|0|-|1|1234|1234567|1.234567|id-1|-|out\n"
    );
    let pid = std::process::id();
    assert_eq!(line("%(p)s", &served(), &PIECES), format!("<{pid}>\n"));
}

#[test]
fn a_line_that_was_no_request_line_is_shown_and_claims_nothing() {
    let refused = Record {
        status: 400,
        minor: None,
        ..served()
    };
    let pieces = [
        PIECES[0],
        Some(b"".as_slice()),
        Some(b"\x16\x03 \"".as_slice()),
        PIECES[3],
        None,
        None,
    ];
    assert_eq!(
        line("%(m)s %(U)s \"%(r)s\" %(H)s %(s)s", &refused, &pieces),
        "- - \"\\x16\\x03 \\\"\" - 400\n"
    );
    let json = line("json", &refused, &pieces);
    assert!(
        json.contains("\"line\":\"\\u0016\\u0003 \\\"\",\"status\":400"),
        "{json}"
    );
    assert!(!json.contains("method"), "{json}");
}
