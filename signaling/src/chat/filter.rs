//! Words that are not to be said: those of a room's owner, and those that nobody's room wants.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::fold::{Folded, shortened, words};

/// A list of words and phrases. One with accents is met by these accents alone; one without is met whatever the accents.
/// So in Vietnamese, where they make another word, a list says exactly what it means.
#[derive(Clone, Debug, Default)]
pub(crate) struct WordList {
    /// Phrases by their first word.
    accented: HashMap<String, Vec<Vec<String>>>,
    plain: HashMap<String, Vec<Vec<String>>>,
    /// In scripts without spaces between words: met anywhere.
    anywhere: Vec<String>,
}

impl WordList {
    /// Reads a list.
    pub(crate) fn new<'a>(phrases: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list = Self::default();
        for phrase in phrases {
            list.add(phrase);
        }
        list
    }

    fn add(&mut self, phrase: &str) {
        let words = words(phrase);
        if phrase.chars().any(is_unspaced) {
            let all = words.into_iter().map(|word| word.accented).collect();
            self.anywhere.push(all);
            return;
        }
        let accented = words.iter().any(|word| word.accented != word.plain);
        let words = words.into_iter();
        let (map, words): (_, Vec<String>) = if accented {
            (&mut self.accented, words.map(|it| it.accented).collect())
        } else {
            (&mut self.plain, words.map(|it| it.plain).collect())
        };
        let mut words = words.into_iter();
        if let Some(first) = words.next() {
            map.entry(first).or_default().push(words.collect());
        }
    }

    /// Returns whether a text has one of them.
    pub(crate) fn meets(&self, text: &str) -> bool {
        let words = words(text);
        let met = |(at, _): (usize, &Folded)| {
            starts(&self.accented, &words[at..], |it| &it.accented)
                || starts(&self.plain, &words[at..], |it| &it.plain)
        };
        let all = || {
            words
                .iter()
                .map(|it| it.accented.as_str())
                .collect::<String>()
        };
        words.iter().enumerate().any(met)
            || (!self.anywhere.is_empty() && self.anywhere.iter().any(|it| all().contains(it)))
    }
}

/// Returns whether one of the phrases begins here.
fn starts(
    phrases: &HashMap<String, Vec<Vec<String>>>,
    words: &[Folded],
    form: fn(&Folded) -> &str,
) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    let follows = |wanted: &str| {
        let ends = phrases.get(wanted).into_iter().flatten();
        let mut ends = ends.map(|end| end.iter().map(String::as_str));
        ends.any(|end| {
            let there = rest.iter().map(form).take(end.len());
            there.eq(end)
        })
    };
    let first = form(first);
    follows(first) || shortened(first).is_some_and(|it| it.iter().any(|it| follows(it)))
}

