//! How people appear to others: the name and the picture that the operator's own service has of them, asked for where
//! `profile_url` says, and remembered for some minutes. Nobody waits long for it, or stays outside for want of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use prometheus::IntCounterVec;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::answers::{Answer, Answers};
use crate::auth::{Identity, NAME_LENGTH};
use crate::fetch::{FetchError, Fetcher, about};
use crate::shop::web_address;
use crate::text;

/// The way to the operator's service; `None` where there is none.
#[derive(Debug)]
pub(crate) struct Profiles(Option<Arc<Service>>);

#[derive(Debug)]
struct Service {
    /// An address with the place of the identity in it.
    url: String,
    fetcher: Fetcher,
    /// What it said, by identity; `None` where that was nothing.
    answers: Answers<Option<Profile>>,
    /// How many are asked for at once; those beyond appear as their token says, and are asked for a second later.
    places: Semaphore,
    /// It did not answer the last time.
    is_away: AtomicBool,
    /// Whether was said that an answer of it cannot be read.
    said_unreadable: AtomicBool,
    /// Times that it was asked, by what became of it: `told`, `unknown`, `failed`, `busy`.
    asked: IntCounterVec,
}

/// What the service says of somebody; other fields mean nothing here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    name: Option<String>,
    avatar_url: Option<String>,
}

impl Profiles {
    pub(crate) fn new(url: Option<String>, fetcher: Fetcher, asked: IntCounterVec) -> Self {
        Self(url.map(|url| {
            Arc::new(Service {
                url,
                fetcher,
                answers: Answers::new(MAX_KEPT),
                places: Semaphore::new(MAX_ASKING),
                is_away: AtomicBool::new(false),
                said_unreadable: AtomicBool::new(false),
                asked,
            })
        }))
    }

    /// Returns somebody as they appear to others. Of guests, who are somebody else each time, nothing is asked; who is not
    /// known there, or not in time, appears as their token says.
    pub(crate) async fn complete(&self, identity: Identity) -> Identity {
        let Some(service) = &self.0 else {
            return identity;
        };
        if identity.is_guest() {
            return identity;
        }
        let profile = service.find(&identity.id).await.unwrap_or_default();
        Identity {
            name: profile.name.unwrap_or(identity.name),
            avatar_url: profile.avatar_url,
            ..identity
        }
    }
}

impl Service {
    async fn find(self: &Arc<Self>, id: &str) -> Option<Profile> {
        let place = self.answers.place(id);
        if !place.answer.initialized() {
            let (service, id, place) = (Arc::clone(self), id.to_owned(), Arc::clone(&place));
            // It goes on where nobody waits any more, so that the answer is there the next time.
            let asking = tokio::spawn(async move {
                let ask = || service.ask(&id, place.before.as_deref());
                place.answer.get_or_init(ask).await;
            });
            // Of a service that is away everybody would wait for nothing.
            if !self.is_away.load(Ordering::Relaxed) {
                let _ = timeout(PATIENCE, asking).await;
            }
        }
        let said = place.answer.get().map(|answer| &answer.said);
        let said = said.or(place.before.as_ref());
        said.and_then(|said| Option::clone(said))
    }

    /// Asks for a profile. What was told before stays where nothing is told now.
    async fn ask(&self, id: &str, before: Option<&Option<Profile>>) -> Answer<Option<Profile>> {
        let before = || before.cloned().flatten();
        let Ok(_asking) = self.places.try_acquire() else {
            self.count("busy");
            let (said, until) = (Arc::new(before()), Instant::now() + KEPT_BUSY);
            return Answer { said, until };
        };
        let told = self.fetcher.json::<Profile>(&about(&self.url, id)).await;
        let (said, kept) = match told {
            Ok(profile) => {
                self.handle_answer("told");
                (Some(profile.checked()), KEPT)
            }
            Err(FetchError::Status(StatusCode::NOT_FOUND)) => {
                self.handle_answer("unknown");
                (None, KEPT_UNKNOWN)
            }
            Err(error) => {
                self.handle_failure(&error);
                (before(), KEPT_FAILURE)
            }
        };
        let (said, until) = (Arc::new(said), Instant::now() + kept);
        Answer { said, until }
    }

    fn handle_answer(&self, outcome: &str) {
        self.count(outcome);
        if self.is_away.swap(false, Ordering::Relaxed) {
            info!("the service of profiles answers again");
        }
    }

