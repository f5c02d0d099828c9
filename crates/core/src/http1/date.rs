//! The value of the Date field, formatted once a second.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// The last second that IMF-fixdate can name, 9999-12-31 23:59:59.
const LAST_SECOND: u64 = 253_402_300_799;

/// A second and its text.
#[derive(Clone, Debug)]
pub(crate) struct HttpDate {
    second: u64,
    text: [u8; 29],
}

impl HttpDate {
    /// The text of `second`, counted from 1970-01-01.
    pub(crate) fn new(second: u64) -> Self {
        let mut date = Self {
            second,
            text: [b' '; 29],
        };
        date.format();
        date
    }

    /// The text of `second`; formats only when it differs from the last one asked for.
    #[inline]
    pub(crate) fn at(&mut self, second: u64) -> &[u8; 29] {
        if second != self.second {
            self.second = second;
            self.format();
        }
        &self.text
    }

    #[cold]
    fn format(&mut self) {
        let since = Duration::from_secs(self.second.min(LAST_SECOND));
        let time = UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH);
        // 29 bytes is what this form always takes, so the write cannot fall short.
        let written = write!(
            self.text.as_mut_slice(),
            "{}",
            httpdate::HttpDate::from(time)
        );
        debug_assert!(written.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_becomes_an_imf_fixdate() {
        assert_eq!(
            &HttpDate::new(784_111_777).text,
            b"Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(&HttpDate::new(0).text, b"Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn the_text_follows_the_second_in_both_directions() {
        let mut date = HttpDate::new(784_111_777);
        assert_eq!(date.at(784_111_778), b"Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date.at(784_111_778), b"Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date.at(784_111_700), b"Sun, 06 Nov 1994 08:48:20 GMT");
    }

    #[test]
    fn a_clock_beyond_the_last_date_stays_at_it() {
        let mut date = HttpDate::new(0);
        assert_eq!(date.at(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
