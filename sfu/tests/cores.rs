//! The forwarding threads run where they were told to.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what does not hold fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use klieg_sfu::{Config, Offload, Sfu, TcpListen};

/// Threads are known by their names, so there is one forwarding unit at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Starts a forwarding unit and returns the cores that each of its threads may use, as the kernel writes them.
fn allowed_cores(shards: usize, pin_threads: bool) -> Vec<String> {
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tcp: TcpListen::Off,
        shards,
        addresses: Vec::new(),
        announce_loopback: true,
        pin_threads,
        hold: None,
        offload: Offload::Auto,
    };
    // A thread that has ended is still told of for a moment.
    let patience = Instant::now() + Duration::from_secs(10);
    while !shard_threads().is_empty() {
        assert!(Instant::now() < patience, "threads of before go on");
        std::thread::yield_now();
    }
    let (handle, _events) = Sfu::start(config, &prometheus::Registry::new()).unwrap();
    let folders = shard_threads().into_iter();
    let allowed = folders.map(|folder| cores_of(&folder.join("status")));
    let allowed = allowed.collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(handle.stop());
    allowed
}

/// Returns the folders in which the kernel tells of the forwarding threads.
fn shard_threads() -> Vec<PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let is_shard = |folder: &PathBuf| {
        let name = fs::read_to_string(folder.join("comm"));
        name.is_ok_and(|name| name.starts_with("klieg-shard-"))
    };
    // Other threads of the tests come and go.
    let folders = tasks.filter_map(|task| Some(task.ok()?.path()));
    folders.filter(is_shard).collect()
}

fn cores_of(status: &std::path::Path) -> String {
    let status = fs::read_to_string(status).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

fn own_cores() -> String {
    cores_of(std::path::Path::new("/proc/thread-self/status"))
}

#[test]
fn pinned_threads_have_a_core_each() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let cores = core_affinity::get_core_ids().unwrap().len();
    let allowed = allowed_cores(cores.min(4), true);
    assert_eq!(allowed.len(), cores.min(4));
    let single: BTreeSet<usize> = allowed.iter().map(|list| list.parse().unwrap()).collect();
    assert_eq!(single.len(), allowed.len(), "{allowed:?}");
}

#[test]
fn more_threads_than_cores_are_not_pinned() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let cores = core_affinity::get_core_ids().unwrap().len();
    let threads = cores + 1;
    if threads > klieg_sfu::MAX_SHARDS {
        return;
    }
    let allowed = allowed_cores(threads, true);
    assert_eq!(allowed, vec![own_cores(); threads]);
}

#[test]
fn threads_use_every_core_unless_told_otherwise() {
    let _one = ONE_AT_A_TIME.lock().unwrap();
    assert_eq!(allowed_cores(1, false), [own_cores()]);
}
