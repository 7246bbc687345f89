//! One test from the first publisher to the last goodbye.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::light::Identity;
use crate::light::media::Media;
use crate::light::send::Sent;
use crate::light::tally::{BEGAN, Tally};
use crate::live;
use crate::measure::{Measurement, Moment};
use crate::options::{Options, Scenario};
use crate::publisher::Publisher;
use crate::report::{Report, Results};
use crate::server::Usage;
use crate::session::{Stay, Talk, Visit, visit};
use crate::viewer;

/// What all tasks of a test share.
pub(crate) struct Context {
    pub(crate) options: Arc<Options>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) talk: Talk,
    /// Those of the viewers.
    media: Vec<Media>,
    /// One for each publisher; one alone without publishers.
    rooms: Vec<String>,
    next_peer: AtomicU32,
    /// When some viewers fall silent.
    stall_at: Instant,
}

impl Context {
    /// Returns a number that no other peer has.
    pub(crate) fn next_peer(&self) -> u32 {
        self.next_peer.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the thread that a peer is on.
    pub(crate) fn media(&self, peer: u32) -> &Media {
        let place = usize::try_from(peer).unwrap_or(0) % self.media.len();
        &self.media[place]
    }

    /// Returns which publisher's stream a viewer watches.
    pub(crate) fn publisher_of(&self, viewer: u32) -> u32 {
        viewer % u32::from(self.options.publishers.max(1))
    }

    /// Returns the room that a viewer watches.
    pub(crate) fn room_of(&self, viewer: u32) -> &str {
        let place = usize::try_from(viewer).unwrap_or(0) % self.rooms.len();
        &self.rooms[place]
    }

    /// Returns whether this viewer is one of those that fall silent.
    pub(crate) fn is_to_stall(&self, viewer: u32) -> bool {
        self.options.scenario == Scenario::Stalled && viewer.is_multiple_of(10)
    }

    /// Lets a peer fall silent when it is time.
    pub(crate) fn stall_later(&self, peer: u32) {
        let (media, at) = (self.media(peer).clone(), self.stall_at);
        tokio::spawn(async move {
            sleep_until(at).await;
            media.stall(peer);
        });
    }

    /// Returns the counts of all threads, and how many viewers are connected.
    pub(crate) fn tally(&self) -> (Tally, u64) {
        let (mut sum, mut connected) = (Tally::default(), 0);
        for media in &self.media {
            let (tally, here) = media.tally();
            sum.add(&tally);
            connected += here;
        }
        (sum, connected)
    }

    /// Returns the ports of all sockets.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.media.iter().flat_map(Media::ports).collect()
    }
}

/// Publishes if asked to, lets the viewers join, and collects what they saw.
pub(crate) async fn run(options: &Arc<Options>) -> anyhow::Result<Report> {
    std::sync::LazyLock::force(&BEGAN);
    let identity = Arc::new(Identity::generate()?);
    let mut media = Vec::new();
    for number in 0..options.threads {
        let name = format!("{VIEWER_THREAD}{number}");
        let sockets = usize::from(options.sockets);
        media.push(Media::start(&name, sockets, Arc::clone(&identity))?);
    }
    let publishers = go_live(options, &identity).await?;
    let rooms = match (&options.room, &publishers[..]) {
        (Some(room), _) => vec![room.clone()],
        (None, []) => vec![String::new()],
        (None, publishers) => publishers.iter().map(|one| one.room.clone()).collect(),
    };
    // The server's memory is compared with and without viewers.
    sleep(SETTLE_TIME).await;
    let empty = options.server_pid.and_then(Usage::of);
    if options.server_pid.is_some() && empty.is_none() {
        warn!("the server's process cannot be read: wrong --server-pid?");
    }

    let ramp = Duration::from_secs_f64(f64::from(options.viewers) / options.joins_per_second());
    let joins_end = Instant::now() + ramp;
    let ends = joins_end + options.duration;
    let context = Arc::new(Context {
        options: Arc::clone(options),
        identity,
        talk: Talk::default(),
        media,
        rooms,
        next_peer: AtomicU32::new(0),
        stall_at: joins_end + options.duration / 3,
    });
    let over = watch::Sender::new(false);
    let display = tokio::spawn(live::show(Arc::clone(&context), ends, over.subscribe()));
    let measuring = tokio::spawn(measure(Arc::clone(&context), joins_end, ends, empty));
    let (visits, complete) = watch_all(&context, ends).await;
    let measurement = measuring.await.context("the measurement ended early")?;
    over.send_replace(true);
    let samples = display.await.unwrap_or_default();

    let mut sent = Vec::new();
    for publisher in publishers {
        sent.push(publisher.stop(GOOD_BYE_TIME).await);
    }
    let (tally, _) = context.tally();
    Ok(Report::new(Results {
        context: &context,
        sent,
        visits,
        complete,
        measurement,
        samples,
        tally,
    }))
}

