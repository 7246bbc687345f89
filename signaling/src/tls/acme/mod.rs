//! Certificates from an authority that hands them out by itself (RFC 8555), to whoever shows it on port 443 that a name
//! is theirs (RFC 8737).

mod cache;

mod client;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tracing::{error, info, warn};

use self::cache::{Cache, Kept, Refusals};
use self::client::Client;
use super::Tls;
use super::certificate::{Certificate, CertificateError};
use crate::config::Config;
use crate::drain::Phase;
use crate::fetch::reason;
use crate::time::Timestamp;

/// Who asks an authority for certificates.
#[derive(Debug)]
pub(crate) struct Acme {
    domains: Vec<String>,
    contacts: Vec<String>,
    directory: String,
    client: Client,
    cache: Cache,
    /// The last certificate that was got, which may not have found its place on the disc.
    last: Mutex<Option<Certificate>>,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
enum AcmeError {
    /// The authority says no, or nothing.
    #[error("the authority: {}", reason(.0))]
    Authority(#[from] instant_acme::Error),
    /// It does not believe that a name is ours.
    #[error("{name}: {problem}")]
    Refused { name: String, problem: String },
    /// It wants to see that by something else than a handshake.
    #[error("{0}: the authority offers no TLS-ALPN-01")]
    NoChallenge(String),
    /// The order came to another end.
    #[error("the order is {0:?}")]
    Order(OrderStatus),
    /// All of it took too long.
    #[error("the order took longer than {} s", ORDER_TIMEOUT.as_secs())]
    Deadline,
    /// What was given cannot be shown.
    #[error("what the authority gave: {0}")]
    Certificate(#[from] CertificateError),
    /// A challenge cannot be answered.
    #[error("the answer to the challenge: {0}")]
    Challenge(String),
    /// What was given cannot be kept.
    #[error("{0}")]
    Cache(#[from] std::io::Error),
}

impl Acme {
    /// Takes the settings.
    ///
    /// # Errors
    /// The authority's own certificates cannot be read, in words.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        Ok(Self {
            domains: config.acme_domains.clone(),
            contacts: config.acme_contacts.clone(),
            directory: config.acme_directory.clone(),
            client: Client::new(config.acme_ca_file.as_deref())?,
            cache: Cache::new(&config.data),
            last: Mutex::new(None),
        })
    }

    /// Returns the certificate that was got before, also for other names: it is better than none until there is another.
    pub(crate) fn held(&self) -> Option<Certificate> {
        let kept = self.cache.certificate()?;
        Certificate::read(kept.chain.as_bytes(), kept.key.as_bytes()).ok()
    }

    /// Returns the certificate that was got before for these names, in whatever order, and from this authority.
    fn fitting(&self) -> Option<Certificate> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last {
            return Some(last.clone());
        }
        let kept = self.cache.certificate()?;
        let names = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        let fits = kept.directory == self.directory && names(&kept.domains) == names(&self.domains);
        let read = || Certificate::read(kept.chain.as_bytes(), kept.key.as_bytes()).ok();
        fits.then(read).flatten()
    }

    /// Asks whether the authority is there.
    ///
    /// # Errors
    /// It is not, in words.
    pub(crate) async fn look(&self) -> Result<(), String> {
        self.client.directory(&self.directory).await
    }

    /// Gets certificates, each before the last one expires.
    pub(crate) async fn keep_up(self: Arc<Self>, tls: Arc<Tls>, mut phase: watch::Receiver<Phase>) {
        let mut failures = 0;
        let mut wait = rest(&self.refusals(), Timestamp::now());
        if !wait.is_zero() {
            let again_s = wait.as_secs();
            warn!(domains = ?self.domains, again_s, "the authority refused too often to be asked now");
        }
        loop {
            tokio::select! {
                // Clocks are set, and machines sleep.
                () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => return,
            }
            tls.warn_of_end();
            wait = match self.renew(&tls).await {
                Ok(wait) => {
                    failures = 0;
                    wait
                }
                Err(error) => {
                    let wait = pause(failures);
                    failures = failures.saturating_add(1);
                    tls.metrics.orders.with_label_values(&["failed"]).inc();
                    self.note(&error);
                    error!(%error, again_s = wait.as_secs(), "no new certificate");
                    wait
                }
            };
        }
    }

