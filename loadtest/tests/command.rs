//! The program as it is called: what it says of itself, and what it refuses.

use std::process::{Command, Output};

#[test]
fn help_names_every_way_to_measure() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for option in [
        "--viewers",
        "--whep",
        "--whip",
        "--scenario",
        "--server-pid",
        "--html",
    ] {
        assert!(text.contains(option), "{option}");
    }
}

#[test]
fn help_shows_what_stands_for_a_number_as_it_is_written() {
    let text = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let explained = "{n} in it stands for the publisher's number";
    assert_eq!(text.matches(explained).count(), 2, "{text}");
    assert!(!text.contains('\u{1b}'), "a pipe gets no escape codes");
}

#[test]
fn a_report_that_cannot_be_written_is_refused_at_once() {
    let kept = std::env::temp_dir().join(format!("klieg-loadtest-{}.json", std::process::id()));
    let path = kept.to_str().unwrap();
    let wrong = "/no/such/folder/report.html";
    let output = run(&["--room", "a", "--json", path, "--html", wrong]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("cannot write /no/such/folder/report.html"),
        "{text}"
    );
    assert!(!kept.exists(), "nothing is left behind");
}

#[test]
fn bad_options_are_refused_with_the_reason() {
    let cases: [(&[&str], &str); 9] = [
        (&["--room", "demo", "--loss", "2"], "2%"),
        (&["--room", "demo", "--bitrate", "1400"], "1.4M"),
        (&["--room", "demo", "--ramp", "200"], "200/s"),
        (&["--room", "demo", "--duration", "1h"], "unknown unit"),
        (&["--room", "demo", "--pacing", "slow"], "browser"),
        (&["--room", "demo", "--scenario", "rain"], "steady"),
        (&["--viewers", "5"], "nothing to watch"),
        (&["--room", "demo", "--publishers", "2"], "one publisher"),
        (
            &["--whep", "http://127.0.0.1/", "--chat", "1/s"],
            "WebSocket",
        ),
    ];
    for (options, reason) in cases {
        let output = run(options);
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(reason), "{options:?}: {text}");
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    // Nobody listens on the port of a socket that is bound and gone.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    drop(socket);
    let output = run(&["--publishers", "1", "--http", &url]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("could not go live"), "{text}");
}

fn run(options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_klieg-loadtest"))
        .args(options)
        .output()
        .expect("cargo built the program before its tests")
}
