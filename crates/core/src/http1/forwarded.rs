//! What trusted proxies say about the client: `Forwarded` (RFC 7239) and the `X-Forwarded-*` fields.
//!
//! Read from the right: the last entry was written by the peer itself, the one before it by whoever
//! the last entry names, and so on. The first name that is not a trusted proxy is the client, and
//! whatever stands to its left is a claim of the client. Sources that contradict each other are
//! refused, because one of them was written by somebody who must not be believed.
//! One linear pass; nothing is allocated but the new text.

use std::net::SocketAddr;

use super::field::{elements, trim};
use super::forwarded_entry::{Entry, checked_host, parse_node, read_entries, secure_scheme};
use super::head::Head;
use super::refusal::Refusal;
use crate::trusted::TrustedPeers;

/// Proxies that are followed; what stands further to the left is ignored.
pub(crate) const HOPS: usize = 32;

/// Rewrites the text of a head so that it names the client: `@peer`, `host` and the scheme.
///
/// The text is the end of `arena` and begins at `offset`, as `parse_head` left it. Only called for
/// requests of a trusted peer.
pub(crate) fn apply(
    head: &mut Head,
    arena: &mut Vec<u8>,
    offset: usize,
    trusted: &TrustedPeers,
) -> Result<(), Refusal> {
    let start = offset.saturating_add(head.target_len);
    let text = arena.get(start..).unwrap_or_default();
    let seen = Seen::read(text)?;
    let claim = seen.claim(trusted)?;
    let host = claim.host.map(<[u8]>::to_vec);
    let client = claim.client;
    if let Some(secure) = claim.secure {
        head.secure = secure;
    }
    if let Some(host) = host {
        replace(arena, start, b"\nhost:", &host);
    }
    if let Some(client) = client {
        let text = format!("{} {}", client.ip(), client.port());
        replace(arena, start, b"\n@peer:", text.as_bytes());
    }
    head.head_len = arena.len().saturating_sub(start);
    Ok(())
}

/// Puts `value` in the place of a field's, or adds the field at the end of the text.
fn replace(arena: &mut Vec<u8>, start: usize, needle: &[u8], value: &[u8]) {
    let text = arena.get(start..).unwrap_or_default();
    let found = memchr::memmem::find(text, needle).map(|at| {
        let from = at.saturating_add(needle.len());
        let rest = text.get(from..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        (start.saturating_add(from), length)
    });
    if let Some((from, length)) = found {
        arena.splice(from..from.saturating_add(length), value.iter().copied());
        return;
    }
    // Every text ends with a line feed, and the new field brings its own.
    arena.pop();
    arena.extend_from_slice(needle);
    arena.extend_from_slice(value);
    arena.push(b'\n');
}

/// What is said about the client, as far as it is to be believed.
struct Claim<'a> {
    client: Option<SocketAddr>,
    secure: Option<bool>,
    host: Option<&'a [u8]>,
}

/// The last entries of a list that may be spread over several fields, and how many there were.
#[derive(Clone, Copy)]
struct List<T> {
    last: [Option<T>; HOPS],
    count: usize,
}

impl<T: Copy> List<T> {
    const fn new() -> Self {
        Self {
            last: [None; HOPS],
            count: 0,
        }
    }

    fn push(&mut self, entry: T) {
        if let Some(place) = self.last.get_mut(self.count % HOPS) {
            *place = Some(entry);
        }
        self.count = self.count.saturating_add(1);
    }

    /// The entry at a distance from the right.
    fn nth_from_right(&self, distance: usize) -> Option<T> {
        if distance >= HOPS {
            return None;
        }
        let at = self.count.checked_sub(distance.saturating_add(1))?;
        self.last.get(at % HOPS).copied().flatten()
    }

    /// Entries that can still be read, from the right.
    fn entries(&self) -> impl Iterator<Item = T> {
        (0..HOPS).map_while(|distance| self.nth_from_right(distance))
    }
}

/// The forwarding fields of one head.
struct Seen<'a> {
    hops: List<Entry<'a>>,
    nodes: List<&'a [u8]>,
    schemes: List<bool>,
    hosts: List<&'a [u8]>,
    /// What older fields say of the scheme.
    older: Option<bool>,
}