    /// Says once that it is away, however many ask. What cannot be read is of one person: others may well be told of.
    fn handle_failure(&self, error: &FetchError) {
        if matches!(error, FetchError::Unreadable(_)) {
            self.handle_answer("failed");
            if !self.said_unreadable.swap(true, Ordering::Relaxed) {
                warn!(%error, "the service of profiles says what cannot be read: see klieg_profiles_total for how often");
            }
            return;
        }
        self.count("failed");
        if !self.is_away.swap(true, Ordering::Relaxed) {
            warn!(%error, "the service of profiles cannot be asked: people appear as their tokens say");
        }
    }

    fn count(&self, outcome: &str) {
        self.asked.with_label_values(&[outcome]).inc();
    }
}

impl Profile {
    /// Returns what can be shown of it: a name as long as others, a picture that browsers load over TLS.
    fn checked(self) -> Self {
        let name = self.name.map(|name| -> String {
            let name = text::clean(&name);
            name.chars().take(NAME_LENGTH).collect()
        });
        let picture = self.avatar_url.map(|url| web_address("avatarUrl", &url));
        let avatar_url = match picture.transpose() {
            Ok(url) => url.filter(|url| url.len() <= MAX_AVATAR_URL),
            Err(error) => {
                debug!(%error, "a profile has a picture that is not shown");
                None
            }
        };
        Self {
            name: name.filter(|name| !name.is_empty()),
            avatar_url,
        }
    }
}

/// So long an answer is taken for true.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// So long nobody is asked for again whom the service does not know.
const KEPT_UNKNOWN: Duration = Duration::from_secs(60);

/// So long nobody is asked for again for whom there was no answer.
const KEPT_FAILURE: Duration = Duration::from_secs(5);

/// So long nobody is asked for again for whom there was no place.
const KEPT_BUSY: Duration = Duration::from_secs(1);

/// So long anybody waits for their name: the door is not held up by a service that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// As many as a large audience has, with half a kilobyte each.
const MAX_KEPT: usize = 16_384;

/// Each is asked for in five seconds at most.
const MAX_ASKING: usize = 64;

/// Bytes: each message in the chat has it.
const MAX_AVATAR_URL: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_known_stays_so_while_nobody_can_be_asked() {
        let asked = IntCounterVec::new(prometheus::Opts::new("asked", "-"), &["outcome"]).unwrap();
        let url = Some("http://127.0.0.1:1/{id}".to_owned());
        let profiles = Profiles::new(url, Fetcher::new().unwrap(), asked);
        let service = profiles.0.unwrap();
        let ann = Some(Profile {
            name: Some("Ann".to_owned()),
            avatar_url: None,
        });
        // Nobody listens at that port; then there is no place to ask at all.
        for outcome in ["failed", "busy"] {
            assert_eq!(*service.ask("1", None).await.said, None);
            assert_eq!(*service.ask("1", Some(&ann)).await.said, ann);
            assert_eq!(service.asked.with_label_values(&[outcome]).get(), 2);
            service.places.close();
        }
    }

    fn checked(profile: &str) -> (Option<String>, Option<String>) {
        let profile: Profile = serde_json::from_str(profile).unwrap();
        let profile = profile.checked();
        (profile.name, profile.avatar_url)
    }

    #[test]
    fn of_a_profile_is_taken_what_can_be_shown() {
        let picture = "https://id.example/a.png";
        for (profile, name, avatar_url) in [
            ("{}".to_owned(), None, None),
            (
                format!(r#"{{"name":"Ann","avatarUrl":"{picture}","mail":1}}"#),
                Some("Ann"),
                Some(picture),
            ),
            (
                r#"{"name":" \u202e\n","avatarUrl":null}"#.to_owned(),
                None,
                None,
            ),
            (
                r#"{"name":"A\u202enn","avatarUrl":"http://id.example/a"}"#.to_owned(),
                Some("Ann"),
                None,
            ),
            (
                r#"{"avatarUrl":"javascript:alert(1)"}"#.to_owned(),
                None,
                None,
            ),
            (
                format!(
                    r#"{{"avatarUrl":"https://id.example/{}"}}"#,
                    "x".repeat(MAX_AVATAR_URL)
                ),
                None,
                None,
            ),
        ] {
            let shown = checked(&profile);
            let shown = (shown.0.as_deref(), shown.1.as_deref());
            assert_eq!(shown, (name, avatar_url), "{profile}");
        }
        let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(1_000));
        assert_eq!(checked(&long).0.map(|name| name.len()), Some(NAME_LENGTH));
    }
}
