//! What the library tells of itself: how far behind the group is, and whether a broker answers.

use std::sync::Arc;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use tracing::{debug, info, warn};

use crate::metrics::Kafka;

use super::lines::Lines;

/// Takes what the library tells of itself.
pub(super) struct Watcher {
    topic: String,
    metrics: Kafka,
    lines: Arc<Lines>,
}

impl Watcher {
    pub(super) fn new(topic: &str, metrics: Kafka, lines: Arc<Lines>) -> Self {
        Self {
            topic: topic.to_owned(),
            metrics,
            lines,
        }
    }
}

impl Drop for Watcher {
    /// Who left the group reads nothing.
    fn drop(&mut self) {
        self.metrics.connected.set(0);
        self.metrics.lag.set(0);
    }
}

impl ClientContext for Watcher {
    // Its lines are many, and for who looks for a fault.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, text: &str) {
        debug!(facility, text, "librdkafka");
    }

    fn stats(&self, statistics: Statistics) {
        let up = statistics.brokers.values().any(|it| it.state == "UP");
        let before = self.metrics.connected.get();
        self.metrics.connected.set(up.into());
        match (before, up) {
            (0, true) => info!("a broker of Kafka answers"),
            (1, false) => warn!("no broker of Kafka answers"),
            _ => {}
        }
        // Of a partition that another server reads it is -1.
        let topic = statistics.topics.get(&self.topic);
        let partitions = topic.into_iter().flat_map(|it| it.partitions.values());
        let lag = partitions.map(|it| it.consumer_lag.max(0)).sum();
        self.metrics.lag.set(lag);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Watcher {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            self.metrics.failures.inc();
            if self.lines.may_write() {
                // They come again, and are known.
                warn!(%error, "Kafka does not know which orders were read");
            }
        }
    }
}
