//! A room with a real store and a real forwarding unit, and events as peers would cause them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use klieg_sfu::{Codec, DisconnectReason, Event, Format, Handle, LayerInfo, PeerId, RoomKey, Sfu};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::analytics::{Desk, Origin, Script, ViewerKey};
use crate::auth::{Addresses, Identity, Role, Secret};
use crate::error::Code;
use crate::id::{RoomId, SocketId};
use crate::media::Media;
use crate::metrics::Metrics;
use crate::session::Session;
use crate::shop::Revenue;
use crate::store::{
    self, ChatMessage, Details, Location, MessageKind, Ordered, Outcome, RoomRecord, RoomStatus,
    StoreError, User,
};
use crate::time::Timestamp;
use crate::ws::outbox::{Item, OutboxReader, outbox};
use crate::ws::protocol::WantedLayer;

use super::figures::Figures;
use super::journal::Author;
use super::layers::VideoLayers;
use super::member::{NewMember, Seat};
use super::task::Room;
use super::{Context, Departure, RoomHandle, RoomMessage, RoomSummary, SessionRef};

const OPUS: Format = Format {
    codec: Codec::Opus,
    profile: 0,
    packetization_mode: 0,
};
const ANN: SocketId = SocketId(1);
const BOB: SocketId = SocketId(2);
const PUBLISHER: PeerId = PeerId(101);
const VIEWER: PeerId = PeerId(102);

#[tokio::test]
async fn what_is_shown_is_played() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    let [main, baseline] = [h264(0x4d00), h264(0x42e0)];
    scene.sends(PUBLISHER, main);
    scene.room.handle_media(Event::CodecMismatch {
        peer: VIEWER,
        sent: main,
    });
    let told = scene.layers();
    assert_eq!(told["reason"], "codec_mismatch");
    assert_eq!(told["codec"], "h264");

    scene.shows(0);
    let told = scene.layers();
    assert_eq!(
        (&told["reason"], &told["selected"]),
        (&json!("auto"), &json!("f"))
    );

    // The same codec in another profile: whether that can be played has not been said.
    scene.room.handle_media(Event::CodecMismatch {
        peer: VIEWER,
        sent: main,
    });
    scene.sends(PUBLISHER, baseline);
    assert_eq!(scene.layers()["reason"], "auto");
    scene.room.handle_media(Event::CodecMismatch {
        peer: VIEWER,
        sent: baseline,
    });
    // A viewer's shard may tell before that of the publisher does.
    scene.sends(PUBLISHER, baseline);
    assert_eq!(scene.layers()["reason"], "codec_mismatch");
}

#[tokio::test]
async fn the_layer_of_a_publisher_before_is_nobodys() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    scene.sends(PUBLISHER, h264(0x42e0));
    scene.shows(1);
    assert_eq!(scene.layers()["selected"], "h");
    let again = PeerId(103);
    scene.publish(again, FIREFOX_SIMULCAST);
    scene.sends(again, h264(0x42e0));
    scene.takes_over(again);
    assert_eq!(scene.layers()["selected"], Value::Null);
    scene.shows(2);
    assert_eq!(scene.layers()["selected"], "q");
}

#[tokio::test]
async fn a_choice_that_did_not_arrive_is_sent_again_with_the_next_report() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    scene.reports(1_000_000);
    let wanted = WantedLayer::Named("q".into());
    scene.room.select_layer(BOB, wanted);
    let chosen = |scene: &mut Scene| scene.room.viewing(BOB).unwrap().chosen;
    assert_eq!(chosen(&mut scene), klieg_sfu::LayerChoice::Layer(2));
    // As it stands when the forwarding unit was too busy to be told.
    scene.room.viewing(BOB).unwrap().chosen = klieg_sfu::LayerChoice::Auto;
    scene.reports(2_000_000);
    assert_eq!(chosen(&mut scene), klieg_sfu::LayerChoice::Layer(2));
}

