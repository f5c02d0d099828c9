//! What the fields of a head mean to the server: framing, connection, host. Each is judged when its
//! line is read, and what only the whole can tell when the head ends.

use super::field::elements;
use super::head::{BodyFraming, Head, METHODS, Version};
use super::refusal::Refusal;
use super::target::is_host;

/// What the lines so far have said.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each set by a field of its own"
)]
pub(super) struct Facts {
    method: u8,
    version: Version,
    pub(super) target_len: usize,
    /// Where the authority of an absolute-form target stands in the input.
    pub(super) authority: Option<(usize, usize)>,
    /// How many field lines there were.
    pub(super) fields: usize,
    content_length: Option<u64>,
    chunked: bool,
    pub(super) host_seen: bool,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: bool,
    expect_continue: bool,
    forwarded: bool,
}

impl Facts {
    /// Nothing but the request line is known.
    pub(super) const fn new(method: u8, version: Version) -> Self {
        Self {
            method,
            version,
            target_len: 0,
            authority: None,
            fields: 0,
            content_length: None,
            chunked: false,
            host_seen: false,
            close: false,
            keep_alive: false,
            connection_upgrade: false,
            upgrade: false,
            expect_continue: false,
            forwarded: false,
        }
    }

    /// Takes note of a field that means something to the server.
    #[inline]
    pub(super) fn note(&mut self, lower_name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match lower_name {
            b"host" => self.host(value),
            b"expect" => self.expect(value),
            b"upgrade" => {
                self.upgrade = true;
                Ok(())
            }
            b"connection" => {
                self.connection(value);
                Ok(())
            }
            b"content-length" => self.content_length(value),
            b"transfer-encoding" => self.transfer_encoding(value),
            b"forwarded"
            | b"x-forwarded-for"
            | b"x-forwarded-host"
            | b"x-forwarded-proto"
            | b"x-forwarded-protocol"
            | b"x-forwarded-ssl" => {
                self.forwarded = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The head, if its fields fit together. `text_len` counts the target and the fields in the arena.
    pub(super) fn finish(&self, consumed: usize, text_len: usize) -> Result<Head, Refusal> {
        let is_11 = self.version == Version::Http11;
        let framing = match (self.content_length, self.chunked) {
            (Some(_), true) => return Err(Refusal::LengthAndEncoding),
            (None, true) => BodyFraming::Chunked,
            (None | Some(0), false) => BodyFraming::None,
            (Some(length), false) => BodyFraming::Length(length),
        };
        if is_11 && !self.host_seen {
            return Err(Refusal::HostMissing);
        }
        Ok(Head {
            consumed,
            method: self.method,
            is_head: METHODS.get(usize::from(self.method)) == Some(&"HEAD"),
            version: self.version,
            framing,
            keep_alive: !self.close && (is_11 || self.keep_alive),
            // Both wishes are to be ignored in HTTP/1.0 (RFC 9110 sections 7.8 and 10.1.1).
            upgrade: is_11 && self.upgrade && self.connection_upgrade,
            expect_continue: is_11 && self.expect_continue && framing != BodyFraming::None,
            forwarded: self.forwarded,
            secure: false,
            target_len: self.target_len,
            head_len: text_len.wrapping_sub(self.target_len),
        })
    }

    #[inline]
    fn host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.host_seen {
            return Err(Refusal::HostTwice);
        }
        self.host_seen = true;
        if is_host(value) {
            Ok(())
        } else {
            Err(Refusal::HostInvalid)
        }
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expectation);
        }
        self.expect_continue = true;
        Ok(())
    }

    #[inline]
    fn connection(&mut self, value: &[u8]) {
        if value == b"keep-alive" {
            self.keep_alive = true;
            return;
        }
        for element in elements(value) {
            match element.len() {
                5 => self.close |= element.eq_ignore_ascii_case(b"close"),
                7 => self.connection_upgrade |= element.eq_ignore_ascii_case(b"upgrade"),
                10 => self.keep_alive |= element.eq_ignore_ascii_case(b"keep-alive"),
                _ => {}
            }
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.content_length.is_some() {
            return Err(Refusal::ContentLengthTwice);
        }
        self.content_length = Some(parse_length(value).ok_or(Refusal::ContentLength)?);
        Ok(())
    }

    #[cold]
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.version == Version::Http10 {
            return Err(Refusal::TransferEncodingOnHttp10);
        }
        if self.chunked {
            return Err(Refusal::TransferEncodingTwice);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        // Without `chunked` at the end, and only there, nobody can tell where the body ends.
        let codings = elements(value).count();
        let well_formed = elements(value).enumerate().all(|(index, coding)| {
            let is_last = index.wrapping_add(1) == codings;
            !coding.is_empty() && coding.eq_ignore_ascii_case(b"chunked") == is_last
        });
        Err(if well_formed {
            Refusal::TransferEncodingUnsupported
        } else {
            Refusal::TransferEncoding
        })
    }
}

/// The number that a Content-Length means: 1 to 19 digits, so it always fits.
pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then_some(u64::from(byte & 0x0f))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
