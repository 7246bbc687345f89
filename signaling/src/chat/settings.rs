//! How a room's chat is set: who may write, how often, and what.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::filter::{has_link, is_rude};
use super::{WordList, clean};
use crate::error::{ApiError, Code};

/// How a room's chat is set, as moderators see it and the database keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ChatSettings {
    /// What everybody knows of it.
    #[serde(flatten)]
    pub(crate) public: PublicSettings,
    /// Words and phrases that are not to be said here. One with accents is met by these accents alone.
    #[schema(required = true)]
    pub(crate) words: Vec<String>,
    /// Whether the words of the built-in list are not to be said either.
    #[schema(required = true)]
    pub(crate) built_in_words: bool,
    /// What becomes of a message with one of these words.
    #[schema(required = true)]
    pub(crate) word_rule: WordRule,
}

/// What everybody knows of how a chat is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PublicSettings {
    /// Seconds between two messages of one person; 0: no more than five a second.
    #[schema(required = true)]
    pub(crate) slow_mode_sec: u32,
    /// Who may write.
    #[schema(required = true)]
    pub(crate) audience: Audience,
    /// What becomes of messages with links.
    #[schema(required = true)]
    pub(crate) links: LinkRule,
}

/// Who may write, of those whose role allows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Audience {
    /// All of them.
    #[default]
    Everyone,
    /// Who follows the room's owner.
    Followers,
    /// Whom the room's owner made a member.
    Members,
}

impl Audience {
    /// Returns the name on the wire and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Followers => "followers",
            Self::Members => "members",
        }
    }
}

/// What becomes of messages with links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LinkRule {
    /// They are shown.
    #[default]
    Allow,
    /// A moderator looks at them first.
    Hold,
    /// They are refused.
    Refuse,
}

/// What becomes of messages with a word of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WordRule {
    /// They are refused.
    #[default]
    Refuse,
    /// A moderator looks at them first.
    Hold,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is shown.
    Show,
    /// A moderator looks at it first, for this reason.
    Hold(&'static str),
}

impl ChatSettings {
    /// Returns what becomes of a text.
    ///
    /// # Errors
    /// `link_refused` or `word_refused`.
    pub(crate) fn judge(&self, text: &str, words: &WordList) -> Result<Verdict, ApiError> {
        let links = self.public.links;
        let linked = links != LinkRule::Allow && has_link(text);
        if linked && links == LinkRule::Refuse {
            let text = "Links are not shown in this chat.";
            return Err(ApiError::new(Code::LinkRefused, text));
        }
        let met = words.meets(text) || (self.built_in_words && is_rude(text));
        if met && self.word_rule == WordRule::Refuse {
            let text = "A word of it is not said in this chat.";
            return Err(ApiError::new(Code::WordRefused, text));
        }
        Ok(match (met, linked) {
            (true, _) => Verdict::Hold("word"),
            (false, true) => Verdict::Hold("link"),
            (false, false) => Verdict::Show,
        })
    }
}

/// What to change in how a chat is set. What is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(crate) struct SettingsPatch {
    /// Seconds between two messages of one person; 0: no more than five a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 3600, nullable = false)]
    pub(crate) slow_mode_sec: Option<u32>,
    /// Who may write.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) audience: Option<Audience>,
    /// What becomes of messages with links.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) links: Option<LinkRule>,
    /// Words and phrases that are not to be said here: all of them. 200 at most, of 60 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 200, nullable = false)]
    pub(crate) words: Option<Vec<String>>,
    /// Whether the words of the built-in list are not to be said either.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) built_in_words: Option<bool>,
    /// What becomes of a message with one of these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) word_rule: Option<WordRule>,
    /// Whether guests may write and react.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) guests: Option<bool>,
}

impl SettingsPatch {
    /// Checks the bounds, and cleans the words.
    ///
    /// # Errors
    /// `bad_message`.
    pub(crate) fn check(mut self) -> Result<Self, ApiError> {
        let bad = |text| Err(ApiError::new(Code::BadMessage, text));
        if self.slow_mode_sec.is_some_and(|it| it > 3600) {
            return bad("`slowModeSec` is 0 to 3600.");
        }
        if let Some(words) = &mut self.words {
            let long = |word: &String| word.chars().nth(MAX_WORD).is_some();
            if words.len() > MAX_WORDS || words.iter().any(long) {
                return bad("`words` has 200 of 60 characters at most.");
            }
            // What is left of a word when it is cleaned may be nothing, or another's.
            let cleaned: BTreeSet<String> = words.iter().filter_map(|it| clean(it).ok()).collect();
            *words = cleaned.into_iter().collect();
        }
        Ok(self)
    }

    /// Writes the changes into settings.
    pub(crate) fn apply(&self, settings: &mut ChatSettings) {
        fn set<T: Clone>(slot: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                slot.clone_from(value);
            }
        }
        set(
            &mut settings.public.slow_mode_sec,
            self.slow_mode_sec.as_ref(),
        );
        set(&mut settings.public.audience, self.audience.as_ref());
        set(&mut settings.public.links, self.links.as_ref());
        set(&mut settings.words, self.words.as_ref());
        set(&mut settings.built_in_words, self.built_in_words.as_ref());
        set(&mut settings.word_rule, self.word_rule.as_ref());
    }
}

const MAX_WORDS: usize = 200;

const MAX_WORD: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_room_does_not_want_is_refused_or_held() {
        let patch = SettingsPatch {
            links: Some(LinkRule::Hold),
            words: Some(vec![" darn\u{200b} ".to_owned(), "\u{200b}".to_owned()]),
            ..SettingsPatch::default()
        };
        let mut settings = ChatSettings::default();
        patch.check().unwrap().apply(&mut settings);
        assert_eq!(settings.words, ["darn"]);
        let list = WordList::new(settings.words.iter().map(String::as_str));
        let judge =
            |settings: &ChatSettings, text| settings.judge(text, &list).map_err(|it| it.code);
        assert_eq!(judge(&settings, "hello"), Ok(Verdict::Show));
        assert_eq!(judge(&settings, "shop.vn"), Ok(Verdict::Hold("link")));
        assert_eq!(judge(&settings, "DARN shop.vn"), Err(Code::WordRefused));
        assert_eq!(judge(&settings, "fuck"), Ok(Verdict::Show));
        settings.word_rule = WordRule::Hold;
        settings.built_in_words = true;
        assert_eq!(judge(&settings, "fuck"), Ok(Verdict::Hold("word")));
        settings.public.links = LinkRule::Refuse;
        assert_eq!(judge(&settings, "shop.vn"), Err(Code::LinkRefused));
    }

    #[test]
    fn settings_are_read_back_as_they_were_written_and_older_ones_too() {
        let settings = ChatSettings {
            words: vec!["x".to_owned()],
            ..ChatSettings::default()
        };
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(
            serde_json::from_str::<ChatSettings>(&text).unwrap(),
            settings
        );
        assert_eq!(
            serde_json::from_str::<ChatSettings>("{}").unwrap(),
            ChatSettings::default()
        );
    }

    #[test]
    fn settings_are_bounded() {
        for patch in [
            SettingsPatch {
                slow_mode_sec: Some(3601),
                ..SettingsPatch::default()
            },
            SettingsPatch {
                words: Some(vec!["x".to_owned(); 201]),
                ..SettingsPatch::default()
            },
            SettingsPatch {
                words: Some(vec!["x".repeat(61)]),
                ..SettingsPatch::default()
            },
        ] {
            assert_eq!(patch.check().unwrap_err().code, Code::BadMessage);
        }
    }
}