    /// Returns when the authority refused these names, the last time last.
    fn refusals(&self) -> Vec<Timestamp> {
        let kept = self.cache.refusals();
        let kept = kept.filter(|it| it.directory == self.directory && it.domains == self.domains);
        let at = kept.map(|it| it.at).unwrap_or_default();
        at.into_iter().map(Timestamp::from_millis).collect()
    }

    /// Keeps when the authority refused, so that a server that is started over and over asks no more often than one that
    /// stays.
    fn note(&self, error: &AcmeError) {
        if !matches!(error, AcmeError::Refused { .. } | AcmeError::Order(_)) {
            return;
        }
        let mut at = self.refusals();
        at.push(Timestamp::now());
        let old = at.len().saturating_sub(REFUSALS_AN_HOUR);
        let kept = self.cache.keep_refusals(&Refusals {
            directory: self.directory.clone(),
            domains: self.domains.clone(),
            at: at.iter().skip(old).map(|it| it.millis()).collect(),
        });
        if let Err(error) = kept {
            warn!(%error, "the refusal is not kept: a restart asks at once");
        }
    }

    /// Gets another certificate where it is time to, and returns how long it is until then.
    async fn renew(&self, tls: &Tls) -> Result<Duration, AcmeError> {
        let now = Timestamp::now();
        let due = self.fitting().map(|held| renewal(&held).since(now));
        if let Some(wait) = due.filter(|wait| !wait.is_zero()) {
            return Ok(wait);
        }
        let ordered = tokio::time::timeout(ORDER_TIMEOUT, self.order(tls)).await;
        tls.forget_challenges();
        let certificate = ordered.map_err(|_| AcmeError::Deadline)??;
        tls.metrics.orders.with_label_values(&["done"]).inc();
        let shown = tls.show(&certificate);
        shown.map_err(|error| CertificateError::BadKey(error.to_string()))?;
        // One that does not hold for longer than this is asked for anew at a pace that the authority can bear.
        Ok(renewal(&certificate).since(now).max(FIRST_PAUSE))
    }

    async fn order(&self, tls: &Tls) -> Result<Certificate, AcmeError> {
        // Before anything is asked for: authorities count what they give.
        self.cache.check()?;
        let account = self.account().await?;
        let names: Vec<_> = self.domains.iter().cloned().map(Identifier::Dns).collect();
        let order = account.new_order(&NewOrder::new(&names)).await;
        let mut order = order.inspect_err(|error| self.forget_unknown_account(error))?;
        answer_challenges(&mut order, tls).await?;
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            ended => {
                if let Some(refused) = refusal(&mut order).await {
                    return Err(refused);
                }
                return Err(AcmeError::Order(ended?));
            }
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        let certificate = Certificate::read(chain.as_bytes(), key.as_bytes())?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate.clone());
        self.cache.forget_refusals();
        let kept = self.cache.keep_certificate(&Kept {
            directory: self.directory.clone(),
            domains: self.domains.clone(),
            chain,
            key,
        });
        // It is shown all the same, and no other is asked for: an authority gives few of the same.
        if let Err(error) = kept {
            error!(%error, "the new certificate is not kept: a restart has to get another");
        }
        Ok(certificate)
    }

    /// Takes the account of before, or makes one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        if let Some(credentials) = self.cache.account(&self.directory) {
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = self.contacts.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let created = builder.create(&new, self.directory.clone(), None).await;
        let (account, credentials) = created?;
        self.cache.keep_account(&self.directory, &credentials)?;
        info!(directory = %self.directory, "account was made with the authority");
        Ok(account)
    }

    /// Has another account made next time where the authority does not know the one that we have.
    fn forget_unknown_account(&self, error: &instant_acme::Error) {
        if let instant_acme::Error::Api(problem) = error
            && problem.r#type.as_deref() == Some(NO_ACCOUNT)
        {
            self.cache.forget_account();
        }
    }
}

