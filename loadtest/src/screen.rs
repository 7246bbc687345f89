//! The terminal: a block of lines that is written over, and messages that go above it.

use std::io::{self, IsTerminal as _, Write, stderr};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Everything that is written to standard error goes through it.
#[derive(Debug)]
pub(crate) struct Screen {
    is_terminal: bool,
    /// How many lines of the block are shown; what is written next would stand below them.
    shown: Mutex<usize>,
}

impl Screen {
    /// Returns the one of this process.
    pub(crate) fn get() -> &'static Self {
        static SCREEN: LazyLock<Screen> = LazyLock::new(|| Screen {
            // "dumb" is a terminal that cannot go back.
            is_terminal: stderr().is_terminal()
                && std::env::var("TERM").is_ok_and(|name| name != "dumb"),
            shown: Mutex::new(0),
        });
        &SCREEN
    }

    /// Returns whether lines can be written over.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Shows a block in the place of the last one.
    pub(crate) fn draw(&self, lines: &[String]) {
        self.write(|shown| replace(shown, lines));
    }

    /// Writes a line above the block.
    pub(crate) fn print(&self, line: &str) {
        self.write(|shown| erase(shown) + line + "\n");
    }

    /// Leaves the last block where it is.
    pub(crate) fn release(&self) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }

    fn write(&self, text: impl FnOnce(&mut usize) -> String) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let text = text(&mut shown);
        // A terminal that is gone is no reason to stop.
        let _ = stderr().write_all(text.as_bytes());
    }
}

/// Writes messages of the log, each whole.
#[derive(Debug)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        Screen::get().print(text.trim_end_matches('\n'));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns what takes the block away.
fn erase(shown: &mut usize) -> String {
    match std::mem::take(shown) {
        0 => String::new(),
        // So many lines up, then clear to the end of the screen.
        lines => format!("\x1b[{lines}F\x1b[J"),
    }
}

/// Returns what shows a block in the place of the last one.
fn replace(shown: &mut usize, lines: &[String]) -> String {
    let mut text = erase(shown);
    // A narrow terminal shall cut lines off, not break them, or the count would be wrong.
    text.push_str("\x1b[?7l");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("\x1b[?7h");
    *shown = lines.len();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_written_over_the_last_one_and_messages_stay_above() {
        let mut shown = 0;
        let lines = ["one".to_owned(), "two".to_owned()];
        assert_eq!(replace(&mut shown, &lines), "\x1b[?7lone\ntwo\n\x1b[?7h");
        assert!(replace(&mut shown, &lines).starts_with("\x1b[2F\x1b[J\x1b[?7l"));
        assert_eq!(erase(&mut shown), "\x1b[2F\x1b[J");
        assert_eq!(erase(&mut shown), "", "nothing is shown any more");
    }
}
