//! The request line, the forms of a request target, and the syntax of Host.

use std::net::Ipv6Addr;

use memchr::memchr;

use super::field::is_token;
use super::head::{METHODS, Version};
use super::refusal::Refusal;
use super::scan::target_len;

/// A request line that was accepted.
pub(super) struct RequestLine<'a> {
    /// Position in `METHODS`, 0 for a method that is not in it.
    pub(super) code: u8,
    pub(super) method: &'a [u8],
    pub(super) target: Target<'a>,
    pub(super) version: Version,
}

/// The forms of a request target that are served (RFC 9112 section 3.2).
pub(super) enum Target<'a> {
    /// `http://authority/path?query`, as a proxy receives it and a server must accept it.
    Absolute {
        raw: &'a [u8],
        authority: &'a [u8],
        /// What follows the authority: empty, or beginning with `/` or `?`.
        path: &'a [u8],
    },
    /// `*`: the server as a whole.
    Asterisk,
    /// `/path?query`.
    Origin(&'a [u8]),
}

/// Splits and checks a request line without its line end.
#[inline]
pub(super) fn parse_request_line(line: &[u8]) -> Result<RequestLine<'_>, Refusal> {
    let space = memchr(b' ', line).unwrap_or(line.len());
    let (method, rest) = line.split_at_checked(space).unwrap_or((line, b""));
    let code = method_code(method);
    if code == 0 && !is_token(method) {
        return Err(Refusal::Method);
    }
    let (target, version) = match rest.split_last_chunk::<9>() {
        Some((target, b" HTTP/1.1")) => (target, Version::Http11),
        Some((target, b" HTTP/1.0")) => (target, Version::Http10),
        _ => return Err(version_refusal(rest)),
    };
    if matches!(method, b"CONNECT" | b"TRACE") {
        return Err(Refusal::MethodNotAllowed);
    }
    // The space that ended the method stands before the target.
    let target = parse_target(method, target.get(1..).unwrap_or_default())?;
    Ok(RequestLine {
        code,
        method,
        target,
        version,
    })
}

/// Whether `value` is what Host and an authority may hold: `name`, `name:port` or `[IPv6]:port`.
/// An empty value is valid for Host: it says that the target URI has no authority.
pub(super) fn is_host(value: &[u8]) -> bool {
    if let Some(rest) = value.strip_prefix(b"[") {
        return is_literal_host(rest);
    }
    let end = value.iter().position(|byte| !is_name_byte(*byte));
    match end.and_then(|at| value.split_at_checked(at)) {
        None => true,
        Some((name, [b':', port @ ..])) => !name.is_empty() && is_port(port),
        Some((_, rest)) => is_escaped_host(value, rest),
    }
}

#[inline]
fn method_code(method: &[u8]) -> u8 {
    let code = match method {
        b"GET" => 1,
        b"HEAD" => 2,
        b"POST" => 3,
        b"PUT" => 4,
        b"DELETE" => 5,
        b"OPTIONS" => 6,
        b"PATCH" => 7,
        _ => 0,
    };
    debug_assert!(
        METHODS
            .get(usize::from(code))
            .is_some_and(|name| code == 0 || name.as_bytes() == method)
    );
    code
}

/// What is wrong with a request line that does not end in a version we speak.
#[cold]
fn version_refusal(rest: &[u8]) -> Refusal {
    let target_and_version = rest.get(1..).unwrap_or_default();
    let Some(space) = memchr::memrchr(b' ', target_and_version) else {
        return Refusal::VersionMissing;
    };
    match target_and_version.split_at_checked(space) {
        Some((_, [b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]))
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Refusal::VersionUnsupported
        }
        _ => Refusal::Version,
    }
}

#[inline]
fn parse_target<'a>(method: &[u8], target: &'a [u8]) -> Result<Target<'a>, Refusal> {
    if !is_target_text(target) {
        return Err(Refusal::TargetText);
    }
    match target {
        [b'/', ..] => Ok(Target::Origin(target)),
        b"*" if method == b"OPTIONS" => Ok(Target::Asterisk),
        _ => parse_absolute_form(target),
    }
}

/// No space, no control, no `#` (a fragment is never sent), no byte above 0x7E, and not empty.
/// Other bytes that RFC 3986 wants escaped, such as `|` or `"`, are let through: browsers send them.
#[inline]
fn is_target_text(target: &[u8]) -> bool {
    !target.is_empty() && target_len(target) == target.len()
}

