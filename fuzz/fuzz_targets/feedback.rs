//! Transport-wide feedback: the message itself, and an estimator that gets one after the other in turn with time and
//! packets that leave.

#![no_main]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use klieg_sfu_core::congestion::estimate::Estimator;
use klieg_sfu_core::congestion::feedback::TransportFeedback;
use libfuzzer_sys::fuzz_target;

/// What happens next.
#[derive(arbitrary::Arbitrary, Debug)]
enum Step<'a> {
    Wait(u16),
    /// The viewer's address changes.
    Move,
    Send { packets: u8, size_bytes: u16 },
    /// A message as it is.
    Message(&'a [u8]),
    /// A message about packets that were sent: so many back, and what became of them.
    Report { back: u16, count: u8, reference: [u8; 3], rest: &'a [u8] },
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let mut now = *EPOCH.get_or_init(Instant::now);
    let mut estimator = Estimator::new(now);
    for step in steps.iter().take(400) {
        match step {
            Step::Wait(millis) => {
                now += Duration::from_millis(u64::from(*millis));
                estimator.handle_timeout(now);
            }
            Step::Move => estimator.handle_path_change(now),
            Step::Send { packets, size_bytes } => {
                for _ in 0..*packets {
                    estimator.note_sent(now, usize::from(*size_bytes));
                }
            }
            Step::Message(message) => take(&mut estimator, now, message),
            Step::Report { back, count, reference, rest } => {
                let base = estimator.next_number().wrapping_sub(*back).to_be_bytes();
                let mut message = vec![base[0], base[1], 0, *count];
                message.extend_from_slice(reference);
                message.push(0);
                message.extend_from_slice(rest);
                take(&mut estimator, now, &message);
            }
        }
        if let Some(estimate) = estimator.estimate() {
            assert!((50_000..=50_000_000).contains(&estimate.as_bps()));
        }
        assert!(estimator.loss() <= 1000);
    }
});

fn take(estimator: &mut Estimator, now: Instant, message: &[u8]) {
    if let Some(feedback) = TransportFeedback::parse(message) {
        assert!(feedback.statuses().count() <= usize::from(feedback.count()));
        let next = estimator.next_number();
        // What does not say when it came is no more than what was sent lately, or than the message is long.
        let news = feedback.news(next.wrapping_sub(2048), next);
        assert!(news.count() <= 2048 + 7 * message.len());
        estimator.handle_feedback(now, &feedback);
    }
}
