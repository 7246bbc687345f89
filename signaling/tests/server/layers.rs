//! Which layers there are of a simulcast and who gets which: what can be asked for and what is refused.

use serde_json::{Value, json};

use crate::harness::TestServer;
use crate::wish::{KEY, SDP, captured, check, row, session, watching};

/// An offer of the layers f, h and q.
fn offer_of_layers() -> String {
    captured("chromium-simulcast")
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_asks_for_a_layer_by_its_rid() {
    let server = TestServer::start().await;
    let offer = watching(&captured("chromium-default"));
    let (player, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let path = format!("{player}/layer");
    let select =
        |name, body: &str, status| row(name, ("POST", path.as_str()), &[JSON], body, status);
    let unknown = (422, "layer_unknown");
    let rows = vec![
        select("any while nobody publishes", r#"{"rid":"x"}"#, (200, "")),
        select("what the server finds best", "{}", (200, "")),
        select(
            "no wish in particular",
            r#"{"mediaId":null,"rid":null}"#,
            (200, ""),
        ),
    ];
    check(&server, rows).await;
    // Choices are metered: ten a second.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;

    session(&server, "/whip/demo", &[KEY, SDP], &offer_of_layers()).await;
    let rows = vec![
        select("one that is there", r#"{"rid":"h"}"#, (200, "")),
        select(
            "by the m-line's place",
            r#"{"mediaId":"1","rid":"h"}"#,
            (200, ""),
        ),
        select(
            "by its place as a number",
            r#"{"mediaId":1,"rid":"q"}"#,
            (200, ""),
        ),
        select(
            "by its older name",
            r#"{"mediaId":"1","encodingId":"f"}"#,
            (200, ""),
        ),
        select("one that is not there", r#"{"rid":"x"}"#, unknown),
        select("on the sound", r#"{"mediaId":"0","rid":"h"}"#, unknown),
        select("on no m-line", r#"{"mediaId":"video","rid":"h"}"#, unknown),
        select("by its size", r#"{"maxHeight":360}"#, unknown),
    ];
    check(&server, rows).await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_choice_of_a_layer_is_refused() {
    let server = TestServer::start().await;
    let offer = watching(&captured("chromium-default"));
    let (player, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let (publisher, _) = session(&server, "/whip/demo", &[KEY, SDP], &offer_of_layers()).await;
    let path = format!("{player}/layer");
    let select =
        |name, body: &str, status| row(name, ("POST", path.as_str()), &[JSON], body, status);
    let plain = ("content-type", "text/plain");
    let elsewhere = format!("{}/layer", publisher.replace("whip", "whep"));
    let rows = vec![
        select("no JSON", "{", (400, "bad_json")),
        select("no object", "[]", (400, "bad_message")),
        select("no name", r#"{"rid":"ä"}"#, (400, "bad_message")),
        row(
            "another type",
            ("POST", &path),
            &[plain],
            "{}",
            (415, "unsupported_media_type"),
        ),
        row("GET", ("GET", &path), &[], "", (405, "method_not_allowed")),
        row(
            "of a publisher",
            ("POST", &elsewhere),
            &[KEY, JSON],
            "{}",
            (404, "not_found"),
        ),
    ];
    check(&server, rows).await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_of_sound_alone_has_no_layers() {
    let server = TestServer::start().await;
    let offer = watching(&captured("chromium-audio-only"));
    let (player, _) = session(&server, "/whep/demo", &[SDP], &offer).await;
    let path = format!("{player}/layer");
    let rows = vec![row(
        "there is no picture",
        ("POST", &path),
        &[JSON],
        r#"{"rid":"h"}"#,
        (422, "layer_unknown"),
    )];
    check(&server, rows).await;
    server.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_on_the_socket_asks_for_a_layer_by_its_name() {
    let server = TestServer::start().await;
    let simulcast = captured("firefox-simulcast");
    session(&server, "/whip/demo", &[KEY, SDP], &simulcast).await;
    let (mut bob, _) = server.join("Bob", "demo").await;
    let refused = bob.request("rtc.subscribe", json!({ "layer": "x" })).await;
    assert_eq!(refused["d"]["code"], "layer_unknown");
    let text = refused["d"]["message"].as_str().unwrap();
    assert!(text.contains("f, h, q"), "{text}");
    let opened = bob.ok("rtc.subscribe", json!({ "layer": "h" })).await;
    let again = bob.ok("rtc.subscribe", json!({ "layer": "auto" })).await;
    assert_eq!(opened["sessionId"], again["sessionId"]);
    assert_ne!(opened["sessionId"], Value::Null);
    server.server.stop().await;
}
