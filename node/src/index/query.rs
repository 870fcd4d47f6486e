//! Queries: words and `field:value` terms, all of which must match.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use tearline_crdt::id::{Class, CompartmentId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::writing::bare;
use tearline_crdt::time::WallTime;

use super::area::Area;
use super::block::searchable;
use super::row::Row;
use super::text::{fold, stands_in, words};

/// Longest name of a type (STIX 2.1, section 3.1).
const TYPE_BYTES_MAX: usize = 250;
/// What can be asked for by `field:value`.
const FIELDS: [&str; 10] = [
    "kind",
    "class",
    "tlp",
    "label",
    "since",
    "until",
    "received-since",
    "received-until",
    "near",
    "within",
];
/// Rows of a page, if the query does not say.
const LIMIT_DEFAULT: usize = 50;
/// Most words that one number is written in: a plate, or a telephone number in pairs.
const NUMBER_WORDS_MAX: usize = 8;
/// Longest number, in characters of its bare form.
const NUMBER_CHARS_MAX: usize = 40;

/// What is looked for. An empty set or `None` restricts nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Whole words, folded.
    pub words: Vec<String>,
    /// Numbers that neighbours among them may be: what a record has of one in any writing, it has of them.
    pub numbers: Vec<Number>,
    /// Beginnings of words, folded.
    pub prefixes: Vec<String>,
    /// Texts that occur as they are, folded.
    pub phrases: Vec<String>,
    /// Kinds, by number.
    pub kinds: BTreeSet<u8>,
    /// Types of objects that are no kinds of their own; alternatives to `kinds`.
    pub types: BTreeSet<String>,
    /// Classes, by number.
    pub classes: BTreeSet<u8>,
    /// Colours, by rank.
    pub tlps: BTreeSet<u8>,
    /// Parts of the label's text form, without regard to case: `H2`, `PAP:GREEN`, `purpose=SAR`.
    pub label_parts: Vec<String>,
    /// One compartment.
    pub compartment: Option<CompartmentId>,
    /// When it happened, from and to, in ms.
    pub event_from: Option<u64>,
    /// To this time.
    pub event_to: Option<u64>,
    /// When it came here, from and to, in ms.
    pub received_from: Option<u64>,
    /// To this time.
    pub received_to: Option<u64>,
    /// Where: in all of them.
    pub areas: Vec<Area>,
    /// Only what has a place.
    pub placed: bool,
    /// Only what says when it happened.
    pub timed: bool,
    /// Most rows.
    pub limit: usize,
    /// After this place.
    pub after: Option<Cursor>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            numbers: Vec::new(),
            prefixes: Vec::new(),
            phrases: Vec::new(),
            kinds: BTreeSet::new(),
            types: BTreeSet::new(),
            classes: BTreeSet::new(),
            tlps: BTreeSet::new(),
            label_parts: Vec::new(),
            compartment: None,
            event_from: None,
            event_to: None,
            received_from: None,
            received_to: None,
            areas: Vec::new(),
            placed: false,
            timed: false,
            limit: LIMIT_DEFAULT,
            after: None,
        }
    }
}

/// Neighbouring words of a query that may be one number: `CSQU 305438 3`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Number {
    words: Range<usize>,
    bare: String,
}

/// A place in the index. Opaque to people: it says nothing of what lies between.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor {
    pub(super) block: u64,
    pub(super) slot: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:08x}", self.block, self.slot)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (block, slot) = text.split_at_checked(16).ok_or(())?;
        if slot.len() != 8 {
            return Err(());
        }
        let block = u64::from_str_radix(block, 16).map_err(|_| ())?;
        let slot = u32::from_str_radix(slot, 16).map_err(|_| ())?;
        Ok(Self { block, slot })
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The rows, newest first.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
    /// How many blocks had to be read.
    pub blocks_read: usize,
    /// How many of them cannot be: their rows are missing here.
    pub blocks_lost: usize,
    pub(super) last: Option<Cursor>,
}

/// A query that makes no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseQueryError {
    /// A field that does not exist.
    #[error(
        "there is no field {0:?}; the fields are kind, class, tlp, label, since, until, received-since, received-until, near and within"
    )]
    Field(String),
    /// A value that the field cannot have.
    #[error("{field}:{value} makes no sense; write for example {example}")]
    Value {
        /// The field.
        field: &'static str,
        /// What was written.
        value: String,
        /// What would do.
        example: &'static str,
    },
    /// A quotation without an end.
    #[error("the quotation that begins at character {0} does not end")]
    Quote(usize),
}

