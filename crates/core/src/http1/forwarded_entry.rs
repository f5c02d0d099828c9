//! The entries of `Forwarded` (RFC 7239), and what a node, a scheme and a host may look like in any
//! forwarding field.

use std::net::{IpAddr, SocketAddr};

use super::field::{is_token, trim_start};
use super::refusal::Refusal;
use super::target::is_host;

/// An entry of `Forwarded`. Its values are without quotes; none of them may hold an escaped byte.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry<'a> {
    pub(super) node: Option<&'a [u8]>,
    pub(super) secure: Option<bool>,
    pub(super) host: Option<&'a [u8]>,
}

/// Splits one `Forwarded` value into its entries: `for=a;proto=b, for="[c]:1"`.
pub(super) fn read_entries<'a>(
    value: &'a [u8],
    mut push: impl FnMut(Entry<'a>),
) -> Result<(), Refusal> {
    let mut rest = value;
    let mut entry = Entry::default();
    let mut is_empty = true;
    loop {
        rest = trim_start(rest);
        match rest {
            [] | [b',', ..] => {
                if !is_empty {
                    push(entry);
                }
                let [_, after @ ..] = rest else { return Ok(()) };
                rest = after;
                entry = Entry::default();
                is_empty = true;
            }
            [b';', after @ ..] => rest = after,
            _ => {
                let pair = split_pair(rest)?;
                entry.note(pair.name, pair.value)?;
                is_empty = false;
                rest = trim_start(pair.after);
                if !matches!(rest, [] | [b',' | b';', ..]) {
                    return Err(Refusal::Forwarded);
                }
            }
        }
    }
}

struct Pair<'a> {
    name: &'a [u8],
    value: &'a [u8],
    after: &'a [u8],
}

/// `name=token` or `name="text"` at the beginning, and what follows.
fn split_pair(bytes: &[u8]) -> Result<Pair<'_>, Refusal> {
    let at = memchr::memchr(b'=', bytes).ok_or(Refusal::Forwarded)?;
    let (name, rest) = bytes.split_at_checked(at).ok_or(Refusal::Forwarded)?;
    if !is_token(name) {
        return Err(Refusal::Forwarded);
    }
    let (value, after) = match rest {
        [_, b'"', quoted @ ..] => {
            // A backslash could only hide a byte that neither an address nor a host may hold.
            let end = memchr::memchr2(b'"', b'\\', quoted).ok_or(Refusal::Forwarded)?;
            match quoted.split_at_checked(end) {
                Some((text, [b'"', after @ ..])) => (text, after),
                _ => return Err(Refusal::Forwarded),
            }
        }
        [_, plain @ ..] => {
            let end = plain
                .iter()
                .position(|byte| matches!(byte, b',' | b';' | b' ' | b'\t'))
                .unwrap_or(plain.len());
            let split = plain.split_at_checked(end).ok_or(Refusal::Forwarded)?;
            // `[`, `]` and `:` belong into quotes, and yet many proxies write them without.
            if split.0.is_empty() || split.0.contains(&b'"') {
                return Err(Refusal::Forwarded);
            }
            split
        }
        [] => return Err(Refusal::Forwarded),
    };
    Ok(Pair { name, value, after })
}

impl<'a> Entry<'a> {
    /// A parameter may stand once in an entry; unknown ones are for others.
    fn note(&mut self, name: &[u8], text: &'a [u8]) -> Result<(), Refusal> {
        let is_first = if name.eq_ignore_ascii_case(b"for") {
            self.node.replace(text).is_none()
        } else if name.eq_ignore_ascii_case(b"proto") {
            self.secure.replace(secure_scheme(text)?).is_none()
        } else if name.eq_ignore_ascii_case(b"host") {
            self.host.replace(checked_host(text)?).is_none()
        } else {
            true
        };
        if is_first {
            Ok(())
        } else {
            Err(Refusal::Forwarded)
        }
    }
}

/// Address of a node: `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`. Port 0 where none is named.
pub(super) fn parse_node(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let (address, port) = if let Ok(address) = text.parse::<IpAddr>() {
        (address, 0)
    } else if let Some(bare) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        (IpAddr::V6(bare.parse().ok()?), 0)
    } else {
        // Without scope: an interface of another machine means nothing here.
        let address: SocketAddr = text.parse().ok().filter(|_| !text.contains('%'))?;
        (address.ip(), address.port())
    };
    Some(SocketAddr::new(address.to_canonical(), port))
}

pub(super) fn secure_scheme(text: &[u8]) -> Result<bool, Refusal> {
    let is_any = |names: [&[u8]; 2]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
    if is_any([b"https", b"wss"]) {
        Ok(true)
    } else if is_any([b"http", b"ws"]) {
        Ok(false)
    } else {
        Err(Refusal::Forwarded)
    }
}

pub(super) fn checked_host(text: &[u8]) -> Result<&[u8], Refusal> {
    if !text.is_empty() && is_host(text) {
        Ok(text)
    } else {
        Err(Refusal::Forwarded)
    }
}
