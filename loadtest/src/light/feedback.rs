//! Transport-wide feedback: when each numbered packet came.

use std::time::{Duration, Instant};

use super::rtcp::write_transport_feedback;
use super::rtp;
use super::track::extend;

/// Collects arrivals until the next message.
pub(crate) struct Feedback {
    /// Identifier of the header extension.
    id: u8,
    began: Instant,
    /// Of the packet that came last.
    media_ssrc: u32,
    /// Numbers, extended by their wraps, and arrival in quarters of a millisecond; at most [`MAX_WAITING`].
    arrivals: Vec<(i64, i64)>,
    /// The first number that was not reported yet; `None` before the first message.
    next: Option<i64>,
    highest: i64,
    /// Counts messages.
    number: u8,
    due_at: Instant,
}

impl Feedback {
    pub(crate) fn new(id: u8, now: Instant) -> Self {
        Self {
            id,
            began: now,
            media_ssrc: 0,
            arrivals: Vec::new(),
            next: None,
            highest: 0,
            number: 0,
            due_at: now,
        }
    }

    /// Notes a packet's arrival, if it has a number.
    pub(crate) fn handle(&mut self, packet: &[u8], ssrc: u32, now: Instant) {
        let Some(&[high, low]) = rtp::extension(packet, self.id) else {
            return;
        };
        if self.arrivals.len() < MAX_WAITING {
            self.highest = extend(self.highest, u16::from_be_bytes([high, low]));
            let at_us = now.saturating_duration_since(self.began).as_micros();
            let at = i64::try_from(at_us / 250).unwrap_or(0);
            self.arrivals.push((self.highest, at));
        }
        self.media_ssrc = ssrc;
    }

    /// Returns a message when one is due.
    pub(crate) fn poll(&mut self, sender_ssrc: u32, now: Instant) -> Option<Vec<u8>> {
        if now < self.due_at || self.arrivals.is_empty() {
            return None;
        }
        self.due_at = now + BETWEEN;
        self.arrivals.sort_unstable();
        let (lowest, _) = *self.arrivals.first()?;
        let (highest, _) = *self.arrivals.last()?;
        // Late ones were reported as missing already.
        let base = self.next.unwrap_or(lowest).max(highest - MAX_SPAN);
        let earliest = self.arrivals.iter().map(|(_, at)| *at).min()?;
        let reference = earliest / 256;
        let span = usize::try_from(highest - base + 1).ok()?;
        let mut list = vec![None; span];
        for (number, at) in self.arrivals.drain(..) {
            let place = usize::try_from(number - base).ok();
            if let Some(slot) = place.and_then(|place| list.get_mut(place)) {
                *slot = Some(at - reference * 256);
            }
        }
        self.next = Some(highest + 1);
        self.number = self.number.wrapping_add(1);
        let [.., b0, b1] = base.to_be_bytes();
        let mut message = Vec::new();
        write_transport_feedback(
            &mut message,
            (sender_ssrc, self.media_ssrc),
            (self.number, u16::from_be_bytes([b0, b1])),
            u32::try_from(reference & 0xff_ffff).unwrap_or(0),
            &list,
        );
        Some(message)
    }
}

/// As libwebrtc does at a few megabits.
const BETWEEN: Duration = Duration::from_millis(100);
const MAX_WAITING: usize = 1024;
const MAX_SPAN: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::light::rtp::Header;

    #[test]
    fn messages_follow_each_other_without_a_gap() {
        let began = Instant::now();
        let mut feedback = Feedback::new(3, began);
        let bases: Vec<_> = [65_534_u16, 1]
            .into_iter()
            .zip(1_u32..)
            .map(|(seq, round)| {
                let now = began + BETWEEN * round;
                let header = Header {
                    marker: false,
                    payload_type: 96,
                    seq,
                    timestamp: 0,
                    ssrc: 7,
                    has_padding: false,
                    len: 0,
                };
                let mut packet = Vec::new();
                header.write(&[(3, &seq.to_be_bytes())], &mut packet);
                feedback.handle(&packet, 7, now);
                let message = feedback.poll(1, now).unwrap();
                assert!(feedback.poll(1, now).is_none());
                (message[12..14].to_vec(), message[15])
            })
            .collect();
        assert_eq!(bases[0], (65_534_u16.to_be_bytes().to_vec(), 1));
        assert_eq!(bases[1], (65_535_u16.to_be_bytes().to_vec(), 3));
    }
}