#[tokio::test]
async fn a_layer_that_is_called_as_no_choice_at_all_can_be_asked_for() {
    let mut scene = Scene::open().await;
    let offer = SIMULCAST
        .replace("a=rid:q send", "a=rid:auto send")
        .replace("send f;h;q", "send f;h;auto");
    assert_ne!(offer, SIMULCAST);
    scene.publish(PUBLISHER, &offer);
    let wanted = WantedLayer::Named("auto_".into());
    assert!(scene.room.stage.layers().check(&wanted).is_ok());
    scene.room.select_layer(BOB, wanted);
    let chosen = scene.room.viewing(BOB).unwrap().chosen;
    assert_eq!(chosen, klieg_sfu::LayerChoice::Layer(2));
}

#[tokio::test]
async fn a_start_that_failed_does_not_end_the_show_of_the_publisher_before() {
    for (why, status) in [
        (Departure::Lost, RoomStatus::Interrupted),
        (Departure::Left, RoomStatus::Ended),
    ] {
        let mut scene = Scene::open().await;
        scene.publish(PUBLISHER, SIMULCAST);
        scene.sends(PUBLISHER, h264(0x42e0));
        scene.publish(PeerId(103), SIMULCAST);
        scene.room.leave(ANN, why);
        assert_eq!(scene.room.stage.status(), status);
    }
}

#[tokio::test]
async fn a_second_publisher_that_shows_nothing_costs_the_first_nothing() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    scene.sends(PUBLISHER, h264(0x42e0));
    scene.shows(1);
    let next = PeerId(103);
    scene.publish(next, FIREFOX_SIMULCAST);
    let lost = Event::Disconnected {
        peer: next,
        reason: DisconnectReason::HandshakeTimeout,
    };
    scene.room.handle_media(lost);
    assert_eq!(scene.room.stage.status(), RoomStatus::Live);
    assert_eq!(scene.shown(), PUBLISHER);
    assert_eq!(scene.layers()["selected"], "h");
    // It is heard of no more.
    scene.takes_over(next);
    assert_eq!(scene.shown(), PUBLISHER);
}

#[tokio::test]
async fn of_two_who_sent_nothing_the_first_that_is_heard_has_the_place() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    let next = PeerId(103);
    scene.publish(next, SIMULCAST);
    scene.sends(next, OPUS);
    assert_eq!(scene.shown(), next);
    assert_eq!(scene.room.stage.status(), RoomStatus::Live);
    // The first one comes too late: it was shown out.
    scene.sends(PUBLISHER, h264(0x42e0));
    assert_eq!(scene.shown(), next);
    let [_, video] = scene.room.stage.formats();
    assert_eq!(video, None);
}

#[tokio::test]
async fn a_session_for_which_there_is_no_room_ends_no_event() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    scene.sends(PUBLISHER, h264(0x42e0));
    let next = PeerId(103);
    scene.publish(next, SIMULCAST);
    scene.room.close_session(ANN, next, Departure::Lost);
    assert_eq!(scene.shown(), PUBLISHER);
    assert_eq!(scene.room.stage.status(), RoomStatus::Live);
    // The same where the first one looks for another path.
    scene.room.close_session(ANN, PUBLISHER, Departure::Lost);
    assert_eq!(scene.room.stage.status(), RoomStatus::Interrupted);
}

#[tokio::test]
async fn who_shows_nothing_until_the_grace_is_over_is_shown_out_with_the_event() {
    let mut scene = Scene::waiting(Duration::ZERO).await;
    scene.publish(PUBLISHER, SIMULCAST);
    scene.sends(PUBLISHER, h264(0x42e0));
    scene.room.close_session(ANN, PUBLISHER, Departure::Lost);
    scene.publish(PeerId(103), SIMULCAST);
    scene.room.handle_timeout(Instant::now());
    assert_eq!(scene.room.stage.status(), RoomStatus::Ended);
    assert!(scene.room.stage.publisher().is_none());
}

#[tokio::test]
async fn who_was_shown_out_before_the_forwarding_unit_heard_of_them_is_there_no_more() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    let late = PeerId(103);
    let (session, negotiated) =
        Session::publish(&scene.media.config(), late, RoomKey(1), SIMULCAST).unwrap();
    let known_as = SessionRef::new(late);
    let layers = VideoLayers::of(&session);
    let opened = scene.room.open_publisher(ANN, known_as.clone(), layers);
    opened.unwrap();
    // Another one comes before its socket goes on.
    scene.publish(PeerId(104), SIMULCAST);
    scene
        .media
        .carry_out_for(&known_as, negotiated.commands)
        .unwrap();
    let is_meant =
        |event: &Event| matches!(event, Event::Disconnected { peer, .. } if *peer == late);
    let gone = async { while !scene.events.recv().await.is_some_and(|it| is_meant(&it)) {} };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("it is removed");
}

