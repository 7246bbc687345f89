//! The transport against a simulated peer over a simulated network, in virtual time.

use std::time::Duration;

use klieg_sfu_core::command::{DisconnectReason, Fingerprint, Path};
use klieg_sfu_core::transport::{MAX_PAIRS, Received, TransportEvent, authentic, local_ufrag};

use crate::sim::peer::{Nomination, PeerConfig};
use crate::sim::world::{PEER, World, credentials, receiver_report, rtp_packet};
use crate::sim::{Link, Parcel, Rng, address};

const SECOND: Duration = Duration::from_secs(1);

/// Addresses of the peer after the network changed under it.
const REBOUND: &str = "10.9.0.2:50999";
/// An address of somebody else.
const STRANGER: &str = "10.66.6.6:666";

#[test]
fn handshakes_finish_on_bad_networks_in_either_role() {
    for round_trip in [20, 100, 500] {
        for loss in [0, 2, 5, 10] {
            for seed in 1..=4 {
                let is_active = seed % 2 == 0;
                let mut world = World::with(seed, Link::bad(loss, round_trip), |peer| {
                    peer.is_active = is_active;
                });
                world.introduce();
                let end = world.now + 30 * SECOND;
                assert!(
                    world.run_until(end, World::is_connected),
                    "{round_trip} ms, {loss} %, seed {seed}: {:?}",
                    world.events
                );
                assert!(world.reported(TransportEvent::Connected));
            }
        }
    }
}

#[test]
fn a_clean_handshake_takes_three_round_trips() {
    for is_active in [true, false] {
        let mut world = World::with(1, Link::round_trip(100), |peer| peer.is_active = is_active);
        world.introduce();
        let end = world.now + 30 * SECOND;
        assert!(world.run_until(end, |world| world.server.media_path(world.now).is_some()));
        // One for the check, two for DTLS; the server hears the first half of each at once.
        assert!(
            world.elapsed() <= Duration::from_millis(300),
            "{:?}",
            world.elapsed()
        );
    }
}

#[test]
fn media_flows_both_ways_and_survives_loss() {
    let mut world = World::new(3, Link::bad(5, 60));
    world.introduce();
    let end = world.now + 30 * SECOND;
    assert!(world.run_until(end, World::is_connected));
    for seq in 0..1000 {
        assert!(world.send_rtp(&rtp_packet(7, seq, &[1; 100]), 0));
        world.peer.send_rtp(&rtp_packet(9, seq, &[2; 100]));
        world.run(Duration::from_millis(2));
    }
    assert!(world.send_rtcp(&receiver_report(7)));
    world.peer.send_rtcp(&receiver_report(9));
    world.run(SECOND);
    // The server refuses duplicates; the peer's library was asked not to.
    assert!(
        (900..1000).contains(&world.rtp.len()),
        "{}",
        world.rtp.len()
    );
    assert!(
        (900..1050).contains(&world.peer.rtp.len()),
        "{}",
        world.peer.rtp.len()
    );
    assert_eq!(world.peer.unreadable, 0);
    assert_eq!(world.peer.early, 0);
    assert!(
        world
            .rtp
            .iter()
            .all(|packet| packet.ends_with(&[2; 100]) && packet.len() == 112)
    );
    assert!(
        world
            .peer
            .rtp
            .iter()
            .all(|packet| packet.ends_with(&[1; 100]))
    );
}

#[test]
fn an_answer_may_come_after_dtls_and_media_waits_for_it() {
    let mut world = World::new(4, Link::round_trip(20));
    world.run(2 * SECOND);
    assert!(world.peer.is_connected());
    assert_eq!(world.server.media_path(world.now), None);
    assert!(!world.send_rtp(&rtp_packet(1, 1, b"x"), 0));
    world.peer.send_rtp(&rtp_packet(2, 1, b"early"));
    world.run(SECOND);
    assert_eq!(world.rtp.len(), 0);
    assert_eq!(world.server.counters().srtp_early, 1);
    assert_eq!(world.events, []);

    world.introduce();
    world.settle();
    assert!(world.reported(TransportEvent::Connected));
    assert!(world.send_rtp(&rtp_packet(1, 1, b"now"), 0));
    world.peer.send_rtp(&rtp_packet(2, 2, b"now"));
    world.run(SECOND);
    assert_eq!((world.rtp.len(), world.peer.rtp.len()), (1, 1));
}