#[cold]
fn parse_absolute_form(target: &[u8]) -> Result<Target<'_>, Refusal> {
    let scheme_end = memchr(b':', target).ok_or(Refusal::TargetForm)?;
    let (scheme, rest) = target
        .split_at_checked(scheme_end)
        .ok_or(Refusal::TargetForm)?;
    let rest = rest.strip_prefix(b"://").ok_or(Refusal::TargetForm)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(Refusal::TargetScheme);
    }
    let authority_end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(authority_end).unwrap_or((rest, b""));
    // An http URI without a host is invalid (RFC 9110 section 4.2.1), and user names in it are
    // a way to disguise one host as another (section 4.2.4): `@` is not a byte of a host.
    if authority.is_empty() || !is_host(authority) {
        return Err(Refusal::HostInvalid);
    }
    Ok(Target::Absolute {
        raw: target,
        authority,
        path,
    })
}

/// Letters, digits, and the unreserved and sub-delimiter signs of RFC 3986, without `%`.
#[inline]
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// The rest of `[address]:port` after the bracket. Zone identifiers have no meaning to a peer.
#[cold]
fn is_literal_host(rest: &[u8]) -> bool {
    let Some((address, after)) = memchr(b']', rest).and_then(|at| rest.split_at_checked(at)) else {
        return false;
    };
    let valid = std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    valid
        && matches!(after, [b']'] | [b']', b':', ..])
        && is_port(after.get(2..).unwrap_or_default())
}

/// A name with percent-encoded bytes, which only a few registries ever used: `rest` begins at the first.
#[cold]
fn is_escaped_host(value: &[u8], mut rest: &[u8]) -> bool {
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            [b':', port @ ..] => return value.first() != Some(&b':') && is_port(port),
            [byte, after @ ..] if is_name_byte(*byte) => after,
            _ => return false,
        }
    }
}

/// Up to five digits, at most 65535; a colon without a port is valid.
fn is_port(port: &[u8]) -> bool {
    let mut number: u32 = 0;
    for byte in port {
        if !byte.is_ascii_digit() {
            return false;
        }
        number = number
            .saturating_mul(10)
            .saturating_add(u32::from(byte & 0x0f));
    }
    port.len() <= 5 && number <= 65_535
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_follow_the_grammar() {
        for valid in [
            "",
            "a",
            "example.org",
            "example.org:",
            "example.org:80",
            "a:65535",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]",
            "xn--bcher-kva.example",
            "a_b",
            "%41b.c:1",
            "a%2eb",
            "a,b",
            "EXAMPLE.org",
        ] {
            assert!(is_host(valid.as_bytes()), "{valid}");
        }
        for invalid in [
            "a/b@c",
            "a?b",
            "a#b",
            "a b",
            "a@b",
            ":80",
            "a:b",
            "a:65536",
            "a:000080",
            "a:+1",
            "[::1",
            "::1",
            "[::1]x",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "%",
            "%4",
            "%zz",
            "a\\b",
            "a\tb",
            "a\u{e9}b",
            "<a>",
            "%41@b",
            "[]",
        ] {
            assert!(!is_host(invalid.as_bytes()), "{invalid}");
        }
    }

    #[test]
    fn every_byte_of_a_target_is_judged_at_every_place() {
        for byte in 0..=255_u8 {
            let valid = (0x21..=0x7e).contains(&byte) && byte != b'#';
            for length in 1..40 {
                let mut target = vec![b'a'; length];
                target[length - 1] = byte;
                assert_eq!(is_target_text(&target), valid, "{byte:#x} at {length}");
                target.push(b'b');
                assert_eq!(
                    is_target_text(&target),
                    valid,
                    "{byte:#x} before the end at {length}"
                );
            }
        }
        assert!(!is_target_text(b""));
    }

    #[test]
    fn method_codes_are_positions_in_the_table() {
        for (code, name) in METHODS.iter().enumerate().skip(1) {
            assert_eq!(usize::from(method_code(name.as_bytes())), code);
        }
        for other in ["", "get", "GETS", "QUERY", "TRACE"] {
            assert_eq!(method_code(other.as_bytes()), 0);
        }
    }
}
