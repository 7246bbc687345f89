//! One test from the first publisher to the last goodbye.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::base::Base;
use crate::chatter::{Attendance, attend};
use crate::entry::{GOOD_BYE_TIME, Stay};
use crate::figures::Figures;
use crate::gate::Gate;
use crate::http::Http;
use crate::light::media::Media;
use crate::light::tally::{BEGAN, Tally};
use crate::light::{BETWEEN_PUBLICATIONS, Identity};
use crate::live;
use crate::measure::Moment;
use crate::net::Net;
use crate::options::{Options, Scenario};
use crate::publisher::Publisher;
use crate::report::{Report, Results};
use crate::server::max_open_files;
use crate::session::{Visit, visit};
use crate::source::Source;
use crate::stop::Stop;
use crate::talk::Talk;
use crate::viewer;

/// What all tasks of a test share once there is something to watch.
pub(crate) struct Context {
    pub(crate) base: Base,
    pub(crate) talk: Talk,
    pub(crate) source: Source,
    /// Those of the viewers.
    media: Vec<Media>,
    /// That of the publishers, if there are any.
    publishing: Option<Media>,
    /// One for each publisher; one alone without publishers.
    rooms: Vec<String>,
    next_peer: AtomicU32,
    /// Counts the complete viewers.
    pub(crate) gate: Arc<Gate>,
    /// The last counters that were read while the server was there; `None` before the first.
    pub(crate) last_good: Mutex<Option<Moment>>,
    /// When the first viewer comes, everybody was let in, some viewers fall silent, and all go.
    pub(crate) began: Instant,
    pub(crate) joins_end: Instant,
    stall_at: Instant,
    pub(crate) ends: Instant,
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
        viewer % u32::from(self.base.options.publishers.max(1))
    }

    /// Returns the place of the room that a viewer watches.
    pub(crate) fn room_place(&self, viewer: u32) -> usize {
        usize::try_from(viewer).unwrap_or(0) % self.rooms.len()
    }

    /// Returns the room that a viewer watches.
    pub(crate) fn room_of(&self, viewer: u32) -> &str {
        &self.rooms[self.room_place(viewer)]
    }

    /// Returns when this viewer or chatter falls silent, if it is to.
    pub(crate) fn silent_from(&self, number: u32) -> Option<Instant> {
        let options = &self.base.options;
        let stalls = match number.checked_sub(options.viewers) {
            Some(chatter) => chatter < options.stalled_chatters(),
            None => options.scenario == Scenario::Stalled && number.is_multiple_of(10),
        };
        stalls.then_some(self.stall_at)
    }

    /// Returns when a chatter that fell silent reads again, each at a time of its own: a server cannot hold the word with
    /// which it closed a socket for long.
    pub(crate) fn reads_again_at(&self, number: u32) -> Instant {
        let options = &self.base.options;
        let place = number.saturating_sub(options.viewers) + 1;
        let share = f64::from(place) / f64::from(options.stalled_chatters().max(1));
        self.stall_at + (self.ends - self.stall_at).mul_f64(share.min(1.0))
    }

    /// Lets a peer fall silent when it is time.
    pub(crate) fn stall_later(&self, peer: u32, at: Instant) {
        let media = self.media(peer).clone();
        tokio::spawn(async move {
            sleep_until(at).await;
            media.stall(peer).await;
        });
    }

    /// Returns when joins and their keyframes are over.
    pub(crate) fn steady_at(&self) -> Instant {
        self.joins_end + SETTLE_TIME.min((self.ends - self.joins_end) / 4)
    }

    /// Returns when some fall silent, where they do.
    pub(crate) fn stall_at(&self) -> Option<Instant> {
        let options = &self.base.options;
        let some_do = options.scenario == Scenario::Stalled || options.stalled_chatters() > 0;
        some_do.then_some(self.stall_at)
    }

    /// Returns the counts of all threads, and how many viewers are connected.
    pub(crate) fn tally(&self) -> (Tally, u64) {
        let (mut sum, mut connected) = (Tally::default(), 0);
        for media in self.media.iter().chain(&self.publishing) {
            let (tally, here) = media.tally();
            sum.add(&tally);
            connected += here;
        }
        (sum, connected)
    }

    /// Returns the ports of all sockets.
    pub(crate) fn ports(&self) -> HashSet<u16> {
        let media = self.media.iter().chain(&self.publishing);
        media.flat_map(Media::ports).collect()
    }
}

