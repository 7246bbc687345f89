//! When frames were captured (the header extension
//! <http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time>): as the publisher says, or by its sender reports.

use crate::command::Kind;

/// From one frame that says it to the next, but for keyframes: players work out what lies between.
const EVERY_SECONDS: u64 = 1;
/// For how long what a publisher said counts: browsers say it once a second.
const COUNTS_SECONDS: u64 = 5;
/// What seems to be so much earlier than what came before is not late: its clock began anew.
const ANEW_SECONDS: u64 = 10;

/// A moment of capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CaptureTime {
    /// NTP time: 32.32 seconds since 1900, by the clock of what captured.
    pub(crate) ntp: u64,
    /// What has to be added to the sender's clock to have that one, in units of 2^-32 s, modulo 2^64; `None` where the
    /// sender does not know.
    pub(crate) offset: Option<u64>,
}

impl CaptureTime {
    /// What it adds to a packet at the most, in bytes: its value with a header of two bytes, and what fills its block up.
    pub(crate) const MAX_ADDED: usize = 20;

    /// Reads the value of the extension; `None` where it is of another length than either form.
    fn read(value: &[u8]) -> Option<Self> {
        let (ntp, rest) = value.split_first_chunk()?;
        let offset = rest.first_chunk().map(|offset| u64::from_be_bytes(*offset));
        let fits = rest.is_empty() || rest.len() == 8;
        fits.then_some(Self {
            ntp: u64::from_be_bytes(*ntp),
            offset,
        })
    }

    /// Appends the value of the extension; returns how many bytes that are.
    pub(crate) fn write(self, out: &mut Vec<u8>) -> u8 {
        out.extend_from_slice(&self.ntp.to_be_bytes());
        let Some(offset) = self.offset else {
            return 8;
        };
        out.extend_from_slice(&offset.to_be_bytes());
        16
    }

    /// Returns it as the server passes it on. `to_server` is what has to be added to the publisher's clock to have the
    /// server's; `None` before that is known.
    pub(super) fn passed_on(self, to_server: Option<u64>) -> Self {
        // Who says nothing of another clock has captured it.
        let own = self.offset.unwrap_or(0);
        Self {
            offset: to_server.map(|to_server| own.wrapping_sub(to_server)),
            ..self
        }
    }
}

/// Which frames of a stream say when they were captured: keyframes, with which viewers begin, and one each second.
#[derive(Debug, Default)]
pub(super) struct Captures {
    /// What the publisher said last, and of which timestamp; `None` before.
    told: Option<(u64, CaptureTime)>,
    /// The same by its last sender report; `None` before.
    reported: Option<(u64, CaptureTime)>,
    /// The newest frame and what it says: all packets of a frame the same, so that they stay equal in size; `None`
    /// before the first.
    frame: Option<(u64, Option<CaptureTime>)>,
    /// The last frame that said it; `None` before.
    said: Option<u64>,
}

impl Captures {
    /// Takes a sender report: what the clock of the publisher says at a timestamp.
    pub(super) fn note_report(&mut self, timestamp: u64, ntp: u64) {
        let time = CaptureTime {
            ntp,
            offset: Some(0),
        };
        self.reported = Some((timestamp, time));
    }

    /// Takes a packet and what it says itself; returns what viewers are told with it.
    pub(super) fn note_packet(
        &mut self,
        (timestamp, keyframe): (u64, bool),
        told: Option<&[u8]>,
        (kind, rate_hz): (Kind, u32),
    ) -> Option<CaptureTime> {
        if let Some(told) = told.and_then(CaptureTime::read) {
            self.told = Some((timestamp, told));
        }
        if let Some((frame, says)) = self.frame
            && timestamp <= frame
            && frame - timestamp < ANEW_SECONDS * u64::from(rate_hz)
        {
            // Of an earlier frame nobody remembers what it said.
            return says.filter(|_| timestamp == frame);
        }
        let interval = EVERY_SECONDS * u64::from(rate_hz);
        let is_due = |said: u64| timestamp.abs_diff(said) >= interval;
        // A decoder can start at every packet of sound.
        let begins = keyframe && kind == Kind::Video;
        let says = (begins || self.said.is_none_or(is_due))
            .then(|| self.at(timestamp, rate_hz))
            .flatten();
        self.frame = Some((timestamp, says));
        self.said = says.map(|_| timestamp).or(self.said);
        says
    }