/// Returns whether a script sets no spaces between words.
fn is_unspaced(it: char) -> bool {
    matches!(it, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

/// Returns whether a text has a word that nobody's room wants.
pub(crate) fn is_rude(text: &str) -> bool {
    static LIST: LazyLock<WordList> = LazyLock::new(|| {
        let lines = include_str!("rude.txt").lines();
        WordList::new(lines.filter(|line| !line.is_empty() && !line.starts_with('#')))
    });
    LIST.meets(text)
}

/// Returns whether a text has something that looks like the address of a page.
pub(crate) fn has_link(text: &str) -> bool {
    use unicode_normalization::UnicodeNormalization;
    let text: String = text.nfkc().flat_map(char::to_lowercase).collect();
    if text.contains("://") {
        return true;
    }
    text.split(|it: char| {
        it.is_whitespace() || matches!(it, ',' | ';' | '(' | ')' | '<' | '>' | '"')
    })
    .any(|word| is_address(word.trim_end_matches(['.', '!', '?', ':'])))
}

fn is_address(word: &str) -> bool {
    let word = word.rsplit_once('@').map_or(word, |(_, host)| host);
    let end = word.find(['/', '?', '#', ':']);
    let (host, path) = word.split_at(end.unwrap_or(word.len()));
    let labels: Vec<&str> = host.split('.').collect();
    let named = |label: &&str| {
        !label.is_empty() && label.chars().all(|it| it.is_alphanumeric() || it == '-')
    };
    let [first, .., last] = labels.as_slice() else {
        return false;
    };
    let ends = last.len() >= 2 && last.chars().all(char::is_alphabetic);
    let known = *first == "www" || path.starts_with('/') || DOMAINS.contains(last);
    labels.iter().all(named) && ends && known
}

/// What the addresses end in that people write without `https://`.
const DOMAINS: [&str; 44] = [
    "ai", "app", "biz", "blog", "cc", "club", "cn", "co", "com", "de", "dev", "edu", "eu", "fr",
    "gg", "gov", "icu", "info", "io", "jp", "kr", "link", "live", "ly", "me", "mobi", "net",
    "online", "org", "pro", "ru", "shop", "site", "store", "tech", "tk", "to", "top", "tv", "uk",
    "us", "vip", "vn", "xyz",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_however_it_is_written() {
        let list = WordList::new(["darn", "heck no"]);
        for text in [
            "darn",
            "Oh DARN!",
            "ＤＡＲＮ",
            "d4rn",
            "dаrn",
            "därn",
            "d a r n",
            "d.a.r.n",
            "daaaaarn",
            "d\u{200b}arn",
            "d@rn",
            "heck  NO",
            "h3ck, no!",
            "da\u{301}rn",
        ] {
            assert!(list.meets(text), "{text}");
        }
        for text in ["darning", "heck", "no heck", "dar n", "d4rn1ng", "", "…"] {
            assert!(!list.meets(text), "{text}");
        }
    }

    #[test]
    fn in_vietnamese_accents_make_another_word() {
        let list = WordList::new(["lồn"]);
        for text in ["lồn", "LỒN", "lo\u{302}\u{300}n", "l ồ n"] {
            assert!(list.meets(text), "{text}");
        }
        for text in ["lớn", "lon nước", "lộn xộn", "cái lồng"] {
            assert!(!list.meets(text), "{text}");
        }
        let list = WordList::new(["cam do"]);
        for text in ["cam do", "Cấm đổ", "CAM ĐÔ"] {
            assert!(list.meets(text), "{text}");
        }
        for text in [
            "Chào mọi người",
            "Áo này bao nhiêu tiền?",
            "Cô gái đẹp quá",
            "con chó dễ thương",
            "buổi tối vui vẻ",
            "đi chợ mua cá",
            "các bạn ơi",
            "đẹp lắm",
            "mẹ mua cho con",
            "size lớn còn không shop",
        ] {
            assert!(!is_rude(text), "{text}");
        }
        for text in ["địt mẹ", "ĐỊT  MẸ mày", "dit me may", "vcl", "v c l"] {
            assert!(is_rude(text), "{text}");
        }
    }

    #[test]
    fn rude_words_are_not_found_within_others() {
        for text in [
            "Scunthorpe",
            "assassin",
            "classic",
            "Dickens",
            "cocktail",
            "shiitake",
        ] {
            assert!(!is_rude(text), "{text}");
        }
        assert!(is_rude("what the f u c k"));
    }

    #[test]
    fn scripts_without_spaces_are_searched() {
        let list = WordList::new(["笨蛋"]);
        assert!(list.meets("你这个笨蛋！"));
        assert!(!list.meets("你好"));
    }

    #[test]
    fn addresses_are_known_with_and_without_their_beginning() {
        for text in [
            "https://example.com",
            "see example.com",
            "www.example.museum",
            "Example.COM/x",
            "bit.ly/x",
            "ｅｘａｍｐｌｅ.com",
            "shop.vn.",
            "me@example.com",
            "(t.me/x)",
            "example.museum/x",
            "example.com:8080",
            "ftp://x",
        ] {
            assert!(has_link(text), "{text}");
        }
        for text in [
            "ok.thanks",
            "3.50",
            "e.g. this",
            "what...",
            "a.b",
            "1.000.000 đ",
            "hi.",
            "www",
            "and/or",
            ".",
        ] {
            assert!(!has_link(text), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let list = WordList::new([text.as_str()]);
            list.meets(&text);
            is_rude(&text);
            has_link(&text);
        }
    }
}
