//! Starts the server's parts in order and stops them in order.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use klieg_sfu::{Handle, Sfu, TcpListen};
use klieg_turn::IceServers;
use klieg_turn::relay::{self, Embedded};
use prometheus::{IntGauge, Registry};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::analytics::{Desk, Recent, ViewerKey, take_old_names};
use crate::app::{self, App, DEMO_KEY, DEMO_ROOM, Node};
use crate::auth::{Addresses, Authority, Ended, Lifetimes, Providers, Secret, SignIns};
use crate::catalogue::Catalogue;
use crate::config::{Config, ConfigError, MediaGso};
use crate::data::{DataError, DataFolder};
use crate::discovery::{self, Outside};
use crate::drain::{Course, Phase};
use crate::entrance::{Entrance, Served};
use crate::fetch::Fetcher;
use crate::id::RoomId;
#[cfg(feature = "kafka")]
use crate::kafka;
use crate::limit::Doors;
use crate::machine;
use crate::media::Media;
use crate::metrics::Metrics;
use crate::profile::Profiles;
use crate::room::{Context, Rooms, Turns, end_revoked, keep_up, watch_expelled};
use crate::shared_port::Lodgers;
use crate::store::{self, RoomRecord, RoomStatus, StoreError, Stores, User};
use crate::thumbnail::LivePictures;
use crate::time::Timestamp;
use crate::webhook::{Dispatcher, keep_log};
use crate::wish::{Resources, end_signed_out};

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    media: Vec<SocketAddr>,
    app: Arc<App>,
    sfu: Handle,
    serving: Served,
    /// Who tells others of what happens in rooms.
    telling: JoinHandle<()>,
    /// The way to what writes the figures of audiences.
    figures: Desk,
    /// The server's own TURN relay; `None` where there is none.
    relay: Option<Embedded>,
    /// Held until the server is gone.
    _folder: DataFolder,
}

