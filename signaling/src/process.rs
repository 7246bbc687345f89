//! What the process costs, under the names that Prometheus has for it: CPU time, memory, open files (proc(5)).

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{Counter, Gauge, IntGauge, Registry};
use rustix::time::{ClockId, clock_gettime};

/// The figures; the field docs are the help texts. Where there is no `/proc`, memory and files stay 0.
#[derive(Debug)]
pub(crate) struct Process {
    /// CPU time of all threads, in user mode and in the kernel. Behind a lock, so that two readers do not add the same time.
    cpu_seconds: Mutex<Counter>,
    /// Memory of the process that is in RAM.
    resident_bytes: IntGauge,
    /// Files and sockets that are open.
    open_files: IntGauge,
    /// How many may be open.
    max_files: IntGauge,
}

impl Process {
    /// Registers them, and that the process starts now.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::new(name, help)?);
        let start = Gauge::new(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
        )?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        start.set(now.unwrap_or_default().as_secs_f64());
        register(registry, start)?;
        let cpu_seconds = Counter::new(
            "process_cpu_seconds_total",
            "CPU time of all threads, in user mode and in the kernel",
        )?;
        Ok(Self {
            cpu_seconds: Mutex::new(register(registry, cpu_seconds)?),
            resident_bytes: gauge(
                "process_resident_memory_bytes",
                "Memory of the process that is in RAM",
            )?,
            open_files: gauge("process_open_fds", "Files and sockets that are open")?,
            max_files: gauge("process_max_fds", "How many may be open")?,
        })
    }

    /// Brings them up to date.
    pub(crate) fn read(&self) {
        let counter = self
            .cpu_seconds
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counter.inc_by((cpu_seconds() - counter.get()).max(0.0));
        drop(counter);
        if let Some(kib) = number_after(&own("status"), "VmRSS:") {
            self.resident_bytes.set(kib.saturating_mul(1024));
        }
        if let Some(most) = max_open_files() {
            self.max_files.set(i64::try_from(most).unwrap_or(i64::MAX));
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // The folder itself is open while it is read.
            let open = open.count().saturating_sub(1);
            self.open_files.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
    }
}

fn register<T: Collector + Clone + 'static>(
    registry: &Registry,
    metric: T,
) -> Result<T, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Returns how many files this process may have open; `None` where that is without end, or not told.
pub(crate) fn max_open_files() -> Option<u64> {
    let most = number_after(&own("limits"), "Max open files")?;
    u64::try_from(most).ok()
}

/// Reads a file of this process in `/proc`; empty where there is none.
fn own(file: &str) -> String {
    fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default()
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "microseconds of years fit")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9;
    seconds
}

/// Returns the number that stands behind these words at the beginning of a line.
fn number_after(text: &str, words: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.strip_prefix(words))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_what_stands_before_them() {
        let status = "Name:\tklieg VmRSS: 7 kB\nVmHWM:\t    900 kB\nVmRSS:\t    512 kB\n";
        assert_eq!(number_after(status, "VmRSS:"), Some(512));
        let limits = "Max open files            1024                 1048576              files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024));
        assert_eq!(
            number_after("Max open files unlimited", "Max open files"),
            None
        );
        assert_eq!(number_after("", "VmRSS:"), None);
    }

    #[test]
    fn time_that_was_spent_is_counted_once() {
        let process = Process::new(&Registry::new()).unwrap();
        process.read();
        let spent = process.cpu_seconds.lock().unwrap().get();
        process.read();
        let more = process.cpu_seconds.lock().unwrap().get();
        assert!(0.0 < spent && spent <= more && more <= cpu_seconds());
        assert!(process.resident_bytes.get() > 100_000);
        assert!(0 < process.open_files.get() && process.open_files.get() < process.max_files.get());
    }
}
