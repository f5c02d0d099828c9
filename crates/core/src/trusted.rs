//! The peers whose forwarding fields count: addresses, networks, everybody, Unix sockets.

use std::net::IpAddr;

/// Whom to believe when a field says who the client is. Nobody by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedPeers {
    networks: Vec<Network>,
    everybody: bool,
    unix: bool,
}

/// All addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    bits: u128,
    mask: u128,
}

impl TrustedPeers {
    /// Reads a list of addresses, networks (`10.0.0.0/8`), `*` for every peer, and `unix` for the peers of
    /// Unix sockets, which have no address. None when an entry is none of these.
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Option<Self> {
        let mut trusted = Self::default();
        for entry in entries {
            match entry.as_ref() {
                "*" => trusted.everybody = true,
                "unix" => trusted.unix = true,
                text => trusted.networks.push(Network::parse(text)?),
            }
        }
        Some(trusted)
    }

    /// Whether an address is trusted. An IPv4 address is the same one when it is mapped into IPv6.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let bits = bits_of(address);
        self.everybody
            || self
                .networks
                .iter()
                .any(|network| bits & network.mask == network.bits)
    }

    /// Whether peers of Unix sockets are trusted.
    #[must_use]
    pub const fn has_unix(&self) -> bool {
        self.everybody || self.unix
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            // No sign, no space, no number that is longer than it has to be.
            Some(digits)
                if digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                digits.parse().ok().filter(|prefix| *prefix <= width)?
            }
            Some(_) => return None,
        };
        let mask = u128::MAX
            .checked_shl(width.saturating_sub(prefix))
            .unwrap_or(0);
        Some(Self {
            bits: bits_of(address) & mask,
            mask,
        })
    }
}

/// IPv4 as it is mapped into IPv6, so that one comparison serves both.
fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_matched_in_both_families() {
        let trusted = TrustedPeers::parse(&[
            "127.0.0.1",
            "::1",
            "10.0.0.0/8",
            "2001:db8::/33",
            "192.0.2.7/31",
        ])
        .unwrap();
        for (address, is_trusted) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.2", false),
            ("::1", true),
            ("::2", false),
            ("10.255.0.1", true),
            ("11.0.0.0", false),
            ("::ffff:10.1.2.3", true),
            ("2001:db8:7fff::1", true),
            ("2001:db8:8000::1", false),
            ("192.0.2.6", true),
            ("192.0.2.8", false),
        ] {
            assert_eq!(
                trusted.has(address.parse().unwrap()),
                is_trusted,
                "{address}"
            );
        }
        assert!(!trusted.has_unix());
    }

    #[test]
    fn everybody_and_unix_are_words() {
        let everybody = TrustedPeers::parse(&["*"]).unwrap();
        assert!(everybody.has("192.0.2.1".parse().unwrap()) && everybody.has_unix());
        let unix = TrustedPeers::parse(&["unix"]).unwrap();
        assert!(!unix.has("127.0.0.1".parse().unwrap()) && unix.has_unix());
        let zero = TrustedPeers::parse(&["0.0.0.0/0"]).unwrap();
        assert!(zero.has("192.0.2.1".parse().unwrap()) && !zero.has("::1".parse().unwrap()));
        let all = TrustedPeers::parse(&["::/0"]).unwrap();
        assert!(all.has("192.0.2.1".parse().unwrap()) && all.has("::1".parse().unwrap()));
        assert!(!TrustedPeers::default().has("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "a",
            "1.2.3",
            "1.2.3.4/33",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "1.2.3.4/ 8",
            "[::1]",
            "1.2.3.4:80",
            "localhost",
            "1.2.3.4/0008",
        ] {
            assert_eq!(TrustedPeers::parse(&[text]), None, "{text}");
        }
    }
}
