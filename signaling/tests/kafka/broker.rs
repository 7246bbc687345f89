//! A broker of Apache Kafka, one for the tests of this process and others that go away, and topics to which shops write.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// A broker and what keeps it.
pub(crate) struct Broker {
    folder: PathBuf,
    pub(crate) address: String,
    /// `None` while it is away.
    java: Mutex<Option<Child>>,
    /// Reads until this process ends, and then stops the broker and removes the folder.
    _keeper: Child,
}

impl Broker {
    /// Returns the one of all tests, which is started on first use.
    pub(crate) fn shared() -> &'static Self {
        static BROKER: OnceLock<Broker> = OnceLock::new();
        BROKER.get_or_init(Self::start)
    }

    /// Starts one that a test may stop.
    pub(crate) fn start() -> Self {
        let name = format!("klieg-kafka-{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        let (port, controller) = (free_port(), free_port());
        let broker = Self {
            _keeper: keeper(&folder),
            address: format!("127.0.0.1:{port}"),
            java: Mutex::new(None),
            folder,
        };
        let properties = broker.properties(controller);
        fs::write(broker.folder.join("properties"), properties).unwrap();
        let mut format = broker.java("kafka.tools.StorageTool");
        format.args(["format", "--cluster-id", CLUSTER, "--config", "properties"]);
        let mut format = format.spawn().unwrap();
        let done = ended(&mut format, PATIENCE);
        assert!(done.is_some_and(|it| it.success()), "{}", broker.log());
        broker.come_back();
        broker
    }

    /// Starts it, with what it has on disk; returns once it listens.
    pub(crate) fn come_back(&self) {
        let mut java = self.java("kafka.Kafka").arg("properties").spawn().unwrap();
        fs::write(self.folder.join("pid"), java.id().to_string()).unwrap();
        let since = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            let has_ended = ended(&mut java, Duration::from_millis(100)).is_some();
            let goes_on = !has_ended && since.elapsed() < PATIENCE;
            assert!(goes_on, "it does not start: {}", self.log());
        }
        *self.java.lock().unwrap() = Some(java);
    }

    /// Ends at once, as in a crash.
    pub(crate) fn go_away(&self) {
        if let Some(mut java) = self.java.lock().unwrap().take() {
            java.kill().unwrap();
            java.wait().unwrap();
        }
    }

    /// Returns what it said.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn java(&self, class: &str) -> Command {
        let jars = std::env::var("KLIEG_KAFKA_JARS");
        let jars = jars.expect("KLIEG_KAFKA_JARS is not set: `make test-kafka` does it");
        let mut log = File::options();
        let log = log.create(true).append(true);
        let log = log.open(self.folder.join("log")).unwrap();
        let mut command = Command::new("java");
        command
            .current_dir(&self.folder)
            .args(["-Xmx384m", "-cp", &format!("{jars}/*"), class])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    fn properties(&self, controller: u16) -> String {
        format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
",
            self.address,
            self.folder.join("data").display()
        )
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.go_away();
    }
}

/// A topic of a test's own.
pub(crate) struct Topic {
    pub(crate) name: String,
    shop: FutureProducer,
}

impl Topic {
    /// Makes one; waits for a broker that has just been started.
    pub(crate) async fn new(broker: &Broker, partitions: i32) -> Self {
        let name = format!("orders-{:016x}", rand::random::<u64>());
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &broker.address)
            .set("reconnect.backoff.max.ms", "500");
        let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let patience = AdminOptions::new().request_timeout(Some(PATIENCE));
        let made = admin.create_topics(&[topic], &patience).await;
        let made = made.unwrap_or_else(|error| panic!("{error}: {}", broker.log()));
        assert_eq!(made, [Ok(name.clone())]);
        // What is sent again is not written twice.
        client.set("enable.idempotence", "true");
        client.set("message.timeout.ms", PATIENCE.as_millis().to_string());
        let shop = client.create().unwrap();
        Self { name, shop }
    }

    /// Writes a message; returns once the broker has it.
    pub(crate) async fn write(&self, partition: i32, text: Option<&str>) {
        let mut record: FutureRecord<'_, str, str> =
            FutureRecord::to(&self.name).partition(partition);
        record.payload = text;
        let sent = self.shop.send(record, PATIENCE);
        let sent = tokio::time::timeout(2 * PATIENCE, sent).await;
        sent.expect("the broker does not take it").unwrap();
    }
}

/// Starts what outlives this process by a moment and cleans up after it.
fn keeper(folder: &Path) -> Child {
    let script = "trap '' INT TERM HUP; read -r _; \
         kill -9 \"$(cat \"$0/pid\")\" 2>/dev/null && sleep 1; rm -rf \"$0\"";
    let mut keeper = Command::new("sh");
    keeper
        .args(["-c", script])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    keeper.spawn().unwrap()
}

/// Returns one that the kernel gives nobody by itself: while a broker is away none of those that look for it has its port.
fn free_port() -> u16 {
    let mut ports = (0..1_000).map(|_| rand::random_range(PORTS));
    let free = ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("no port is free")
}

/// Waits until a process ends; `None` where it goes on for longer than that.
pub(crate) fn ended(process: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let since = Instant::now();
    loop {
        let status = process.try_wait().unwrap();
        if status.is_some() || since.elapsed() >= patience {
            return status;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Below those of Linux (`ip_local_port_range`).
const PORTS: Range<u16> = 20_000..32_000;

/// Any id will do.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qk";

/// A broker takes some seconds to start.
const PATIENCE: Duration = Duration::from_secs(90);