#[test]
fn a_wrong_fingerprint_ends_it_without_a_byte_of_media() {
    for comes_late in [false, true] {
        let mut world = World::new(5, Link::round_trip(20));
        if comes_late {
            world.run(2 * SECOND);
        }
        let (ice, wrong) = (credentials('p'), [Fingerprint([7; 32])]);
        let role = klieg_sfu_core::command::DtlsRole::Server;
        world.server.set_remote(world.now, ice, &wrong, role);
        world.run(2 * SECOND);
        let mismatch = TransportEvent::Failed(DisconnectReason::FingerprintMismatch);
        assert!(world.reported(mismatch), "{:?}", world.events);
        assert!(!world.reported(TransportEvent::Connected));
        assert!(!world.send_rtp(&rtp_packet(1, 1, b"x"), 0));
        assert_eq!(world.peer.media_datagrams, 0);
        let sent = world.sent.len();
        world.run(10 * SECOND);
        assert_eq!(world.sent.len(), sent, "silence after the end");
    }
}

#[test]
fn a_handshake_that_does_not_finish_is_over_after_30_seconds() {
    let mut world = World::new(6, Link::round_trip(20));
    world.run(40 * SECOND);
    let timeout = TransportEvent::Failed(DisconnectReason::HandshakeTimeout);
    assert_eq!(world.events, [(30 * SECOND, timeout)]);
}

#[test]
fn nonsense_in_dtls_ends_at_most_that_handshake() {
    let mut world = World::new(7, Link::round_trip(20));
    world.introduce();
    world.run(Duration::from_millis(25));
    let mut rng = Rng::new(7);
    for _ in 0..500 {
        let mut datagram: Vec<u8> = (0..80).map(|_| rng.next().to_le_bytes()[3]).collect();
        datagram[0] = 20 + u8::try_from(rng.next() % 44).expect("below 44");
        datagram[1..3].copy_from_slice(&[254, 253]);
        datagram[11..13].copy_from_slice(&[0, 67]);
        world.inject(address(PEER), &datagram);
        world.settle();
    }
    world.run(40 * SECOND);
    assert_eq!(world.events.len(), 1, "{:?}", world.events);
}

#[test]
fn a_lost_last_flight_is_sent_again() {
    let mut world = World::new(8, Link::round_trip(20));
    world.introduce();
    let end = world.now + 10 * SECOND;
    assert!(world.run_until(end, |world| world.reported(TransportEvent::Connected)));
    assert!(!world.peer.is_connected(), "the flight is under way");
    // What arrives while the peer is elsewhere is lost.
    let home = std::mem::replace(&mut world.peer.config.address, address(STRANGER));
    world.peer.is_checking = false;
    world.run(Duration::from_millis(15));
    world.peer.config.address = home;
    world.peer.is_checking = true;
    let end = world.now + 5 * SECOND;
    assert!(world.run_until(end, World::is_connected));
}

#[test]
fn a_lost_last_flight_is_sent_again_though_the_handshake_state_is_dropped() {
    for answer_comes_late in [false, true] {
        let mut world = World::new(8, Link::round_trip(20));
        if !answer_comes_late {
            world.server.be_lean();
            world.introduce();
        }
        let end = world.now + 10 * SECOND;
        let has_flight = |world: &World| {
            let finished = |parcel: &Parcel| parcel.datagram.first() == Some(&20);
            world.sent.iter().any(finished)
        };
        assert!(world.run_until(end, has_flight));
        let home = std::mem::replace(&mut world.peer.config.address, address(STRANGER));
        world.peer.is_checking = false;
        world.run(Duration::from_millis(15));
        world.peer.config.address = home;
        world.peer.is_checking = true;
        if answer_comes_late {
            world.introduce();
            world.server.be_lean();
        }
        assert!(!world.peer.is_connected(), "the flight is lost");
        let end = world.now + 5 * SECOND;
        assert!(world.run_until(end, World::is_connected));

        world.peer.send_rtcp(&receiver_report(1));
        world.run(SECOND);
        let sent = world.sent.len();
        world.inject(address(PEER), &last_of_client());
        world.settle();
        assert_eq!(world.sent.len(), sent, "who uses the keys has the flight");
        assert_eq!(world.server.counters().dtls_late, 1);
    }
}