impl<'a> Seen<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Refusal> {
        let mut seen = Self {
            hops: List::new(),
            nodes: List::new(),
            schemes: List::new(),
            hosts: List::new(),
            older: None,
        };
        for line in text.split(|byte| *byte == b'\n') {
            // The first byte tells nearly all other fields apart.
            if !matches!(line.first(), Some(b'f' | b'x')) {
                continue;
            }
            let at = memchr::memchr(b':', line).unwrap_or(line.len());
            let Some((name, [_, value @ ..])) = line.split_at_checked(at) else {
                continue;
            };
            seen.note(name, value)?;
        }
        Ok(seen)
    }

    fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Refusal> {
        match name {
            b"forwarded" => read_entries(value, |entry| self.hops.push(entry)),
            b"x-forwarded-for" => {
                for node in listed(value) {
                    self.nodes.push(node);
                }
                Ok(())
            }
            b"x-forwarded-host" => {
                for host in listed(value) {
                    self.hosts.push(checked_host(host)?);
                }
                Ok(())
            }
            b"x-forwarded-proto" => {
                for scheme in listed(value) {
                    self.schemes.push(secure_scheme(scheme)?);
                }
                Ok(())
            }
            b"x-forwarded-protocol" => {
                let is_ssl = value.eq_ignore_ascii_case(b"ssl");
                self.older = agreed(self.older, Some(is_ssl || secure_scheme(value)?))?;
                Ok(())
            }
            b"x-forwarded-ssl" => {
                let is_on = value.eq_ignore_ascii_case(b"on");
                if !is_on && !value.eq_ignore_ascii_case(b"off") {
                    return Err(Refusal::Forwarded);
                }
                self.older = agreed(self.older, Some(is_on))?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Lays the sources over each other.
    fn claim(&self, trusted: &TrustedPeers) -> Result<Claim<'a>, Refusal> {
        let standard = walk(self.hops.entries().map(|hop| hop.node), trusted);
        let hop = self
            .hops
            .nth_from_right(standard.distance)
            .unwrap_or_default();
        let common = walk(self.nodes.entries().map(Some), trusted);
        let secure = self
            .schemes
            .beside(&self.nodes, common.distance, |a, b| a == b)?;
        let host = self
            .hosts
            .beside(&self.nodes, common.distance, <[u8]>::eq_ignore_ascii_case)?;
        let is_one_host = match (hop.host, host) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => true,
        };
        let is_one_client = match (standard.client, common.client) {
            (Some(one), Some(other)) => one.ip() == other.ip(),
            // Where both speak of clients, both must name one.
            (Some(_), None) => self.nodes.count == 0,
            (None, Some(_)) => self.hops.count == 0 || hop.node.is_none(),
            (None, None) => true,
        };
        if !is_one_host || !is_one_client {
            return Err(Refusal::Forwarded);
        }
        Ok(Claim {
            client: standard.client.or(common.client),
            secure: agreed(agreed(hop.secure, secure)?, self.older)?,
            host: hop.host.or(host),
        })
    }
}

impl<T: Copy> List<T> {
    /// The entry that belongs to the node at `distance`: the one at the same place where both lists are of
    /// one length, else the one that all agree on.
    fn beside<N: Copy>(
        &self,
        nodes: &List<N>,
        distance: usize,
        is_same: impl Fn(T, T) -> bool,
    ) -> Result<Option<T>, Refusal> {
        if self.count > 1 && self.count == nodes.count {
            return Ok(self.nth_from_right(distance));
        }
        let last = self.nth_from_right(0);
        let is_one = last.is_none_or(|last| self.entries().all(|entry| is_same(entry, last)));
        // What is further to the left cannot be compared any more.
        if is_one && self.count <= HOPS {
            Ok(last)
        } else {
            Err(Refusal::Forwarded)
        }
    }
}

/// Where a chain of proxies led.
struct Walk {
    /// The last address that a trusted proxy named.
    client: Option<SocketAddr>,
    /// The entry that describes the client, counted from the right.
    distance: usize,
}

/// Follows the nodes of a list from the right up to the first that is no trusted proxy. A node without
/// an address (`unknown`, a name that hides one) ends the way: who named it is the last one known.
fn walk<'a>(nodes: impl Iterator<Item = Option<&'a [u8]>>, trusted: &TrustedPeers) -> Walk {
    let mut found = Walk {
        client: None,
        distance: 0,
    };
    for (distance, node) in nodes.enumerate() {
        found.distance = distance;
        let Some(address) = node.and_then(parse_node) else {
            break;
        };
        found.client = Some(address);
        if !trusted.has(address.ip()) {
            break;
        }
    }
    found
}

/// What two sources say, of which each may be silent.
fn agreed(one: Option<bool>, other: Option<bool>) -> Result<Option<bool>, Refusal> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(Refusal::Forwarded),
        _ => Ok(one.or(other)),
    }
}

fn listed(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    elements(trim(value)).filter(|element| !element.is_empty())
}

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;