#[tokio::test]
async fn whose_media_counts_is_told_again_where_there_was_no_room_for_it() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    assert_eq!(scene.room.stage_due, None);
    // One that has stopped takes as little as one that has too much to do.
    scene.sfu.stop().await;
    scene.publish(PeerId(103), SIMULCAST);
    let due = scene.room.stage_due.unwrap();
    assert!(scene.room.next_wake().is_some_and(|wake| wake <= due));
    scene.room.handle_timeout(due);
    assert!(scene.room.stage_due.is_some_and(|next| next != due));
}

#[tokio::test]
async fn the_one_before_goes_when_the_next_takes_over_and_the_event_goes_on() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    scene.sends(PUBLISHER, h264(0x42e0));
    let next = PeerId(103);
    scene.publish(next, SIMULCAST);
    scene.sends(next, h264(0x42e0));
    scene.takes_over(next);
    assert_eq!(scene.room.stage.status(), RoomStatus::Live);
    let lost = Event::Disconnected {
        peer: PUBLISHER,
        reason: DisconnectReason::Removed,
    };
    scene.room.handle_media(lost);
    assert_eq!(scene.room.stage.status(), RoomStatus::Live);
    // Both came over one socket: with the second the page is done with the first, too.
    scene.publish(PeerId(104), SIMULCAST);
    scene.room.close_session(ANN, PeerId(104), Departure::Left);
    assert_eq!(scene.room.stage.status(), RoomStatus::Ended);
}

#[tokio::test]
async fn nobody_is_woken_when_nothing_changed() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    scene.summary.mark_unchanged();
    scene.room.summarize();
    assert!(!scene.summary.has_changed().unwrap());
    scene.sends(PUBLISHER, h264(0x42e0));
    assert!(scene.summary.has_changed().unwrap());
}

#[tokio::test]
async fn one_who_lost_the_media_counts_until_it_is_clear_that_they_do_not_come_back_for_it() {
    let mut scene = Scene::open().await;
    assert_eq!(scene.room.viewer_count(), 1);
    let lost = Event::Disconnected {
        peer: VIEWER,
        reason: DisconnectReason::ConsentLost,
    };
    scene.room.handle_media(lost);
    assert_eq!(scene.room.viewer_count(), 1);
    let soon = Instant::now() + Duration::from_secs(6);
    scene.room.check_presence(soon);
    assert_eq!(scene.room.viewer_count(), 0);
    let again = SessionRef::new(PeerId(103));
    scene.room.open_viewer(BOB, again, WantedLayer::Auto);
    assert_eq!(scene.room.viewer_count(), 1);

    // The task of his socket fails, and nobody says that he went.
    drop(std::mem::replace(&mut scene.bob, outbox().1));
    scene.room.check_presence(soon);
    assert_eq!(scene.room.viewer_count(), 1);
    scene.room.check_presence(soon + Duration::from_secs(60));
    assert_eq!(scene.room.viewer_count(), 0);
    assert!(scene.room.members.is_empty());
    assert_eq!(scene.room.current_stats().peak, 1);
}

#[tokio::test]
async fn one_who_is_put_out_while_they_come_in_has_to_ask_again_whether_they_may() {
    let mut scene = Scene::open().await;
    let (now, carl) = (Timestamp::now(), Identity::guest("Carl".to_owned()));
    let id = scene.room.record.id.clone();
    scene.room.context.expelled.add(&id, &carl.id, now);
    let mut comes = |kicked_at| {
        let record = &scene.room.record;
        let own = (Role::Guest, Role::Guest.grants(record));
        let member = NewMember {
            socket: SocketId(3),
            identity: carl.clone(),
            seat: Seat::new(own, own),
            kicked_at,
            outbox: None,
            origin: Origin::default(),
        };
        scene.room.join(member, None).map_err(|error| error.code)
    };
    assert_eq!(comes(None), Err(Code::Busy));
    // It was known when they were let in.
    assert_eq!(comes(Some(now)), Ok(None));
}

