//! The binary: how it starts, what it says when it cannot, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::discovery::StunServer;
use crate::harness::{Client, TempDir, TestServer, call};
use crate::postgres;

pub(crate) fn klieg(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klieg"));
    command.current_dir(data).env_remove("KLIEG_CONFIG");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn serve(data: &Path) -> (Child, SocketAddr) {
    serve_with(data, None)
}

/// Starts a server for development; its database is a file where none is named.
pub(crate) fn serve_with(data: &Path, database: Option<&str>) -> (Child, SocketAddr) {
    let mut command = klieg(data);
    if let Some(url) = database {
        command.env("KLIEG_DATABASE_URL", url);
    }
    command.env("KLIEG_ORDER_HOOK_SECRET", crate::shop::SECRET);
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
    let files = std::fs::read_dir(data.path()).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    files.retain(|name| name.to_string_lossy().starts_with("klieg.db"));
    assert_eq!(files, ["klieg.db"], "all of it is in the one file");

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
    std::fs::write(data.path().join("unfinished.toml"), "http = [\n").unwrap();
    let long = "x".repeat(200);
    for (arguments, named) in [
        (vec!["--dev", "--http", "nowhere"], "http"),
        (vec!["--dev", "--http", "0.0.0.0:0"], "http"),
        (vec!["--config", "missing.toml"], "missing.toml"),
        (
            vec!["--config", "broken.toml"],
            "no setting `htpt` (in broken.toml); did you mean `http`? docs",
        ),
        (vec!["--config", "unfinished.toml"], "unfinished.toml"),
        (vec!["--dev", "--log", "=!="], "log"),
        (
            vec!["--dev", "--set", "auth_timeout_ms=0"],
            "auth_timeout_ms",
        ),
        (
            vec!["--dev", "--set", "nonsense=1"],
            "no setting `nonsense`; docs",
        ),
        (
            vec!["--dev", "--set", "ice.nonsense=1"],
            "no setting `ice.nonsense`; docs",
        ),
        (
            vec!["--dev", "--set", "max_sockets=many"],
            "max_sockets: string \"many\" is not a whole number",
        ),
        (
            vec!["--dev", "--media-shards", "65"],
            "media_shards: 65 is out of range: expected 0 to 64",
        ),
        (vec!["--dev", "--set", "nonsense"], "nonsense"),
        (
            vec!["token", "--room", "demo", "--identity", "bob"],
            "api_keys",
        ),
        (
            vec!["token", "--dev", "--room", "a b", "--identity", "bob"],
            "--room",
        ),
        (
            vec!["token", "--dev", "--room", "demo", "--identity", &long],
            "--identity",
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
fn a_port_that_is_taken_is_named_once_with_the_way_out() {
    let data = TempDir::new();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let free = "127.0.0.1:0".to_owned();
    for (http, media, taken, flag) in [
        (
            tcp.local_addr().unwrap().to_string(),
            free.clone(),
            0,
            "--http",
        ),
        (free, udp.local_addr().unwrap().to_string(), 1, "--media"),
    ] {
        let address = [&http, &media][taken].clone();
        let mut command = klieg(data.path());
        command.args(["--dev", "--media", &media, "--http", &http]);
        let (code, text) = failure(&command.output().unwrap());
        assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.contains(&address) && text.contains(flag), "{text}");
        assert_eq!(text.matches("in use").count(), 1, "{text}");
    }
}

#[test]
fn a_folder_belongs_to_one_server_at_a_time() {
    let data = TempDir::new();
    let (mut first, _) = serve(data.path());
    let mut second = klieg(data.path());
    second.args([
        "--dev",
        "--http",
        "127.0.0.1:0",
        "--media",
        "127.0.0.1:0",
        "--data",
    ]);
    let output = second.arg(data.path()).output().unwrap();
    let (code, text) = failure(&output);
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    let (folder, process) = (data.path().display().to_string(), first.id().to_string());
    for said in [&folder, &process, "--data"] {
        assert!(text.contains(said), "{said} in {text}");
    }

    // However the first one ends, the folder is free again.
    first.kill().unwrap();
    first.wait().unwrap();
    let (mut third, _) = serve(data.path());
    third.kill().unwrap();
    third.wait().unwrap();
}

#[test]
fn a_secret_that_cannot_be_read_is_not_repeated() {
    let data = TempDir::new();
    let mut command = klieg(data.path());
    command
        .arg("--dev")
        .env("KLIEG_METRICS_TOKEN", "12345678901234567");
    let (code, text) = failure(&command.output().unwrap());
    assert_eq!((code, text.lines().count()), (Some(64), 1), "{text}");
    assert!(
        text.contains("metrics_token (in the environment)"),
        "{text}"
    );
    assert!(!text.contains("12345678901234567"), "{text}");
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

#[tokio::test]
async fn a_hang_up_reads_the_settings_again_and_changes_nothing_where_they_are_wrong() {
    let data = TempDir::new();
    let file = data.path().join("klieg.toml");
    std::fs::write(&file, "").unwrap();
    let (mut child, http) = serve(data.path());
    let stderr = child.stderr.take().unwrap();
    let (lines, read) = std::sync::mpsc::channel::<serde_json::Value>();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = lines.send(serde_json::from_str(&line).unwrap());
        }
    });
    let hang_up = |settings: &str, said: &str| {
        std::fs::write(&file, settings).unwrap();
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-HUP", &id])
                .status()
                .unwrap()
                .success()
        );
        loop {
            let line = read.recv_timeout(Duration::from_secs(15)).unwrap();
            if line["message"].as_str().unwrap().starts_with(said) {
                return line;
            }
        }
    };
    let registration = async || {
        let config = call(http, "GET", "/api/v1/config", None, None).await;
        config.body["registration"].as_bool().unwrap()
    };
    assert!(registration().await);
    let line = hang_up(
        "registration = false\nmax_sockets = 7\nlog = \"info,hyper=off\"",
        "settings read again",
    );
    assert!(
        line["waiting"].as_str().unwrap().contains("max_sockets"),
        "{line}"
    );
    assert!(!registration().await);
    let line = hang_up(
        "registration = true\nhtpt = 1",
        "settings stay as they were",
    );
    assert!(
        line["error"]
            .as_str()
            .unwrap()
            .contains("did you mean `http`?"),
        "{line}"
    );
    assert!(!registration().await);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs `klieg check` in a folder; returns its exit code and what it said.
pub(crate) fn check(data: &TempDir, change: &dyn Fn(&mut Command)) -> (Option<i32>, String) {
    let mut command = klieg(data.path());
    command.arg("check");
    change(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let text = said + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

#[test]
fn a_check_opens_the_database_changes_nothing_and_says_what_is_wrong() {
    let data = TempDir::new();
    let settings = "http = \"127.0.0.1:0\"\nmedia = \"127.0.0.1:0\"\n";
    std::fs::write(data.path().join("klieg.toml"), settings).unwrap();
    let check = |change: &dyn Fn(&mut Command)| check(&data, change);
    let secret = "hunter2";
    let (code, text) = check(&|_| ());
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("klieg.db is empty: the server makes its tables"),
        "{text}"
    );
    // What the server says that listens on one address alone.
    assert!(text.contains("media to 127.0.0.1:0"), "{text}");
    assert!(!data.path().join("data/klieg.db").exists());
    let file = data.path().join("klieg.db");
    std::fs::write(&file, "what is this, and why is it here?".repeat(100)).unwrap();
    let shut = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = shut.local_addr().unwrap().port();
    drop(shut);
    for (url, said) in [
        (
            format!("sqlite:{}", file.display()),
            "this is no database of SQLite",
        ),
        (
            format!("postgres://klieg:{secret}@127.0.0.1:{port}/klieg"),
            "no server of PostgreSQL answers there",
        ),
        (
            postgres::database().replace("/test_", "/no_such_"),
            "make the database first",
        ),
    ] {
        let (code, text) = check(&|command| {
            command.env("KLIEG_DATABASE_URL", &url);
        });
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("PROBLEM  ") && text.contains(said), "{text}");
        assert!(!text.contains(secret), "{text}");
    }
    for (variable, value) in [("KLIEG_HTPT", "1"), ("KLIEG_LOG", "klieg=foo")] {
        let (code, text) = check(&|command| {
            command.env(variable, value);
        });
        assert_eq!(code, Some(64), "as the server does: {text}");
    }
    let (code, text) = check(&|command| {
        command.env("KLIEG_DATABASE_URL", postgres::database());
    });
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("is empty: the server makes its tables"),
        "{text}"
    );
}

