//! The real command against the real server: what it counts is exact, whatever the scenario.
//!
//! The server is `target/debug/klieg`, which `cargo test --workspace` builds, or what `KLIEG_BIN` names.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests are tests, too"
)]

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

#[test]
fn without_loss_everybody_gets_every_packet_once() {
    let server = Server::start();
    let report = server.passes(&["--viewers", "30", "--publishers", "2", "--audio"]);
    assert_eq!(report["joins"]["visits"], 30);
    assert_eq!(report["joins"]["watching"], 30);
    for kind in ["video", "audio"] {
        let counts = &report[kind];
        assert!(counts["packets"].as_u64() > Some(1000), "{counts}");
        for fault in ["lost", "waiting", "recovered", "repeated", "reordered"] {
            assert_eq!(counts[fault], 0, "{kind} {fault}");
        }
    }
    assert_eq!(report["leftOut"], 0);
    assert_eq!(report["unreadable"], 0);
    assert_eq!(report["chat"], Value::Null);
    // The server says itself what it costs.
    let cost = &report["steady"]["server"];
    assert!(cost["cpuNsPerPacket"].as_f64() > Some(0.0), "{cost}");
    assert!(cost["memoryBytes"].as_u64() > Some(1 << 20), "{cost}");
}

#[test]
fn what_viewers_throw_away_comes_again() {
    let server = Server::start();
    let options = ["--viewers", "24", "--publishers", "1", "--loss", "5%"];
    let report = server.passes(&[&options[..], &["--audio"]].concat());
    let video = &report["video"];
    assert!(report["audio"]["lost"].as_u64() > Some(0), "{report}");
    assert_eq!(report["unexplainedLoss"]["audio"], 0, "{report}");
    assert!(report["droppedOnPurpose"].as_u64() > Some(100), "{report}");
    assert!(video["recovered"].as_u64() > Some(100), "{video}");
    assert_eq!(video["lost"], 0, "{video}");
    assert_eq!(report["leftOut"], 0);
}

#[test]
fn what_a_publisher_loses_is_asked_for_and_seen() {
    let server = Server::start();
    let options = ["--viewers", "5", "--publishers", "1", "--uplink-loss", "5%"];
    let report = server.passes(&[&options[..], &["--audio", "--conformance", "1"]].concat());
    assert!(report["audio"]["lost"].as_u64() > Some(0), "{report}");
    assert_eq!(report["unexplainedLoss"]["audio"], 0, "{report}");
    let sent = &report["sent"];
    assert!(sent["dropped"].as_u64() > Some(10), "{sent}");
    assert!(sent["askedAgain"].as_u64() > Some(10), "{sent}");
    assert!(sent["resent"].as_u64() > Some(10), "{sent}");
    assert!(sent["feedbackPackets"].as_u64() > Some(100), "{sent}");
    assert!(sent["feedbackLost"].as_u64() > Some(10), "{sent}");
    assert_eq!(report["video"]["lost"], 0, "{}", report["video"]);
}

#[test]
fn in_a_chat_storm_everybody_hears_everything_once() {
    let server = Server::start();
    let report = server.passes(&[
        "--viewers",
        "24",
        "--publishers",
        "1",
        "--scenario",
        "chat-storm",
    ]);
    let chat = &report["chat"];
    assert!(chat["sent"].as_u64() > Some(20), "{chat}");
    assert_eq!(chat["acknowledged"], chat["sent"], "{chat}");
    assert_eq!(chat["unanswered"], 0, "{chat}");
    assert!(chat["delivered"].as_u64() > chat["sent"].as_u64(), "{chat}");
    assert!(chat["reactionsDelivered"].as_u64() > Some(100), "{chat}");
    for fault in ["missed", "repeated", "refused"] {
        assert_eq!(chat[fault], 0, "{fault}: {chat}");
    }
}

