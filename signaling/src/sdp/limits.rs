//! The size of a description, checked in one pass before anything is built from it.

use super::NegotiationError;

/// Bytes of a description.
const MAX_BYTES: usize = 64 * 1024;

/// Lines of a description. Browsers send 100 to 300.
const MAX_LINES: usize = 2000;

/// Bytes of one line, its end not counted.
pub(super) const MAX_LINE_BYTES: usize = 4096;

/// m-lines of a description.
const MAX_SECTIONS: usize = 16;

/// `a=candidate` lines of a description.
const MAX_CANDIDATES: usize = 64;

/// Different SSRCs of one m-line.
const MAX_SSRCS: usize = 8;

/// Refuses a description that is too large, or whose lines are not `<letter>=<value>`.
///
/// Reads the text once and allocates nothing that grows with it.
///
/// # Errors
/// [`NegotiationError::TooLarge`]; [`NegotiationError::Limit`] and [`NegotiationError::Line`] with the
/// number of the line.
pub(super) fn check(text: &str) -> Result<(), NegotiationError> {
    if text.len() > MAX_BYTES {
        return Err(NegotiationError::TooLarge(MAX_BYTES));
    }
    let mut counts = Counts::default();
    for (index, line) in text.lines().enumerate() {
        counts.add(index + 1, line)?;
    }
    Ok(())
}

/// What was counted up to a line.
#[derive(Default)]
struct Counts<'a> {
    sections: usize,
    candidates: usize,
    /// Different SSRCs since the last m-line, as they are written.
    ssrcs: Vec<&'a str>,
}

impl<'a> Counts<'a> {
    fn add(&mut self, number: usize, line: &'a str) -> Result<(), NegotiationError> {
        at_most(number, number, MAX_LINES, "lines")?;
        at_most(number, line.len(), MAX_LINE_BYTES, "bytes")?;
        if line.is_empty() {
            return Ok(());
        }
        let [b'a'..=b'z', b'=', ..] = line.as_bytes() else {
            return Err(NegotiationError::Line {
                line: number,
                problem: "not `<letter>=<value>`",
            });
        };
        // Parts of a description are echoed: a line break of any kind inside a value would forge lines.
        if line.chars().any(char::is_control) {
            return Err(NegotiationError::Line {
                line: number,
                problem: "control character",
            });
        }
        if line.starts_with("m=") {
            self.sections += 1;
            self.ssrcs.clear();
        } else if line.starts_with("a=candidate:") {
            self.candidates += 1;
        } else if let Some(source) = line.strip_prefix("a=ssrc:") {
            self.add_ssrcs(source.split_ascii_whitespace().take(1));
        } else if let Some(group) = line.strip_prefix("a=ssrc-group:") {
            self.add_ssrcs(group.split_ascii_whitespace().skip(1));
        }
        at_most(number, self.sections, MAX_SECTIONS, "m-lines")?;
        at_most(number, self.candidates, MAX_CANDIDATES, "candidates")?;
        at_most(number, self.ssrcs.len(), MAX_SSRCS, "SSRCs in an m-line")
    }

    fn add_ssrcs(&mut self, ssrcs: impl Iterator<Item = &'a str>) {
        for ssrc in ssrcs {
            if self.ssrcs.len() <= MAX_SSRCS && !self.ssrcs.contains(&ssrc) {
                self.ssrcs.push(ssrc);
            }
        }
    }
}

fn at_most(
    line: usize,
    count: usize,
    limit: usize,
    what: &'static str,
) -> Result<(), NegotiationError> {
    if count > limit {
        Err(NegotiationError::Limit { line, what, limit })
    } else {
        Ok(())
    }
}
