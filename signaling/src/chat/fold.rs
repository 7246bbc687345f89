//! Words as filters compare them: whatever their case, width, look-alikes, figures for letters, and spaces between letters.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A word of a text, twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    /// In lower case, with its accents: `lớn` is not `lồn`.
    pub(super) accented: String,
    /// Without them.
    pub(super) plain: String,
}

/// Folds a text into its words, and letters that stand one by one into one word more.
pub(super) fn words(text: &str) -> Vec<Folded> {
    let text: String = text
        .nfkc()
        .flat_map(char::to_lowercase)
        .filter(|it| !is_unseen(*it))
        .collect();
    let words =
        text.split(|it: char| !it.is_alphanumeric() && !is_combining_mark(it) && !is_sign(it));
    let words = words.map(|word| word.trim_matches(|it| it == '!'));
    let mut folded: Vec<Folded> = words.filter(|word| !word.is_empty()).map(fold).collect();
    let mut spelled = Vec::new();
    for run in folded.split(|word| word.plain.chars().nth(1).is_some()) {
        if run.len() >= SPELLED {
            let join = |part: fn(&Folded) -> &str| run.iter().map(part).collect::<String>();
            spelled.push(Folded {
                accented: join(|it| &it.accented),
                plain: join(|it| &it.plain),
            });
        }
    }
    folded.extend(spelled);
    folded
}

/// Returns a word with every run of the same three letters or more as one, and as two.
pub(super) fn shortened(word: &str) -> Option<[String; 2]> {
    let letters: Vec<char> = word.chars().collect();
    letters
        .windows(3)
        .any(|it| it[0] == it[1] && it[1] == it[2])
        .then(|| {
            [1, 2].map(|most| {
                let mut short = String::new();
                for run in letters.chunk_by(|a, b| a == b) {
                    let keep = if run.len() > 2 { most } else { run.len() };
                    short.extend(&run[..keep]);
                }
                short
            })
        })
}

fn fold(word: &str) -> Folded {
    // Figures stand for letters only beside letters: `4` alone is a number.
    let letters = word.chars().any(char::is_alphabetic);
    let latin = word.chars().any(|it| it.is_ascii_alphabetic());
    let letter = |it: char| {
        let it = if letters { figure(it) } else { it };
        if latin { look_alike(it) } else { it }
    };
    let accented: String = word.chars().map(letter).filter(|it| *it != '*').collect();
    let accented: String = accented.nfc().collect();
    let plain = accented.nfd().filter(|it| !is_combining_mark(*it));
    let plain = plain.map(stroke).collect();
    Folded { accented, plain }
}

/// Signs that stand for letters within words.
fn is_sign(it: char) -> bool {
    matches!(it, '@' | '$' | '!' | '*')
}

fn figure(it: char) -> char {
    match it {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

/// Letters of other scripts that look like Latin ones.
fn look_alike(it: char) -> char {
    match it {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' => 'e',
        'һ' => 'h',
        'і' | 'ι' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'н' | 'η' => 'n',
        'о' | 'ο' => 'o',
        'р' | 'ρ' => 'p',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'у' | 'γ' => 'y',
        'ц' | 'υ' => 'u',
        'ѵ' | 'ν' => 'v',
        'х' | 'χ' => 'x',
        other => other,
    }
}

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

/// What stands between letters and is not seen there.
fn is_unseen(it: char) -> bool {
    it.is_control()
        || matches!(it,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// So many letters one by one make a word.
const SPELLED: usize = 3;