/// Makes what begins as a client's last flight does, as anybody could.
fn last_of_client() -> Vec<u8> {
    let mut datagram = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 12, 16];
    datagram.resize(25, 0);
    datagram
}

#[test]
fn the_last_flight_is_not_sent_for_ever() {
    let mut world = World::new(42, Link::round_trip(20));
    world.server.be_lean();
    world.introduce();
    world.run(2 * SECOND);
    assert!(world.is_connected());
    let (sent, flight) = (world.sent.len(), last_of_client());
    world.peer.is_checking = false;
    for _ in 0..1000 {
        world.inject(address(PEER), &flight);
        world.settle();
        world.now += Duration::from_millis(5);
    }
    let again = world.sent.len() - sent;
    assert!((1..=40).contains(&again), "{again} datagrams");
}

#[test]
fn closes_are_heard_where_the_handshake_state_is_dropped_at_once() {
    let lean = |seed| {
        let mut world = World::new(seed, Link::round_trip(20));
        world.server.be_lean();
        world.introduce();
        world.run(2 * SECOND);
        assert!(world.is_connected());
        world
    };
    let mut world = lean(43);
    world.server.close();
    world.run(SECOND);
    assert!(world.peer.is_closed);

    let mut world = lean(44);
    world.peer.close(world.now);
    let end = world.now + 15 * SECOND;
    assert!(world.run_until(end, |world| world.reported(TransportEvent::Closed)));
}

#[test]
fn consent_that_is_not_renewed_stops_media_within_30_seconds() {
    let mut world = World::connected(9);
    world.run(20 * SECOND);
    assert!(world.is_connected(), "consent is renewed");
    world.peer.is_checking = false;
    world.peer.is_answering = false;
    let silent_since = world.now;
    let end = world.now + 40 * SECOND;
    assert!(world.run_until(end, |world| !world.is_connected()));
    assert!(world.now - silent_since <= 30 * SECOND);
    assert!(world.reported(TransportEvent::Failed(DisconnectReason::ConsentLost)));
    assert!(!world.send_rtp(&rtp_packet(1, 1, b"x"), 0));
}

#[test]
fn media_stops_by_itself_when_nobody_calls_in_time() {
    let world = World::connected(10);
    let path = world.server.media_path(world.now);
    assert!(path.is_some());
    assert_eq!(world.server.media_path(world.now + 27 * SECOND), path);
    assert_eq!(world.server.media_path(world.now + 31 * SECOND), None);
}

#[test]
fn a_close_is_heard_on_the_other_side() {
    let mut world = World::connected(11);
    world.peer.close(world.now);
    world.run(SECOND);
    assert!(world.reported(TransportEvent::Closed));
    assert!(!world.send_rtp(&rtp_packet(1, 1, b"x"), 0));

    let mut world = World::connected(12);
    world.server.close();
    world.run(SECOND);
    assert!(world.peer.is_closed);
    assert_eq!(
        world.events.len(),
        1,
        "closing is no event: {:?}",
        world.events
    );
}

#[test]
fn closes_are_heard_after_the_handshake_state_was_dropped() {
    let mut world = World::connected(13);
    world.run(120 * SECOND);
    world.server.close();
    world.run(SECOND);
    assert!(world.peer.is_closed);

    let mut world = World::connected(14);
    world.run(120 * SECOND);
    world.peer.close(world.now);
    let end = world.now + 15 * SECOND;
    assert!(world.run_until(end, |world| world.reported(TransportEvent::Closed)));
}

#[test]
fn a_forged_goodbye_does_not_end_a_living_peer() {
    let mut world = World::connected(15);
    world.run(120 * SECOND);
    world.inject(
        address(PEER),
        &[21, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0],
    );
    world.run(60 * SECOND);
    assert!(world.is_connected());
    assert!(!world.reported(TransportEvent::Closed));
}