/// Shows for each name that it is ours, where the authority has not seen that before.
async fn answer_challenges(order: &mut Order, tls: &Tls) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let Some(mut challenge) = challenge else {
            return Err(AcmeError::NoChallenge(name));
        };
        let digest = challenge.key_authorization().digest();
        let answer = answer(&name, digest.as_ref()).map_err(AcmeError::Challenge)?;
        let taken = tls.answer(&name, answer);
        taken.map_err(|error| AcmeError::Challenge(error.to_string()))?;
        challenge.set_ready().await?;
    }
    Ok(())
}

/// Makes the certificate that only the holder of the account can make (RFC 8737, section 3).
fn answer(name: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    let made = || {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok((certificate.der().clone(), key.serialize_der()))
    };
    let (certificate, key) = made().map_err(|error: rcgen::Error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(key.into());
    let key = default_provider().key_provider.load_private_key(key);
    // Not compared with the certificate: the library does not read one that has the extension of RFC 8737, as nobody
    // may who does not know it.
    let key = key.map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![certificate], key))
}

/// Returns what the authority has against a name of the order.
async fn refusal(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let mut challenges = state.challenges.iter();
        if let Some(problem) = challenges.find_map(|it| it.error.as_ref()) {
            return Some(AcmeError::Refused {
                name: state.identifier().to_string(),
                problem: problem.to_string(),
            });
        }
    }
    None
}

/// Returns when a certificate is renewed: with a third of its time to go.
fn renewal(certificate: &Certificate) -> Timestamp {
    let lifetime = certificate.valid_until.since(certificate.valid_from);
    certificate.valid_until.minus(lifetime / 3)
}

/// Returns how long a server that starts asks for nothing: whoever mends a name and starts it anew is served at once, but
/// one that starts over and over is not to use up what the authority takes in an hour.
fn rest(refusals: &[Timestamp], now: Timestamp) -> Duration {
    let mut recent = refusals
        .iter()
        // A clock that has been set back since says nothing.
        .filter(|it| **it <= now)
        .map(|it| HOUR.saturating_sub(now.since(*it)))
        .filter(|left| !left.is_zero())
        .rev();
    recent.nth(REFUSALS_AN_HOUR - 1).unwrap_or_default()
}

/// Returns how long to wait after so many failures in a row and one more. The best-known authority takes five wrong
/// answers an hour for a name.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures));
    doubled.min(LONGEST_PAUSE)
}

const HOUR: Duration = Duration::from_secs(60 * 60);
/// One less than the best-known authority takes for a name.
const REFUSALS_AN_HOUR: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(5 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);
const LONGEST_SLEEP: Duration = Duration::from_secs(6 * 60 * 60);

/// How long an authority may take to look, and to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));

const ORDER_TIMEOUT: Duration = Duration::from_secs(5 * 60);

const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_not_asked_more_often_than_it_bears() {
        let waits: Vec<u64> = (0..9).map(|it| pause(it).as_secs() / 60).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 360, 360]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn a_server_that_starts_over_and_over_asks_four_times_an_hour() {
        let minutes = |number: i64| Timestamp::from_millis(number * 60_000);
        let rest = |refusals: &[i64], now| {
            let refusals: Vec<_> = refusals.iter().copied().map(minutes).collect();
            rest(&refusals, minutes(now)).as_secs() / 60
        };
        assert_eq!(rest(&[], 100), 0);
        assert_eq!(rest(&[97, 98, 99], 100), 0);
        assert_eq!(rest(&[96, 97, 98, 99], 100), 56);
        assert_eq!(rest(&[40, 97, 98, 99], 100), 0);
        assert_eq!(rest(&[41, 97, 98, 99], 100), 1);
        assert_eq!(rest(&[10, 20, 96, 97, 98, 99], 100), 56);
        assert_eq!(rest(&[196, 197, 198, 199], 100), 0);
    }

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_time_to_go() {
        let made = rcgen::generate_simple_self_signed(["live.example".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let mut certificate = Certificate::read(chain.as_bytes(), key.as_bytes()).unwrap();
        certificate.valid_from = Timestamp::from_millis(0);
        certificate.valid_until = Timestamp::from_millis(90_000);
        assert_eq!(renewal(&certificate), Timestamp::from_millis(60_000));
    }
}