#[test]
fn chatters_hear_everything_without_a_picture() {
    let server = Server::start();
    let report = server.passes(&[
        "--viewers",
        "2",
        "--chatters",
        "30",
        "--publishers",
        "1",
        "--chat",
        "20/s",
    ]);
    assert_eq!(report["joins"]["watching"], 2);
    let chatters = &report["chatters"];
    assert_eq!(chatters["letIn"], 30, "{chatters}");
    assert_eq!(chatters["silent"], 0, "{chatters}");
    let chat = &report["chat"];
    assert_eq!(chat["acknowledged"], chat["sent"], "{chat}");
    assert_eq!(chat["missed"], 0, "{chat}");
    let talk = &report["steady"]["talk"];
    let acknowledged = talk["acknowledgedPerSecond"].as_f64().unwrap();
    let delivered = talk["deliveredPerSecond"].as_f64().unwrap();
    assert!(acknowledged > 5.0, "{talk}");
    assert!(delivered > 20.0 * acknowledged, "{talk}");
    assert!(
        talk["bytesPerSecondPerSocket"].as_f64() > Some(500.0),
        "{talk}"
    );
    let bytes = &chatters["bytesPerSecond"];
    let each = ["least", "median", "most"].map(|it| bytes[it].as_u64().unwrap());
    assert!(each.is_sorted() && each[0] > 500, "{chatters}");
}

#[test]
fn chatters_who_do_not_read_are_closed_with_a_code_and_the_others_hear_everything() {
    let server = Server::start();
    let crowd = ["--publishers", "1", "--viewers", "2", "--chatters", "60"];
    let talk = ["--stalled-chatters", "6", "--chat", "240/s"];
    let (report, text) = server.runs(
        &[&crowd[..], &talk, &["--ramp", "60/s", "--duration", "24s"]].concat(),
        0,
    );
    let chatters = &report["chatters"];
    assert_eq!(chatters["letIn"], 60, "{chatters}");
    assert_eq!(chatters["silent"], 6, "{chatters}");
    let closed = chatters["closed"].as_array().unwrap();
    let told = closed.iter().find(|it| it[0] == "closed 4408: slow reader");
    assert!(told.is_some_and(|it| it[1].as_u64() > Some(0)), "{text}");
    let chat = &report["chat"];
    for fault in ["missed", "repeated", "unanswered"] {
        assert_eq!(chat[fault], 0, "{fault}: {chat}");
    }
    let stalled = &report["stalled"];
    for part in ["before", "after"] {
        let delays = &stalled[part]["deliveryUs"];
        assert!(delays["p99"].as_u64() < Some(1_000_000), "{stalled}");
    }
}

#[test]
fn a_flood_of_reactions_costs_each_little() {
    let server = Server::start();
    let crowd = ["--publishers", "1", "--viewers", "2", "--chatters", "100"];
    let report =
        server.passes(&[&crowd[..], &["--reactions", "500/s", "--ramp", "100/s"]].concat());
    let chat = &report["chat"];
    assert!(chat["reactionsSent"].as_u64() > Some(1_000), "{chat}");
    assert_eq!(chat["refused"], 0, "{chat}");
    // Nobody is told of each: in four messages a second there is how often each was sent.
    let sent = chat["reactionsSent"].as_u64().unwrap();
    assert!(
        chat["reactionsDelivered"].as_u64() > Some(50 * sent),
        "{chat}"
    );
    let bytes = &report["chatters"]["bytesPerSecond"];
    assert!(bytes["most"].as_u64() <= Some(4_096), "{bytes}");
}

#[test]
fn a_storm_of_joins_is_let_in() {
    let server = Server::start();
    let report = server.passes(&[
        "--viewers",
        "40",
        "--publishers",
        "1",
        "--scenario",
        "join-storm",
    ]);
    assert_eq!(report["joins"]["watching"], 40);
    assert_eq!(report["joins"]["firstFrameUs"]["count"], 40);
}

