//! The binary: how it starts, what it says when it cannot, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Client, TempDir, call};

fn klieg(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klieg"));
    command.current_dir(data).env_remove("KLIEG_CONFIG");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn serve(data: &Path) -> (Child, SocketAddr) {
    let mut command = klieg(data);
    command.args(["--dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0"]);
    command
        .args(["--log-format", "json", "--media-shards", "1"])
        .arg("--data")
        .arg(data);
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let http = line
        .split("http=http://")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let http = http
        .unwrap_or_else(|| panic!("no address in {line:?}"))
        .parse()
        .unwrap();
    assert!(line.contains(" media=127.0.0.1:"), "{line}");
    (child, http)
}

fn terminate(child: &Child) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
}

fn failure(output: &Output) -> (Option<i32>, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test]
async fn a_termination_signal_ends_it_gracefully() {
    let data = TempDir::new();
    let (mut child, http) = serve(data.path());
    let login = json!({ "username": "Ann" }).to_string();
    let reply = call(http, "POST", "/api/v1/auth/login", None, Some(login)).await;
    let token = reply.body["accessToken"].clone();
    let mut client = Client::connect(http, &[]).await.unwrap();
    client.ok("auth", json!({ "token": token })).await;
    client.ok("join", json!({ "roomId": "demo" })).await;
    client.ok("rtc.subscribe", json!({})).await;

    let since = Instant::now();
    terminate(&child);
    client.expect("server.draining").await;
    assert_eq!(call(http, "GET", "/readyz", None, None).await.status, 503);
    assert_eq!(call(http, "GET", "/healthz", None, None).await.status, 200);
    assert!(Client::connect(http, &[]).await.is_err());
    assert_eq!(client.closed().await, Some(1001));
    let status = tokio::task::spawn_blocking(move || {
        let status = child.wait().unwrap();
        let mut log = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (status, log)
    });
    let (status, log) = status.await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(since.elapsed() < Duration::from_secs(10));

    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["message"].is_string(), "{line}");
    }
    for secret in [token.as_str().unwrap(), "devsecret", "demo-key", "ice-pwd"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_being_killed() {
    let data = TempDir::new();
    let (mut child, http) = serve(data.path());
    let login = json!({ "username": "Ann" }).to_string();
    let reply = call(http, "POST", "/api/v1/auth/login", None, Some(login)).await;
    let token = reply.body["accessToken"].clone();
    let mut client = Client::connect(http, &[]).await.unwrap();
    client.ok("auth", json!({ "token": token })).await;
    client.ok("join", json!({ "roomId": "demo" })).await;
    let said = client
        .ok("chat.send", json!({ "text": "still here" }))
        .await;
    child.kill().unwrap();
    child.wait().unwrap();

    // The secret is the same, so the token of before still holds.
    let (mut child, http) = serve(data.path());
    let mut client = Client::connect(http, &[]).await.unwrap();
    client.ok("auth", json!({ "token": token })).await;
    client.ok("join", json!({ "roomId": "demo" })).await;
    let joined = client.expect("joined").await;
    assert_eq!(
        joined["d"]["chatHistory"][0]["messageId"],
        said["messageId"]
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_setting_that_cannot_be_used_is_one_line_and_exit_code_64() {
    let data = TempDir::new();
    std::fs::write(data.path().join("broken.toml"), "htpt = 1\n").unwrap();
    for (arguments, named) in [
        (vec!["--dev", "--http", "nowhere"], "http"),
        (vec!["--dev", "--http", "0.0.0.0:0"], "http"),
        (vec!["--config", "missing.toml"], "missing.toml"),
        (vec!["--config", "broken.toml"], "htpt"),
        (vec!["--dev", "--log", "=!="], "log"),
        (
            vec!["--dev", "--set", "auth_timeout_ms=0"],
            "auth_timeout_ms",
        ),
        (vec!["--dev", "--set", "nonsense=1"], "nonsense"),
        (vec!["--dev", "--set", "nonsense"], "nonsense"),
        (
            vec!["token", "--room", "demo", "--identity", "bob"],
            "api_keys",
        ),
    ] {
        let output = klieg(data.path()).args(&arguments).output().unwrap();
        let (code, text) = failure(&output);
        assert!(text.contains(named), "{arguments:?}: {text}");
        assert_eq!(
            (code, text.lines().count()),
            (Some(64), 1),
            "{arguments:?}: {text}"
        );
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let data = TempDir::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = klieg(data.path());
    command.args(["--dev", "--media", "127.0.0.1:0", "--http", &address]);
    let (code, text) = failure(&command.output().unwrap());
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains(&address) && text.contains("--http"), "{text}");
}

#[test]
fn a_token_can_be_made_on_the_command_line() {
    let data = TempDir::new();
    let mut command = klieg(data.path());
    command.args([
        "token",
        "--dev",
        "--room",
        "demo",
        "--identity",
        "bob",
        "--publish",
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success());
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
}
