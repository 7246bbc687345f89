//! A server of `PostgreSQL` for the tests of one process: started on first use, gone with the process, however that ends.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A server and what keeps it.
pub(crate) struct Cluster {
    /// Where its programs are.
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    /// Reads until this process ends, and then stops the server and removes the folder.
    _keeper: Child,
    /// One database is made at a time: each is a copy of the same one.
    making: Mutex<u32>,
}

/// Makes an empty database and returns its URL.
pub(crate) fn database() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start).create()
}

impl Cluster {
    /// Starts a server of its own, which a test may stop.
    pub(crate) fn start() -> Self {
        let programs = programs();
        let name = format!("klieg-postgres-{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        own(&folder);
        let mut initdb = unprivileged(&programs.join("initdb"));
        initdb
            .args(["--username=klieg", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--no-instructions", "--pgdata"])
            .arg(folder.join("data"));
        done(initdb);
        // Taken by somebody else before the server binds it, it would be found missing below.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let keeper = keeper(&programs, &folder);
        let cluster = Self {
            programs,
            folder,
            port,
            _keeper: keeper,
            making: Mutex::new(0),
        };
        cluster.up();
        cluster
    }

    /// Makes an empty database and returns its URL.
    pub(crate) fn create(&self) -> String {
        let mut made = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        *made += 1;
        let name = format!("test_{made}");
        let mut createdb = unprivileged(&self.programs.join("createdb"));
        createdb
            .args(["--host=127.0.0.1", "--username=klieg"])
            .arg(format!("--port={}", self.port))
            .arg(&name);
        done(createdb);
        format!("postgres://klieg@127.0.0.1:{}/{name}", self.port)
    }

    /// Starts the server on its port.
    pub(crate) fn up(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
             -c max_connections=300 -c shared_buffers=64MB",
            self.port
        );
        let mut start = self.control("start");
        start
            .args(["--wait", "--timeout=60", "--options", &options, "--log"])
            .arg(self.folder.join("log"));
        done(start);
    }

    /// Stops the server at once, as a crash would.
    pub(crate) fn down(&self) {
        let mut stop = self.control("stop");
        stop.args(["--mode=immediate", "--wait"]);
        done(stop);
    }

    fn control(&self, what: &str) -> Command {
        let mut command = unprivileged(&self.programs.join("pg_ctl"));
        command
            .arg(what)
            .arg("--silent")
            .arg("--pgdata")
            .arg(self.folder.join("data"));
        command
    }
}

/// Starts what outlives this process by a moment and cleans up after it.
fn keeper(programs: &Path, folder: &Path) -> Child {
    let script = "trap '' INT TERM HUP; read -r _; \
         \"$0/pg_ctl\" stop --silent --mode=immediate --wait --pgdata \"$1/data\"; rm -rf \"$1\"";
    let mut keeper = unprivileged(Path::new("sh"));
    keeper
        .args(["-c", script])
        .arg(programs)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    keeper.spawn().unwrap()
}

/// Returns where the programs of the server are: Debian keeps them out of the path.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut folders: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    folders
        .pop()
        .or(found)
        .expect("PostgreSQL is missing: run scripts/setup.sh postgres")
}

/// The server refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        return command;
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program)
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

fn own(folder: &Path) {
    if !is_root() {
        return;
    }
    let id = |flag: &str| -> u32 {
        let output = Command::new("id").args([flag, "postgres"]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.trim().parse().unwrap()
    };
    chown(folder, Some(id("-u")), Some(id("-g"))).unwrap();
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

fn done(mut command: Command) {
    let since = Instant::now();
    // What the server leaves behind holds its pipes open: wait for the program, not for the end of its output.
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}: {status}");
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{command:?} does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const PATIENCE: Duration = Duration::from_secs(90);