#[test]
fn viewers_who_stall_take_nothing_from_the_others() {
    let server = Server::start();
    let report = server.passes(&[
        "--viewers",
        "30",
        "--publishers",
        "1",
        "--scenario",
        "stalled",
        "--chatters",
        "20",
        "--chat",
        "20/s",
    ]);
    assert_eq!(report["joins"]["watching"], 30);
    assert_eq!(report["video"]["lost"], 0);
    let chat = &report["chat"];
    let to_all = chat["sent"].as_u64().unwrap() * 50;
    let chatters = &report["chatters"];
    assert_eq!(chatters["silent"], 2, "{chatters}");
    assert!(chat["delivered"].as_u64() < Some(to_all), "{chat}");
    let stalled = &report["stalled"];
    assert_eq!(stalled["viewers"], 3, "{stalled}");
    assert_eq!(stalled["after"]["connected"], 27, "{stalled}");
    for part in ["before", "after"] {
        assert_eq!(stalled[part]["lost"], 0, "{stalled}");
        let delays = &stalled[part]["frameDelayUs"]["count"];
        assert!(delays.as_u64() > Some(0), "{stalled}");
    }
}

#[test]
fn by_tcp_viewers_who_stall_take_nothing_from_the_others() {
    let server = Server::start();
    let report = server.passes(&[
        "--viewers",
        "30",
        "--publishers",
        "1",
        "--audio",
        "--tcp",
        "--scenario",
        "stalled",
    ]);
    assert_eq!(report["joins"]["watching"], 30);
    let stalled = &report["stalled"];
    assert_eq!(stalled["viewers"], 3, "{stalled}");
    assert_eq!(stalled["after"]["connected"], 27, "{stalled}");
    for part in ["before", "after"] {
        assert_eq!(stalled[part]["lost"], 0, "{stalled}");
    }
    assert_eq!(report["audio"]["lost"], 0);
    // By UDP went nothing but reports to the publisher.
    let by_tcp = server.metric("klieg_sfu_tcp_bytes_sent_total");
    let all = server.metric("klieg_sfu_bytes_sent_total");
    assert!(by_tcp > 0.9 * all, "{by_tcp} of {all}");
}

#[test]
fn those_who_break_off_come_back_to_a_picture() {
    let server = Server::start();
    let report = server.passes(&[
        "--viewers",
        "20",
        "--publishers",
        "1",
        "--scenario",
        "reconnect",
    ]);
    for joins in ["joins", "rejoins"] {
        assert_eq!(report[joins]["visits"], 20, "{joins}");
        assert_eq!(report[joins]["firstFrameUs"]["count"], 20, "{joins}");
    }
}

#[test]
fn a_server_with_few_places_lets_everybody_in_after_a_while() {
    let server = Server::with(&["--set", "max_handshakes=2"]);
    let crowd = ["--viewers", "40", "--conformance", "1", "--publishers", "1"];
    let storm = ["--scenario", "join-storm", "--duration", "30s"];
    let report = server.passes(&[&crowd[..], &storm[..]].concat());
    assert!(report["toldToWait"].as_u64() > Some(0), "{report}");
    assert_eq!(report["joins"]["watching"], 40, "{report}");
    assert_eq!(report["conformance"]["joins"]["watching"], 1, "{report}");
}

#[test]
fn complete_viewers_alone_have_their_price() {
    let server = Server::start();
    let options = ["--viewers", "0", "--conformance", "2", "--publishers", "1"];
    let (report, text) = server.runs(&options, 0);
    let steady = &report["steady"];
    assert!(steady["completePackets"].as_u64() > Some(100), "{text}");
    for figure in ["cpuNsPerPacket", "viewersPerCore", "kibPerViewer"] {
        let cost = &steady["server"][figure];
        assert!(cost.as_f64() > Some(0.0), "{figure}: {text}");
    }
}

/// What a viewer may cost the server, in KiB: 32 of its own, and its share of what the first ones bring.
const KIB_PER_VIEWER: f64 = 40.0;