#[test]
fn a_nomination_without_use_candidate_is_not_waited_for() {
    for nomination in [Nomination::Never, Nomination::Aggressive] {
        let mut world = World::with(16, Link::round_trip(20), |peer| {
            peer.nomination = nomination
        });
        world.introduce();
        world.run(SECOND);
        assert!(world.is_connected(), "{nomination:?}");
    }
}

#[test]
fn a_rebound_peer_gets_media_at_its_new_address_and_none_at_the_old() {
    for nomination in [
        Nomination::Aggressive,
        Nomination::Regular,
        Nomination::Never,
    ] {
        let mut world = World::with(17, Link::round_trip(40), |peer| {
            peer.nomination = nomination
        });
        world.introduce();
        world.run(10 * SECOND);
        assert!(world.is_connected());
        world.peer.config.address = address(REBOUND);
        let end = world.now + 10 * SECOND;
        let is_moved = |world: &World| {
            world
                .server
                .media_path(world.now)
                .is_some_and(|path| path.remote == address(REBOUND))
        };
        // The first check comes within 2.5 s; what is promised begins with it.
        assert!(world.run_until(end, is_moved), "{nomination:?}");
        assert!(
            world.elapsed() <= Duration::from_millis(10_000 + 2500 + 3000),
            "{nomination:?}"
        );
        let path = Path {
            local: None,
            remote: address(REBOUND),
            connection: None,
        };
        assert!(world.reported(TransportEvent::PathChanged(path)));
        let sent = world.sent.len();
        for seq in 0..50 {
            assert!(world.send_rtp(&rtp_packet(7, seq, b"moved"), 0));
            world.peer.send_rtp(&rtp_packet(8, seq, b"moved"));
            world.run(Duration::from_millis(20));
        }
        world.run(SECOND);
        assert!(
            world.sent[sent..]
                .iter()
                .all(|parcel| parcel.to == address(REBOUND))
        );
        assert_eq!(
            (world.rtp.len(), world.peer.rtp.len()),
            (50, 50),
            "{nomination:?}"
        );
    }
}

#[test]
fn a_new_address_gets_nothing_but_checks_until_it_answers_one() {
    let mut world = World::connected(18);
    world.peer.is_answering = false;
    world.peer.config.address = address(REBOUND);
    world.peer.check(world.now);
    world.run(5 * SECOND);
    assert_eq!(media_goes_to(&world), Some(address(PEER)));
    let to_new = world
        .sent
        .iter()
        .filter(|parcel| parcel.to == address(REBOUND));
    let bytes: usize = to_new.map(|parcel| parcel.datagram.len()).sum();
    assert!(bytes > 0);
    assert!(
        bytes <= 3 * 3 * 120,
        "three checks came, {bytes} bytes left"
    );
    world.peer.is_answering = true;
    world.run(5 * SECOND);
    assert!(world.is_connected());
    assert_eq!(media_goes_to(&world), Some(address(REBOUND)));
}

#[test]
fn a_check_sent_on_from_another_address_moves_no_media() {
    for nomination in [
        Nomination::Aggressive,
        Nomination::Regular,
        Nomination::Never,
    ] {
        let mut world = World::with(40, Link::round_trip(20), |peer| {
            peer.nomination = nomination
        });
        world.introduce();
        world.run(5 * SECOND);
        let pwd = credentials('s').pwd;
        for round in 1..=4 {
            // Once the original is held back, once it comes first.
            let check = world.peer.binding_request(&pwd, &[]);
            world.inject(address(STRANGER), &check);
            world.settle();
            let check = world.peer.binding_request(&pwd, &[]);
            world.inject(address(PEER), &check);
            world.inject(address(STRANGER), &check);
            world.peer.send_rtcp(&receiver_report(9));
            world.settle();
            assert_eq!(media_goes_to(&world), Some(address(PEER)), "{nomination:?}");
            world.run(3 * SECOND);
            assert_eq!(media_goes_to(&world), Some(address(PEER)), "{nomination:?}");
            assert!(world.rtcp.len() >= round, "the peer is still heard");
        }
        let to_stranger = world
            .sent
            .iter()
            .filter(|parcel| parcel.to == address(STRANGER));
        let bytes: usize = to_stranger.map(|parcel| parcel.datagram.len()).sum();
        assert!(bytes <= 3 * 8 * 130, "{bytes} bytes");
    }
}