/// Why a server does not start; one line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder of the data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The database cannot be used.
    #[error("{0}{hint}", hint = .0.hint())]
    Store(#[from] StoreError),
    /// The port for HTTP cannot be bound.
    #[error("HTTP port {address} (TCP): {source}; choose another with --http")]
    Http {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The port cannot be bound from which others are sent to HTTPS.
    #[error("http_redirect port {address} (TCP): {source}")]
    Redirect {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The port for media cannot be bound.
    #[error("media port {address} (UDP): {source}; choose another with --media")]
    MediaPort {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The forwarding unit does not start.
    #[error(transparent)]
    Media(klieg_sfu::StartError),
    /// The relay does not start.
    #[error(transparent)]
    Relay(#[from] relay::StartError),
    /// There is no certificate to show, or nothing can be asked of other servers.
    #[error("TLS: {0}")]
    Tls(String),
    /// A metric is registered twice.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl From<klieg_sfu::StartError> for StartError {
    fn from(error: klieg_sfu::StartError) -> Self {
        if let klieg_sfu::StartError::Bind { listen, source } = error {
            let address = listen;
            Self::MediaPort { address, source }
        } else {
            Self::Media(error)
        }
    }
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    /// The first part that does not start; those before it are stopped.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.validate()?;
        let folder = DataFolder::open(&config.data)?;
        let seed = folder.signing_secret()?;
        let stores = open_stores(&config).await?;

        let registry = Registry::new();
        let metrics = Arc::new(Metrics::new(registry.clone())?);
        let entrance = Entrance::open(&config, &metrics)?;
        let (outside, settled) = look_outside(&config).await;
        let (sfu, media) = start_media(&settled, &entrance, &registry, &metrics)?;
        let (ice, relay) = start_relay(&settled, &sfu, &entrance, &registry)?;
        let rooms = context(&config, &stores, (&media, &ice), &metrics, &seed);
        let figures = rooms.figures.clone();
        let rooms = Arc::new(Rooms::new(rooms));
        rooms.recover().await?;

        let course = Course::new(metrics.draining.clone());
        let fetcher = fetcher()?;
        let authority = Arc::new(authority(seed.clone(), &config, &fetcher, &metrics));
        watch_ended(&authority, &stores, &course);
        let app = Arc::new(App {
            regions: config.regions()?,
            seed,
            sign_ins: sign_ins(&config, &stores, &authority, &metrics),
            authority,
            doors: Doors::new(&config.limits),
            live: RwLock::new(Arc::new(config.clone())),
            catalogue: Catalogue::new(config.catalogue_url.clone(), fetcher.clone()),
            profiles: profiles(&config, &fetcher, &metrics),
            fetcher,
            resources: Arc::new(resources(&config, &metrics)),
            config,
            figures: Recent::new(stores.analytics.clone()),
            stores,
            rooms,
            media,
            pictures: LivePictures::default(),
            ice,
            metrics,
            course,
            editors: Turns::default(),
            node: Node::new(),
            next_socket: AtomicU64::new(1),
        });
        let telling = tell_others(&app)?;
        let serving = serve(&app, entrance, lodgers(&app.config, &sfu, relay.as_ref()));
        let candidates = sfu.candidates().to_vec();
        look_at_machine(&app.config);
        keep_address(&app, outside, relay.as_ref());
        info!(http = %serving.http, media = ?candidates, dev = app.config.dev, "server started");
        Ok(Self {
            media: candidates,
            app,
            sfu,
            serving,
            telling,
            figures,
            relay,
            _folder: folder,
        })
    }

    /// Takes the settings that can change while it runs, and returns the names of those that cannot and differ. The
    /// certificate is read again.
    pub fn reload(&self, config: &Config) -> Vec<&'static str> {
        self.app.reload(config)
    }

    /// Reads the certificate again, where it stands in files.
    pub fn read_certificate_again(&self) {
        self.serving.read_again();
    }

    /// Returns where HTTP is served.
    pub fn http(&self) -> SocketAddr {
        self.serving.http
    }

    /// Returns how it is spoken there, as URLs begin.
    pub fn scheme(&self) -> &'static str {
        self.app.config.scheme()
    }

    /// Returns where those come who are sent to HTTPS.
    pub fn redirect(&self) -> Option<SocketAddr> {
        self.serving.redirect
    }

    /// Returns where the relay listens.
    pub fn relay(&self) -> Option<SocketAddr> {
        self.relay.as_ref().map(Embedded::at)
    }

    /// Returns the addresses that clients are told for media.
    pub fn media(&self) -> &[SocketAddr] {
        &self.media
    }

    /// Stops: says so to clients, gives them a moment to go, closes their sockets, then everything else.
    pub async fn stop(mut self) {
        info!("server stopping");
        let (sockets, sessions) = (&self.app.metrics.sockets, &self.app.metrics.http_sessions);
        self.app.course.advance(Phase::Stopping);
        let drain = Duration::from_millis(self.app.config.drain_ms);
        none_left(&[sockets, sessions], drain).await;
        self.app.course.advance(Phase::Closing);
        // What was made over HTTP has nothing to close but its peer, which the forwarding unit shows out.
        none_left(&[sockets], CLOSE).await;
        self.serving.ended().await;
        self.app.rooms.close(CLOSE).await;
        self.figures.finish(CLOSE).await;
        // Whom a receiver keeps waiting: the event is told again after the next start.
        let told = tokio::time::timeout(CLOSE, &mut self.telling).await;
        if told.is_err() {
            self.telling.abort();
        }
        if tokio::time::timeout(STOP_MEDIA, self.sfu.stop())
            .await
            .is_err()
        {
            warn!("the forwarding unit did not stop in time");
        }
        if let Err(error) = self.app.stores.upkeep.close().await {
            warn!(%error, "the database was not closed");
        }
        info!("server stopped");
    }
}

impl Drop for Server {
    /// Has what is left close by itself where nobody stopped it.
    fn drop(&mut self) {
        self.app.course.advance(Phase::Closing);
    }
}

fn fetcher() -> Result<Fetcher, StartError> {
    Fetcher::new().map_err(|error| StartError::Tls(error.to_string()))
}

/// Has the authority know of sessions that end.
fn watch_ended(authority: &Authority, stores: &Stores, course: &Course) {
    let identities = Arc::clone(&stores.identities);
    tokio::spawn(authority.watch_ended(identities, course.watch()));
}

/// Starts what clients reach, and what cleans up behind them.
fn serve(app: &Arc<App>, entrance: Entrance, lodgers: Lodgers) -> Served {
    let phase = app.course.watch();
    let (rooms, upkeep) = (Arc::clone(&app.rooms), app.config.upkeep());
    tokio::spawn(end_revoked(Arc::clone(&rooms), phase.clone()));
    tokio::spawn(watch_expelled(Arc::clone(&rooms), phase.clone()));
    tokio::spawn(end_signed_out(Arc::clone(app), phase.clone()));
    tokio::spawn(keep_up(rooms, upkeep, phase.clone()));
    #[cfg(feature = "kafka")]
    if !app.config.kafka_brokers.is_empty() {
        tokio::spawn(kafka::take_orders(Arc::clone(app), phase.clone()));
    }
    tokio::spawn(take_old_names(
        app.stores.analytics.clone(),
        Duration::from_secs(app.config.analytics.viewers_kept_s),
        Arc::clone(&app.metrics),
        phase,
    ));
    entrance.serve(app, lodgers)
}

/// Starts what tells others of what happens in rooms.
fn tell_others(app: &App) -> Result<JoinHandle<()>, StartError> {
    let (settings, stores, phase) = (&app.config.webhooks, &app.stores, app.course.watch());
    let dispatcher = Dispatcher::new(settings, stores, &app.metrics, phase.clone());
    let dispatcher = dispatcher.map_err(|error| StartError::Tls(error.to_string()))?;
    tokio::spawn(keep_log(
        stores.clone(),
        settings.clone(),
        Arc::clone(&app.metrics),
        phase,
    ));
    Ok(tokio::spawn(Arc::new(dispatcher).run()))
}

/// Waits until nothing is left of what is counted, but not for ever.
async fn none_left(counts: &[&IntGauge], at_most: Duration) {
    let gone = async {
        while counts.iter().any(|count| count.get() > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(at_most, gone).await;
}

async fn open_stores(config: &Config) -> Result<Stores, StartError> {
    let stores = store::open(&config.database()?).await?;
    if config.dev {
        create_demo(&stores).await?;
    }
    Ok(stores)
}

/// Returns what every room uses, and starts what writes the figures of audiences.
fn context(
    config: &Config,
    stores: &Stores,
    (media, ice): (&Arc<Media>, &Arc<IceServers>),
    metrics: &Arc<Metrics>,
    own: &Secret,
) -> Context {
    Context {
        figures: write_figures(stores, metrics),
        viewer_key: ViewerKey::new(own),
        stores: stores.clone(),
        media: Arc::clone(media),
        ice: Arc::clone(ice),
        metrics: Arc::clone(metrics),
        addresses: Arc::new(Addresses::new(own, config.ban_addresses)),
        expelled: Arc::default(),
        grace: config.publisher_grace(),
        idle: Duration::from_millis(config.room_idle_ms),
    }
}

/// Starts what writes the figures of audiences.
fn write_figures(stores: &Stores, metrics: &Arc<Metrics>) -> Desk {
    let (desk, writer) = Desk::new(stores.analytics.clone(), Arc::clone(metrics));
    writer.start();
    desk
}

fn profiles(config: &Config, fetcher: &Fetcher, metrics: &Metrics) -> Profiles {
    let asked = metrics.profiles.clone();
    Profiles::new(config.profile_url.clone(), fetcher.clone(), asked)
}

fn authority(own: Secret, config: &Config, fetcher: &Fetcher, metrics: &Metrics) -> Authority {
    let others = app::others(config, &Providers::default(), fetcher, metrics);
    // The longest that a token holds which names a sign-in.
    let ttl_s = config.access_token_ttl_s.max(config.join_token_ttl_s);
    let ended = Ended::new(Duration::from_secs(ttl_s));
    Authority::new(own, others, Arc::new(ended))
}

fn sign_ins(
    config: &Config,
    stores: &Stores,
    authority: &Arc<Authority>,
    metrics: &Arc<Metrics>,
) -> SignIns {
    let lifetimes = Lifetimes {
        access: Duration::from_secs(config.access_token_ttl_s),
        refresh: Duration::from_secs(config.refresh_token_ttl_s),
    };
    let (authority, metrics) = (Arc::clone(authority), Arc::clone(metrics));
    SignIns::new(stores.clone(), authority, metrics, lifetimes)
}

fn resources(config: &Config, metrics: &Metrics) -> Resources {
    Resources::new(config.max_http_sessions, metrics.http_sessions.clone())
}

/// Starts the forwarding unit and what hands its events on.
fn start_media(
    config: &Config,
    entrance: &Entrance,
    registry: &Registry,
    metrics: &Metrics,
) -> Result<(Handle, Arc<Media>), StartError> {
    let mut settings = media_settings(config);
    if config.shared().media {
        settings.tcp = TcpListen::HandedOver(entrance.http());
    }
    let (sfu, events) = Sfu::start(settings, registry)?;
    let media = Arc::new(Media::new(sfu.clone(), config.max_handshakes, metrics));
    tokio::spawn(Arc::clone(&media).route(events));
    Ok((sfu, media))
}

/// Starts the relay where there is to be one, and returns what clients are told of it and of other servers.
fn start_relay(
    config: &Config,
    sfu: &Handle,
    entrance: &Entrance,
    registry: &Registry,
) -> Result<(Arc<IceServers>, Option<Embedded>), StartError> {
    let mut ice = config.ice_servers()?;
    let (media, tls) = (sfu.candidates(), entrance.handshakes());
    let relay = crate::relay::start(config, media, tls, &mut ice, registry)?;
    Ok((Arc::new(ice), relay))
}

/// Asks how others see this machine, where that is allowed, and returns the settings that this makes.
async fn look_outside(config: &Config) -> (Outside, Config) {
    let outside = Outside::look(config).await;
    outside.log();
    let settled = outside.settle(config);
    (outside, settled)
}

/// Has clients told the machine's address as it changes.
fn keep_address(app: &Arc<App>, outside: Outside, relay: Option<&Embedded>) {
    let (phase, ways) = (app.course.watch(), relay.map(Embedded::ways));
    tokio::spawn(discovery::keep(Arc::clone(app), outside, ways, phase));
}

/// Returns who shares the port of HTTP.
fn lodgers(config: &Config, sfu: &Handle, relay: Option<&Embedded>) -> Lodgers {
    let shared = config.shared();
    if let Some(protocols) = config.shared_protocols() {
        info!(at = %config.http, protocols, "one TCP port answers several protocols");
    }
    Lodgers {
        media: shared.media.then(|| sfu.clone()),
        relay: relay.filter(|_| shared.relay.is_some()).map(Embedded::door),
    }
}

/// Says what this machine grants less of than the settings ask for; who develops asks for little.
fn look_at_machine(config: &Config) {
    let looked = machine::look(config).into_iter();
    for found in looked.filter_map(Result::err).filter(|_| !config.dev) {
        warn!(
            found,
            "this machine is not set up for what the settings allow"
        );
    }
}

async fn create_demo(stores: &Stores) -> Result<(), StoreError> {
    let Some(id) = RoomId::parse(DEMO_ROOM) else {
        return Ok(());
    };
    let owner = User {
        id: "klieg".to_owned(),
        name: "Klieg".to_owned(),
    };
    let record = RoomRecord {
        status: RoomStatus::Ready,
        reusable: true,
        ..RoomRecord::new(id, "Demo".to_owned(), owner, Timestamp::now())
    };
    stores
        .rooms
        .create(&record, &Secret::new(DEMO_KEY).hash(), None)
        .await?;
    Ok(())
}

/// Returns how the forwarding unit is set.
pub(crate) fn media_settings(config: &Config) -> klieg_sfu::Config {
    klieg_sfu::Config {
        listen: config.media,
        tcp: config.media_tcp.into(),
        shards: config.media_shards,
        addresses: config.media_addresses.clone(),
        announce_loopback: config.dev,
        pin_threads: config.media_pin_threads,
        hold: config
            .media_hold_ms
            .map(|ms| Duration::from_millis(ms.into())),
        offload: match config.media_gso {
            MediaGso::Auto => klieg_sfu::Offload::Auto,
            MediaGso::Off => klieg_sfu::Offload::Off,
        },
    }
}

/// How long sockets, and then rooms, may take to close.
const CLOSE: Duration = Duration::from_secs(3);

/// How long the forwarding unit may take to stop.
const STOP_MEDIA: Duration = Duration::from_secs(3);
