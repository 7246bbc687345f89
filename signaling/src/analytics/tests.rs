//! Scripted audiences, and audiences of which nobody knows what they will do.

use std::collections::{BTreeMap, BTreeSet};

use klieg_sfu::PeerId;
use proptest::prelude::*;

use super::*;

/// A minute begins there.
const EPOCH: u64 = 1_800_000_000_000;

fn second(second: u64) -> u64 {
    EPOCH + second * 1000
}

fn viewer(number: u8) -> Viewer {
    person(&format!("person {number}"))
}

fn person(identity: &str) -> Viewer {
    let key = ViewerKey::new(&Secret::new("secret"));
    key.name(&RoomId::parse("room").unwrap(), identity)
}

#[test]
fn who_a_viewer_is_can_only_be_tried_out_with_the_servers_secret() {
    let room = |name| RoomId::parse(name).unwrap();
    let key = |secret| ViewerKey::new(&Secret::new(secret));
    let ann = key("secret").name(&room("room"), "ann");
    assert_eq!(key("secret").name(&room("room"), "ann"), ann);
    assert_ne!(key("another").name(&room("room"), "ann"), ann);
    assert_ne!(key("secret").name(&room("other"), "ann"), ann);
    assert_ne!(key("secret").name(&room("room"), "bob"), ann);
    assert_eq!(Viewer::parse(&ann.hex()), Some(ann));
    // As another program works it out.
    assert_eq!(ann.hex(), "c55e1587bc16d86b1ec6d6c7fe187330");
}

fn on_air() -> Audience {
    let mut audience = Audience::default();
    audience.begin(EPOCH, EPOCH, "run".to_owned(), Some(Earlier::default()));
    audience
}

/// Gathers all that is handed out, as the database would.
#[derive(Default)]
struct Written {
    minutes: BTreeMap<(u64, String, u64), Minute>,
    viewers: BTreeMap<(u64, String, Viewer), ViewerRow>,
}

impl Written {
    fn take(&mut self, audience: &mut Audience, at: u64) {
        while let Some((rollup, more)) = audience.take(at) {
            let event = (rollup.started_at, rollup.run.clone());
            for (begins, minute) in rollup.minutes {
                let key = (event.0, event.1.clone(), begins);
                self.minutes.insert(key, minute);
            }
            for row in rollup.viewers {
                let key = (event.0, event.1.clone(), row.viewer);
                self.viewers.insert(key, row);
            }
            if !more {
                break;
            }
        }
    }

    fn watched_ms(&self, who: Viewer) -> u64 {
        let rows = self.viewers.iter().filter(|((_, _, it), _)| *it == who);
        rows.map(|(_, row)| row.watched_ms).sum()
    }

    fn counts(&self, begins: u64) -> Counts {
        let mut minutes = self.minutes.iter();
        let minute = minutes.find(|((_, _, it), _)| *it == begins);
        minute.map_or_else(Counts::default, |(_, minute)| minute.counts)
    }
}

#[test]
fn a_scripted_audience_is_counted_to_the_second() {
    let mut audience = on_air();
    let mut written = Written::default();
    for number in 1..=4_u64 {
        let who = viewer(u8::try_from(number).unwrap());
        audience.open(PeerId(number), who, Origin::default());
    }
    // The second session of the first viewer.
    audience.open(PeerId(11), viewer(1), Origin::default());
    audience.receive(second(0), PeerId(1), true, 0);
    audience.receive(second(10), PeerId(2), true, 0);
    // Both at once are one viewer.
    audience.receive(second(20), PeerId(11), true, 0);
    audience.receive(second(30), PeerId(1), true, 0);
    audience.close(second(40), PeerId(1));
    audience.close(second(50), PeerId(11));
    written.take(&mut audience, second(55));
    // Silent since the 60th second, which is noticed in the 70th; comes back in the 80th.
    audience.receive(second(70), PeerId(2), false, 10_000);
    audience.receive(second(80), PeerId(2), true, 0);
    audience.receive(second(90), PeerId(3), true, 0);
    let now = audience.current(second(100)).unwrap();
    assert_eq!((now.watching, now.peak, now.unique), (2, 2, 3));
    audience.end(second(130));
    // Nothing is counted behind the end.
    audience.close(second(150), PeerId(3));
    written.take(&mut audience, second(200));
    for (number, seconds) in [(1, 50), (2, 50 + 50), (3, 40), (4, 0)] {
        assert_eq!(written.watched_ms(viewer(number)), seconds * 1000);
    }
    assert_eq!(written.viewers.len(), 3, "who got no media is no viewer");
    let first = written.counts(second(0));
    assert_eq!(
        (first.watched_ms, first.visits, first.came),
        (100_000, 3, 2)
    );
    let next = written.counts(second(60));
    assert_eq!((next.watched_ms, next.visits, next.came), (70_000, 2, 1));
    assert_eq!(written.counts(second(120)).watched_ms, 20_000);
    assert_eq!(first.layers[0], 50_000 + 50_000 + 20_000);
}