#[test]
fn a_check_says_what_is_set_and_what_would_keep_the_server_from_starting() {
    let data = TempDir::new();
    let secret = "a secret that is not to be shown to anybody";
    let settings = format!(
        "http = \"127.0.0.1:0\"\nmedia = \"127.0.0.1:0\"\nmedia_addresses = [\"203.0.113.7\"]\n\
         [api_keys]\nshop = \"{secret}\"\n[limits]\njoins_per_minute = 7\n"
    );
    std::fs::write(data.path().join("klieg.toml"), settings).unwrap();
    let check = |change: &dyn Fn(&mut Command)| check(&data, change);
    let (code, text) = check(&|command| {
        command.env("KLIEG_MAX_SOCKET", "1");
    });
    assert_eq!(code, Some(64), "{text}");
    for said in [
        "limits.joins_per_minute = 7  (",
        "klieg.toml)",
        "PROBLEM  KLIEG_MAX_SOCKET is no setting; did you mean KLIEG_MAX_SOCKETS?",
        "media to 203.0.113.7:0",
        "nor public_url is set",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(!text.contains(secret), "{text}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = check(&|command| {
        command.args(["--http", &address]);
    });
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(&format!("PROBLEM  http: TCP {address}")),
        "{text}"
    );
    let (code, text) = check(&|command| {
        command.args(["--set", "max_sockets=0"]);
    });
    assert_eq!((code, text.lines().count()), (Some(64), 1), "{text}");
}