#[test]
fn a_check_that_comes_twice_does_not_renew_consent() {
    let mut world = World::connected(41);
    let pwd = credentials('s').pwd;
    let check = world.peer.binding_request(&pwd, &[]);
    world.peer.is_checking = false;
    world.peer.is_answering = false;
    let end = world.now + 35 * SECOND;
    while world.now < end {
        world.inject(address(PEER), &check);
        world.settle();
        world.run(SECOND);
    }
    assert!(world.reported(TransportEvent::Failed(DisconnectReason::ConsentLost)));
}

#[test]
fn what_was_on_its_way_when_the_peer_moved_does_not_take_media_back() {
    for nomination in [
        Nomination::Aggressive,
        Nomination::Regular,
        Nomination::Never,
    ] {
        let mut world = World::with(42, Link::round_trip(20), |peer| {
            peer.nomination = nomination
        });
        world.introduce();
        world.run(5 * SECOND);
        let check = world.peer.binding_request(&credentials('s').pwd, &[]);
        world.peer.send_rtp(&rtp_packet(5, 1, b"first"));
        world.run(SECOND / 10);
        world.peer.send_rtp(&rtp_packet(5, 2, b"late"));
        let late = world.peer.poll_transmit().expect("a packet");

        world.peer.config.address = address(REBOUND);
        world.peer.check(world.now);
        world.peer.send_rtp(&rtp_packet(5, 3, b"moved"));
        world.run(Duration::from_millis(25));
        world.peer.send_rtp(&rtp_packet(5, 4, b"moved"));
        world.run(Duration::from_millis(25));
        // A round trip for the proof, and one for what it brings.
        assert_eq!(
            media_goes_to(&world),
            Some(address(REBOUND)),
            "{nomination:?}"
        );
        world.inject(address(PEER), &check);
        world.inject(address(PEER), &late.datagram);
        world.settle();
        assert_eq!(
            media_goes_to(&world),
            Some(address(REBOUND)),
            "{nomination:?}"
        );
        world.run(20 * SECOND);
        assert_eq!(
            media_goes_to(&world),
            Some(address(REBOUND)),
            "{nomination:?}"
        );
    }
}

#[test]
fn a_peer_that_goes_to_and_fro_loses_no_packet_and_is_followed() {
    for nomination in [Nomination::Aggressive, Nomination::Regular] {
        let mut world = World::with(44, Link::round_trip(20), |peer| {
            peer.nomination = nomination
        });
        world.introduce();
        world.run(5 * SECOND);
        let mut sent = 0;
        for place in [REBOUND, PEER, REBOUND, PEER] {
            world.peer.config.address = address(place);
            world.peer.check(world.now);
            world.run(Duration::from_millis(50));
            for _ in 0..15 {
                sent += 1;
                world.peer.send_rtp(&rtp_packet(5, sent, b"here"));
                world.run(Duration::from_millis(20));
            }
            let there = media_goes_to(&world);
            assert_eq!(there, Some(address(place)), "{nomination:?}");
        }
        assert_eq!(world.rtp.len(), usize::from(sent), "{nomination:?}");
    }
}

fn media_goes_to(world: &World) -> Option<std::net::SocketAddr> {
    world.server.media_path(world.now).map(|path| path.remote)
}

#[test]
fn an_ice_restart_keeps_media_flowing() {
    for moves in [false, true] {
        let mut world = World::connected(19);
        world.server.restart_ice(world.now, credentials('t'), None);
        assert_eq!(world.server.local_ufrag(), "tttttttt");
        assert!(world.send_rtp(&rtp_packet(7, 1, b"old path"), 0));
        world.run(5 * SECOND);
        assert!(
            world.is_connected(),
            "the old credentials still renew consent"
        );

        world
            .server
            .restart_ice(world.now, credentials('t'), Some(credentials('q')));
        world.peer.config.remote = credentials('t');
        world.peer.config.local = credentials('q');
        if moves {
            world.peer.config.address = address(REBOUND);
        }
        world.peer.check(world.now);
        world.run(2 * SECOND);
        assert!(world.is_connected());
        let path = world.server.media_path(world.now).expect("connected");
        assert_eq!(path.remote, world.peer.config.address);
        assert!(world.send_rtp(&rtp_packet(7, 2, b"new path"), 0));
        world.peer.send_rtp(&rtp_packet(8, 1, b"new path"));
        world.run(SECOND);
        assert_eq!((world.rtp.len(), world.peer.rtp.len()), (1, 2));

        // The old credentials are of no use any more.
        world.peer.config.remote = credentials('s');
        let forged = world.server.counters().stun_forged;
        world.peer.check(world.now);
        world.run(Duration::from_millis(100));
        assert_eq!(world.server.counters().stun_forged, forged + 1);
    }
}

