//! What the kernel dropped of what came to the media port, because its queue was full: the forwarding threads have
//! more to do than time. The kernel counts it for each socket and shows it in a table of all of them.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, Registry};

/// The tables, for IPv4 and IPv6; there are none but on Linux.
const TABLES: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];

/// Counts what the sockets of one port did not take, whenever the metrics are read.
#[derive(Debug)]
pub(crate) struct ReceiveDrops {
    port: u16,
    counter: IntCounter,
}

impl ReceiveDrops {
    /// Shows the count among the metrics.
    pub(crate) fn register(registry: &Registry, port: u16) -> Result<(), prometheus::Error> {
        let counter = IntCounter::new(
            "klieg_sfu_receive_queue_dropped_total",
            "Datagrams that the kernel dropped because nobody read them in time.",
        )?;
        registry.register(Box::new(Self { port, counter }))
    }
}

impl Collector for ReceiveDrops {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let tables = TABLES
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok());
        let dropped: u64 = tables.map(|table| drops(&table, self.port)).sum();
        self.counter
            .inc_by(dropped.saturating_sub(self.counter.get()));
        self.counter.collect()
    }
}

/// Reads the last column of the sockets whose local port it is.
fn drops(table: &str, port: u16) -> u64 {
    let mut lines = table.lines();
    let heads = lines.next().unwrap_or_default();
    if !heads.trim_end().ends_with("drops") {
        return 0;
    }
    let of_socket = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let (_, local) = columns.nth(1)?.rsplit_once(':')?;
        let is_ours = u16::from_str_radix(local, 16) == Ok(port);
        let dropped = columns.next_back().filter(|_| is_ours)?;
        dropped.parse::<u64>().ok()
    };
    lines.filter_map(of_socket).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn the_sockets_of_the_port_are_counted_and_no_others() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  345: 00000000:1ECA 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 35311 2 0000000000000000 12
  345: 0100007F:1ECA 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 35312 2 0000000000000000 30
  346: 0100007F:1ECB 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 35313 2 0000000000000000 500
  347: nonsense
";
        assert_eq!(drops(table, 7882), 42);
        assert_eq!(drops(table, 7884), 0);
        assert_eq!(drops("", 7882), 0);
        assert_eq!(drops("something else\n 1: 0:1ECA 5", 7882), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_nobody_reads_is_counted_once_it_has_no_room() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let registry = Registry::new();
        ReceiveDrops::register(&registry, to.port()).unwrap();
        let shown = || {
            registry.gather()[0].get_metric()[0]
                .get_counter()
                .get_value()
        };
        assert!(shown().abs() < f64::EPSILON);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        // On loopback a datagram is in its queue, or dropped, before the call returns.
        for _ in 0..20_000 {
            sender.send_to(&[0; 1200], to).unwrap();
        }
        let first = shown();
        assert!(first > 0.0);
        assert!((shown() - first).abs() < f64::EPSILON);
    }
}
