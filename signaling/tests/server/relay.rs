//! The server's own TURN relay, as whoever joins learns of it.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::TestServer;

#[tokio::test]
async fn one_setting_starts_the_relay_and_tells_whoever_joins() {
    let server = TestServer::start_with(|config| {
        config.relay.listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let relay = server.server.relay().unwrap();
    let reply = server
        .post("/api/v1/rooms/demo/join", None, json!({ "name": "Gus" }))
        .await;
    let told = &reply.body["iceServers"][0];
    let urls = ["udp", "tcp"].map(|it| format!("turn:{relay}?transport={it}"));
    assert_eq!(told["urls"], json!(urls));
    assert!(told["username"].as_str().unwrap().contains(':'));
    assert!(told["credential"].is_string());

    // An Allocate of UDP, by somebody who has shown nothing yet.
    let mut request = vec![0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42];
    request.extend([7; 12]);
    request.extend([0, 0x19, 0, 4, 17, 0, 0, 0]);
    let mut stream = TcpStream::connect(relay).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut answer = [0; 56];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..4], [1, 0x13, 0, 36], "an error");
    assert_eq!(answer[20..28], [0, 9, 0, 4, 0, 0, 4, 1], "401");
    server
        .settles(r#"klieg_turn_auth_failures_total{reason="anonymous"} 1"#)
        .await;
}

#[tokio::test]
async fn there_is_none_unless_it_is_asked_for() {
    let server = TestServer::start().await;
    assert_eq!(server.server.relay(), None);
    let reply = server
        .post("/api/v1/rooms/demo/join", None, json!({ "name": "Gus" }))
        .await;
    assert_eq!(reply.body["iceServers"], Value::Array(Vec::new()));
}
