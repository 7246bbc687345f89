//! Partitions that rest: nothing is read from them, and the server stays in its group and knows how much waits there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use tokio::task::{JoinSet, spawn_blocking};

use super::Group;

/// Whether the partitions of a group's member rest.
pub(super) struct Rest {
    group: Arc<Group>,
    is_on: bool,
    /// One while they rest; it ends with this.
    looks: JoinSet<()>,
}

impl Rest {
    pub(super) fn new(group: &Arc<Group>) -> Self {
        Self {
            group: Arc::clone(group),
            is_on: false,
            looks: JoinSet::new(),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Lets no messages come, or lets them come again.
    ///
    /// # Errors
    /// What the library says.
    pub(super) fn set(&mut self, is_on: bool) -> KafkaResult<()> {
        if self.is_on == is_on {
            return Ok(());
        }
        self.is_on = is_on;
        if is_on {
            self.looks.spawn(look(Arc::clone(&self.group)));
            return self.group.pause(&self.group.assignment()?);
        }
        self.end()
    }

    /// Lets messages come whatever was before: a partition that rested when it was given away would rest for ever once it is
    /// back.
    ///
    /// # Errors
    /// What the library says.
    pub(super) fn end(&mut self) -> KafkaResult<()> {
        self.is_on = false;
        self.looks.abort_all();
        self.group.context().forget_ends();
        self.group.resume(&self.group.assignment()?)
    }
}

/// Asks for ever how far the partitions go: the library hears that with what it reads, and so not at present.
async fn look(group: Arc<Group>) {
    loop {
        let group = Arc::clone(&group);
        // It ends early only in a panic, which tells of itself.
        let _ = spawn_blocking(move || look_once(&group)).await;
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

fn look_once(group: &Group) {
    let Ok(partitions) = group.assignment() else {
        return;
    };
    let until = Instant::now() + LOOK;
    let ends = partitions.elements().into_iter().map_while(|it| {
        let left = until.saturating_duration_since(Instant::now());
        let ends = group.fetch_watermarks(it.topic(), it.partition(), left);
        ends.ok().map(|(_, end)| (it.partition(), end))
    });
    // All of them before: who waits for the answers must not keep the figures from others.
    let ends: Vec<(i32, i64)> = ends.collect();
    group.context().handle_ends(ends);
}

const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// For all partitions together: less than it may take to leave the group.
const LOOK: Duration = Duration::from_secs(2);