impl Query {
    /// Reads a query: `truck diff* "red pick-up" kind:vehicle tlp:amber label:H2 class:flash
    /// since:2026-01-01 until:2026-02-01T12:00:00Z near:13.1,14.5,20km`.
    pub fn parse(text: &str) -> Result<Self, ParseQueryError> {
        let mut query = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let at = text.len() - rest.len();
                let (phrase, tail) = quoted.split_once('"').ok_or(ParseQueryError::Quote(at))?;
                query.phrases.push(fold(phrase));
                rest = tail.trim_start();
                continue;
            }
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (term, tail) = rest.split_at(end);
            query.add(term)?;
            rest = tail.trim_start();
        }
        query.numbers = numbers(&query.words);
        Ok(query)
    }

    fn add(&mut self, term: &str) -> Result<(), ParseQueryError> {
        let known_field = term.split_once(':').filter(|(field, value)| {
            let like_a_field = field.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            // "armed:" is a word; a field without a value is a mistake.
            if value.is_empty() {
                FIELDS.contains(field)
            } else {
                like_a_field && !value.starts_with("//")
            }
        });
        if let Some((field, value)) = known_field {
            return self.add_field(field, value);
        }
        let folded = fold(term);
        if let Some(prefix) = folded.strip_suffix('*') {
            self.prefixes.push(prefix.to_owned());
        } else if folded.contains(char::is_alphanumeric) {
            self.words.push(folded);
        }
        Ok(())
    }

    fn add_field(&mut self, field: &str, value: &str) -> Result<(), ParseQueryError> {
        let bad = |field, example| ParseQueryError::Value { field, value: value.into(), example };
        let time = |field| {
            WallTime::parse(value).map(|time| time.0).ok_or_else(|| bad(field, "since:2026-01-31"))
        };
        match field {
            "kind" if !self.add_kind(value) => return Err(bad("kind", "kind:vehicle")),
            "kind" => {}
            "class" => {
                let class = Class::ALL.into_iter().find(|class| class.name() == value);
                self.classes.insert(class.ok_or_else(|| bad("class", "class:flash"))? as u8);
            }
            "tlp" => {
                let rank = ["clear", "green", "amber", "amber+strict", "red"]
                    .iter()
                    .position(|name| value.eq_ignore_ascii_case(name));
                self.tlps.insert(rank.ok_or_else(|| bad("tlp", "tlp:amber"))? as u8);
            }
            "label" if value.is_empty() => return Err(bad("label", "label:PAP:GREEN")),
            "label" => self.label_parts.push(value.to_owned()),
            "since" => self.event_from = Some(time("since")?),
            "until" => self.event_to = Some(time("until")?),
            "received-since" => self.received_from = Some(time("received-since")?),
            "received-until" => self.received_to = Some(time("received-until")?),
            "near" => {
                const FORM: &str = "near:13.1,14.5,20km (latitude from -90 to 90, longitude from -180 to 180, \
                                    distance)";
                let area = value.parse().ok().filter(|area| matches!(area, Area::Around(..)));
                self.areas.push(area.ok_or_else(|| bad("near", FORM))?);
            }
            "within" => {
                const FORM: &str = "within:14.0,12.5,15.5,13.8 (west, south, east, north; longitude from -180 to \
                                    180, latitude from -90 to 90)";
                let area = value.parse().ok().filter(|area| matches!(area, Area::Box { .. }));
                self.areas.push(area.ok_or_else(|| bad("within", FORM))?);
            }
            other => return Err(ParseQueryError::Field(other.into())),
        }
        Ok(())
    }

    /// Adds a kind, or a type of objects as [`Row::kind_name`] shows it; false for what is neither.
    pub fn add_kind(&mut self, name: &str) -> bool {
        if let Ok(kind) = name.parse::<Kind>() {
            self.kinds.insert(kind as u8);
            return true;
        }
        let is_type =
            (1..=TYPE_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
        if is_type {
            self.types.insert(name.to_owned());
        }
        is_type
    }

    /// Whether a kind may be wanted, of whatever type.
    pub(super) fn may_want(&self, kind: u8) -> bool {
        self.kinds.is_empty() && self.types.is_empty()
            || self.kinds.contains(&kind)
            || !self.types.is_empty() && kind == Kind::Object as u8
    }

    fn wants_kind(&self, row: &Row) -> bool {
        let kind = row.kind as u8;
        self.may_want(kind)
            && (self.types.is_empty()
                || self.kinds.contains(&kind)
                || self.types.contains(row.kind_name()))
    }

    /// Whether what has these words may match: all that its rows have together, or what one has.
    pub(super) fn may_have_words(&self, has: &dyn Fn(&str) -> bool) -> bool {
        self.has_words(
            &|word| word.split(|c: char| !c.is_alphanumeric()).all(|p| p.is_empty() || has(p)),
            has,
        )
    }

    /// Whether each word is there, alone or as a part of a number.
    fn has_words(&self, word: &dyn Fn(&str) -> bool, number: &dyn Fn(&str) -> bool) -> bool {
        let there = |(at, wanted): (usize, &String)| {
            let holds = |one: &&Number| one.words.contains(&at);
            word(wanted) || self.numbers.iter().filter(holds).any(|one| number(&one.bare))
        };
        self.words.iter().enumerate().all(there)
    }

    /// Whether a row is what is looked for.
    #[must_use]
    pub fn matches(&self, row: &Row) -> bool {
        let any = |wanted: &BTreeSet<u8>, n: u8| wanted.is_empty() || wanted.contains(&n);
        let within = |value: Option<u64>, from: Option<u64>, to: Option<u64>| {
            from.is_none() && to.is_none()
                || value.is_some_and(|v| from.is_none_or(|f| f <= v) && to.is_none_or(|t| v <= t))
        };
        self.wants_kind(row)
            && any(&self.classes, row.class as u8)
            && any(&self.tlps, row.tlp)
            && self.label_parts.iter().all(|part| label_has(&row.label, part))
            && self.compartment.is_none_or(|id| id == row.compartment)
            && within(row.event_ms, self.event_from, self.event_to)
            && within(Some(row.received_ms), self.received_from, self.received_to)
            && self.areas.iter().all(|area| row.place.is_some_and(|at| area.holds(at)))
            && (!self.placed || row.place.is_some())
            && (!self.timed || row.event_ms.is_some())
            && self.matches_text(row)
    }

    fn matches_text(&self, row: &Row) -> bool {
        if self.words.is_empty() && self.prefixes.is_empty() && self.phrases.is_empty() {
            return true;
        }
        let text = searchable(row);
        let has = |wanted: &str| stands_in(&text, wanted);
        self.has_words(&has, &has)
            && self.prefixes.iter().all(|p| words(&text).any(|word| word.starts_with(p.as_str())))
            && self.phrases.iter().all(|phrase| text.contains(phrase.as_str()))
    }
}

