//! What a release tells beyond its fields. A lint: it finds what people overlook, it proves nothing.
//!
//! What was held back is searched in what is released, in all writings of a number and whatever the accents of a
//! name. Beside that, text is read for what is usually a number of somebody or something, for places, and for
//! numbers of a series, from which others can be counted up.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tearline_crdt::record::identifier;
use tearline_crdt::record::writing::bare;

use crate::index::fold;
use crate::portal::geo;

/// Something that a release tells.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Leak {
    /// Which kind of thing.
    pub kind: LeakKind,
    /// In which field.
    pub field: String,
    /// What was found there.
    pub found: String,
}

/// Kinds of leaks.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LeakKind {
    /// A value of a field that is held back.
    Withheld,
    /// What looks like somebody's or something's number or address, in text.
    Identifier,
    /// A place more exact than a kilometre.
    ExactPlace,
    /// A number of a series: its neighbours can be guessed.
    Series,
    /// The name of another record: whoever holds that recognises it.
    Reference,
}

impl LeakKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Withheld, Self::Identifier, Self::ExactPlace, Self::Series, Self::Reference];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Withheld => "withheld",
            Self::Identifier => "identifier",
            Self::ExactPlace => "exact-place",
            Self::Series => "series",
            Self::Reference => "reference",
        }
    }
}

/// Most findings.
const LEAKS_MAX: usize = 100;
/// Most words that one number or place is written in.
const WINDOW_WORDS: usize = 6;
/// From so many words on a text is one that somebody wrote, and no name or number.
const PROSE_WORDS: usize = 4;
/// Fields of which every text is one.
const PROSE_FIELDS: [&str; 6] =
    ["description", "content", "declared_content", "abstract", "explanation", "opinion"];
/// Digits of a telephone number, with those of its country (ITU-T E.164).
const TELEPHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
/// Shortest value that is searched in others, in bare characters, and in letters for a word of a name.
const SEARCHED_CHARS_MIN: usize = 4;
/// Most values that are searched.
const SEARCHED_MAX: usize = 256;
/// Decimals of a degree that are a kilometre.
const DECIMALS_MAX: f64 = 100.0;

/// What fields tell that are released, while others are held back. Places that were made coarse are not exact,
/// however many decimals their squares have.
#[must_use]
pub fn leaks(
    released: &Map<String, Value>,
    withheld: &Map<String, Value>,
    coarse: bool,
) -> Vec<Leak> {
    let mut found = Found::default();
    let mut searched = Vec::new();
    for (name, value) in withheld {
        leaves(name, value, &mut |path, value| {
            if searched.len() < SEARCHED_MAX {
                searched.extend(Searched::of(path, value));
            }
        });
    }
    if !coarse {
        exact(released, "", &mut found);
    }
    for (name, value) in released {
        leaves(name, value, &mut |path, value| {
            let Value::String(text) = value else { return };
            for one in &searched {
                if let Some(what) = one.is_in(text) {
                    found.add(LeakKind::Withheld, path, what);
                }
            }
            read(path, text, &mut found);
        });
    }
    found.0.into_iter().collect()
}

#[derive(Default)]
struct Found(BTreeSet<Leak>);

impl Found {
    fn add(&mut self, kind: LeakKind, field: &str, found: &str) {
        if self.0.len() < LEAKS_MAX {
            self.0.insert(Leak { kind, field: field.into(), found: found.into() });
        }
    }
}

/// All values that hold no others, with their paths.
fn leaves(path: &str, value: &Value, each: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(&format!("{path}.{name}"), value, each);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| leaves(path, value, each)),
        value => each(path, value),
    }
}

/// A value that is held back.
enum Searched {
    /// A number of something, in its bare form and as it is written.
    Number(String, String),
    /// A name: its words, folded.
    Words(Vec<String>),
}

impl Searched {
    fn of(path: &str, value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let plain = bare(&text);
        if plain.chars().count() < SEARCHED_CHARS_MIN
            || text.split_whitespace().count() > PROSE_WORDS
        {
            return None;
        }
        if text.contains(|c: char| c.is_numeric()) {
            return Some(Self::Number(plain, text));
        }
        // Words of vocabularies and of common speech stand everywhere; names begin with capitals, or are of
        // scripts that have none.
        let named = [
            "name",
            "alias",
            "given",
            "family",
            "full",
            "father",
            "mother",
            "contact",
            "call_sign",
        ];
        let is_name = named.iter().any(|part| path.contains(part));
        let proper = text.starts_with(|c: char| c.is_uppercase() || !c.is_lowercase());
        (is_name || proper).then(|| Self::Words(words(&text)))
    }

    /// What of it stands in a text.
    fn is_in<'a>(&'a self, text: &str) -> Option<&'a str> {
        match self {
            Self::Number(plain, written) => bare(text).contains(plain).then_some(written),
            Self::Words(names) => {
                let words = words(text);
                let long = names.iter().filter(|name| name.chars().count() >= SEARCHED_CHARS_MIN);
                long.into_iter().find(|name| words.contains(name)).map(String::as_str)
            }
        }
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(fold).collect()
}