#[test]
fn a_check_says_which_addresses_nobody_can_be_told() {
    let data = TempDir::new();
    let bad = "is no machine's address";
    // Below the ports that systems and relays give by themselves: nobody else has it.
    let own_port = "--media 127.0.0.1:21000 --set relay.first_port=21000";
    let rows = [
        ("--public-ip 198.51.100.7", 0, "media to 198.51.100.7:"),
        ("--public-ip nonsense", 64, "--media-address"),
        ("--media-address 224.0.0.1", 64, bad),
        ("--media-address 255.255.255.255", 64, bad),
        ("--media-address ff02::1", 64, bad),
        ("--media [::]", 64, "media: expected an address and a port"),
        ("--media 198.51.100.7:7", 1, "no interface of this machine"),
        ("--set relay.host=nosuch.invalid", 1, "relay.host: nosuch."),
        (own_port, 0, "port 21000 of media is among"),
    ];
    for (arguments, status, words) in rows {
        let (code, text) = check(&data, &|command| {
            command.args(["--dev", "--http", "127.0.0.1:0"]);
            command.args(["--set", "relay.listen=127.0.0.1:0"]);
            if !arguments.contains("--media ") {
                command.args(["--media", "127.0.0.1:0"]);
            }
            command.args(arguments.split(' '));
        });
        assert_eq!(code, Some(status), "{arguments} {text}");
        assert!(text.contains(words), "{arguments} {text}");
    }
}