#[test]
fn a_session_without_media_never_counts_whatever_it_says() {
    let mut audience = on_air();
    audience.open(PeerId(1), viewer(1), Origin::default());
    let report = Report {
        frames: 900,
        stalls: 9,
        stalled_ms: 9_000,
        latency_ms: Some(100),
        first_frame_ms: Some(100),
    };
    assert!(!audience.report(second(30), PeerId(1), report));
    assert!(!audience.report(second(30), PeerId(2), report));
    audience.show(second(31), PeerId(1), Lines::UpTo720);
    audience.engage(second(32), viewer(1));
    audience.receive(second(33), PeerId(1), false, 0);
    let now = audience.current(second(60)).unwrap();
    assert_eq!((now.watching, now.unique, now.engaged), (0, 0, 0));
    assert_eq!(now.total, Counts::default());
    // Who was engaged first and watches then is both.
    audience.receive(second(60), PeerId(1), true, 0);
    let now = audience.current(second(61)).unwrap();
    assert_eq!((now.watching, now.unique, now.engaged), (1, 1, 1));
}

#[test]
fn what_a_client_reports_is_held_to_what_can_be() {
    let mut audience = on_air();
    audience.open(PeerId(1), viewer(1), Origin::default());
    audience.receive(second(0), PeerId(1), true, 0);
    let report = |frames, stalls, stalled_ms| Report {
        frames,
        stalls,
        stalled_ms,
        latency_ms: Some(u16::MAX),
        first_frame_ms: None,
    };
    let absurd = report(u64::MAX, u64::MAX, u64::MAX);
    assert!(audience.report(second(10), PeerId(1), absurd));
    let counts = audience.current(second(10)).unwrap().total;
    assert_eq!((counts.frames, counts.stalls), (1_200, 10));
    assert_eq!((counts.stalled_ms, counts.reported_ms), (10_000, 10_000));
    assert_eq!(counts.latency, [0, 0, 0, 0, 0, 0, 0, 1]);
    // What fell began anew, and the same again is nothing.
    assert!(audience.report(second(20), PeerId(1), report(300, 1, 500)));
    assert!(audience.report(second(30), PeerId(1), report(300, 1, 500)));
    let counts = audience.current(second(30)).unwrap().total;
    assert_eq!((counts.frames, counts.stalls), (1_500, 11));
    assert_eq!(counts.reported_ms, 30_000);
    // A report is about a minute at most, and at one moment about nothing.
    assert!(audience.report(second(300), PeerId(1), absurd));
    assert!(audience.report(second(300), PeerId(1), report(0, 0, 0)));
    assert!(audience.report(second(300), PeerId(1), absurd));
    let counts = audience.current(second(300)).unwrap().total;
    assert_eq!((counts.frames, counts.stalls), (8_700, 71));
    assert_eq!(counts.reported_ms, 90_000);
    // Watch time is none of a client's business.
    assert_eq!(counts.watched_ms, 300_000);
}

