//! The writings of a number: a plate, a container number or an identity is read off a thing or said
//! over the radio, and comes with blanks, hyphens or none, in capitals or not, in another script. What
//! all writings of one number have in common is its *bare* form: small Latin letters and digits.
//!
//! Two numbers may have one bare form (a plate of another country, O of one script and another): it
//! finds, and proves nothing. What is kept is always what was written.

/// What stands before a number to say what it is, and how many characters the number then has.
const PREFIXES: [(&str, usize); 3] = [("imo", 7), ("mmsi", 9), ("vin", 17)];

/// The bare form of a number.
#[must_use]
pub fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    for c in text.chars().filter(|c| c.is_alphanumeric()) {
        match plain(c) {
            Some(plain) => bare.push(plain),
            None => bare.extend(c.to_lowercase().map(|c| plain(c).unwrap_or(c))),
        }
    }
    let number = PREFIXES.iter().find_map(|(prefix, len)| {
        let number = bare.strip_prefix(prefix)?;
        (number.len() == *len && number.ends_with(|c: char| c.is_ascii_digit())).then_some(number)
    });
    match number {
        Some(number) => number.to_owned(),
        None => bare,
    }
}

/// The small Latin letter or digit that a character is, or that its capital looks like; `None` where
/// there is none.
fn plain(c: char) -> Option<char> {
    let digit = |zero: u32| char::from_digit(u32::from(c) - zero, 10);
    match c {
        '0'..='9' | 'a'..='z' => Some(c),
        'A'..='Z' => Some(c.to_ascii_lowercase()),
        // Full width, as East Asian keyboards have them.
        '\u{ff10}'..='\u{ff19}' => digit(0xff10),
        '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => {
            char::from_u32(u32::from(c) - 0xfee0).map(|c| c.to_ascii_lowercase())
        }
        // Arabic and Persian digits.
        '\u{660}'..='\u{669}' => digit(0x660),
        '\u{6f0}'..='\u{6f9}' => digit(0x6f0),
        _ => LOOK_ALIKES.iter().find(|(like, _)| *like == c).map(|(_, latin)| *latin),
    }
}

/// Cyrillic and Greek letters, small, whose capitals look like a Latin one: plates have these alone so
/// that they can be read abroad (Vienna Convention on Road Traffic, annex 2).
const LOOK_ALIKES: [(char, char); 29] = [
    ('а', 'a'),
    ('в', 'b'),
    ('е', 'e'),
    ('к', 'k'),
    ('м', 'm'),
    ('н', 'h'),
    ('о', 'o'),
    ('р', 'p'),
    ('с', 'c'),
    ('т', 't'),
    ('у', 'y'),
    ('х', 'x'),
    ('і', 'i'),
    ('ј', 'j'),
    ('ѕ', 's'),
    ('α', 'a'),
    ('β', 'b'),
    ('ε', 'e'),
    ('ζ', 'z'),
    ('η', 'h'),
    ('ι', 'i'),
    ('κ', 'k'),
    ('μ', 'm'),
    ('ν', 'n'),
    ('ο', 'o'),
    ('ρ', 'p'),
    ('τ', 't'),
    ('υ', 'y'),
    ('χ', 'x'),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_writings_of_a_number_have_one_bare_form() {
        for (bare_form, writings) in [
            (
                "csqu3054383",
                &["CSQU 305438 3", "csqu3054383", "CSQU-305438/3", "ＣＳＱＵ３０５４３８３"][..],
            ),
            ("9074729", &["9074729", "IMO 9074729", "imo:9074729", "IMO9074729"]),
            ("636092297", &["636 092 297", "MMSI 636092297", "٦٣٦٠٩٢٢٩٧", "۶۳۶۰۹۲۲۹۷"]),
            ("a123bc77", &["A 123 BC 77", "а123вс77", "А123ВС 77", "Α-123-ΒC-77"]),
            ("1m8gdm9axkp042788", &["VIN 1M8GDM9AXKP042788", "1m8gdm9axkp042788"]),
            ("imo12", &["IMO 12"]),
            ("öx1", &["ÖX-1", "öx 1"]),
        ] {
            for writing in writings {
                assert_eq!(bare(writing), bare_form, "{writing}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_bare_form_is_its_own(text in "(?s).{0,40}", number in "[A-Za-z0-9 а-яΑ-Ω٠-٩/.-]{0,20}") {
            for text in [text, number] {
                let once = bare(&text);
                let again = bare(&once);
                prop_assert!(again == once || once.ends_with(&again), "{once} {again}");
            }
        }
    }
}