/// What each word, and some neighbours together, are if they are a number: it has a digit, and is not the
/// word itself.
fn numbers(words: &[String]) -> Vec<Number> {
    let ends = |from: usize| from + 1..=words.len().min(from + NUMBER_WORDS_MAX);
    let runs = (0..words.len()).flat_map(|from| ends(from).map(move |to| from..to));
    runs.filter_map(|run| {
        let written = words.get(run.clone())?;
        let bare = bare(&written.concat());
        let number = bare.contains(|c: char| c.is_ascii_digit())
            && bare.len() <= NUMBER_CHARS_MAX
            && (written.len() > 1 || written.first() != Some(&bare));
        number.then_some(Number { words: run, bare })
    })
    .collect()
}

/// Whether a label's text form has a part; of a list (`purpose=A,B`) one item is asked for.
fn label_has(label: &str, part: &str) -> bool {
    label.split_whitespace().any(|item| {
        let listed = item.split_once('=').zip(part.split_once('=')).is_some_and(
            |((name, items), (wanted_name, wanted))| {
                name.eq_ignore_ascii_case(wanted_name)
                    && items.split(',').any(|item| item.eq_ignore_ascii_case(wanted))
            },
        );
        listed || item.eq_ignore_ascii_case(part)
    })
}

#[cfg(test)]
mod tests {
    use super::super::block::Summary;
    use super::*;

    #[test]
    fn queries_are_read_and_nonsense_is_explained() {
        let query =
            Query::parse("Truck diff* \"Red Pick-up\" kind:vehicle tlp:amber near:13.1,14.5,20km")
                .unwrap();
        assert_eq!(query.words, ["truck"]);
        assert_eq!(query.prefixes, ["diff"]);
        assert_eq!(query.phrases, ["red pick-up"]);
        assert_eq!(query.kinds, BTreeSet::from([Kind::Vehicle as u8]));
        assert!(matches!(Query::parse("colour:red"), Err(ParseQueryError::Field(_))));
        assert!(matches!(
            Query::parse(&format!("kind:{}", "x".repeat(TYPE_BYTES_MAX + 1))),
            Err(ParseQueryError::Value { field: "kind", .. })
        ));
        assert!(matches!(Query::parse("a \"b"), Err(ParseQueryError::Quote(2))));
        assert!(Query::parse("https://example.org/x").unwrap().words.len() == 1);
        assert_eq!(Query::parse("armed: Near:").unwrap().words, ["armed:", "near:"]);
    }

