//! What a connection that breaks leaves behind: nothing.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{TestServer, offer, request};

#[tokio::test]
async fn nobody_stays_in_a_room_whose_connection_broke_on_the_way_in() {
    let server = TestServer::start_with(|config| config.room_idle_ms = 200).await;
    let token = server.token("Ann").await;
    let auth = json!({ "t": "auth", "id": "1", "d": { "token": token } }).to_string();
    let join = json!({ "t": "join", "id": "2", "d": { "roomId": "demo" } }).to_string();
    for _ in 0..100 {
        let stream = TcpStream::connect(server.http()).await.unwrap();
        stream.set_zero_linger().unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(request(server.http(), &[]), stream)
            .await
            .unwrap();
        socket.feed(Message::text(auth.as_str())).await.unwrap();
        socket.feed(Message::text(join.as_str())).await.unwrap();
        socket.flush().await.unwrap();
        // With no time to linger, this is a reset: what the server writes next fails.
        drop(socket);
    }
    server.settles("klieg_rooms 0").await;
    server.server.stop().await;
}

#[tokio::test]
async fn nobody_stays_in_a_room_whose_request_broke_on_the_way_in() {
    let server = TestServer::start_with(|config| config.room_idle_ms = 200).await;
    let token = server.token("Ann").await;
    for _ in 0..50 {
        break_off(server.http(), &token).await;
    }
    // Those that were finished nevertheless end for want of a handshake.
    server.settles("klieg_rooms 0").await;
    server.server.stop().await;
}

/// Asks to publish and goes before the answer comes.
async fn break_off(server: SocketAddr, token: &str) {
    let offer = offer();
    let length = offer.len();
    let head = format!(
        "POST /whip/demo HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.set_zero_linger().unwrap();
    let whole = [head, offer].concat();
    stream.write_all(whole.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_micros(300)).await;
}
