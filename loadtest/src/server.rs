//! What the kernel says of processes on this machine: CPU time, memory, lost datagrams (proc(5)).

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

/// CPU time and memory of a process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// In user mode and in the kernel.
    pub(crate) cpu: Duration,
    /// Resident.
    pub(crate) memory_bytes: u64,
}

impl Usage {
    /// Reads that of a process; `None` when there is none.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self {
            cpu: cpu_time(&stat)?,
            memory_bytes: resident_bytes(&status)?,
        })
    }
}

/// Returns the CPU time of this process's threads whose names begin so, each.
pub(crate) fn own_threads(prefix: &str) -> Vec<Duration> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let ours = stats.filter(|stat| {
        let name = stat.split_once('(').map_or("", |(_, rest)| rest);
        name.starts_with(prefix)
    });
    ours.filter_map(|stat| cpu_time(&stat)).collect()
}

/// Returns how many datagrams the kernel dropped because sockets on these ports were full.
///
/// It is the counter that `SO_RXQ_OVFL` would bring with each datagram, read for all sockets at once.
pub(crate) fn dropped_datagrams(ports: &HashSet<u16>) -> u64 {
    let tables = ["/proc/net/udp", "/proc/net/udp6"];
    let tables = tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    tables.map(|table| drops(&table, ports)).sum()
}

/// Returns how many files this process may have open; `None` where that is not told.
pub(crate) fn max_open_files() -> Option<u64> {
    soft_limit(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<u64> {
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns how long all cores of this machine together did nothing, and how many cores it has.
pub(crate) fn idle_time() -> Option<(Duration, usize)> {
    idle(&fs::read_to_string("/proc/stat").ok()?)
}

fn idle(stat: &str) -> Option<(Duration, usize)> {
    let cores = stat.lines().filter(|line| line.starts_with("cpu")).count() - 1;
    let mut fields = stat.lines().next()?.split_ascii_whitespace().skip(4);
    let idle: u64 = fields.next()?.parse().ok()?;
    let waiting: u64 = fields.next()?.parse().ok()?;
    Some((Duration::from_millis((idle + waiting) * MS_PER_TICK), cores))
}

fn cpu_time(stat: &str) -> Option<Duration> {
    // The name may hold anything, so what follows its last parenthesis counts: field 3 and on.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * MS_PER_TICK))
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

fn drops(table: &str, ports: &HashSet<u16>) -> u64 {
    let rows = table.lines().skip(1).filter_map(|row| {
        let mut words = row.split_ascii_whitespace();
        let (_, port) = words.nth(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let dropped: u64 = words.next_back()?.parse().ok()?;
        ports.contains(&port).then_some(dropped)
    });
    rows.sum()
}

/// Of `USER_HZ`, which Linux keeps at 100 towards programs.
const MS_PER_TICK: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.memory_bytes > 100_000);
        assert_eq!(Usage::of(u32::MAX), None);
    }

    #[test]
    fn a_name_may_hold_parentheses() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 1 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(3)));
    }

    #[test]
    fn idle_time_is_that_of_all_cores() {
        let stat = "cpu  1 2 3 400 50 0 0 0\ncpu0 0 0 0 200 0\ncpu1 0 0 0 200 0\nintr 5\n";
        assert_eq!(idle(stat), Some((Duration::from_millis(4500), 2)));
    }

    #[test]
    fn the_limit_in_force_is_the_soft_one() {
        let limits = "Max processes  1 2 processes\nMax open files            1024                 4096                 files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(
            soft_limit("Max open files  unlimited unlimited files"),
            None
        );
        assert!(max_open_files().is_some_and(|most| most > 3));
    }

    #[test]
    fn drops_of_our_ports_are_counted() {
        let table = "  sl  local_address rem_address   st ... drops\n\
            1: 00000000:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 5 2 0 7\n\
            2: 00000000:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 6 2 0 9\n";
        assert_eq!(drops(table, &HashSet::from([0x1f90])), 7);
        assert_eq!(drops(table, &HashSet::from([0x1f90, 0x1f91])), 16);
        assert_eq!(drops("", &HashSet::from([1])), 0);
    }
}
