//! Text as searches compare it: words of lower-case letters without accents, one space between them.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Folds a text: `Đà Nẵng – LIVE!` becomes `da nang live`.
pub(crate) fn fold(text: &str) -> String {
    let plain = text.nfd().filter(|it| !is_combining_mark(*it));
    let lower: String = plain.flat_map(char::to_lowercase).map(stroke).collect();
    let words = lower.split(|it: char| !it.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// Returns the words of what somebody searches for; more than eight do not make a search better.
pub(crate) fn words(text: &str) -> Vec<String> {
    fold(text)
        .split(' ')
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(str::to_owned)
        .collect()
}

/// Letters with a stroke are letters of their own to Unicode, but not to who types without them.
fn stroke(letter: char) -> char {
    match letter {
        'đ' => 'd',
        'ł' => 'l',
        'ø' => 'o',
        'ħ' => 'h',
        'ı' => 'i',
        other => other,
    }
}

const MAX_WORDS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_and_case_do_not_count() {
        for (text, folded) in [
            ("Đà Nẵng – LIVE!", "da nang live"),
            ("Nguye\u{302}\u{303}n Thị Hồng", "nguyen thi hong"),
            ("ĐƯỜNG phố", "duong pho"),
            ("100% (two_three)", "100 two three"),
            ("Ελλάδα 日本", "ελλαδα 日本"),
            ("…", ""),
        ] {
            assert_eq!(fold(text), folded);
        }
    }

    #[test]
    fn a_search_has_eight_words_at_most() {
        assert_eq!(words("a b c d e f g h i j").len(), 8);
        assert!(words("%_'\"*").is_empty());
    }
}
