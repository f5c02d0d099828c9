//! Limits that depend on the path: how large the body of a request may be.
//!
//! A path is compared as applications read it, percent-decoded, so that no spelling of it escapes a
//! limit. What dot segments mean is decided by whoever resolves them: such a path gets the least of all
//! limits, because it may lead anywhere.

use std::borrow::Cow;

use super::connection::Connection;
use crate::config::BodyRoute;
use crate::exchange::Exchanges;

impl Connection {
    /// The most bytes of the body of a request, whose target lies at `offset` of the arena.
    pub(super) fn body_limit<E: Exchanges>(
        &self,
        exchanges: &mut E,
        offset: usize,
        target_len: usize,
    ) -> u64 {
        let routes = &self.config.max_body_routes;
        if routes.is_empty() {
            return self.config.max_body;
        }
        let target = target_at(exchanges, offset, target_len);
        limit_of(target, routes, self.config.max_body)
    }
}

/// The target of a request, whose text begins at `offset` of the arena.
pub(super) fn target_at<E: Exchanges>(
    exchanges: &mut E,
    offset: usize,
    target_len: usize,
) -> &[u8] {
    let end = offset.saturating_add(target_len);
    exchanges.arena().get(offset..end).unwrap_or_default()
}

/// The limit of the longest path that is the target's or lies above it.
#[cold]
fn limit_of(target: &[u8], routes: &[BodyRoute], otherwise: u64) -> u64 {
    let path = decoded(
        target
            .split(|byte| *byte == b'?')
            .next()
            .unwrap_or_default(),
    );
    if has_dot_segment(&path) {
        let limits = routes.iter().map(|route| route.limit);
        return limits.fold(otherwise, u64::min);
    }
    let above = routes.iter().filter(|route| is_below(&path, &route.path));
    above
        .max_by_key(|route| route.path.len())
        .map_or(otherwise, |route| route.limit)
}

/// Whether a path, which a query may follow, is `prefix` or lies below it.
pub(super) fn is_below(target: &[u8], prefix: &[u8]) -> bool {
    match target.strip_prefix(prefix) {
        Some([] | [b'/' | b'?', ..]) => true,
        Some(_) => prefix.last() == Some(&b'/'),
        None => false,
    }
}

/// Whether a target is a path itself, which a query may follow.
pub(super) fn is_path(target: &[u8], path: &[u8]) -> bool {
    matches!(target.strip_prefix(path), Some([] | [b'?', ..]))
}

/// Browsers, and the URL class of the platform, take a backslash for a slash.
fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| matches!(segment, b"." | b".."))
}

fn decoded(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = match after {
            [high, low, ..] if byte == b'%' => value_of(*high).zip(value_of(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => bytes.push(byte),
        }
    }
    Cow::Owned(bytes)
}

fn value_of(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_segment_does() {
        for target in ["/health", "/health/db", "/health?deep", "/health/"] {
            assert!(is_below(target.as_bytes(), b"/health"), "{target}");
        }
        for target in ["/healthy", "/", "/a/health", "/Health"] {
            assert!(!is_below(target.as_bytes(), b"/health"), "{target}");
        }
        assert!(is_below(b"/api/x", b"/api/") && is_below(b"/anything", b"/"));
        assert!(!is_below(b"/api", b"/api/"));
    }

    #[test]
    fn a_path_is_nothing_below_it() {
        for target in ["/health", "/health?deep", "/health?"] {
            assert!(is_path(target.as_bytes(), b"/health"), "{target}");
        }
        for target in ["/health/db", "/healthy", "/", ""] {
            assert!(!is_path(target.as_bytes(), b"/health"), "{target}");
        }
        assert!(is_path(b"/", b"/") && !is_path(b"/anything", b"/"));
    }

    #[test]
    fn the_longest_path_decides_however_the_target_is_spelled() {
        let route = |path: &str, limit| BodyRoute {
            path: path.into(),
            limit,
        };
        let routes = [
            route("/up", 1_000),
            route("/up/small", 5),
            route("/a b", 7),
            route("/dir/", 9),
        ];
        for (target, limit) in [
            ("/", 100),
            ("/up", 1_000),
            ("/up/x?y=/up/small", 1_000),
            ("/up/small", 5),
            ("/up/small/er", 5),
            ("/up/smaller", 1_000),
            ("/upper", 100),
            ("/%75p/%73mall", 5),
            ("/a%20b/c", 7),
            ("/dir", 100),
            ("/dir/x", 9),
            ("/up%", 100),
            ("/up%2", 100),
            ("/up%2fx", 1_000),
            ("/up%zz", 100),
            ("/up/.well-known", 1_000),
            ("/up/...", 1_000),
            // Where these lead depends on who resolves them.
            ("/up/../other", 5),
            ("/other/./up", 5),
            ("/up/%2e%2E/other", 5),
            ("/up/..\\other", 5),
            ("/..", 5),
            ("*", 100),
        ] {
            assert_eq!(limit_of(target.as_bytes(), &routes, 100), limit, "{target}");
        }
    }
}