#[tokio::test]
async fn a_room_opens_before_it_is_known_who_watched_and_counts_who_is_new_then() {
    let mut scene = Scene::open().await;
    let script = Arc::new(Script::default());
    let away = Err(StoreError::Deadline(Duration::ZERO));
    script.earlier.lock().unwrap().push_back(away);
    let mut context = scene.room.context.clone();
    context.stores.analytics = script;
    let record = RoomRecord {
        status: RoomStatus::Live,
        started_at: Some(Timestamp::now()),
        ..record()
    };
    scene.room.figures = Figures::restore(&record, &context).await;
    let figures = &mut scene.room.figures;
    figures.open(VIEWER, "bob", Origin::default());
    figures.receive(VIEWER, true, Duration::ZERO);
    let came = |scene: &mut Scene| -> u64 {
        let (rollup, _) = scene.room.take_rollup().unwrap();
        let minutes = rollup.rollup.minutes.iter();
        minutes.map(|(_, minute)| minute.counts.came).sum()
    };
    assert_eq!(came(&mut scene), 0);
    let earlier = scene.room.figures.found().await;
    scene.room.figures.learn(earlier);
    assert_eq!(came(&mut scene), 1);
}

#[tokio::test]
async fn nobody_waits_for_a_room_that_is_slow_to_hear_of_what_it_must() {
    let (mailbox, mut messages) = mpsc::channel(1);
    let room = RoomHandle::to(mailbox);
    for _ in 0..3 {
        room.tell_later(RoomMessage::Remove);
    }
    for _ in 0..3 {
        assert!(matches!(messages.recv().await, Some(RoomMessage::Remove)));
    }
}

#[tokio::test]
async fn of_an_order_counts_what_it_came_to_whatever_the_room_earned_elsewhere() {
    let mut scene = Scene::open().await;
    scene.publish(PUBLISHER, SIMULCAST);
    scene.sends(PUBLISHER, h264(0x42e0));
    let revenue = |sum: u64| -> Revenue { serde_json::from_value(json!({ "EUR": sum })).unwrap() };
    for (orders, earned) in [(4, 40), (9, 90)] {
        let message = ChatMessage {
            message_id: orders.to_string(),
            seq: orders,
            ts: 0,
            kind: MessageKind::Order,
            text: "Tea".to_owned(),
            from: Identity::guest("Bob".to_owned()).author(Role::Viewer),
            details: Details::default(),
            deleted: false,
        };
        let ordered = Ordered {
            message,
            product_name: "Tea".to_owned(),
            product: None,
            paid: revenue(10),
            orders,
            revenue: revenue(earned),
        };
        let ordered = Outcome::Ordered(Box::new(ordered));
        scene.room.handle_order(Author::Room, ordered);
    }
    let (rollup, _) = scene.room.take_rollup().unwrap();
    let minutes = rollup.rollup.minutes.iter();
    let earned = minutes.flat_map(|(_, minute)| minute.revenue.iter());
    let earned: u64 = earned.map(|(_, sum)| sum).sum();
    assert_eq!((earned, scene.room.tally.orders), (20, 9));
}

/// Ann, who may publish, and Bob, who watches.
struct Scene {
    room: Room,
    summary: watch::Receiver<RoomSummary>,
    media: Arc<Media>,
    sfu: Handle,
    events: mpsc::Receiver<Event>,
    bob: OutboxReader,
    folder: std::path::PathBuf,
}