/// Publishes if asked to, lets the viewers join, and collects what they saw.
pub(crate) async fn run(options: Options) -> anyhow::Result<Report> {
    std::sync::LazyLock::force(&BEGAN);
    check_open_files(&options)?;
    let base = Base {
        http: Arc::new(Http::new(Net::new(options.ca.as_deref())?)),
        identity: Arc::new(Identity::generate()?),
        stop: Stop::on_signals()?,
        options,
    };
    let stop = Arc::clone(&base.stop);
    let beginning = async {
        let source = Source::find(&base.options, &base.http).await?;
        anyhow::Ok((source, go_live(&base).await?))
    };
    let (source, (publishing, publishers)) = tokio::select! {
        began = beginning => began?,
        () = stop.wanted() => bail!("interrupted before anybody could watch"),
    };
    // The server's memory is compared with and without viewers.
    stop.or_at(Instant::now() + SETTLE_TIME).await;
    let empty = source.read().await;

    let context = Arc::new(begin(base, source, publishing, &publishers)?);
    let over = watch::Sender::new(false);
    let display = tokio::spawn(live::show(Arc::clone(&context), over.subscribe()));
    let measuring = tokio::spawn(Figures::measure(Arc::clone(&context), empty));
    let crowd = attend_all(&context).await;
    let figures = measuring.await.context("the measurement ended early")?;
    over.send_replace(true);
    let samples = display.await.unwrap_or_default();

    let mut sent = Vec::new();
    for publisher in publishers {
        sent.push(publisher.stop(GOOD_BYE_TIME).await);
    }
    // What came last has to be counted.
    sleep(2 * BETWEEN_PUBLICATIONS).await;
    let (tally, _) = context.tally();
    Ok(Report::new(Results {
        context: &context,
        sent,
        crowd,
        figures,
        samples,
        tally,
    }))
}

/// Refuses more viewers than this process may have sockets for.
fn check_open_files(options: &Options) -> anyhow::Result<()> {
    // Of one viewer: a WebSocket, and by TCP or beyond loopback a socket for media.
    let each =
        u64::from(options.whep.is_none()) + u64::from(options.tcp || !options.watches_here());
    let chatters = u64::from(options.chatters);
    let complete = u64::from(options.conformance) * FILES_OF_COMPLETE;
    let needed = u64::from(options.viewers) * each + chatters + complete + SPARE_FILES;
    if let Some(most) = max_open_files().filter(|most| *most < needed) {
        bail!("this takes some {needed} open files, and {most} are allowed: raise `ulimit -n`");
    }
    Ok(())
}

async fn go_live(base: &Base) -> anyhow::Result<(Option<Media>, Vec<Publisher>)> {
    let mut publishers = Vec::new();
    if base.options.publishers == 0 {
        return Ok((None, publishers));
    }
    let media = Media::start(PUBLISHER_THREAD, 1, Arc::clone(&base.identity))?;
    for number in 0..u32::from(base.options.publishers) {
        let peer = FIRST_PUBLISHER + number;
        let publisher = Publisher::go_live(base, number, peer, &media).await;
        publishers.push(publisher.context("a publisher could not go live")?);
    }
    Ok((Some(media), publishers))
}

/// Starts the viewers' threads and the clock.
fn begin(
    base: Base,
    source: Source,
    publishing: Option<Media>,
    publishers: &[Publisher],
) -> anyhow::Result<Context> {
    let options = &base.options;
    let mut media = Vec::new();
    for number in 0..options.threads {
        let name = format!("{VIEWER_THREAD}{number}");
        let (sockets, identity) = (usize::from(options.sockets), &base.identity);
        media.push(Media::start(&name, sockets, Arc::clone(identity))?);
    }
    let rooms = match (&options.room, publishers) {
        (Some(room), _) => vec![room.clone()],
        (None, []) => vec![String::new()],
        (None, publishers) => publishers.iter().map(|one| one.room.clone()).collect(),
    };
    let ramp = Duration::from_secs_f64(f64::from(options.people()) / options.joins_per_second());
    let began = Instant::now();
    let joins_end = began + ramp;
    Ok(Context {
        talk: Talk::default(),
        source,
        media,
        publishing,
        rooms,
        next_peer: AtomicU32::new(0),
        gate: Arc::default(),
        last_good: Mutex::default(),
        began,
        joins_end,
        stall_at: joins_end + options.duration / 3,
        ends: joins_end + options.duration,
        base,
    })
}

