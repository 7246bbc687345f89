//! Which core each forwarding thread stays on, where that is wanted.

use core_affinity::CoreId;

/// Returns a core of its own for each of so many threads; none where it is not wanted, or the process may use fewer.
pub(crate) fn choose(is_wanted: bool, shards: u16) -> Vec<CoreId> {
    if !is_wanted {
        return Vec::new();
    }
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let wanted = usize::from(shards);
    if allowed.len() < wanted {
        // Two threads on one core could not make way for each other to another that is idle.
        let cores = allowed.len();
        tracing::warn!(
            cores,
            shards,
            "fewer cores than media threads: they are not pinned"
        );
        return Vec::new();
    }
    allowed.into_iter().take(wanted).collect()
}

/// Keeps the calling thread on a core.
pub(crate) fn pin(core: CoreId) {
    if !core_affinity::set_for_current(core) {
        tracing::warn!(core = core.id, "thread not pinned");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_thread_has_a_core_of_its_own_or_none_has() {
        let allowed = core_affinity::get_core_ids().unwrap();
        let most = u16::try_from(allowed.len()).unwrap();
        for shards in 1..=most {
            let chosen = choose(true, shards);
            let cores: BTreeSet<_> = chosen.iter().map(|core| core.id).collect();
            assert_eq!(cores.len(), usize::from(shards));
            assert!(chosen.iter().all(|core| allowed.contains(core)));
        }
        assert_eq!(choose(true, most + 1), []);
        assert_eq!(choose(false, 1), []);
    }
}
