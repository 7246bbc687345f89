//! What can be measured of the control plane, beside what the forwarding unit counts itself.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use crate::error::Code;
use crate::process::Process;

/// The counters; the field docs are the help texts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// What the process costs.
    process: Arc<Process>,
    /// Sockets that are open.
    pub(crate) sockets: IntGauge,
    /// Sockets that are in a room.
    pub(crate) participants: IntGauge,
    /// Whether the server takes no more, because it was told so or is about to stop.
    pub(crate) draining: IntGauge,
    /// Sockets that were opened.
    pub(crate) sockets_opened: IntCounter,
    /// Sockets that the server closed, by close code.
    pub(crate) sockets_closed: IntCounterVec,
    /// Messages from clients, refused ones included.
    pub(crate) messages: IntCounter,
    /// Errors that clients were answered on the WebSocket, by WHIP and by WHEP, by code.
    pub(crate) errors: IntCounterVec,
    /// Sign-ins by what became of them: `done`, `renewed`, `wrong` (name or password), `reused` (a refresh token).
    sign_ins: IntCounterVec,
    /// Times that the keys of an OpenID provider were fetched, by whether it worked.
    pub(crate) key_fetches: IntCounterVec,
    /// Times that somebody's profile was asked for, by what became of it: `told`, `unknown`, `failed`, `busy`.
    pub(crate) profiles: IntCounterVec,
    /// What is asked over HTTP.
    requests: Requests,
    /// Sessions made by WHIP and WHEP that are open.
    pub(crate) http_sessions: IntGauge,
    /// Rooms in memory.
    pub(crate) rooms: IntGauge,
    /// Viewing sessions that are open.
    pub(crate) viewers: IntGauge,
    /// Rooms whose publisher's media is coming.
    pub(crate) live_rooms: IntGauge,
    /// Statuses that rooms came to, by status.
    pub(crate) room_changes: IntCounterVec,
    /// Chat messages that were stored.
    pub(crate) chat_messages: IntCounter,
    /// What is said, and what is done to it.
    pub(crate) talk: Talk,
    /// What is sold, and what is bought.
    pub(crate) shop: Shop,
    /// What a shop writes to its topic.
    #[cfg(feature = "kafka")]
    pub(crate) kafka: Kafka,
    /// What others are told.
    pub(crate) webhooks: Webhooks,
    /// What is known of audiences.
    pub(crate) analytics: Analytics,
    /// Transactions of room events that failed.
    pub(crate) commit_failures: IntCounter,
    /// How long a transaction of room events took.
    pub(crate) commit_seconds: Histogram,
    /// How old the pictures are that viewers are shown, as their browsers say.
    pub(crate) picture_age: Histogram,
    /// How long viewers wait for their first frame, as their browsers say.
    pub(crate) first_frame: Histogram,
    /// Reactions that were sent.
    pub(crate) reactions: IntCounter,
    /// Commands that the forwarding unit had no room for.
    pub(crate) media_busy: IntCounter,
    /// What becomes of TLS.
    pub(crate) tls: Tls,
    /// Who comes to a port that several share.
    pub(crate) shared_port: SharedPort,
    /// Sessions that are connecting.
    pub(crate) handshakes: IntGauge,
    /// Sessions refused because too many were connecting.
    pub(crate) handshakes_refused: IntCounter,
}

/// What becomes of TLS; the field docs are the help texts.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// Handshakes of TLS by what became of them: `done`, `challenge` (an authority looked), or why they failed.
    pub(crate) handshakes: IntCounterVec,
    /// Handshakes of TLS that are under way.
    pub(crate) under_way: IntGauge,
    /// Until when the certificate holds that clients are shown, in seconds since 1970; 0: there is none.
    pub(crate) expires: IntGauge,
    /// Certificates asked of an authority, by whether they came: `done`, `failed`.
    pub(crate) orders: IntCounterVec,
}

