//! Which destinations get runs of datagrams in one call to the kernel (segmentation offload), and which get
//! them one by one because the kernel, a network card or a path does not take runs.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;

use crate::config::Offload;

/// Destinations that are remembered as ones that get no runs. When there are more, all are tried anew.
const MAX_REFUSED: usize = 1024;
/// When no run was ever taken, so many destinations show that none will be.
const HOPELESS: usize = 4;

/// What a call to the kernel may end with, besides well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The socket's buffer is full.
    Full,
    /// A queue behind it is, and what was to be sent is lost.
    Lost,
    /// Anything else.
    Other,
}

/// Tells errors of sending apart.
pub(crate) fn trouble(error: &io::Error) -> Trouble {
    if error.kind() == io::ErrorKind::WouldBlock {
        Trouble::Full
    } else if error.raw_os_error() == Some(code::ENOBUFS) {
        Trouble::Lost
    } else {
        Trouble::Other
    }
}

/// What is known about runs.
#[derive(Debug)]
pub(crate) struct Runs {
    /// Datagrams of one run at most; 1: none are sent.
    segments: usize,
    /// Whether the kernel ever took one.
    has_worked: bool,
    /// Destinations whose last run was refused; at most [`MAX_REFUSED`].
    refused: HashSet<SocketAddr>,
}

impl Runs {
    /// Starts with what the kernel says that it can.
    pub(crate) fn new(offload: Offload, segments: usize) -> Self {
        let segments = match offload {
            Offload::Auto => segments.max(1),
            Offload::Off => 1,
        };
        Self {
            segments,
            has_worked: false,
            refused: HashSet::new(),
        }
    }

    /// Returns how many datagrams a run to a destination may have.
    pub(crate) fn segments(&self, remote: SocketAddr) -> usize {
        let is_refused = !self.refused.is_empty() && self.refused.contains(&remote);
        if is_refused { 1 } else { self.segments }
    }

    /// Returns whether an error may mean that a run was refused for being one: no checksums by the card
    /// (`EIO`), more than the kernel or the path takes (`EINVAL`, `EMSGSIZE`), or nothing of the kind.
    pub(crate) fn may_refuse(error: &io::Error) -> bool {
        let codes = [code::EIO, code::EINVAL, code::EMSGSIZE, code::EOPNOTSUPP];
        error
            .raw_os_error()
            .is_some_and(|code| codes.contains(&code))
    }

    /// Notes that the kernel took a run.
    pub(crate) fn worked(&mut self) {
        self.has_worked = true;
    }

    /// Notes that a run was refused whose datagrams left one by one.
    pub(crate) fn refused(&mut self, remote: SocketAddr) {
        if self.refused.len() >= MAX_REFUSED {
            self.refused.clear();
        }
        self.refused.insert(remote);
        if !self.has_worked && self.refused.len() >= HOPELESS && self.segments > 1 {
            tracing::warn!("the kernel takes no runs of datagrams: each is sent by itself");
            self.segments = 1;
            self.refused = HashSet::new();
        }
    }
}

/// Error codes that `std` has no kind for.
#[cfg(target_os = "linux")]
mod code {
    pub(super) const EIO: i32 = 5;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const EMSGSIZE: i32 = 90;
    pub(super) const EOPNOTSUPP: i32 = 95;
    pub(super) const ENOBUFS: i32 = 105;
}

/// Elsewhere no runs are sent, so nothing can be wrong with them.
#[cfg(not(target_os = "linux"))]
mod code {
    pub(super) const EIO: i32 = i32::MIN;
    pub(super) const EINVAL: i32 = i32::MIN;
    pub(super) const EMSGSIZE: i32 = i32::MIN;
    pub(super) const EOPNOTSUPP: i32 = i32::MIN;
    /// That of BSD and macOS.
    pub(super) const ENOBUFS: i32 = 55;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], number))
    }

    #[test]
    fn one_viewer_that_gets_no_runs_takes_them_from_nobody_else() {
        let mut runs = Runs::new(Offload::Auto, 64);
        runs.worked();
        runs.refused(viewer(1));
        assert_eq!(runs.segments(viewer(1)), 1);
        assert_eq!(runs.segments(viewer(2)), 64);
    }

    #[test]
    fn a_kernel_that_takes_no_runs_is_not_asked_for_ever() {
        let mut runs = Runs::new(Offload::Auto, 64);
        for number in 0..4 {
            assert_eq!(runs.segments(viewer(number)), 64);
            runs.refused(viewer(number));
        }
        assert_eq!(runs.segments(viewer(9)), 1);
    }

    #[test]
    fn refused_destinations_are_bounded() {
        let mut runs = Runs::new(Offload::Auto, 64);
        runs.worked();
        for number in 0..10_000 {
            runs.refused(viewer(number));
        }
        assert!(runs.refused.len() <= MAX_REFUSED);
        assert_eq!(runs.segments(viewer(9_999)), 1);
    }

    #[test]
    fn runs_can_be_switched_off() {
        let runs = Runs::new(Offload::Off, 64);
        assert_eq!(runs.segments(viewer(1)), 1);
    }
}