fn new_folder() -> std::path::PathBuf {
    let name = format!("klieg-room-{:016x}", rand::random::<u64>());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// Returns the settings of a forwarding unit of one thread.
fn on_loopback() -> klieg_sfu::Config {
    klieg_sfu::Config {
        listen: ([127, 0, 0, 1], 0).into(),
        tcp: klieg_sfu::TcpListen::Off,
        shards: 1,
        addresses: Vec::new(),
        announce_loopback: true,
        pin_threads: false,
        hold: None,
        offload: klieg_sfu::Offload::Auto,
    }
}

impl Scene {
    async fn open() -> Self {
        Self::waiting(Duration::from_secs(30)).await
    }

    /// Opens a room that waits so long for a publisher that is lost.
    async fn waiting(grace: Duration) -> Self {
        let folder = new_folder();
        let record = record();
        let location = Location::Sqlite(folder.join("klieg.db"));
        let stores = store::open(&location).await.unwrap();
        stores.rooms.create(&record, "hash", None).await.unwrap();
        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(registry.clone()).unwrap());
        let (sfu, events) = Sfu::start(on_loopback(), &registry).unwrap();
        let media = Arc::new(Media::new(sfu.clone(), 100, &metrics));
        let (figures, _) = Desk::new(stores.analytics.clone(), Arc::clone(&metrics));
        let context = Context {
            stores,
            figures,
            viewer_key: ViewerKey::new(&Secret::new("secret")),
            addresses: Arc::new(Addresses::new(&Secret::new("secret"), false)),
            media: Arc::clone(&media),
            ice: Arc::new(klieg_turn::IceServers::new(klieg_turn::Config::default()).unwrap()),
            metrics,
            expelled: Arc::default(),
            grace,
            idle: Duration::from_secs(60),
        };
        let (shown, summary) = watch::channel(RoomSummary::empty());
        let room = Room::load(&record.id, context, shown).await;
        let (ann, (bob, reader)) = (outbox().0, outbox());
        let mut scene = Self {
            room: room.unwrap().unwrap(),
            summary,
            media,
            sfu,
            events,
            bob: reader,
            folder,
        };
        for (socket, outbox, role) in [(ANN, ann, Role::Owner), (BOB, bob, Role::Viewer)] {
            let own = (role, role.grants(&record));
            let member = NewMember {
                socket,
                identity: Identity::owner(&record),
                seat: Seat::new(own, own),
                kicked_at: None,
                outbox: Some(outbox),
                origin: Origin::default(),
            };
            scene.room.join(member, None).unwrap();
        }
        let session = SessionRef::new(VIEWER);
        scene.room.open_viewer(BOB, session, WantedLayer::Auto);
        scene
    }

    fn publish(&mut self, peer: PeerId, offer: &str) {
        let config = &self.media.config();
        let (session, _) = Session::publish(config, peer, RoomKey(1), offer).unwrap();
        let layers = VideoLayers::of(&session);
        let session = SessionRef::new(peer);
        self.room.open_publisher(ANN, session, layers).unwrap();
    }

    fn sends(&mut self, peer: PeerId, format: Format) {
        let room = RoomKey(1);
        self.room
            .handle_media(Event::PublisherMedia { peer, room, format });
    }

    fn takes_over(&mut self, peer: PeerId) {
        let room = RoomKey(1);
        self.room.handle_media(Event::TookOver { peer, room });
    }

    /// Returns who has the publisher's place.
    fn shown(&self) -> PeerId {
        self.room.stage.publisher().unwrap().session.peer
    }

    fn shows(&mut self, layer: u8) {
        let peer = VIEWER;
        self.room.handle_media(Event::ViewerLayer { peer, layer });
    }

    fn reports(&mut self, bitrate_bps: u32) {
        let layers = (0..3).map(|index| LayerInfo {
            index,
            stream: index,
            spatial: 0,
            active: true,
            width: 320,
            height: 180,
            bitrate_bps,
        });
        self.room.handle_media(Event::PublisherLayers {
            peer: PUBLISHER,
            room: RoomKey(1),
            layers: layers.collect(),
        });
    }

    /// Returns what Bob was told last about layers.
    fn layers(&mut self) -> Value {
        let mut last = None;
        while let Some(item) = self.bob.ready() {
            let Item::Text(text) = item else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["t"] == "rtc.layers" {
                last = Some(message["d"].clone());
            }
        }
        last.expect("nothing was told")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn record() -> RoomRecord {
    let owner = User {
        id: "ann".to_owned(),
        name: "Ann".to_owned(),
    };
    let id = RoomId::parse("demo").unwrap();
    RoomRecord {
        status: RoomStatus::Ready,
        ..RoomRecord::new(id, "Demo".to_owned(), owner, Timestamp::now())
    }
}

fn h264(profile: u16) -> Format {
    Format {
        codec: Codec::H264,
        profile,
        packetization_mode: 1,
    }
}

/// Three layers each: f, h and q.
const SIMULCAST: &str = include_str!("../../tests/offers/chromium-simulcast.sdp");
const FIREFOX_SIMULCAST: &str = include_str!("../../tests/offers/firefox-simulcast.sdp");