    /// Returns when what has a timestamp was captured, if anything has told.
    fn at(&self, timestamp: u64, rate_hz: u32) -> Option<CaptureTime> {
        let counts = COUNTS_SECONDS * u64::from(rate_hz);
        let told = self.told;
        let told = told.filter(|(at, _)| timestamp.saturating_sub(*at) <= counts);
        let (at, time) = told.or(self.reported)?;
        let passed = ((i128::from(timestamp) - i128::from(at)) << 32) / i128::from(rate_hz);
        let passed = u64::try_from(passed & i128::from(u64::MAX)).ok()?;
        Some(CaptureTime {
            ntp: time.ntp.wrapping_add(passed),
            ..time
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1 << 32;
    const VIDEO: (Kind, u32) = (Kind::Video, 90_000);
    const AUDIO: (Kind, u32) = (Kind::Audio, 48_000);

    fn value(ntp: u64, offset: Option<u64>) -> Vec<u8> {
        let mut value = Vec::new();
        let len = CaptureTime { ntp, offset }.write(&mut value);
        assert_eq!(value.len(), usize::from(len));
        value
    }

    #[test]
    fn what_a_publisher_says_is_passed_on_with_its_clock_beside_the_servers() {
        let said = CaptureTime::read(&value(7 * SECOND, None)).unwrap();
        assert_eq!(said.passed_on(None), said);
        let to_server = 3 * SECOND;
        let known = CaptureTime {
            ntp: 7 * SECOND,
            offset: Some(0_u64.wrapping_sub(to_server)),
        };
        assert_eq!(said.passed_on(Some(to_server)), known);

        // What captured is another machine, whose clock the publisher knows.
        let said = CaptureTime::read(&value(7 * SECOND, Some(10 * SECOND))).unwrap();
        let passed_on = said.passed_on(Some(to_server));
        assert_eq!(
            (passed_on.ntp, passed_on.offset),
            (7 * SECOND, Some(7 * SECOND))
        );
    }

    #[test]
    fn keyframes_say_it_and_one_frame_each_second() {
        let mut captures = Captures::default();
        captures.note_report(900_000, 50 * SECOND);
        let mut said = Vec::new();
        for frame in 0..90_u64 {
            let timestamp = 900_000 + frame * 3000;
            let begins = frame == 10;
            for packet in 0..3 {
                let says = captures.note_packet((timestamp, begins && packet == 0), None, VIDEO);
                said.extend(says.map(|time| (frame, time.ntp)));
            }
        }
        let at = |frame: u64| (frame, 50 * SECOND + frame * SECOND / 30);
        let expected = [0, 10, 40, 70].map(at);
        let each = |frame| [frame; 3];
        assert_eq!(said, expected.map(each).concat());
    }

    #[test]
    fn sound_says_it_once_a_second() {
        let mut captures = Captures::default();
        captures.note_report(0, 50 * SECOND);
        let times = (0..250).map(|packet| packet * 960);
        let said = times.filter(|time| captures.note_packet((*time, true), None, AUDIO).is_some());
        assert_eq!(
            said.collect::<Vec<_>>(),
            [0, 48_000, 96_000, 144_000, 192_000]
        );
    }

    #[test]
    fn what_the_publisher_says_counts_before_its_reports_and_not_for_ever() {
        let mut captures = Captures::default();
        captures.note_report(0, 50 * SECOND);
        let told = value(20 * SECOND, None);
        let says = captures.note_packet((90_000, true), Some(&told), VIDEO);
        assert_eq!(says.unwrap().ntp, 20 * SECOND);
        let says = captures.note_packet((5 * 90_000, true), None, VIDEO);
        assert_eq!(says.unwrap().ntp, 24 * SECOND);
        let says = captures.note_packet((8 * 90_000, true), None, VIDEO);
        assert_eq!(says.unwrap().ntp, 58 * SECOND);
    }

    #[test]
    fn nothing_is_said_before_anything_is_known_and_of_frames_that_are_over() {
        let mut captures = Captures::default();
        assert_eq!(captures.note_packet((3000, true), None, VIDEO), None);
        // The frame has begun without.
        captures.note_report(0, SECOND);
        assert_eq!(captures.note_packet((3000, false), None, VIDEO), None);
        assert!(captures.note_packet((6000, false), None, VIDEO).is_some());
        assert_eq!(captures.note_packet((3000, true), None, VIDEO), None);
        let wrong = [0; 12];
        assert_eq!(CaptureTime::read(&wrong), None);
    }

    #[test]
    fn a_clock_that_begins_anew_is_followed() {
        let mut captures = Captures::default();
        captures.note_report(0, 50 * SECOND);
        assert!(
            captures
                .note_packet((20 * 48_000, true), None, AUDIO)
                .is_some()
        );
        assert!(
            captures
                .note_packet((9 * 48_000, true), None, AUDIO)
                .is_some()
        );
        assert!(
            captures
                .note_packet((9 * 48_000 + 960, true), None, AUDIO)
                .is_none()
        );
        assert!(
            captures
                .note_packet((10 * 48_000, true), None, AUDIO)
                .is_some()
        );
    }

    proptest! {
        #[test]
        fn nothing_that_is_told_makes_it_panic(
            packets in proptest::collection::vec(
                (any::<u64>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)),
                0..30,
            ),
            report: (u64, u64),
        ) {
            let mut captures = Captures::default();
            captures.note_report(report.0, report.1);
            for (timestamp, keyframe, told) in &packets {
                let says = captures.note_packet((*timestamp, *keyframe), Some(told), VIDEO);
                if let Some(says) = says {
                    prop_assert_eq!(CaptureTime::read(&value(says.ntp, says.offset)), Some(says));
                }
            }
        }
    }
}