/// Who comes to a port that several share; the field docs are the help texts.
#[derive(Clone, Debug)]
pub(crate) struct SharedPort {
    /// Connections to the shared port, by what is spoken on them: `http`, `https`, `ice_tcp`, `turn`, `turns`.
    connections: IntCounterVec,
    /// Connections to the shared port that nobody served, by reason.
    refused: IntCounterVec,
}

impl SharedPort {
    /// Counts one of which it is told what is spoken.
    pub(crate) fn count(&self, protocol: &str) {
        self.connections.with_label_values(&[protocol]).inc();
    }

    /// Counts one that nobody serves.
    pub(crate) fn refuse(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}

/// What is asked over HTTP; the field docs are the help texts.
#[derive(Clone, Debug)]
struct Requests {
    /// Requests over HTTP that were answered, by route, method and status.
    answered: IntCounterVec,
    /// How long it took until the answer began, by route and method.
    seconds: HistogramVec,
}

/// What is said, and what is done to it; the field docs are the help texts.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    /// Frames of room events that went to everybody in a room.
    pub(crate) frames: IntCounter,
    /// What those did who keep order, by what it was.
    pub(crate) deeds: IntCounterVec,
    /// Messages that a moderator looks at first.
    pub(crate) held: IntCounter,
    /// Messages that somebody told the moderators of.
    pub(crate) reports: IntCounter,
    /// Times that somebody said whether they like a room.
    pub(crate) likes: IntCounter,
    /// What was done to polls and questions, by what it was.
    pub(crate) floor: IntCounterVec,
}

/// What is sold, and what is bought; the field docs are the help texts.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    /// Changes of what rooms sell, by what changed.
    pub(crate) changes: IntCounterVec,
    /// Orders that shops told of, by what became of them: `new`, `again` (it was known), `refused`, `unsigned`.
    pub(crate) orders: IntCounterVec,
}

/// What a shop writes to its topic; the field docs are the help texts.
#[cfg(feature = "kafka")]
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    /// Messages from Kafka by what became of them: `new` and `again` (its order was known), `skipped` (it is no order),
    /// `failed` (at which the server is at fault), `retried`, each time that database or room had no time, and `put_off`, each
    /// time that too many of its room waited.
    pub(crate) messages: IntCounterVec,
    /// Messages that wait in the partitions that this server reads.
    pub(crate) lag: IntGauge,
    /// Whether a broker of Kafka answers.
    pub(crate) connected: IntGauge,
    /// Times that Kafka could not be read.
    pub(crate) failures: IntCounter,
}

/// What others are told; the field docs are the help texts.
#[derive(Clone, Debug)]
pub(crate) struct Webhooks {
    /// Attempts to tell a receiver of an event, by what became of the event: `delivered`, `retried` (it is tried again),
    /// `failed` (it was given up); and what was given up without one: `expired` (it waited too long for its turn),
    /// `dropped` (too many waited).
    pub(crate) deliveries: IntCounterVec,
    /// Events that wait to be told, by receiver.
    pub(crate) backlog: IntGauge,
    /// Since when the first of them does.
    pub(crate) oldest_seconds: IntGauge,
    /// How long attempts took.
    pub(crate) seconds: Histogram,
}