#[test]
fn of_a_report_after_a_long_silence_as_much_counts_as_falls_to_the_time_that_counts() {
    let mut audience = on_air();
    audience.open(PeerId(1), viewer(1), Origin::default());
    audience.receive(second(0), PeerId(1), true, 0);
    let report = Report {
        frames: 9_000,
        stalls: 10,
        stalled_ms: 20_000,
        latency_ms: None,
        first_frame_ms: None,
    };
    assert!(audience.report(second(300), PeerId(1), report));
    let counts = audience.current(second(300)).unwrap().total;
    assert_eq!((counts.frames, counts.reported_ms), (1_800, 60_000));
    assert_eq!((counts.stalls, counts.stalled_ms), (2, 4_000));
}

#[test]
fn another_run_goes_on_where_the_one_before_it_broke_off() {
    let mut written = Written::default();
    let mut audience = on_air();
    for number in [1, 2] {
        audience.open(PeerId(number.into()), viewer(number), Origin::default());
        audience.receive(second(0), PeerId(number.into()), true, 0);
    }
    audience.engage(second(5), viewer(1));
    written.take(&mut audience, second(15));
    // Here the server was killed. What it knew of the last seconds is gone.
    drop(audience);
    let earlier = Earlier {
        peak: 2,
        counts: written.counts(second(0)),
        viewers: written.viewers.values().copied().collect(),
    };
    let mut audience = Audience::default();
    audience.begin(second(20), EPOCH, "another run".to_owned(), Some(earlier));
    audience.open(PeerId(7), viewer(1), Origin::default());
    audience.receive(second(25), PeerId(7), true, 0);
    let now = audience.current(second(30)).unwrap();
    assert_eq!((now.watching, now.peak, now.unique), (1, 2, 2));
    assert_eq!((now.engaged, now.total.watched_ms), (1, 35_000));
    audience.engage(second(30), viewer(2));
    audience.end(second(35));
    written.take(&mut audience, second(36));
    assert_eq!(written.watched_ms(viewer(1)), 25_000);
    assert_eq!(written.watched_ms(viewer(2)), 15_000);
    let engaged = written.viewers.values().filter(|row| row.engaged);
    let engaged: BTreeSet<Viewer> = engaged.map(|row| row.viewer).collect();
    assert_eq!(engaged.len(), 2, "also who only did something afterwards");
}

#[test]
fn nobody_is_new_only_because_what_was_before_is_not_known_yet() {
    let mut written = Written::default();
    let mut audience = Audience::default();
    audience.begin(second(0), EPOCH, "another run".to_owned(), None);
    for number in [1, 2] {
        audience.open(PeerId(number.into()), viewer(number), Origin::default());
        audience.receive(second(0), PeerId(number.into()), true, 0);
    }
    // Who watched before, and only does something now.
    audience.engage(second(5), viewer(3));
    written.take(&mut audience, second(15));
    assert_eq!(written.counts(second(0)).came, 0);
    let now = audience.current(second(15)).unwrap();
    assert_eq!((now.unique, now.total.visits), (2, 2), "of this run");
    let before = |number, engaged| ViewerRow {
        viewer: viewer(number),
        watched_ms: 7_000,
        origin: Origin::default(),
        engaged,
    };
    let mut counts = Counts::default();
    (counts.watched_ms, counts.came, counts.visits) = (21_000, 3, 5);
    let earlier = Earlier {
        peak: 9,
        counts,
        viewers: vec![before(1, true), before(3, false), before(4, false)],
    };
    audience.learn(second(20), earlier.clone());
    audience.learn(second(20), earlier);
    let now = audience.current(second(20)).unwrap();
    assert_eq!((now.watching, now.peak, now.unique), (2, 9, 4));
    assert_eq!((now.engaged, now.total.visits), (2, 7));
    assert_eq!(now.total.watched_ms, 21_000 + 40_000);
    assert_eq!(audience.watched_ms(second(20)), 40_000, "of this run");
    written.take(&mut audience, second(30));
    assert_eq!(written.counts(second(0)).came, 1, "the second is new");
    let engaged = written.viewers.values().filter(|row| row.engaged);
    let engaged: BTreeSet<Viewer> = engaged.map(|row| row.viewer).collect();
    assert_eq!(engaged, BTreeSet::from([viewer(1), viewer(3)]));
}

