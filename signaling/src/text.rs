//! What people write for others to read: names, titles, chat.

/// Takes out what is not writing but disturbs that of others, and the space around it: control characters
/// (line breaks and tabs become spaces), what turns the direction of the text after it (UAX #9: embeddings,
/// overrides, isolates), characters without any width, and the fourth and later of accents piled on one
/// letter. What scripts and emoji need stays: joiners, variation selectors, marks of direction, and the tags that make
/// a black flag that of a region (UTS #51, section 2.4).
///
/// Returns the empty string when nothing visible is left.
pub(crate) fn clean(text: &str) -> String {
    let (mut accents, mut flag) = (0, Flag::None);
    let spaced = text.chars().map(|it| if is_break(it) { ' ' } else { it });
    let kept: String = spaced
        .filter(|&it| !it.is_control() && !turns_direction(it) && !has_no_width(it))
        .filter(|&it| flag.takes(it))
        .filter(|&it| {
            if is_accent(it) {
                accents += 1;
            } else if !is_invisible(it) || it.is_whitespace() {
                // Another letter; what has no shape of its own goes on with the one before.
                accents = 0;
            }
            accents <= MAX_ACCENTS || !is_accent(it)
        })
        .collect();
    if kept.chars().all(is_invisible) {
        return String::new();
    }
    kept.trim().to_owned()
}

/// How far a flag of a region is written: a black flag, its tags, their end. Anywhere else a tag is a letter that nobody
/// sees.
#[derive(Clone, Copy)]
enum Flag {
    /// None is.
    None,
    /// So many tags may follow.
    Open(u8),
}

impl Flag {
    /// Returns whether a character stays; which do depends on those before it.
    fn takes(&mut self, character: char) -> bool {
        let (next, stays) = match (*self, character) {
            (_, '\u{1f3f4}') => (Self::Open(MAX_TAGS), true),
            (Self::Open(left @ 1..), '\u{e0030}'..='\u{e007a}') => (Self::Open(left - 1), true),
            (Self::Open(left), '\u{e007f}') => (Self::None, left < MAX_TAGS),
            (_, '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}') => (Self::None, false),
            (_, _) => (Self::None, true),
        };
        *self = next;
        stays
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}')
}

fn turns_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn has_no_width(character: char) -> bool {
    matches!(character, '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Returns whether a character is of the blocks of combining diacritical marks; the marks that scripts
/// write their vowels with stand in blocks of their own.
fn is_accent(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || is_accent(character)
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}'
            | '\u{200c}'..='\u{200f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// A country's two letters and three of its region, in lower case.
const MAX_TAGS: u8 = 6;

/// Vietnamese writes two on one letter.
const MAX_ACCENTS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_of_all_kinds_stays_as_it_is() {
        for text in [
            "Nguyễn Thị Hồng",
            "Nguye\u{302}\u{303}n",
            "👩\u{200d}👩\u{200d}👧 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} ❤\u{fe0f}",
            "می\u{200c}خواهم",
            "שָׁלוֹם",
            "ที่นี่",
            "क्षत्रिय",
        ] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn what_disturbs_others_goes() {
        for (text, cleaned) in [
            ("  a\tb\r\nc\0 ", "a b  c"),
            ("user\u{202e}gpj.exe", "usergpj.exe"),
            ("\u{2066}a\u{2069}\u{200b}\u{feff}b", "ab"),
            (
                "Z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}algo",
                "Z\u{300}\u{301}\u{302}algo",
            ),
            (
                "Z\u{300}\u{301}\u{302}\u{200d}\u{303}\u{fe0f}\u{304}algo",
                "Z\u{300}\u{301}\u{302}\u{200d}\u{fe0f}algo",
            ),
            ("a\u{2028}b", "a b"),
            ("An\u{e0041}\u{e0042}n\u{e007f}\u{e0001}", "Ann"),
            ("🏴\u{e007f} \u{e0067}x", "🏴 x"),
            (
                "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e0074}\u{e0074}\u{e007f}",
                "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e0074}",
            ),
            ("\u{e0067}\u{e0062}", ""),
            ("\u{200b}\u{2060}", ""),
            ("\u{200d} \u{3164}\u{fe0f}", ""),
            ("\u{301}\u{301}", ""),
            ("   ", ""),
        ] {
            assert_eq!(clean(text), cleaned, "{text:?}");
        }
    }
}