#[test]
fn a_connected_viewer_costs_the_server_no_more_memory_than_is_promised() {
    let server = Server::start();
    let stream = ["--publishers", "1", "--bitrate", "100k", "--fps", "5"];
    let report = server.passes(&[&stream[..], &["--viewers", "600", "--ramp", "150/s"]].concat());
    assert_eq!(report["steady"]["connected"], 600);
    let cost = &report["steady"]["server"];
    let kib = cost["kibPerViewer"].as_f64().unwrap();
    println!("{kib:.1} KiB a viewer");
    assert!(kib > 8.0 && kib <= KIB_PER_VIEWER, "{cost}");
}

#[test]
fn a_server_that_goes_away_ends_the_test_in_words() {
    let mut server = Server::start();
    let id = server.child.id().to_string();
    let mut run = server.run_long(&["--viewers", "5", "--server-pid", &id]);
    run.wait_for("5 of 5 connected");
    // Some seconds are measured before.
    run.wait_for("5 of 5 connected");
    run.wait_for("5 of 5 connected");
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let (code, text) = run.end();
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("FAILED: the server went away after"),
        "{text}"
    );
    assert!(!text.contains("are not known"), "{text}");
    assert!(
        text.contains("the server closed the socket without a word"),
        "{text}"
    );
    let report = server.report();
    assert_eq!(report["ended"]["why"], "serverGone");
    let cost = &report["steady"]["server"]["cpuNsPerPacket"];
    assert!(cost.as_f64() > Some(0.0), "{text}");
}

#[test]
fn media_that_stops_fails_the_run_though_no_gap_tells_of_it() {
    let server = Server::start();
    let mut run = server.run_long(&["--viewers", "5"]);
    run.wait_for("5 of 5 connected");
    run.wait_for("5 of 5 connected");
    signal("STOP", server.child.id());
    // A line a second, and one to spare.
    for _ in 0..6 {
        run.wait_for(" s left");
    }
    run.interrupt();
    let (code, text) = run.end();
    assert_eq!(code, Some(1), "{text}");
    let told = "FAILED: to 5 visits no more sound or no more picture came";
    assert!(text.contains(told), "{text}");
    assert_eq!(server.report()["stopped"], 5);
}

#[test]
fn an_interrupt_of_the_ramp_fails_nobody_who_had_just_come() {
    let server = Server::start();
    let mut run = server.run_long(&["--viewers", "600", "--ramp", "10/s"]);
    run.wait_for(" connected");
    run.wait_for(" connected");
    run.interrupt();
    let (code, text) = run.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("before everybody was let in"), "{text}");
    assert!(!text.contains("\nsteady "), "{text}");
    let report = server.report();
    assert_eq!(report["ended"]["inRamp"], true);
    assert_eq!(report["steady"]["isSteady"], false);
}

#[test]
fn complete_viewers_have_their_own_rows() {
    let server = Server::start();
    let options = [
        "--viewers",
        "2",
        "--conformance",
        "3",
        "--publishers",
        "1",
        "--simulcast",
    ];
    let (report, text) = server.runs(&options, 0);
    let complete = &report["conformance"];
    assert_eq!(complete["joins"]["watching"], 3, "{complete}");
    for row in ["connectedUs", "firstPacketUs", "firstFrameUs"] {
        assert_eq!(complete["joins"][row]["count"], 3, "{row}");
    }
    assert!(text.contains("complete: connected"), "{text}");
    assert!(text.contains("3 of 3 visits of complete viewers"), "{text}");
}

#[test]
fn by_whip_and_whep_it_is_the_same() {
    let server = Server::start();
    let whip = format!("{}/whip/demo", server.url);
    let whep = format!("{}/whep/demo", server.url);
    let options = [
        "--viewers",
        "10",
        "--conformance",
        "1",
        "--publishers",
        "1",
        "--audio",
        "--whip",
        &whip,
        "--key",
        "demo-key",
        "--whep",
        &whep,
    ];
    let (report, text) = server.runs(&options, 0);
    assert_eq!(report["joins"]["watching"], 10);
    assert_eq!(report["conformance"]["joins"]["watching"], 1);
    assert_eq!(report["video"]["lost"], 0);
    assert!(!report.to_string().contains("demo-key") && !text.contains("demo-key"));
}