#[test]
fn a_restart_keeps_the_old_path_until_the_new_one_answers() {
    let mut world = World::connected(20);
    world
        .server
        .restart_ice(world.now, credentials('t'), Some(credentials('q')));
    world.peer.config.remote = credentials('t');
    world.peer.config.local = credentials('q');
    world.peer.config.address = address(REBOUND);
    world.peer.is_answering = false;
    world.peer.check(world.now);
    world.run(2 * SECOND);
    let path = world.server.media_path(world.now).expect("the old path");
    assert_eq!(path.remote, address(PEER));
    world.peer.is_answering = true;
    world.run(3 * SECOND);
    let path = world.server.media_path(world.now).expect("the new path");
    assert_eq!(path.remote, address(REBOUND));
}

#[test]
fn dtls_and_media_beside_the_nominated_pair_count_for_nothing() {
    let mut world = World::connected(21);
    world.run(5 * SECOND);
    world.peer.config.nomination = Nomination::Never;
    let check = world.peer.binding_request(&credentials('s').pwd, &[]);
    world.inject(address(REBOUND), &check);
    world.settle();
    let before = world.server.counters();
    assert_eq!(world.inject(address(REBOUND), &[22; 40]), Received::Nothing);
    assert_eq!(
        world.inject(address(REBOUND), &[128; 40]),
        Received::Nothing
    );
    let after = world.server.counters();
    assert_eq!(after.dtls_unchecked, before.dtls_unchecked + 1);
    assert_eq!(after.srtp_unchecked, before.srtp_unchecked + 1);
    assert_eq!(
        world.server.media_path(world.now).map(|path| path.remote),
        Some(address(PEER))
    );
}

#[test]
fn forged_dtls_after_the_handshake_moves_no_media() {
    let never = |config: &mut PeerConfig| config.nomination = Nomination::Never;
    let mut world = World::with(28, Link::round_trip(20), never);
    world.introduce();
    world.run(2 * SECOND);
    assert!(world.is_connected());
    let check = world.peer.binding_request(&credentials('s').pwd, &[]);
    world.inject(address(REBOUND), &check);
    world.settle();
    world.inject(address(REBOUND), &[22; 40]);
    world.settle();
    assert_eq!(
        world.server.media_path(world.now).map(|path| path.remote),
        Some(address(PEER))
    );
}

#[test]
fn forged_checks_get_no_answer_and_leave_no_trace() {
    let mut world = World::new(22, Link::round_trip(20));
    world.introduce();
    world.peer.is_checking = false;
    let pwd = credentials('s').pwd;
    let genuine = world.peer.binding_request(&pwd, &[]);
    let mut forged = vec![world.peer.binding_request("another password, as long", &[])];
    for place in 0..genuine.len() {
        let mut changed = genuine.clone();
        changed[place] ^= 0x10;
        forged.push(changed);
        forged.push(genuine[..place].to_vec());
    }
    let (local, remote) = (
        world.peer.config.local.clone(),
        world.peer.config.remote.clone(),
    );
    world.peer.config.local = credentials('x');
    forged.push(world.peer.binding_request(&pwd, &[]));
    world.peer.config.local = local;
    world.peer.config.remote = credentials('x');
    forged.push(world.peer.binding_request(&pwd, &[]));
    world.peer.config.remote = remote;
    for datagram in &forged {
        world.inject(address(STRANGER), datagram);
        world.settle();
    }
    assert_eq!(world.sent, []);
    let counters = world.server.counters();
    let dropped = counters.stun_forged + counters.stun_malformed + counters.unknown_protocol;
    assert_eq!(dropped, forged.len() as u64);
    // No pair was made: DTLS from there is still not looked at.
    world.inject(address(STRANGER), &[22; 40]);
    assert_eq!(world.server.counters().dtls_unchecked, 1);

    world.inject(address(STRANGER), &genuine);
    world.settle();
    assert_eq!(world.sent.len(), 1, "the genuine one is answered");
}

