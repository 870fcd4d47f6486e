//! Words: how text is folded and taken apart, alike for rows and queries.

/// Lower case, without the accents of Latin letters.
#[must_use]
pub(super) fn fold(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn plain_letters_fold_as_all_others_do(text in "[ -~]{0,40}") {
            let one_by_one: String = text.chars().flat_map(char::to_lowercase).map(bare).collect();
            prop_assert_eq!(fold(&text), one_by_one);
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
