//! What the estimate of a path makes of reports about packets that left and came as a test says.

use std::time::{Duration, Instant};

use klieg_sfu_core::congestion::estimate::Estimator;
use klieg_sfu_core::congestion::feedback::TransportFeedback;
use klieg_sfu_core::congestion::rate::Bitrate;

use crate::sim::epoch;
use crate::sim::feedback::Feedback;

const MILLI: Duration = Duration::from_millis(1);
const LEN: usize = 1250;

/// Sends 2 Mb/s for some seconds, each packet through at a time that `way` says, and reports it each 50 ms; returns
/// the highest estimate.
fn highest(secs: u64, way: impl Fn(Instant) -> Instant) -> Bitrate {
    let start = epoch();
    let mut estimator = Estimator::new(start);
    let (mut arrivals, mut feedback) = (Vec::new(), Feedback::default());
    let mut highest = Bitrate::ZERO;
    for ms in 0..secs * 1000 {
        let now = start + MILLI * ms as u32;
        if ms % 5 == 0 {
            arrivals.push((way(now), estimator.next_number()));
            estimator.note_sent(now, LEN);
        }
        let is_here = |(at, _): &mut (Instant, u16)| *at <= now;
        for (at, number) in arrivals.extract_if(.., is_here) {
            feedback.note(at, number);
        }
        if ms % 50 == 0
            && let Some(message) = feedback.take()
        {
            // The header and the two SSRCs are read before.
            let read = TransportFeedback::parse(&message[12..]).unwrap();
            estimator.handle_feedback(now, &read);
        }
        highest = highest.max(estimator.estimate().unwrap_or_default());
    }
    highest
}

#[test]
fn what_a_stall_held_up_and_lets_go_at_once_proves_nothing() {
    let even = highest(20, |now| now + 20 * MILLI);
    // 200 ms of every two seconds nothing passes.
    let stalls = highest(20, |now| {
        let into = (now - epoch()).as_millis() as u64 % 2000;
        now + 20 * MILLI + MILLI * 200_u64.saturating_sub(into) as u32
    });
    println!("{even:?}, with stalls {stalls:?}");
    assert!(even <= Bitrate::kbps(3100), "{even:?}");
    assert!(stalls <= Bitrate::kbps(3100), "{stalls:?}");
}
