//! Forwarding fields: no text of a client makes the head ambiguous, and the client is who the rightmost
//! hop that is no trusted proxy says.

use std::net::IpAddr;

use super::Choices;
use crate::http1::forwarded::{HOPS, apply};
use crate::http1::head::{HeadLimits, HeadOutcome, HeadScan, parse_head};
use crate::trusted::TrustedPeers;

const NAMES: [&str; 6] = [
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Protocol",
    "X-Forwarded-Ssl",
];

/// Lines of the input are values; the first byte of each picks the field.
pub fn forwarded(data: &[u8]) {
    let trusted = TrustedPeers::parse(&["10.0.0.0/8", "::1"]).unwrap();
    let mut input = b"GET / HTTP/1.1\r\nHost: own\r\n".to_vec();
    let mut nodes = Vec::new();
    let mut names = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(8) {
        let mut choices = Choices(line);
        let name = NAMES[usize::from(choices.byte()) % NAMES.len()];
        let value: Vec<u8> = choices
            .0
            .iter()
            .copied()
            .filter(|byte| *byte == b'\t' || !byte.is_ascii_control())
            .collect();
        input.extend_from_slice(format!("{name}: ").as_bytes());
        input.extend_from_slice(&value);
        input.extend_from_slice(b"\r\n");
        names.push(name);
        if name == "X-Forwarded-For" {
            nodes.extend(value.split(|byte| *byte == b',').map(|node| {
                String::from_utf8_lossy(node)
                    .trim_matches([' ', '\t'])
                    .to_owned()
            }));
        }
    }
    input.extend_from_slice(b"\r\n");
    let limits = HeadLimits {
        head: 1 << 20,
        line: 100,
        field: 1 << 20,
        fields: 20,
    };
    let mut arena = Vec::new();
    let outcome = parse_head(
        &input,
        &mut HeadScan::default(),
        &limits,
        b"\n@peer:10.0.0.9 1\n@local:10.0.0.1 2",
        &mut arena,
    );
    let HeadOutcome::Complete(mut head) = outcome else {
        panic!("the head was well formed: {outcome:?}")
    };
    let before = arena.clone();
    if !head.forwarded {
        return;
    }
    if apply(&mut head, &mut arena, 0, &trusted).is_err() {
        assert_eq!(arena, before);
        return;
    }
    assert_eq!(arena.len(), head.target_len + head.head_len);
    let text: String = arena[head.target_len..]
        .iter()
        .map(|byte| char::from(*byte))
        .collect();
    assert!(text.starts_with("\n@peer:") && text.ends_with('\n') && !text.contains("\n\n"));
    assert_eq!(
        (
            text.matches("\n@peer:").count(),
            text.matches("\nhost:").count()
        ),
        (1, 1)
    );
    assert_eq!(
        text.matches('\n').count(),
        before.split(|byte| *byte == b'\n').count() - 1
    );
    if !names.contains(&"Forwarded") {
        let (peer, _) = text[7..].split_once('\n').unwrap();
        let (ip, _) = peer.rsplit_once(' ').unwrap();
        let expected = reference(&nodes, &trusted).unwrap_or_else(|| "10.0.0.9".parse().unwrap());
        assert_eq!(ip.parse::<IpAddr>().unwrap(), expected);
    }
}

/// Walks the list as the documentation tells it.
fn reference(nodes: &[String], trusted: &TrustedPeers) -> Option<IpAddr> {
    let mut client = None;
    for node in nodes
        .iter()
        .rev()
        .filter(|node| !node.is_empty())
        .take(HOPS)
    {
        let ip = node
            .parse::<IpAddr>()
            .ok()
            .or_else(|| {
                node.strip_prefix('[')?
                    .strip_suffix(']')?
                    .parse()
                    .ok()
                    .map(IpAddr::V6)
            })
            .or_else(|| {
                Some(
                    node.parse::<std::net::SocketAddr>()
                        .ok()
                        .filter(|_| !node.contains('%'))?
                        .ip(),
                )
            });
        let Some(ip) = ip else { break };
        client = Some(ip.to_canonical());
        if !trusted.has(ip) {
            break;
        }
    }
    client
}