#[test]
fn the_next_event_begins_at_nothing_and_takes_over_who_receives() {
    let mut audience = on_air();
    let mut written = Written::default();
    audience.open(PeerId(1), viewer(1), Origin::default());
    audience.receive(second(0), PeerId(1), true, 0);
    audience.end(second(10));
    assert_eq!(audience.current(second(11)), None);
    let (run, earlier) = ("run".to_owned(), Earlier::default());
    audience.begin(second(20), second(20), run, Some(earlier));
    let now = audience.current(second(25)).unwrap();
    assert_eq!((now.unique, now.total.visits), (1, 1));
    assert_eq!(now.total.watched_ms, 5_000);
    written.take(&mut audience, second(30));
    let events: Vec<_> = written.viewers.values().map(|row| row.watched_ms).collect();
    assert_eq!(events, [10_000, 10_000]);
}

#[test]
fn many_viewers_are_handed_out_by_and_by_and_each_once_a_round() {
    let mut audience = on_air();
    for number in 0..4_500_u64 {
        let who = person(&number.to_string());
        audience.open(PeerId(number), who, Origin::default());
        audience.receive(second(0), PeerId(number), true, 0);
    }
    for round in 1..=2 {
        let mut seen = BTreeSet::new();
        let mut sizes = Vec::new();
        for step in 0.. {
            let (rollup, more) = audience.take(second(round * 15 + step)).unwrap();
            sizes.push(rollup.viewers.len());
            seen.extend(rollup.viewers.iter().map(|row| row.viewer));
            if !more {
                break;
            }
        }
        assert_eq!((sizes, seen.len()), (vec![2_000, 2_000, 500], 4_500));
    }
}

#[test]
fn an_event_that_ends_within_a_round_tells_everybody_of_its_end() {
    let mut audience = on_air();
    let mut written = Written::default();
    let someone = |number: u64| person(&number.to_string());
    for number in 0..2_500 {
        audience.open(PeerId(number), someone(number), Origin::default());
        audience.receive(second(0), PeerId(number), true, 0);
    }
    let (rollup, more) = audience.take(second(15)).unwrap();
    assert_eq!((rollup.viewers.len(), more), (2_000, true));
    audience.end(second(30));
    written.take(&mut audience, second(31));
    for number in 0..2_500 {
        assert_eq!(written.watched_ms(someone(number)), 30_000, "{number}");
    }
}

#[test]
fn nothing_is_handed_out_twice_when_nothing_happens() {
    let mut audience = on_air();
    assert!(audience.take(second(1)).is_some(), "the event itself");
    assert_eq!(audience.take(second(2)), None);
    audience.count(second(3), |counts| counts.messages += 1);
    let (rollup, more) = audience.take(second(4)).unwrap();
    assert_eq!((rollup.minutes.len(), more), (1, false));
    assert_eq!(audience.take(second(5)), None);
}

/// What may happen to a few sessions.
#[derive(Clone, Debug)]
enum Step {
    Open { peer: u64, person: u8 },
    Arrives(u64),
    Silent { peer: u64, ago: u64 },
    Close(u64),
    Show(u64, u8),
    Report(u64, u64),
    Crash,
    NextEvent,
    Wait(u64),
    Write,
}

fn step() -> impl Strategy<Value = Step> {
    let peer = || 0..8_u64;
    prop_oneof![
        4 => (peer(), 0..4_u8).prop_map(|(peer, person)| Step::Open { peer, person }),
        6 => peer().prop_map(Step::Arrives),
        2 => (peer(), 0..20_u64).prop_map(|(peer, ago)| Step::Silent { peer, ago }),
        2 => peer().prop_map(Step::Close),
        1 => (peer(), 0..8_u8).prop_map(|(peer, lines)| Step::Show(peer, lines)),
        2 => (peer(), any::<u64>()).prop_map(|(peer, count)| Step::Report(peer, count)),
        1 => Just(Step::Crash),
        1 => Just(Step::NextEvent),
        8 => (0..45_u64).prop_map(Step::Wait),
        2 => Just(Step::Write),
    ]
}