async fn go_live(
    options: &Arc<Options>,
    identity: &Arc<Identity>,
) -> anyhow::Result<Vec<Publisher>> {
    let mut publishers = Vec::new();
    if options.publishers == 0 {
        return Ok(publishers);
    }
    let media = Media::start(PUBLISHER_THREAD, 1, Arc::clone(identity))?;
    for number in 0..u32::from(options.publishers) {
        let peer = FIRST_PUBLISHER + number;
        let publisher = Publisher::go_live(options, number, peer, &media, identity).await;
        publishers.push(publisher.context("a publisher could not go live")?);
    }
    Ok(publishers)
}

/// Lets everybody in, one after the other, and waits for all.
async fn watch_all(
    context: &Arc<Context>,
    ends: Instant,
) -> (Vec<Visit>, Vec<viewer::ViewerReport>) {
    let options = &context.options;
    let mut complete = JoinSet::new();
    for number in 0..options.conformance {
        let room = context.room_of(u32::from(number)).to_owned();
        complete.spawn(viewer::watch(Arc::clone(options), room, number, ends));
    }
    let (mut light, began) = (JoinSet::new(), Instant::now());
    for number in 0..options.viewers {
        light.spawn(stay(Arc::clone(context), number, ends));
        let due = f64::from(number + 1) / options.joins_per_second();
        sleep_until(began + Duration::from_secs_f64(due)).await;
    }
    info!(viewers = options.viewers, "everybody was let in");
    let mut visits = Vec::new();
    while let Some(finished) = light.join_next().await {
        match finished {
            Ok(these) => visits.extend(these),
            Err(error) => warn!(%error, "a viewer's task ended early"),
        }
    }
    let mut reports: Vec<_> = Vec::new();
    while let Some(finished) = complete.join_next().await {
        reports.extend(finished);
    }
    reports.sort_by_key(|report| report.number);
    (visits, reports)
}

/// One viewer's visits: one, or two where the scenario breaks them off.
async fn stay(context: Arc<Context>, number: u32, ends: Instant) -> Vec<Visit> {
    let mut visits = Vec::new();
    if context.options.scenario == Scenario::Reconnect {
        let stay = Stay {
            ends: ends - context.options.duration / 2,
            breaks_off: true,
        };
        visits.push(visit(&context, number, stay).await);
    }
    let stay = Stay {
        ends,
        breaks_off: false,
    };
    visits.push(visit(&context, number, stay).await);
    visits
}

/// Measures between the time when everybody is in and the first goodbye.
async fn measure(
    context: Arc<Context>,
    joins_end: Instant,
    ends: Instant,
    empty: Option<Usage>,
) -> Measurement {
    let settle = SETTLE_TIME.min((ends - joins_end) / 4);
    sleep_until(joins_end + settle).await;
    let begin = Moment::take(&context);
    sleep_until(ends - MARGIN).await;
    let end = Moment::take(&context);
    Measurement::between(begin, end, empty)
}

/// Adds up what several publishers sent.
pub(crate) fn sum(sent: &[Sent]) -> Sent {
    sent.iter().fold(Sent::default(), |sum, one| Sent {
        packets: sum.packets + one.packets,
        audio_packets: sum.audio_packets + one.audio_packets,
        frames: sum.frames + one.frames,
        keyframes: sum.keyframes + one.keyframes,
        keyframe_requests: sum.keyframe_requests + one.keyframe_requests,
        resent: sum.resent + one.resent,
    })
}

/// Names of threads, by which their CPU time is found.
pub(crate) const VIEWER_THREAD: &str = "viewers-";
pub(crate) const PUBLISHER_THREAD: &str = "publishers";
/// Viewers count from 0.
const FIRST_PUBLISHER: u32 = 1 << 21;
/// Joins and their keyframes are over then.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// The measurement ends so long before the goodbyes.
const MARGIN: Duration = Duration::from_millis(100);
const GOOD_BYE_TIME: Duration = Duration::from_secs(2);