/// Places that are more exact than a kilometre.
fn exact(fields: &Map<String, Value>, path: &str, found: &mut Found) {
    for name in ["latitude", "longitude"] {
        let Some(value) = fields.get(name).and_then(Value::as_f64) else { continue };
        let far = fields.get("precision").and_then(Value::as_f64).is_some_and(|m| m >= 1_000.0);
        if !far && is_exact(value) {
            found.add(LeakKind::ExactPlace, &format!("{path}{name}"), &value.to_string());
        }
    }
    for name in ["coordinates", "bbox"] {
        if let Some(value) = fields.get(name).and_then(any_exact) {
            found.add(LeakKind::ExactPlace, &format!("{path}{name}"), &value.to_string());
        }
    }
    for (name, value) in fields {
        let groups = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for group in groups.iter().filter_map(Value::as_object) {
            exact(group, &format!("{path}{name}."), found);
        }
    }
}

fn is_exact(degrees: f64) -> bool {
    let scaled = degrees * DECIMALS_MAX;
    (scaled - scaled.round()).abs() > 1e-6
}

/// The first number of lists in lists that is more exact than a kilometre.
fn any_exact(value: &Value) -> Option<f64> {
    match value {
        Value::Array(values) => values.iter().find_map(any_exact),
        value => value.as_f64().filter(|degrees| is_exact(*degrees)),
    }
}

/// Reads a text for numbers and places.
fn read(path: &str, text: &str, found: &mut Found) {
    let is_name = |part: &str| path.rsplit('.').next().is_some_and(|name| name.ends_with(part));
    if is_name("_ref") || is_name("_refs") || path == "id" {
        found.add(LeakKind::Reference, path, text);
        return;
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let prose = words.len() >= PROSE_WORDS || PROSE_FIELDS.into_iter().any(is_name);
    for word in &words {
        let word = word
            .trim_matches(|c: char| matches!(c, ',' | '.' | ';' | ':' | '(' | ')' | '"' | '\''));
        if is_of_series(word) {
            found.add(LeakKind::Series, path, word);
        } else if prose && is_identifier(word) && !is_place(word) {
            found.add(LeakKind::Identifier, path, word);
        }
    }
    if !prose {
        return;
    }
    let mut at = 0;
    while at < words.len() {
        let of = |long: usize| words.get(at..at + long).map(|words| words.join(" "));
        let windows = (1..=WINDOW_WORDS).rev().filter_map(|long| Some((long, of(long)?)));
        let hit = windows.into_iter().find_map(|(long, text)| {
            let text = text.trim_end_matches([',', '.', ';', ')']).to_owned();
            if is_telephone(&text) {
                return Some((long, LeakKind::Identifier, text));
            }
            if is_place(&text) {
                return Some((long, LeakKind::ExactPlace, text));
            }
            (long > 1 && is_plate(&text)).then_some((long, LeakKind::Identifier, text))
        });
        at += match hit {
            Some((long, kind, text)) => {
                found.add(kind, path, &text);
                long
            }
            None => 1,
        };
    }
}

/// A telephone number with that of its country, however it is grouped.
fn is_telephone(text: &str) -> bool {
    let text = text.trim_start_matches(['(', '"', '\'']);
    let Some(rest) = text.strip_prefix('+').or_else(|| text.strip_prefix("00")) else {
        return false;
    };
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    let plain = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '(' | ')' | '-' | '.' | '/');
    // No digits end in a word that does not belong to it.
    let whole = rest.ends_with(|c: char| c.is_ascii_digit());
    whole && rest.chars().all(plain) && TELEPHONE_DIGITS.contains(&digits)
}

/// A place with more than two decimals of a degree, with minutes, or of the military grid.
fn is_place(text: &str) -> bool {
    let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or_default();
    let exact = text.contains(['°', '\'', '′']) || longest >= 3;
    exact && text.contains(|c: char| c.is_ascii_digit()) && geo::read(text).is_some()
}

/// A plate in groups: capitals and digits, few of each.
fn is_plate(text: &str) -> bool {
    let groups: Vec<&str> = text.split(' ').collect();
    let plain = |group: &str| group.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let letters = text.bytes().filter(u8::is_ascii_uppercase).count();
    groups.iter().all(|group| group.len() <= 5 && plain(group))
        && (3..=6).contains(&digits)
        && (1..=5).contains(&letters)
}

fn is_identifier(word: &str) -> bool {
    let plain: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
    let upper = plain.to_ascii_uppercase();
    let digits = plain.bytes().filter(u8::is_ascii_digit).count();
    let letters = plain.len() - digits;
    let address =
        word.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    let zone = word.len() >= 30 && word.contains("<<");
    // What has a check digit that fits, and what mixes letters and digits as documents and plates do.
    let checked = [identifier::imei, identifier::imo, identifier::iso_6346];
    let mixed = letters >= 1 && digits >= 3 && plain.len() >= 6 && !word.contains(':');
    let long = letters == 0 && digits >= 8 && digits == word.len();
    address
        || zone
        || !word.contains('.') && checked.iter().any(|rule| rule(&upper).is_ok())
        || plain.len() == 17 && identifier::vin(&upper).is_ok()
        || mixed && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
        || long
}