/// The same by looking at every second of everybody.
#[derive(Default)]
struct Model {
    now: u64,
    /// Whose session each is, and since when it receives.
    sessions: BTreeMap<u64, (u8, Option<u64>)>,
    /// Since when each person watches without a break, and until when those sessions received that are over.
    spells: BTreeMap<u8, (u64, u64)>,
    /// Seconds of this event in which each person watched, up to the last break.
    watched: BTreeMap<u8, BTreeSet<u64>>,
    visits: u64,
}

impl Model {
    fn arrives(&mut self, peer: u64) {
        let now = self.now;
        if let Some((person, since @ None)) = self.sessions.get_mut(&peer) {
            *since = Some(now);
            self.watched.entry(*person).or_default();
            self.spells.entry(*person).or_insert((now, now));
            self.visits += 1;
        }
    }

    fn silent(&mut self, peer: u64, until: u64) {
        let Some((person, since)) = self.sessions.get_mut(&peer) else {
            return;
        };
        let Some(since) = since.take() else {
            return;
        };
        let person = *person;
        let spell = self.spells.get_mut(&person).unwrap();
        spell.1 = spell.1.max(until).max(since);
        if !self.receiving().any(|(_, other)| other == person) {
            let (since, until) = self.spells.remove(&person).unwrap();
            let seconds = self.watched.entry(person).or_default();
            seconds.extend(since..until);
        }
    }

    /// Returns the sessions that receive, and whose they are.
    fn receiving(&self) -> impl Iterator<Item = (u64, u8)> {
        let sessions = self.sessions.iter();
        let receive = sessions.filter(|(_, (_, since))| since.is_some());
        receive.map(|(peer, (person, _))| (*peer, *person))
    }

    /// Ends everything; returns what received.
    fn end(&mut self) -> Vec<u64> {
        let peers: Vec<u64> = self.receiving().map(|it| it.0).collect();
        for peer in &peers {
            self.silent(*peer, self.now);
        }
        peers
    }