/// What became of all who came.
pub(crate) struct Crowd {
    pub(crate) visits: Vec<Visit>,
    pub(crate) complete: Vec<viewer::ViewerReport>,
    pub(crate) chatters: Vec<Attendance>,
}

/// Lets everybody in, one after the other, and waits for all.
async fn attend_all(context: &Arc<Context>) -> Crowd {
    let options = &context.base.options;
    let mut complete = JoinSet::new();
    for number in 0..options.conformance {
        complete.spawn(viewer::watch(Arc::clone(context), number, context.ends));
    }
    let (mut light, mut chatters, began) = (JoinSet::new(), JoinSet::new(), Instant::now());
    for number in 0..options.people() {
        if number < options.viewers {
            light.spawn(stay(Arc::clone(context), number));
        } else {
            chatters.spawn(talk(Arc::clone(context), number));
        }
        let due = f64::from(number + 1) / options.joins_per_second();
        let due = began + Duration::from_secs_f64(due);
        context.base.stop.or_at(due).await;
        if context.base.stop.is_wanted() {
            break;
        }
    }
    let (viewers, talking) = (light.len(), chatters.len());
    if context.base.stop.is_wanted() {
        let of = options.people();
        info!(viewers, chatters = talking, of, "nobody else is let in");
    } else {
        info!(viewers, chatters = talking, "everybody was let in");
    }
    let mut complete = all(complete).await;
    complete.sort_by_key(|report| report.number);
    Crowd {
        visits: all(light).await.into_iter().flatten().collect(),
        complete,
        chatters: all(chatters).await.into_iter().flatten().collect(),
    }
}

/// Waits for all tasks.
async fn all<T: 'static>(mut tasks: JoinSet<T>) -> Vec<T> {
    let mut results = Vec::new();
    while let Some(finished) = tasks.join_next().await {
        match finished {
            Ok(result) => results.push(result),
            Err(error) => warn!(%error, "a task of the test ended early"),
        }
    }
    results
}

/// One viewer's visits.
async fn stay(context: Arc<Context>, number: u32) -> Vec<Visit> {
    let mut visits = Vec::new();
    for stay in stays(&context) {
        visits.push(visit(&context, number, stay).await);
        if context.base.stop.is_wanted() {
            break;
        }
    }
    visits
}

/// One chatter's visits.
async fn talk(context: Arc<Context>, number: u32) -> Vec<Attendance> {
    let mut visits = Vec::new();
    for stay in stays(&context) {
        visits.push(attend(&context, number, stay).await);
        if context.base.stop.is_wanted() {
            break;
        }
    }
    visits
}

/// Returns how long somebody stays: until the end, or twice where the scenario breaks it off.
fn stays(context: &Context) -> impl Iterator<Item = Stay> + use<> {
    let (options, ends) = (&context.base.options, context.ends);
    let breaks_off = options.scenario == Scenario::Reconnect;
    let first = breaks_off.then_some(Stay {
        ends: ends - options.duration / 2,
        breaks_off,
        is_return: false,
    });
    let last = Stay {
        ends,
        breaks_off: false,
        is_return: breaks_off,
    };
    first.into_iter().chain([last])
}

/// Names of threads, by which their CPU time is found.
pub(crate) const VIEWER_THREAD: &str = "viewers-";
pub(crate) const PUBLISHER_THREAD: &str = "publishers";
/// Viewers count from 0.
const FIRST_PUBLISHER: u32 = 1 << 21;
/// Joins and their keyframes are over then.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// Beside those of the viewers; a complete viewer has some of its own.
const SPARE_FILES: u64 = 100;
const FILES_OF_COMPLETE: u64 = 4;