#[test]
fn a_shard_can_tell_whose_check_it_is_and_whether_it_is_worth_handing_over() {
    let mut world = World::new(23, Link::default());
    let pwd = credentials('s').pwd;
    let check = world.peer.binding_request(&pwd, &[]);
    assert_eq!(local_ufrag(&check), Some("ssssssss"));
    assert!(authentic(&check, &pwd));
    assert!(!authentic(&check, &credentials('p').pwd));
    assert_eq!(local_ufrag(&[0; 20]), None);
    assert!(!authentic(&[0; 64], &pwd));
}

#[test]
fn a_peer_in_the_wrong_role_is_told_so() {
    let mut world = World::new(24, Link::round_trip(20));
    world.introduce();
    world.peer.is_checking = false;
    let pwd = credentials('s').pwd;
    let check = world.peer.binding_request(&pwd, &[(0x8029, &[9; 8])]);
    world.peer.send(check);
    world.run(SECOND);
    assert_eq!(world.peer.errors, [487]);
    let check = world.peer.binding_request(&pwd, &[(0x7fff, &[1; 4])]);
    world.peer.send(check);
    world.run(SECOND);
    assert_eq!(world.peer.errors, [487, 420]);
    world.inject(address(PEER), &[22; 40]);
    assert_eq!(
        world.server.counters().dtls_unchecked,
        1,
        "an error makes no pair"
    );
}

#[test]
fn the_answer_tells_the_peer_its_address() {
    let world = World::connected(25);
    assert_eq!(world.peer.mapped, Some(address(PEER)));
}

#[test]
fn a_client_hello_from_an_unchecked_address_gets_no_byte() {
    let mut world = World::new(26, Link::round_trip(20));
    world.introduce();
    world.peer.is_checking = false;
    world.peer.begin(world.now);
    let hello = world.peer.poll_transmit().expect("a ClientHello");
    world.inject(address(STRANGER), &hello.datagram);
    world.inject(address(PEER), &hello.datagram);
    world.settle();
    assert_eq!(world.sent, []);
    assert_eq!(world.server.counters().dtls_unchecked, 2);
}

#[test]
fn a_spoofed_source_gets_at_most_three_bytes_for_one() {
    for is_active in [true, false] {
        let mut world = World::with(27, Link::round_trip(20), |peer| peer.is_active = is_active);
        world.introduce();
        world.peer.is_checking = false;
        let mut received = 0;
        let pwd = credentials('s').pwd;
        let check = world.peer.binding_request(&pwd, &[(0x0025, &[])]);
        received += check.len();
        world.inject(address(STRANGER), &check);
        if is_active {
            world.peer.begin(world.now);
            while let Some(hello) = world.peer.poll_transmit() {
                received += hello.datagram.len();
                world.inject(address(STRANGER), &hello.datagram);
            }
        }
        let end = world.now + 29 * SECOND;
        world.run_until(end, |_| false);
        let sent: usize = world.sent.iter().map(|parcel| parcel.datagram.len()).sum();
        assert!(sent > 0);
        assert!(sent <= 3 * received, "{sent} bytes for {received}");
    }
}

#[test]
fn a_flood_of_pairs_stays_bounded_and_the_selected_one_stays() {
    let mut world = World::connected(28);
    world.run(5 * SECOND);
    let selected = world.server.media_path(world.now);
    world.peer.config.nomination = Nomination::Never;
    let pwd = credentials('s').pwd;
    for port in 1..=1000 {
        let check = world.peer.binding_request(&pwd, &[]);
        world.inject(address(&format!("10.7.7.7:{port}")), &check);
        world.settle();
    }
    let evicted = world.server.counters().pairs_evicted;
    assert_eq!(evicted, 1000 - (MAX_PAIRS as u64 - 1));
    assert_eq!(world.server.media_path(world.now), selected);
}