#[test]
fn viewers_without_a_picture_fail_the_run_in_words() {
    let server = Server::start();
    let (report, text) = server.runs(&["--viewers", "3", "--room", "demo"], 1);
    assert_eq!(report["joins"]["watching"], 0);
    assert!(
        text.contains("FAILED: 3 of 3 visits got no whole picture"),
        "{text}"
    );
    assert!(text.contains("connected, but no packet came"), "{text}");
}

#[test]
fn an_interrupt_ends_with_the_report() {
    let server = Server::start();
    let mut run = server.run_long(&["--viewers", "5"]);
    let line = run.wait_for("5 of 5 connected");
    assert!(
        !line.contains('\x1b'),
        "a pipe gets no escape codes: {line:?}"
    );
    run.interrupt();
    let (code, text) = run.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("5 of 5 visits got a whole picture"), "{text}");
    assert!(text.contains("interrupted after"), "{text}");
    assert_eq!(server.report()["interrupted"], true);
}

/// A test that goes on until it is ended.
struct Run {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Run {
    /// Waits for a line of the live view.
    fn wait_for(&mut self, text: &str) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        let line = lines.find(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("no line with {text:?}"))
    }

    fn interrupt(&self) {
        signal("INT", self.child.id());
    }

    /// Waits for the end, and returns code and table.
    fn end(self) -> (Option<i32>, String) {
        self.lines.for_each(|line| drop(line.unwrap()));
        let output = self.child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }
}

fn signal(name: &str, process: u32) {
    let arguments = [format!("-{name}"), process.to_string()];
    let status = Command::new("kill").args(arguments).status().unwrap();
    assert!(status.success());
}

/// A server of a test's own; it ends with it.
struct Server {
    child: Child,
    url: String,
    data: Folder,
}

impl Server {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[&str]) -> Self {
        let data = Folder::new();
        let mut command = Command::new(binary());
        command
            .args([
                "--dev",
                "--http",
                "127.0.0.1:0",
                "--media",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(data.path())
            .args(settings)
            .current_dir(data.path())
            .env_remove("KLIEG_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.as_mut().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line
            .split("http=")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let url = address
            .unwrap_or_else(|| panic!("no address in {line:?}"))
            .to_owned();
        Self { child, url, data }
    }

    /// Begins a test that nobody waits for the end of.
    fn run_long(&self, options: &[&str]) -> Run {
        let mut child = self
            .command(&["--publishers", "1", "--duration", "10m"])
            .args(options)
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Run { child, lines }
    }

    fn report(&self) -> Value {
        let json = std::fs::read(self.data.path().join("report.json")).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: klieg\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let (_, value) = lines.find(|(it, _)| *it == name).unwrap();
        value.parse().unwrap()
    }

    /// Runs a test of this server that has to pass, and returns its report.
    fn passes(&self, options: &[&str]) -> Value {
        self.runs(options, 0).0
    }

    /// Runs a test that has to end with this code; returns its report and its table.
    fn runs(&self, options: &[&str], code: i32) -> (Value, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(options).output().unwrap();
        let text = String::from_utf8(stdout).unwrap();
        let log = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{text}\n{log}");
        (self.report(), text)
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klieg-loadtest"));
        command
            .args(options)
            .args(["--http", &self.url, "--json", "report.json"])
            .current_dir(self.data.path());
        if !options.contains(&"--duration") {
            command.args(["--duration", "4s"]);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds the server's program, which is not this crate's.
fn binary() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_klieg-loadtest")).with_file_name("klieg");
    let path = std::env::var_os("KLIEG_BIN").map_or(beside, PathBuf::from);
    assert!(
        path.exists(),
        "no server at {}: run `cargo build -p klieg-signaling` first, or name it in KLIEG_BIN",
        path.display()
    );
    path
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("klieg-loadtest-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
