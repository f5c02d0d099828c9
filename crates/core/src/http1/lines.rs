//! Cuts a head into lines, and breaks off as soon as a limit is passed, complete line or not.
//!
//! The usual line is found by the same pass that looks for controls: the first one must be the
//! carriage return of its end. Whatever else the pass stops at is judged apart.

use memchr::memchr;

use super::field::is_text;
use super::refusal::Refusal;
use super::scan::text_len;

/// How far the lines of a head were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// Where the next line begins.
    start: usize,
    /// Up to where that line is known to have no end.
    searched: usize,
}

/// A complete line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// The line without its CRLF.
    pub(super) text: &'a [u8],
    /// The line and everything received after it: whoever reads blocks need not stop at the end.
    pub(super) tail: &'a [u8],
    /// The text holds a control other than tab.
    pub(super) has_control: bool,
}

/// What a line and the head so far may measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLimit {
    /// Bytes of the line without its end.
    pub(super) line: usize,
    /// Bytes of the head from its beginning to the end of the line, line feed included.
    pub(super) head: usize,
    /// What a line that is too long is refused with.
    pub(super) refusal: Refusal,
}

impl Lines {
    /// Where the next line begins.
    pub(super) const fn position(&self) -> usize {
        self.start
    }

    /// Whether a part of the next line was received.
    pub(super) const fn is_in_line(&self) -> bool {
        self.searched > self.start
    }

    /// The next line, or none if its end was not received yet.
    #[inline]
    pub(super) fn next<'a>(
        &mut self,
        input: &'a [u8],
        limit: LineLimit,
    ) -> Result<Option<Line<'a>>, Refusal> {
        let tail = input.get(self.start..).unwrap_or_default();
        if !self.is_in_line()
            && let Some((text, [b'\r', b'\n', ..])) = tail.split_at_checked(text_len(tail))
        {
            let end = self.start.wrapping_add(text.len()).wrapping_add(2);
            if text.len() <= limit.line && end <= limit.head {
                self.start = end;
                self.searched = end;
                return Ok(Some(Line {
                    text,
                    tail,
                    has_control: false,
                }));
            }
        }
        self.next_odd(input, limit)
    }

    /// A line that is not complete, or was not before, or holds a control, or is too long.
    #[cold]
    fn next_odd<'a>(
        &mut self,
        input: &'a [u8],
        limit: LineLimit,
    ) -> Result<Option<Line<'a>>, Refusal> {
        let tail = input.get(self.start..).unwrap_or_default();
        let Some(offset) = memchr(b'\n', input.get(self.searched..).unwrap_or_default()) else {
            self.judge_length(tail, input.len(), limit)?;
            self.searched = input.len();
            return Ok(None);
        };
        let end = self.searched.wrapping_add(offset);
        let line = input.get(self.start..end).unwrap_or_default();
        self.judge_length(line, end.wrapping_add(1), limit)?;
        let [text @ .., b'\r'] = line else {
            return Err(Refusal::BareLineFeed);
        };
        self.start = end.wrapping_add(1);
        self.searched = self.start;
        Ok(Some(Line {
            text,
            tail,
            has_control: !is_text(text),
        }))
    }

    /// Refuses a line, but for its line feed, and the head up to `end`. If both are too long the one
    /// counts that fewer bytes would have broken: only so is the verdict the same when they come one by one.
    fn judge_length(&self, line: &[u8], end: usize, limit: LineLimit) -> Result<(), Refusal> {
        // A carriage return at the end of what is here may belong to the line end.
        let ends_in_return = usize::from(line.last() == Some(&b'\r'));
        let line_is_long = line.len().saturating_sub(ends_in_return) > limit.line;
        let return_at_limit = usize::from(line.get(limit.line) == Some(&b'\r'));
        let line_broken_after = self
            .start
            .saturating_add(limit.line)
            .saturating_add(return_at_limit);
        if line_is_long && line_broken_after <= limit.head {
            return Err(limit.refusal);
        }
        if end > limit.head {
            return Err(Refusal::HeadTooLong);
        }
        Ok(())
    }
}