#[test]
fn replayed_and_forged_media_is_dropped() {
    let mut world = World::connected(29);
    world.peer.send_rtp(&rtp_packet(5, 1, b"once"));
    world.peer.send_rtcp(&receiver_report(5));
    let rtp = world.peer.poll_transmit().expect("a packet");
    let rtcp = world.peer.poll_transmit().expect("a compound");
    assert_eq!(world.inject(address(PEER), &rtp.datagram), Received::Rtp);
    assert_eq!(world.inject(address(PEER), &rtcp.datagram), Received::Rtcp);
    for Parcel { datagram, .. } in [&rtp, &rtcp] {
        assert_eq!(world.inject(address(PEER), datagram), Received::Nothing);
        for place in 0..datagram.len() {
            let mut changed = datagram.clone();
            changed[place] ^= 1;
            assert_eq!(
                world.inject(address(PEER), &changed),
                Received::Nothing,
                "byte {place}"
            );
            world.inject(address(PEER), &datagram[..place]);
        }
    }
    assert!(world.server.counters().srtp_replayed >= 2);
    assert_eq!((world.rtp.len(), world.rtcp.len()), (1, 1));
    world.peer.send_rtp(&rtp_packet(5, 2, b"next"));
    world.run(SECOND);
    assert_eq!(world.rtp.len(), 2, "the stream goes on");
}

#[test]
fn rollover_is_followed_on_both_sides() {
    let mut world = World::connected(30);
    for index in 65_000..66_500u32 {
        let (roc, seq) = (index >> 16, u16::try_from(index & 0xffff).expect("16 bits"));
        assert!(world.send_rtp(&rtp_packet(7, seq, b"down"), roc));
        world.peer.send_rtp(&rtp_packet(8, seq, b"up"));
        world.run(Duration::from_millis(1));
    }
    world.run(SECOND);
    assert_eq!((world.rtp.len(), world.peer.rtp.len()), (1500, 1500));
}

#[test]
fn no_short_datagram_gets_an_answer_or_a_panic_in_any_state() {
    let fresh = World::new(31, Link::round_trip(20));
    let mut checked = World::new(32, Link::round_trip(20));
    checked.peer.is_checking = false;
    checked.peer.check(checked.now);
    checked.run(Duration::from_millis(15));
    let mut waiting = World::new(33, Link::round_trip(20));
    waiting.run(2 * SECOND);
    let connected = World::connected(34);
    let mut retired = World::connected(35);
    retired.run(90 * SECOND);
    let mut restarting = World::connected(36);
    restarting
        .server
        .restart_ice(restarting.now, credentials('t'), Some(credentials('q')));
    let mut over = World::connected(37);
    over.server.close();

    for mut world in [
        fresh, checked, waiting, connected, retired, restarting, over,
    ] {
        world.peer.is_checking = false;
        world.settle();
        let (sent, events) = (world.sent.len(), world.events.len());
        let mut rng = Rng::new(38);
        for len in 0..=64 {
            for first in 0..=255 {
                for noise in [false, true] {
                    let mut datagram = vec![0; len];
                    if noise {
                        datagram.fill_with(|| rng.next().to_le_bytes()[5]);
                    }
                    if let Some(place) = datagram.first_mut() {
                        *place = first;
                    }
                    for from in [PEER, STRANGER] {
                        assert_eq!(world.inject(address(from), &datagram), Received::Nothing);
                    }
                    world.settle();
                }
            }
        }
        assert_eq!(world.sent.len(), sent, "no answer");
        assert_eq!(world.events.len(), events, "no event: {:?}", world.events);
    }
}

#[test]
fn a_helper_that_is_slow_holds_a_bounded_queue() {
    let mut world = World::new(39, Link::round_trip(20));
    world.introduce();
    world.run(Duration::from_millis(12));
    world.peer.is_checking = false;
    let hello = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0];
    world.inject(address(PEER), &hello);
    let job = world.server.poll_handshake().expect("the first datagram");
    for _ in 0..100 {
        world.inject(address(PEER), &hello);
        assert!(world.server.poll_handshake().is_none(), "one job at a time");
    }
    assert_eq!(world.server.counters().dtls_queue_full, 84);
    let done = job.run(world.now);
    world.server.handle_handshake(world.now, done);
    assert!(world.server.poll_handshake().is_some());
}
