//! Words: how text is folded and taken apart, alike for rows and queries.

/// Lower case, without the accents of Latin letters.
#[must_use]
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).map(bare).collect()
}

/// A Latin letter without its accent (Unicode Latin-1 Supplement and Latin Extended-A).
const fn bare(c: char) -> char {
    match c {
        'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => 'c',
        'ď' | 'đ' => 'd',
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => 'e',
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => 'g',
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => 'i',
        'ł' | 'ľ' | 'ĺ' | 'ļ' => 'l',
        'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => 'o',
        'ŕ' | 'ŗ' | 'ř' => 'r',
        'ś' | 'ŝ' | 'ş' | 'š' => 's',
        'ţ' | 'ť' | 'ŧ' => 't',
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        other => other,
    }
}

/// The words of a folded text: runs of letters and digits, and what stands between blanks whole, so
/// that an address, a hash or an id is a word of its own.
pub(super) fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split_whitespace().flat_map(|whole| {
        let plain = whole.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let parts = whole.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        // A plain word is its own only part.
        let whole = (plain || whole.len() > 1).then_some(whole);
        whole.into_iter().chain(parts.take(if plain { 0 } else { usize::MAX }))
    })
}

/// Whether a word stands in a folded text, and not as a part of a longer one: an address in brackets, at
/// the end of a sentence or in a URL stands there.
pub(super) fn stands_in(text: &str, word: &str) -> bool {
    let parts = |left: Option<char>, right: Option<char>| {
        ![left, right].into_iter().all(|side| side.is_some_and(char::is_alphanumeric))
    };
    let mut rest = text;
    let mut before = None;
    while let Some((skipped, found)) = rest.find(word).and_then(|at| rest.split_at_checked(at)) {
        before = skipped.chars().next_back().or(before);
        let after = found.get(word.len()..).and_then(|after| after.chars().next());
        if parts(before, word.chars().next()) && parts(word.chars().next_back(), after) {
            return true;
        }
        let mut behind = found.chars();
        before = behind.next();
        if before.is_none() {
            return false;
        }
        rest = behind.as_str();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_stands_beside_punctuation_and_in_no_longer_word() {
        let text = "beacon to (evil.example.org), then 10.9.8.7. plate xk-204. see https://x.example/y. xa.a.a";
        for word in [
            "evil.example.org",
            "example.org",
            "10.9.8.7",
            "xk-204",
            "https://x.example/y",
            "a.a",
            "y",
        ] {
            assert!(stands_in(text, word), "{word}");
        }
        for part in ["vil.example.org", "0.9.8.7", "xk-20", "xa.a.aa", "beac", "eacon"] {
            assert!(!stands_in(text, part), "{part}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn plain_letters_fold_as_all_others_do(text in "[ -~]{0,40}") {
            let one_by_one: String = text.chars().flat_map(char::to_lowercase).map(bare).collect();
            prop_assert_eq!(fold(&text), one_by_one);
        }

        #[test]
        fn a_plain_word_stands_where_it_is_one_of_the_words(text in "[ab1é.\\- ]{0,20}", word in "[ab1é]{1,3}") {
            prop_assert_eq!(stands_in(&text, &word), words(&text).any(|one| one == word));
        }

        #[test]
        fn words_are_all_parts_and_all_that_stands_between_blanks(text in "[ab1é.\\-\u{a0} ]{0,20}") {
            let whole = text.split_whitespace().filter(|word| word.len() > 1);
            let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            let expected: BTreeSet<&str> = whole.chain(parts).collect();
            prop_assert_eq!(words(&text).collect::<BTreeSet<&str>>(), expected);
        }
    }
}