    /// Returns whom each second belongs to, those included who watch now.
    fn seconds(&self) -> BTreeMap<u8, BTreeSet<u64>> {
        let mut all = self.watched.clone();
        for (person, (since, _)) in &self.spells {
            all.entry(*person).or_default().extend(*since..self.now);
        }
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn every_second_of_everybody_counts_once_whatever_comes_goes_breaks_and_returns(
        steps in proptest::collection::vec(step(), 0..80)
    ) {
        let (mut audience, mut model) = (on_air(), Model::default());
        let (mut written, mut started_at, mut runs) = (Written::default(), EPOCH, 0);
        let mut late = None;
        for step in steps {
            let now = second(model.now);
            if matches!(step, Step::Write | Step::Crash | Step::NextEvent)
                && let Some(earlier) = late.take()
            {
                audience.learn(now, earlier);
            }
            match step {
                Step::Open { peer, person } => {
                    audience.open(PeerId(peer), viewer(person), Origin::default());
                    model.sessions.entry(peer).or_insert((person, None));
                }
                Step::Arrives(peer) => {
                    audience.receive(now, PeerId(peer), true, 0);
                    model.arrives(peer);
                }
                Step::Silent { peer, ago } => {
                    audience.receive(now, PeerId(peer), false, ago * 1000);
                    model.silent(peer, model.now.saturating_sub(ago));
                }
                Step::Close(peer) => {
                    audience.close(now, PeerId(peer));
                    model.silent(peer, model.now);
                    model.sessions.remove(&peer);
                }
                Step::Show(peer, lines) => {
                    audience.show(now, PeerId(peer), Lines::ALL[usize::from(lines)]);
                }
                Step::Report(peer, count) => {
                    let receives = model.sessions.get(&peer).is_some_and(|it| it.1.is_some());
                    let report = Report { frames: count, stalls: count, stalled_ms: count, latency_ms: None, first_frame_ms: None };
                    prop_assert_eq!(audience.report(now, PeerId(peer), report), receives);
                }
                Step::Crash => {
                    // All that was is written down, and all sessions are gone.
                    written.take(&mut audience, now);
                    model.end();
                    model.sessions.clear();
                    let of_event = |event: u64| event == started_at;
                    let mut viewers: BTreeMap<Viewer, ViewerRow> = BTreeMap::new();
                    for ((event, _, who), row) in &written.viewers {
                        if of_event(*event) {
                            viewers.entry(*who).or_insert(*row);
                        }
                    }
                    let mut sums = [0; COLUMNS.len()];
                    for ((event, _, _), minute) in &written.minutes {
                        for (sum, count) in sums.iter_mut().zip(minute.counts.columns()) {
                            *sum += if of_event(*event) { count } else { 0 };
                        }
                    }
                    let earlier = Earlier {
                        peak: 0,
                        counts: Counts::of_columns(sums),
                        viewers: viewers.into_values().collect(),
                    };
                    runs += 1;
                    audience = Audience::default();
                    // Sometimes that is known only later.
                    late = Some(earlier);
                    let known = late.take_if(|_| runs % 2 == 0);
                    audience.begin(now, started_at, format!("run {runs}"), known);
                }
                Step::NextEvent if second(model.now) > started_at => {
                    written.take(&mut audience, now);
                    let receiving = model.end();
                    check(&model, &mut audience, &mut written, started_at)?;
                    started_at = now;
                    audience.begin(now, started_at, "run".to_owned(), Some(Earlier::default()));
                    (model.watched, model.visits) = (BTreeMap::new(), 0);
                    for peer in receiving {
                        model.arrives(peer);
                    }
                }
                Step::NextEvent => {}
                Step::Wait(seconds) => model.now += seconds,
                Step::Write => written.take(&mut audience, now),
            }
            let now = audience.current(second(model.now)).unwrap();
            prop_assert_eq!(now.watching, model.spells.len() as u64);
            if late.is_some() {
                continue;
            }
            prop_assert_eq!(now.unique, model.watched.len() as u64);
            prop_assert_eq!(now.total.came, now.unique);
            prop_assert_eq!(now.total.visits, model.visits);
            let watched: usize = model.seconds().values().map(BTreeSet::len).sum();
            prop_assert_eq!(now.total.watched_ms, watched as u64 * 1000);
            prop_assert!(now.total.stalled_ms <= now.total.reported_ms);
        }
        check(&model, &mut audience, &mut written, started_at)?;
    }
}

/// Compares what is written down of an event with every second of it.
fn check(
    model: &Model,
    audience: &mut Audience,
    written: &mut Written,
    event: u64,
) -> Result<(), TestCaseError> {
    written.take(audience, second(model.now));
    let seconds = model.seconds();
    for (person, seconds) in &seconds {
        let rows = written.viewers.iter();
        let rows = rows.filter(|((of, _, who), _)| (*of, *who) == (event, viewer(*person)));
        let watched: u64 = rows.map(|(_, row)| row.watched_ms).sum();
        prop_assert_eq!(watched, seconds.len() as u64 * 1000);
    }
    let mut minutes: BTreeMap<u64, u64> = BTreeMap::new();
    for ((of, _, begins), minute) in &written.minutes {
        let watched = minutes.entry(*begins).or_default();
        *watched += if *of == event {
            minute.counts.watched_ms
        } else {
            0
        };
    }
    let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
    for second_of in seconds.values().flatten() {
        *expected.entry(second(second_of / 60 * 60)).or_default() += 1000;
    }
    minutes.retain(|_, watched| *watched > 0);
    prop_assert_eq!(minutes, expected);
    Ok(())
}