/// A number of a year's series: `NE-2026-00412`, `PV/2026/17`.
fn is_of_series(word: &str) -> bool {
    let parts: Vec<&str> = word.split(['-', '/', '_']).collect();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let year = |part: &str| {
        part.len() == 4 && digits(part) && (part.starts_with("19") || part.starts_with("20"))
    };
    let Some((number, rest)) = parts.split_last() else { return false };
    // A date has a year and two numbers of two digits, and nothing else.
    let date = word.len() == 10 && parts.len() == 3 && parts.iter().all(|part| digits(part));
    !date
        && digits(number)
        && rest.iter().any(|part| year(part))
        && (rest.len() >= 2 || number.len() >= 3)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(released: Value, withheld: Value) -> Vec<(&'static str, String, String)> {
        let (Value::Object(released), Value::Object(withheld)) = (released, withheld) else {
            return Vec::new();
        };
        let found = leaks(&released, &withheld, false).into_iter();
        found.map(|leak| (leak.kind.name(), leak.field, leak.found)).collect()
    }

    fn kinds(text: &str) -> Vec<&'static str> {
        of(json!({ "description": text }), json!({})).into_iter().map(|(kind, ..)| kind).collect()
    }

    #[test]
    fn what_is_held_back_is_found_in_what_is_released() {
        let found = of(
            json!({ "description": "The driver, Moussá IBRAHIM, left ct-1234/a behind", "colour": "white" }),
            json!({ "plate": "CT 1234 A", "names": [{ "family": "Ibrahim", "given": "Moussa" }],
                    "state": "open", "make": "Toyota" }),
        );
        let withheld: Vec<&str> = found
            .iter()
            .filter(|(kind, ..)| *kind == "withheld")
            .map(|(.., found)| found.as_str())
            .collect();
        assert_eq!(withheld, ["CT 1234 A", "ibrahim", "moussa"]);
        assert!(of(json!({ "name": "white van" }), json!({ "state": "open" })).is_empty());
        let arabic =
            of(json!({ "description": "السائق موسى إبراهيم هرب ليلا" }), json!({ "name": "موسى" }));
        assert_eq!(arabic.len(), 1, "{arabic:?}");
    }

    #[test]
    fn text_is_read_for_numbers_and_places() {
        for (text, kind) in [
            ("He was called from +22720123456 at noon", "identifier"),
            ("The driver said that one may call +227 90 12 34 56 at night", "identifier"),
            ("call +41 79 123 45 67", "identifier"),
            ("tel 0044 20 7946 0958", "identifier"),
            ("IMO 9074729", "identifier"),
            ("at 13.12345, 14.54321", "exact-place"),
            ("Write to a.musa@example.ne for the rest", "identifier"),
            ("The van CT 1234 A was seen again", "identifier"),
            ("Its engine has 1HGCM82633A004352 on it", "identifier"),
            ("Container CSQU3054383 was opened there today", "identifier"),
            ("Seen at 13.3123, 14.1034 by the patrol", "exact-place"),
            ("Seen at 13°18'36\"N 14°06'12\"E by the patrol", "exact-place"),
            ("They met at 33PVQ1234567890 before dawn again", "exact-place"),
            ("See report NE-2026-00412 for the rest", "series"),
        ] {
            let kinds = kinds(text);
            assert!(!kinds.is_empty() && kinds.iter().all(|of| *of == kind), "{text}: {kinds:?}");
        }
        for text in [
            "Three men and two camels crossed at night",
            "On 2026-03-14 about 40 persons came over the dunes",
            "The van drove 13 km north, then 2 km east",
            "White Toyota Hilux with 2 spare wheels",
            "ثلاثة رجال عبروا الحدود ليلا",
        ] {
            assert!(kinds(text).is_empty(), "{text}: {:?}", kinds(text));
        }
    }

    #[test]
    fn exact_places_and_names_of_records_are_told() {
        let exact = json!({ "latitude": 13.3123, "longitude": 14.1 });
        assert_eq!(of(exact, json!({})), [("exact-place", "latitude".into(), "13.3123".into())]);
        let coarse = json!({ "latitude": 13.3123, "longitude": 14.1034, "precision": 7071.0 });
        assert!(of(coarse, json!({})).is_empty());
        let area = json!({ "geometry": { "coordinates": [[[14.1034, 13.31]]] } });
        assert_eq!(
            of(area, json!({})),
            [("exact-place", "geometry.coordinates".into(), "14.1034".into())]
        );
        let refs = json!({ "sighting_of_ref": "vehicle--1", "points": [{ "latitude": 1.23456 }] });
        let found: Vec<_> =
            of(refs, json!({})).into_iter().map(|(kind, field, _)| (kind, field)).collect();
        let expected = [
            ("exact-place", "points.latitude".to_owned()),
            ("reference", "sighting_of_ref".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_long_text_costs_no_more_than_its_bound() {
        let long = "CT 1234 A ".repeat(20_000);
        assert!(of(json!({ "description": long }), json!({})).len() <= LEAKS_MAX);
    }
}
