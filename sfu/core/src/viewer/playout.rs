//! How long pictures are to wait at a viewer before they are shown (the header extension
//! <http://www.webrtc.org/experiments/rtp-hdrext/playout-delay>): said for some frames, until it has surely come.
//!
//! Chromium and Firefox keep what they were told last.

use crate::command::{Kind, PlayoutDelay, SendTrack};
use crate::viewer::sendable::{DelayElement, delay_id};

/// Frames that say it: a second of them, mostly, of which not all are lost.
const FRAMES: u8 = 30;

/// What is still to be told on one m-line.
#[derive(Debug)]
pub(super) struct Playout {
    /// Identifier of the extension; `None` where it was not negotiated, and with sound.
    id: Option<u8>,
    /// What is told; `None` before anything was to be.
    delay: Option<PlayoutDelay>,
    /// Whether it is told to wait for a step at least; set once.
    stalls_at_once: bool,
    /// Frames that are still to say it.
    frames: u8,
}

impl Playout {
    pub(super) fn new(negotiated: &SendTrack) -> Self {
        let id = delay_id(negotiated).filter(|_| negotiated.kind == Kind::Video);
        Self {
            id,
            delay: None,
            stalls_at_once: negotiated.stalls_at_once,
            frames: 0,
        }
    }

    /// Takes what is to be told from the next packet on.
    pub(super) fn set(&mut self, delay: PlayoutDelay) {
        // Nothing was said before: that is what viewers do anyway.
        let is_news = self.delay.unwrap_or(PlayoutDelay::AUTOMATIC) != delay;
        if is_news && self.id.is_some() {
            (self.delay, self.frames) = (Some(delay), FRAMES);
        }
    }

    /// Returns what the next packet says.
    pub(super) fn element(&self) -> Option<DelayElement> {
        if self.frames == 0 {
            return None;
        }
        let delay = self.delay?;
        // What is to be shown at once has no time, and Firefox goes by the times of what it has drawn.
        let told = if self.stalls_at_once {
            delay.after_a_step()
        } else {
            delay
        };
        DelayElement::new(self.id?, told)
    }

    /// Notes that a packet said it; `ends` whether its picture ends with it.
    pub(super) fn note_sent(&mut self, ends: bool) {
        self.frames = self.frames.saturating_sub(u8::from(ends));
    }
}
