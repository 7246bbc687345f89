//! Processor time, and what a piece of work takes of it.

use rustix::time::{ClockId, clock_gettime};

/// Returns the processor time of this thread, in nanoseconds.
pub(crate) fn spent_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// Returns the least: others on the machine only ever add to it.
pub(crate) fn best(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}
