//! What people write for others to read: names, titles, chat.

/// Takes out what is not writing but disturbs that of others, and the space around it: control characters
/// (line breaks and tabs become spaces), what turns the direction of the text after it (UAX #9: embeddings,
/// overrides, isolates), characters without any width, and the fourth and later of accents piled on one
/// letter. What scripts and emoji need stays: joiners, variation selectors, marks of direction.
///
/// Returns the empty string when nothing visible is left.
pub(crate) fn clean(text: &str) -> String {
    let mut accents = 0;
    let spaced = text.chars().map(|it| if is_break(it) { ' ' } else { it });
    let kept: String = spaced
        .filter(|&it| !it.is_control() && !turns_direction(it) && !has_no_width(it))
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
            ("\u{200b}\u{2060}", ""),
            ("\u{200d} \u{3164}\u{fe0f}", ""),
            ("\u{301}\u{301}", ""),
            ("   ", ""),
        ] {
            assert_eq!(clean(text), cleaned, "{text:?}");
        }
    }
}
