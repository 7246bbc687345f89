//! An authority of ACME for one test: Pebble, and the DNS in which every name leads to this machine.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

/// The authority, gone with its drop and with the process.
pub(crate) struct Pebble {
    /// Where its directory is.
    pub(crate) directory: String,
    /// What it is known by, in PEM.
    pub(crate) ca_file: PathBuf,
    /// Each reads until this process ends, and then ends what it keeps.
    keepers: [Child; 2],
}

impl Pebble {
    /// Starts one that looks at servers on a port.
    pub(crate) fn start(folder: &Path, tls_port: u16) -> Self {
        let [acme, management, dns, dns_management] = free_ports();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("authority.pem"), folder.join("authority.key"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let at = |port: u16| format!("127.0.0.1:{port}");
        let config = json!({ "pebble": {
            "listenAddress": at(acme),
            "managementListenAddress": at(management),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": 1,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
        } });
        let file = folder.join("authority.json");
        fs::write(&file, config.to_string()).unwrap();
        let mut names = kept("pebble-challtestsrv");
        names
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-defaultIPv6", "", "-dns01", &at(dns)])
            .args(["-management", &at(dns_management)]);
        let mut authority = kept("pebble");
        authority
            .arg("-config")
            .arg(file)
            .args(["-dnsserver", &at(dns)]);
        let keepers = [names, authority].map(|mut command| command.spawn().unwrap());
        for port in [acme, dns] {
            reached(port);
        }
        Self {
            directory: format!("https://127.0.0.1:{acme}/dir"),
            ca_file: certificate,
            keepers,
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for keeper in &mut self.keepers {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

/// Keeps a program for as long as this process lives.
fn kept(program: &str) -> Command {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", program])
        .stdout(Stdio::null())
        .status();
    assert!(
        found.unwrap().success(),
        "{program} is missing: scripts/setup.sh acme"
    );
    let mut keeper = Command::new("sh");
    keeper
        .args(["-c", "\"$0\" \"$@\" & read -r _; kill $!; wait", program])
        // It waits for some seconds before it looks, otherwise.
        .env("PEBBLE_VA_NOSLEEP", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    keeper
}

/// Taken by somebody else before they are bound, they would be found missing below.
fn free_ports<const N: usize>() -> [u16; N] {
    let free = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    free.map(|it| it.local_addr().unwrap().port())
}

fn reached(port: u16) {
    let since = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "nothing at {port}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