#[test]
fn a_check_says_how_a_stun_server_sees_this_machine_and_what_the_machine_grants() {
    let data = TempDir::new();
    let at = StunServer::start([203, 0, 113, 7]).at.to_string();
    let check = |told: &str, stun: &str| {
        check(&data, &|command| {
            command.args(["--http", "127.0.0.1:0", "--media", "127.0.0.1:0"]);
            command.args(["--media-address", told, "--stun", stun]);
        })
    };
    let (code, text) = check("203.0.113.7", &at);
    assert_eq!(code, Some(0), "{text}");
    for said in [
        "sees this machine at 203.0.113.7, as clients are told",
        "became 0: a router",
        "open files: ",
        "socket buffers: ",
        "ok       clock: 20",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    let (code, text) = check("198.51.100.9", &at);
    assert_eq!(code, Some(1), "{text}");
    let said = "PROBLEM  --stun";
    assert!(
        text.contains(said) && text.contains("media_addresses = [\"203.0.113.7\"]"),
        "{text}"
    );

    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (code, text) = check("203.0.113.7", &nobody.local_addr().unwrap().to_string());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no answer: have UDP let out"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_has_a_turn_server_try_to_reach_the_media_port() {
    let data = TempDir::new();
    // It is let go and taken again: an address and a port that no system gives away by itself.
    let at = SocketAddr::from(([127, 0, 0, 3], 21_001));
    let media = std::net::UdpSocket::bind(at).unwrap();
    let secret = "a secret of some length";
    let outside = TestServer::start_with(|config| {
        config.relay.listen = Some(([127, 0, 0, 1], 0).into());
        config.relay.allow_peers = vec![at];
        config.ice.turn_secret = Some(klieg_signaling::Secret::new(secret));
    })
    .await;
    let turn = outside.server.relay().unwrap().to_string();
    let check = |address: &str, login: Option<&str>| {
        check(&data, &|command| {
            command.args(["--http", "127.0.0.1:0", "--media", &at.to_string()]);
            command.args(["--media-address", address, "--turn", &turn]);
            command.env("KLIEG_TURN_SECRET", secret);
            command.args(login.map(|login| format!("--turn-login={login}")));
        })
    };
    tokio::task::block_in_place(|| {
        let (code, text) = check("127.0.0.3", None);
        assert!(text.contains(" is taken"), "{text}");
        assert_eq!(code, Some(1), "its own media port is, too: {text}");
        drop(media);
        let (code, text) = check("127.0.0.3", None);
        assert_eq!(code, Some(0), "{text}");
        let reached = format!("ok       --turn {turn}: reaches {at} by UDP, from 127.0.0.1:");
        assert!(text.contains(&reached), "{text}");
        for (address, login) in [("127.0.0.3", Some("ann:wrong")), ("192.0.2.1", None)] {
            let (code, text) = check(address, login);
            assert_eq!(code, Some(1), "{text}");
            assert!(text.contains("refused: "), "{text}");
        }
        let (code, text) = check("127.0.0.3", Some("ann"));
        assert!(text.contains("expected USER:PASSWORD"), "{text}");
        assert_ne!(code, Some(0));
    });
    outside.server.stop().await;
}

#[test]
fn a_variable_that_is_no_setting_ends_the_start_and_those_of_others_do_not() {
    let data = TempDir::new();
    let started = |name: &str| {
        let mut command = klieg(data.path());
        command.args(["user", "list", "--data"]).arg(data.path());
        let output = command.env(name, "1").output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = started("KLIEG_MAX_SOCKTS");
    assert_eq!((code, text.lines().count()), (Some(64), 1), "{text}");
    assert!(
        text.contains("KLIEG_MAX_SOCKTS is no setting; did you mean KLIEG_MAX_SOCKETS?"),
        "{text}"
    );
    // Kubernetes tells of a service that is called klieg; and nothing makes a database but who adds to it.
    for others in ["KLIEG_SERVICE_HOST", "KLIEG_PORT_8080_TCP", "KLIEG_BIN"] {
        let (code, text) = started(others);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("there is no database "), "{text}");
    }
    assert!(!data.path().join("klieg.db").exists());
}

#[test]
fn what_holds_hashes_of_passwords_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let data = TempDir::new();
    let mode = |name: &str| {
        let file = std::fs::metadata(data.path().join(name)).unwrap();
        file.permissions().mode() & 0o777
    };
    let url = postgres::database();
    for (number, database) in [None, Some(url)].into_iter().enumerate() {
        let run = |arguments: &[&str]| {
            let mut command = klieg(data.path());
            command.args(arguments).args(["--data", "."]);
            if let Some(url) = &database {
                command.env("KLIEG_DATABASE_URL", url);
            }
            command.stdin(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            std::io::Write::write_all(&mut stdin, b"correct horse\n").unwrap();
            drop(stdin);
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{text}");
            String::from_utf8(output.stdout).unwrap()
        };
        let said = run(&["user", "add", "Ann"]);
        assert_eq!(
            said.contains("klieg.db is new"),
            database.is_none(),
            "{said}"
        );
        let copy = format!("copy-{number}");
        run(&["backup", &copy]);
        assert_eq!(mode(&copy), 0o600, "{copy}");
    }
    assert_eq!(mode("klieg.db"), 0o600);
}

#[test]
fn help_says_how_to_begin_and_a_token_needs_no_ports() {
    let data = TempDir::new();
    let help = |arguments: &[&str]| {
        let output = klieg(data.path()).args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let server = help(&["--help"]);
    for said in [
        "klieg --dev",
        "http://localhost:8080/",
        "--set",
        "max_sockets=500",
    ] {
        assert!(server.contains(said), "{said} in {server}");
    }
    let token = help(&["token", "--help"]);
    assert!(token.contains("klieg token --dev --room demo"), "{token}");
    assert!(!token.contains("--media"), "{token}");
}
