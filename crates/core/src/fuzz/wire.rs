//! Reads what was put on the wire as a strict client does.

/// What a client makes of the bytes of one connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Status of each final answer whose head is complete.
    pub(super) statuses: Vec<u16>,
    /// The last answer lacks bytes that its head promised.
    pub(super) is_cut: bool,
}

/// `heads` tells of each reported request whether it was HEAD. An answer beyond them is a refusal.
pub(super) fn read(mut bytes: &[u8], heads: &[bool]) -> Read {
    let mut read = Read::default();
    while !bytes.is_empty() {
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            read.is_cut = true;
            return read;
        };
        let head = &bytes[..end];
        bytes = &bytes[end + 4..];
        let fields = fields(head);
        let status: u16 = std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
        if status < 200 {
            assert_eq!((status, fields.len()), (100, 0));
            continue;
        }
        let request = heads.get(read.statuses.len()).copied();
        read.statuses.push(status);
        let only = |name: &str| {
            let mut values = fields.iter().filter(|(found, _)| found == name);
            let value = values.next().map(|(_, value)| value.as_str());
            assert_eq!(values.next(), None, "{name} occurs twice");
            value
        };
        let length = only("content-length").map(|value| value.parse::<usize>().unwrap());
        let encoding = only("transfer-encoding");
        let _ = (only("date"), only("connection"));
        assert!(encoding.is_none() || length.is_none());
        // A head that could not be read may have been one of HEAD.
        let is_bodyless = request == Some(true)
            || matches!(status, 204 | 304)
            || (request.is_none() && bytes.is_empty());
        let rest = match (is_bodyless, encoding, length) {
            (true, ..) => Some(bytes),
            (_, Some("chunked"), _) => chunks(bytes),
            (_, Some(other), _) => panic!("transfer-encoding {other}"),
            (_, None, Some(length)) => bytes.get(length..),
            (_, None, None) => Some(&bytes[..0]),
        };
        let Some(rest) = rest else {
            read.is_cut = true;
            return read;
        };
        bytes = rest;
    }
    read
}

fn fields(head: &[u8]) -> Vec<(String, String)> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status = lines.next().unwrap();
    assert!(status.starts_with(b"HTTP/1.1 ") && status.get(12) == Some(&b' '));
    lines
        .map(|line| {
            assert!(
                line.iter()
                    .all(|byte| *byte == b'\t' || !byte.is_ascii_control())
            );
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            assert!(colon > 0 && line[..colon].iter().all(u8::is_ascii_graphic));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_ascii_lowercase();
            (text(&line[..colon]), text(&line[colon + 1..]))
        })
        .collect()
}

/// What follows a chunked body; none when it has no end.
fn chunks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let end = find(bytes, b"\r\n")?;
        let digits = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(digits, 16).unwrap();
        bytes = &bytes[end + 2..];
        if size == 0 {
            break;
        }
        bytes = bytes.get(size..)?;
        assert!(bytes.starts_with(b"\r\n") || bytes.len() < 2);
        bytes = bytes.get(2..)?;
    }
    loop {
        let end = find(bytes, b"\r\n")?;
        bytes = &bytes[end + 2..];
        if end == 0 {
            return Some(bytes);
        }
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}