/// What is known of audiences; the field docs are the help texts.
#[derive(Clone, Debug)]
pub(crate) struct Analytics {
    /// Viewers whose media arrives, as their receiver reports say.
    pub(crate) watching: IntGauge,
    /// Rows that were written of audiences.
    pub(crate) rows: IntCounter,
    /// Transactions of them that failed.
    pub(crate) failures: IntCounter,
    /// Times that a room had to wait because too much was to be written.
    pub(crate) postponed: IntCounter,
    /// Viewers beyond those that are told apart in one event.
    pub(crate) uncounted: IntCounter,
    /// Events whose viewers have no names any more.
    pub(crate) anonymised: IntCounter,
    /// Reports of clients, by whether they were heard: `heard`, or `ignored` from sessions that get no media.
    pub(crate) reports: IntCounterVec,
    /// Times that clients said why they cannot watch, by reason.
    pub(crate) troubles: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(&registry);
        Ok(Self {
            sockets: make.gauge("klieg_sockets", "Sockets that are open")?,
            participants: make.gauge("klieg_participants", "Sockets that are in a room")?,
            draining: make.draining()?,
            sockets_opened: make.counter("klieg_sockets_total", "Sockets that were opened")?,
            sockets_closed: make.counters(
                "klieg_sockets_closed_total",
                "Sockets that the server closed, by close code",
            )?,
            messages: make.counter(
                "klieg_messages_total",
                "Messages from clients, refused ones included",
            )?,
            errors: make.counters(
                "klieg_errors_total",
                "Errors that clients were answered on the WebSocket, by WHIP and by WHEP, by code",
            )?,
            sign_ins: make.sign_ins()?,
            key_fetches: make.key_fetches()?,
            profiles: make.profiles()?,
            requests: make.requests()?,
            http_sessions: make.gauge(
                "klieg_http_sessions",
                "Sessions made by WHIP and WHEP that are open",
            )?,
            rooms: make.gauge("klieg_rooms", "Rooms in memory")?,
            viewers: make.gauge("klieg_viewers", "Viewing sessions that are open")?,
            live_rooms: make.gauge(
                "klieg_live_rooms",
                "Rooms whose publisher's media is coming",
            )?,
            room_changes: make.room_changes()?,
            chat_messages: make.counter(
                "klieg_chat_messages_total",
                "Chat messages that were stored",
            )?,
            talk: make.talk()?,
            shop: make.shop()?,
            #[cfg(feature = "kafka")]
            kafka: make.kafka()?,
            webhooks: make.webhooks()?,
            analytics: make.analytics()?,
            commit_failures: make.commit_failures()?,
            commit_seconds: make.histogram(
                "klieg_commit_seconds",
                "How long a transaction of room events took",
            )?,
            picture_age: make.picture_age()?,
            first_frame: make.first_frame()?,
            reactions: make.counter("klieg_reactions_total", "Reactions that were sent")?,
            media_busy: make.media_busy()?,
            tls: make.tls()?,
            shared_port: make.shared_port()?,
            handshakes: make.gauge("klieg_handshakes", "Sessions that are connecting")?,
            handshakes_refused: make.handshakes_refused()?,
            process: Arc::new(Process::new(&registry)?),
            registry,
        })
    }

    /// Counts an error that a client was answered.
    pub(crate) fn refused(&self, code: Code) {
        let code = serde_json::to_value(code).unwrap_or_default();
        self.errors
            .with_label_values(&[code.as_str().unwrap_or_default()])
            .inc();
    }

    /// Counts a request that was answered. The route is a template, never an address: there are so many of them.
    pub(crate) fn answered(&self, (route, method): (&str, &str), status: u16, took: Duration) {
        let status = status.to_string();
        let requests = &self.requests;
        let answered = requests
            .answered
            .with_label_values(&[route, method, &status]);
        answered.inc();
        let seconds = requests.seconds.with_label_values(&[route, method]);
        seconds.observe(took.as_secs_f64());
    }

    /// Counts what became of a sign-in.
    pub(crate) fn signed_in(&self, outcome: &'static str) {
        self.sign_ins.with_label_values(&[outcome]).inc();
    }

    /// Writes everything in the registry as Prometheus reads it.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        self.process.read();
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn media_busy(&self) -> Result<IntCounter, prometheus::Error> {
        self.counter(
            "klieg_media_busy_total",
            "Commands that the forwarding unit had no room for",
        )
    }

    fn draining(&self) -> Result<IntGauge, prometheus::Error> {
        let help = "Whether the server takes no more, because it was told so or is about to stop";
        self.gauge("klieg_draining", help)
    }

    fn sign_ins(&self) -> Result<IntCounterVec, prometheus::Error> {
        let help = "Sign-ins by what became of them";
        self.counters_by("klieg_sign_ins_total", help, "outcome")
    }

    fn key_fetches(&self) -> Result<IntCounterVec, prometheus::Error> {
        let help = "Times that the keys of an OpenID provider were fetched, by whether it worked";
        self.counters_by("klieg_oidc_key_fetches_total", help, "outcome")
    }

    fn profiles(&self) -> Result<IntCounterVec, prometheus::Error> {
        let help = "Times that somebody's profile was asked for, by what became of it";
        self.counters_by("klieg_profiles_total", help, "outcome")
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let metric = IntGauge::new(name, help)?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let metric = IntCounter::new(name, help)?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn talk(&self) -> Result<Talk, prometheus::Error> {
        let make = self;
        Ok(Talk {
            frames: make.counter(
                "klieg_event_frames_total",
                "Frames of room events that went to everybody in a room",
            )?,
            deeds: make.counters_by(
                "klieg_moderation_total",
                "What those did who keep order, by what it was",
                "deed",
            )?,
            held: make.counter(
                "klieg_held_messages_total",
                "Messages that a moderator looks at first",
            )?,
            reports: make.counter(
                "klieg_reports_total",
                "Messages that somebody told the moderators of",
            )?,
            likes: make.counter(
                "klieg_likes_total",
                "Times that somebody said whether they like a room",
            )?,
            floor: make.counters_by(
                "klieg_floor_total",
                "What was done to polls and questions, by what it was",
                "deed",
            )?,
        })
    }

    #[cfg(feature = "kafka")]
    fn kafka(&self) -> Result<Kafka, prometheus::Error> {
        let lag = "Messages from Kafka that wait in the partitions that this server reads";
        Ok(Kafka {
            messages: self.counters_by(
                "klieg_kafka_messages_total",
                "Messages from Kafka by what became of them",
                "outcome",
            )?,
            lag: self.gauge("klieg_kafka_lag_messages", lag)?,
            connected: self.gauge("klieg_kafka_connected", "Whether a broker of Kafka answers")?,
            failures: self.counter(
                "klieg_kafka_failures_total",
                "Times that Kafka could not be read",
            )?,
        })
    }

    fn requests(&self) -> Result<Requests, prometheus::Error> {
        let help = "Requests over HTTP that were answered, by route, method and status";
        let answered = Opts::new("klieg_http_requests_total", help);
        let answered = IntCounterVec::new(answered, &["route", "method", "status"])?;
        self.0.register(Box::new(answered.clone()))?;
        let help = "How long it took until the answer to a request over HTTP began";
        let seconds = HistogramOpts::new("klieg_http_request_seconds", help);
        let bounds = vec![0.001, 0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0];
        let seconds = HistogramVec::new(seconds.buckets(bounds), &["route", "method"])?;
        self.0.register(Box::new(seconds.clone()))?;
        Ok(Requests { answered, seconds })
    }

    fn room_changes(&self) -> Result<IntCounterVec, prometheus::Error> {
        let help = "Statuses that rooms came to, by status";
        self.counters_by("klieg_room_changes_total", help, "status")
    }

    fn tls(&self) -> Result<Tls, prometheus::Error> {
        Ok(Tls {
            handshakes: self.counters_by(
                "klieg_tls_handshakes_total",
                "Handshakes of TLS by what became of them",
                "outcome",
            )?,
            under_way: self.gauge(
                "klieg_tls_handshakes",
                "Handshakes of TLS that are under way",
            )?,
            expires: self.gauge(
                "klieg_tls_certificate_expires_seconds",
                "Until when the certificate holds that clients are shown, in seconds since 1970",
            )?,
            orders: self.counters_by(
                "klieg_acme_orders_total",
                "Certificates asked of an authority, by whether they came",
                "outcome",
            )?,
        })
    }

    fn shared_port(&self) -> Result<SharedPort, prometheus::Error> {
        Ok(SharedPort {
            connections: self.counters_by(
                "klieg_shared_port_connections_total",
                "Connections to the shared port, by what is spoken on them",
                "protocol",
            )?,
            refused: self.counters_by(
                "klieg_shared_port_refused_total",
                "Connections to the shared port that nobody served, by reason",
                "reason",
            )?,
        })
    }

    fn shop(&self) -> Result<Shop, prometheus::Error> {
        Ok(Shop {
            changes: self.counters_by(
                "klieg_product_changes_total",
                "Changes of what rooms sell, by what changed",
                "change",
            )?,
            orders: self.counters_by(
                "klieg_orders_total",
                "Orders that shops told of, by what became of them",
                "outcome",
            )?,
        })
    }

    fn webhooks(&self) -> Result<Webhooks, prometheus::Error> {
        Ok(Webhooks {
            deliveries: self.counters_by(
                "klieg_webhook_deliveries_total",
                "Attempts to tell a receiver of an event, by what became of it",
                "outcome",
            )?,
            backlog: self.gauge("klieg_webhook_backlog", "Events that wait to be told")?,
            oldest_seconds: self.gauge(
                "klieg_webhook_oldest_seconds",
                "Since when the first of the events waits that are to be told",
            )?,
            seconds: self.histogram(
                "klieg_webhook_seconds",
                "How long an attempt to tell a receiver of an event took",
            )?,
        })
    }

    fn analytics(&self) -> Result<Analytics, prometheus::Error> {
        Ok(Analytics {
            watching: self.gauge(
                "klieg_analytics_watching",
                "Viewers whose media arrives, as their receiver reports say",
            )?,
            rows: self.counter(
                "klieg_analytics_rows_total",
                "Rows that were written of audiences",
            )?,
            failures: self.counter(
                "klieg_analytics_failures_total",
                "Transactions with figures of audiences that failed",
            )?,
            postponed: self.counter(
                "klieg_analytics_postponed_total",
                "Times that a room had to wait because too much was to be written of audiences",
            )?,
            uncounted: self.counter(
                "klieg_analytics_uncounted_total",
                "Viewers beyond those that are told apart in one event",
            )?,
            anonymised: self.counter(
                "klieg_analytics_anonymised_total",
                "Events whose viewers have no names any more",
            )?,
            reports: self.counters_by(
                "klieg_analytics_reports_total",
                "Reports of what clients decoded, by whether they were heard",
                "outcome",
            )?,
            troubles: self.counters_by(
                "klieg_viewer_trouble_total",
                "Times that clients said why they cannot watch, by reason",
                "reason",
            )?,
        })
    }

    fn counters(&self, name: &str, help: &str) -> Result<IntCounterVec, prometheus::Error> {
        self.counters_by(name, help, "code")
    }

    fn counters_by(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntCounterVec, prometheus::Error> {
        let metric = IntCounterVec::new(Opts::new(name, help), &[label])?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn handshakes_refused(&self) -> Result<IntCounter, prometheus::Error> {
        let help = "Sessions refused because too many were connecting";
        self.counter("klieg_handshakes_refused_total", help)
    }

    fn commit_failures(&self) -> Result<IntCounter, prometheus::Error> {
        let help = "Transactions of room events that failed";
        self.counter("klieg_commit_failures_total", help)
    }

    fn picture_age(&self) -> Result<Histogram, prometheus::Error> {
        let opts = HistogramOpts::new(
            "klieg_picture_age_seconds",
            "How old the pictures are that viewers are shown, as their browsers say",
        );
        let bounds = vec![
            0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 10.0,
        ];
        let metric = Histogram::with_opts(opts.buckets(bounds))?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn first_frame(&self) -> Result<Histogram, prometheus::Error> {
        let opts = HistogramOpts::new(
            "klieg_first_frame_seconds",
            "From a viewer's asking to its first frame, as its browser says",
        );
        let bounds = vec![
            0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0,
        ];
        let metric = Histogram::with_opts(opts.buckets(bounds))?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
        let metric = Histogram::with_opts(HistogramOpts::new(name, help))?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}