    #[test]
    fn a_field_without_a_sensible_value_is_a_mistake() {
        let terms = FIELDS.map(|field| format!("{field}:"));
        let places =
            ["near:0,0,-1km", "near:0,0", "near:0,0,1,1", "within:0,0,1km", "within:0,1,1,0"];
        for term in terms.into_iter().chain(places.map(ToOwned::to_owned)) {
            let refused = Query::parse(&term);
            assert!(matches!(refused, Err(ParseQueryError::Value { .. })), "{term}: {refused:?}");
        }
        let query = Query::parse("near:0,0,20000km within:0,0,1,1").unwrap();
        let shown: Vec<String> = query.areas.iter().map(Area::term).collect();
        assert_eq!(shown, ["near:0,0,20000km", "within:0,0,1,1"]);
    }

    #[test]
    fn a_type_of_objects_is_asked_for_as_it_is_shown() {
        let object = |id: &str| Row { external_id: Some(id.into()), ..Row::default() };
        let matches = |text: &str, row: &Row| Query::parse(text).unwrap().matches(row);
        let (malware, tool) = (object("malware--1"), object("tool--1"));
        let vehicle = Row { kind: Kind::Vehicle, ..object("malware--2") };
        assert_eq!(malware.kind_name(), "malware");
        for (text, expected) in [
            ("kind:malware", [true, false, false]),
            ("kind:object", [true, true, false]),
            ("kind:vehicle kind:tool", [false, true, true]),
            ("kind:x-unheard-of", [false, false, false]),
        ] {
            let found = [&malware, &tool, &vehicle].map(|row| matches(text, row));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_found_in_any_writing() {
        let row =
            |kind, fields: serde_json::Value| Row::describe(kind, fields.as_object().unwrap());
        let plate = |plate: &str| {
            row(Kind::Vehicle, serde_json::json!({ "plate": plate, "colour": "white" }))
        };
        let vessel =
            row(Kind::Vessel, serde_json::json!({ "imo": "9074729", "mmsi": "636 092 297" }));
        let container =
            |number: &str| row(Kind::Container, serde_json::json!({ "container_number": number }));
        let cases = [
            (
                plate("CT 1234 A"),
                &[
                    "ct1234a",
                    "CT-1234-A",
                    "CT 1234 A",
                    "ct 1234a white",
                    "white CT1234 A",
                    "СТ 1234 А",
                ][..],
            ),
            (plate("СТ1234А"), &["CT 1234 A"]),
            (vessel, &["9074729", "IMO9074729", "IMO 9074729", "636092297", "MMSI 636 09 2297"]),
            (container("CSQU3054383"), &["CSQU 305438 3", "csqu 305438/3", "csqu-3054383"]),
            (container("CSQU 305438-3"), &["CSQU3054383", "305438"]),
        ];
        for (row, queries) in &cases {
            let summary = Summary::of(std::slice::from_ref(row));
            for text in *queries {
                let query = Query::parse(text).unwrap();
                assert!(query.matches(row), "{text} of {}", row.text);
                assert!(summary.may_match(&query), "{text} of {}", row.text);
            }
        }
        for text in ["CT 1234 B", "1234ct", "white A CT1234B", "c t"] {
            assert!(!Query::parse(text).unwrap().matches(&cases[0].0), "{text}");
        }
        // Without a digit words are words.
        let pickup = row(Kind::Vehicle, serde_json::json!({ "description": "pickup" }));
        assert!(!Query::parse("pick up").unwrap().matches(&pickup));
    }

    #[test]
    fn a_cursor_reads_back() {
        let cursor = Cursor { block: 7, slot: 3 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert_eq!("zz".parse::<Cursor>(), Err(()));
    }

    #[test]
    fn a_label_is_found_by_its_parts() {
        let row = Row {
            label: "TLP:AMBER+STRICT PAP:GREEN H2 purpose=BorderOperation,SAR".into(),
            ..Row::default()
        };
        let matches = |text: &str| Query::parse(text).unwrap().matches(&row);
        for part in ["TLP:AMBER+STRICT", "pap:green", "h2", "purpose=sar"] {
            assert!(matches(&format!("label:{part}")), "{part}");
        }
        for part in ["TLP:AMBER", "H3", "purpose=S", "SAR", "grade=SAR"] {
            assert!(!matches(&format!("label:{part}")), "{part}");
        }
    }
}
