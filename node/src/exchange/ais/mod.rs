//! AIS: what ships broadcast of themselves, as receivers write it down (NMEA 0183 sentences, ITU-R
//! M.1371). Each position becomes a sighting; all that a ship says of itself in a file, its vessel.
//!
//! A ship is known by its MMSI and a transmission by what was sent and when it was heard, so that the same
//! feed again changes nothing. The ids that say so are drawn from the compartment's id too: whoever meets
//! one elsewhere cannot try all MMSIs to learn whose it is.
//!
//! AIS is what a ship says. It may lie, and whoever has a transmitter can be any ship.

mod message;
mod sentence;

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;

use serde_json::{Map, Value, json};

use tearline_crdt::hash::sha256;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::time::WallTime;

use message::{Bits, Message, Particulars, Position};
use sentence::Sentence;

use super::stix::uuid;
use super::{Draft, Item, Problem, ReadError, Sink};

/// Longest line, in bytes: a sentence has 82, with a tag block and what receivers add about 250.
const LINE_BYTES_MAX: usize = 1_024;
/// Most messages of which pieces wait for others. A receiver numbers them from 0 to 9 on two channels.
const GROUPS_MAX: usize = 64;
/// Lines within which the pieces of a message come.
const GROUP_LINES_MAX: u64 = 1_000;
/// Most vessels whose particulars are gathered before they are handed out.
const VESSELS_MAX: usize = 10_000;
/// Lines of a file without any good one after which it is no feed.
const STRANGE_LINES_MAX: u64 = 100;

/// Metres per second of a knot.
const KNOT: f64 = 1_852.0 / 3_600.0;

/// Reads a feed. `realm` is what the ids of its ships and sightings are drawn from besides themselves.
pub fn read(reader: impl Read, realm: &[u8], sink: &mut Sink<'_>) -> Result<(), ReadError> {
    let mut feed = Feed { realm, sink, groups: VecDeque::new(), vessels: BTreeMap::new() };
    let mut lines = BufReader::new(reader);
    let mut buffer = Vec::new();
    let (mut number, mut good) = (0, false);
    loop {
        buffer.clear();
        if (&mut lines).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut buffer)? == 0 {
            break;
        }
        number += 1;
        let whole = buffer.ends_with(b"\n") || buffer.len() < LINE_BYTES_MAX;
        if !whole {
            skip_line(&mut lines)?;
        }
        let flow = match std::str::from_utf8(&buffer) {
            _ if !whole => feed.bad(number, format!("it has over {LINE_BYTES_MAX} bytes")),
            Err(_) => feed.bad(number, "it is no text".into()),
            Ok(line) => match sentence::read(line) {
                Ok(Some(sentence)) => {
                    good = true;
                    feed.take(number, &sentence)
                }
                Ok(None) => ControlFlow::Continue(()),
                Err(reason) => feed.bad(number, reason),
            },
        };
        if flow.is_break() {
            return Ok(());
        }
        if !good && number >= STRANGE_LINES_MAX {
            break;
        }
    }
    if !good {
        return Err(ReadError::Shape {
            expected: "AIS feed",
            hint: "expected NMEA 0183 sentences such as !AIVDM,1,1,,A,...,0*5C, one a line",
        });
    }
    let _ = feed.end();
    Ok(())
}

fn skip_line(lines: &mut impl BufRead) -> Result<(), ReadError> {
    loop {
        let held = lines.fill_buf()?;
        let end = held.iter().position(|byte| *byte == b'\n');
        let (used, done) = end.map_or((held.len(), held.is_empty()), |at| (at + 1, true));
        lines.consume(used);
        if done {
            return Ok(());
        }
    }
}

/// A feed that is being read.
struct Feed<'a, 's> {
    realm: &'a [u8],
    sink: &'a mut Sink<'s>,
    /// Messages of which pieces are missing, the oldest first.
    groups: VecDeque<Group>,
    /// What each ship has said of itself, by its MMSI, and in which line last.
    vessels: BTreeMap<u32, (u64, Map<String, Value>)>,
}

/// A message of which pieces are missing.
struct Group {
    name: [String; 3],
    /// Each piece, as far as it is here.
    pieces: Vec<Option<String>>,
    fill: usize,
    line: u64,
    heard_ms: Option<u64>,
}

impl Feed<'_, '_> {
    fn bad(&mut self, line: u64, reason: String) -> ControlFlow<()> {
        (self.sink)(Item::Bad(Problem { place: place(line), reason }))
    }

    /// Takes a piece; reads its message once all are here.
    fn take(&mut self, line: u64, sentence: &Sentence<'_>) -> ControlFlow<()> {
        let Sentence { piece, pieces, payload, .. } = *sentence;
        if pieces == 1 {
            return self.message(line, &[payload], sentence.fill, sentence.heard_ms);
        }
        while let Some(old) = self.groups.front()
            && line - old.line > GROUP_LINES_MAX
        {
            self.give_up(0)?;
        }
        let same = |group: &Group| group.name == sentence.group && group.pieces.len() == pieces;
        let mut at = self.groups.iter().position(same);
        let taken = |group: &Group| group.pieces.get(piece - 1).is_none_or(Option::is_some);
        if let Some(repeated) = at.filter(|at| self.groups.get(*at).is_some_and(taken)) {
            // The next message of this number has begun.
            self.give_up(repeated)?;
            at = None;
        }
        if at.is_none() {
            if self.groups.len() >= GROUPS_MAX {
                self.give_up(0)?;
            }
            let name = sentence.group.map(str::to_owned);
            let (pieces, heard_ms) = (vec![None; pieces], sentence.heard_ms);
            self.groups.push_back(Group { name, pieces, fill: 0, line, heard_ms });
        }
        let at = at.unwrap_or(self.groups.len() - 1);
        let Some(group) = self.groups.get_mut(at) else { return ControlFlow::Continue(()) };
        if let Some(place) = group.pieces.get_mut(piece - 1) {
            *place = Some(payload.to_owned());
        }
        if piece == pieces {
            group.fill = sentence.fill;
        }
        group.heard_ms = group.heard_ms.or(sentence.heard_ms);
        if group.pieces.iter().any(Option::is_none) {
            return ControlFlow::Continue(());
        }
        let Some(group) = self.groups.remove(at) else { return ControlFlow::Continue(()) };
        let all: Vec<&str> = group.pieces.iter().flatten().map(String::as_str).collect();
        self.message(group.line, &all, group.fill, group.heard_ms)
    }

    /// Says which piece of a message never came.
    fn give_up(&mut self, at: usize) -> ControlFlow<()> {
        let Some(group) = self.groups.remove(at) else { return ControlFlow::Continue(()) };
        let missing = group.pieces.iter().zip(1..).find(|(piece, _)| piece.is_none());
        let (number, of) = (missing.map_or(0, |(_, number)| number), group.pieces.len());
        self.bad(group.line, format!("piece {number} of {of} of its message is missing"))
    }

    fn message(
        &mut self,
        line: u64,
        pieces: &[&str],
        fill: usize,
        heard_ms: Option<u64>,
    ) -> ControlFlow<()> {
        let message = match message::read(&Bits::of(pieces.iter().copied(), fill)) {
            Ok(Some(message)) => message,
            Ok(None) => return (self.sink)(Item::PassedOver),
            Err(reason) => return self.bad(line, reason),
        };
        self.note_vessel(line, &message)?;
        let Some(fields) = message.position.as_ref().and_then(sighting) else {
            return ControlFlow::Continue(());
        };
        let heard = heard_ms.map(|ms| WallTime(ms).to_string());
        let mut fields = fields;
        let sent = [&[b"sighting\0", heard.as_deref().unwrap_or_default().as_bytes(), b"\0"][..]]
            .concat()
            .concat();
        let sent = [&sent[..], pieces.concat().as_bytes()].concat();
        fields.insert("id".into(), format!("sighting--{}", self.uuid(&sent)).into());
        fields.insert("sighting_of_ref".into(), self.vessel_id(message.mmsi).into());
        if let Some(heard) = heard {
            fields.insert("first_seen".into(), heard.clone().into());
            fields.insert("last_seen".into(), heard.into());
        }
        self.draft(line, Kind::Sighting, fields)
    }

    /// Gathers what a ship says of itself.
    fn note_vessel(&mut self, line: u64, message: &Message) -> ControlFlow<()> {
        if self.vessels.len() >= VESSELS_MAX && !self.vessels.contains_key(&message.mmsi) {
            self.hand_out_vessels()?;
        }
        let mother = message.particulars.as_ref().and_then(|particulars| particulars.mother);
        let mother = mother.map(|mmsi| self.vessel_id(mmsi));
        let (last, said) = self.vessels.entry(message.mmsi).or_default();
        *last = line;
        if let Some(particulars) = &message.particulars {
            said.extend(of_particulars(particulars));
        }
        said.extend(mother.map(|id| ("mother_ship_ref".to_owned(), id.into())));
        ControlFlow::Continue(())
    }

    fn hand_out_vessels(&mut self) -> ControlFlow<()> {
        for (mmsi, (line, mut fields)) in std::mem::take(&mut self.vessels) {
            fields.insert("id".into(), self.vessel_id(mmsi).into());
            fields.insert("mmsi".into(), format!("{mmsi:09}").into());
            self.draft(line, Kind::Vessel, fields)?;
        }
        ControlFlow::Continue(())
    }

    fn end(&mut self) -> ControlFlow<()> {
        while !self.groups.is_empty() {
            self.give_up(0)?;
        }
        self.hand_out_vessels()
    }

    fn draft(&mut self, line: u64, kind: Kind, fields: Map<String, Value>) -> ControlFlow<()> {
        // A feed says of a ship what was heard while it was written, and not all that there is.
        (self.sink)(Item::Draft(Draft {
            kind,
            fields,
            marking: None,
            place: place(line),
            partial: true,
        }))
    }

    fn vessel_id(&self, mmsi: u32) -> String {
        format!("vessel--{}", self.uuid(&[b"vessel\0", &mmsi.to_be_bytes()[..]].concat()))
    }

    fn uuid(&self, what: &[u8]) -> String {
        let digest = sha256(&[b"tearline ais 1\0", self.realm, what].concat());
        let mut id = [0; 16];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        uuid(id)
    }
}

fn place(line: u64) -> String {
    format!("line {line}")
}

/// A position as properties of a sighting; `None` without a place.
fn sighting(position: &Position) -> Option<Map<String, Value>> {
    let (latitude, longitude) = position.place?;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        fields.extend(value.map(|value| (name.to_owned(), value)));
    };
    put("latitude", Some(latitude.into()));
    put("longitude", Some(longitude.into()));
    put("precision", position.accurate.then(|| ACCURATE_M.into()));
    let speed = position.speed_knots.map(|knots| (knots * KNOT * 100.0).round() / 100.0);
    put("speed_m_s", speed.map(Value::from));
    put("course", position.course.map(Value::from));
    put("heading", position.heading.map(Value::from));
    let status = position.status.and_then(message::status_words);
    put("navigational_status", status.map(Value::from));
    put("method", Some(json!("AIS")));
    Some(fields)
}

/// What an accurate position is right to, in metres.
const ACCURATE_M: f64 = 10.0;

/// What a ship says of itself, as properties of a vessel.
fn of_particulars(said: &Particulars) -> impl Iterator<Item = (String, Value)> {
    let Particulars { imo, call_sign, name, ship_type, length_m, draught_dm, destination, .. } =
        said;
    let draught = draught_dm.map(|tenths| f64::from(tenths) / 10.0);
    [
        ("imo", imo.map(|number| format!("{number:07}").into())),
        ("call_sign", call_sign.clone().map(Value::from)),
        ("name", name.clone().map(Value::from)),
        ("vessel_type", ship_type.and_then(message::type_words).map(Value::from)),
        ("length_m", length_m.map(|length| f64::from(length).into())),
        ("draught_m", draught.map(Value::from)),
        ("destination", destination.clone().map(Value::from)),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)))
}

#[cfg(test)]
mod tests {
    use super::message::tests::{armoured, letters};
    use super::*;
    use crate::exchange::faults;
    use proptest::prelude::*;
    use std::path::Path;

    fn all(text: &[u8]) -> Result<Vec<Item>, ReadError> {
        let mut items = Vec::new();
        read(text, b"realm", &mut |item| {
            items.push(item);
            ControlFlow::Continue(())
        })?;
        Ok(items)
    }

    /// The sentences of a message, `size` characters in each.
    fn sentences(fields: &[(i64, usize)], sequence: &str, size: usize) -> Vec<String> {
        let (payload, fill) = armoured(fields);
        let pieces: Vec<&[u8]> = payload.as_bytes().chunks(size).collect();
        let sentence = |(piece, at): (&&[u8], usize)| {
            let (piece, of) = (String::from_utf8_lossy(piece), pieces.len());
            let fill = if at == of { fill } else { 0 };
            let body = format!("AIVDM,{of},{at},{sequence},A,{piece},{fill}");
            format!("!{body}*{:02X}", body.bytes().fold(0, |sum, byte| sum ^ byte))
        };
        pieces.iter().zip(1..).map(sentence).collect()
    }

    fn position(mmsi: i64, latitude: i64) -> String {
        let fields = [
            (1, 6),
            (0, 2),
            (mmsi, 30),
            (5, 4),
            (0, 8),
            (100, 10),
            (1, 1),
            (1_200_000, 28),
            (latitude, 27),
            (900, 12),
            (91, 9),
            (10, 6),
            (0, 25),
        ];
        sentences(&fields, "", 60).concat()
    }

    fn particulars(name: &str) -> Vec<String> {
        let head = [(5, 6), (0, 2), (636_092_297, 30), (0, 2), (9_074_729, 30)];
        let tail = [
            (70, 8),
            (100, 9),
            (50, 9),
            (10, 6),
            (12, 6),
            (1, 4),
            (5, 4),
            (14, 5),
            (12, 5),
            (0, 6),
            (75, 8),
        ];
        let all = [
            &head[..],
            &letters("D5AB2", 7),
            &letters(name, 20),
            &tail,
            &letters("COTONOU", 20),
            &[(0, 2)],
        ];
        sentences(&all.concat(), "3", 56)
    }

    fn drafts(items: &[Item]) -> Vec<&Draft> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Draft(draft) => Some(draft),
                _ => None,
            })
            .collect()
    }

    fn problems(items: &[Item]) -> Vec<String> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Bad(problem) => Some(format!("{}: {}", problem.place, problem.reason)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_feed_becomes_vessels_and_sightings() {
        let said = particulars("EVER TEST");
        assert_eq!(said.len(), 2);
        let tag = "c:1767225600";
        let tagged = format!(
            "\\{tag}*{:02X}\\{}",
            tag.bytes().fold(0, |sum, byte| sum ^ byte),
            position(636_092_297, 3_600_000)
        );
        let base = sentences(&[(4, 6), (0, 162)], "", 60).concat();
        // The pieces of a message come in any order, with others between them.
        let feed =
            [&said[1], &tagged, &base, "# remark", &said[0], &position(1_234, 0)].join("\r\n");
        let items = all(feed.as_bytes()).unwrap();
        assert_eq!(problems(&items), [""; 0]);
        assert_eq!(items.iter().filter(|item| **item == Item::PassedOver).count(), 1);
        let drafts = drafts(&items);
        let kinds: Vec<Kind> = drafts.iter().map(|draft| draft.kind).collect();
        assert_eq!(kinds, [Kind::Sighting, Kind::Sighting, Kind::Vessel, Kind::Vessel]);
        for draft in &drafts {
            assert_eq!(faults(draft.kind, &draft.fields), [], "{draft:?}");
        }
        let mut vessel = drafts[3].fields.clone();
        let mut seen = drafts[0].fields.clone();
        assert_eq!(seen.remove("sighting_of_ref"), vessel.remove("id"));
        assert!(seen.remove("id").is_some());
        assert_eq!(
            Value::Object(vessel),
            json!({ "mmsi": "636092297", "imo": "9074729", "name": "EVER TEST", "call_sign": "D5AB2",
                "vessel_type": "cargo", "length_m": 150.0, "draught_m": 7.5, "destination": "COTONOU" })
        );
        assert_eq!(
            Value::Object(seen),
            json!({ "latitude": 6.0, "longitude": 2.0, "precision": 10.0, "speed_m_s": 5.14, "course": 90.0,
                "heading": 91.0, "navigational_status": "moored", "method": "AIS",
                "first_seen": "2026-01-01T00:00:00.000Z", "last_seen": "2026-01-01T00:00:00.000Z" })
        );
        assert_eq!(drafts[2].fields["mmsi"], "000001234");

        // The same again has the same ids, and another realm others.
        assert_eq!(all(feed.as_bytes()).unwrap(), items);
        let mut elsewhere = Vec::new();
        read(feed.as_bytes(), b"other", &mut |item| {
            elsewhere.push(item);
            ControlFlow::Continue(())
        })
        .unwrap();
        let ids = |items: &[Item]| -> Vec<Value> {
            self::drafts(items).iter().map(|draft| draft.fields["id"].clone()).collect()
        };
        assert!(ids(&items).iter().all(|id| !ids(&elsewhere).contains(id)));
    }

    #[test]
    fn what_is_bad_is_named_and_the_rest_goes_in() {
        let said = particulars("EVER TEST");
        let whole = position(636_092_297, 3_600_000);
        let feed = [
            whole.replace('*', "*0"),
            "x".repeat(5_000),
            said[0].clone(),
            said[0].clone(),
            said[1].clone(),
            whole,
            said[1].clone(),
        ];
        let feed = [feed.join("\n").as_bytes(), b"\n\xff\xfe\n"].concat();
        let items = all(&feed).unwrap();
        let named = problems(&items);
        let expected = [
            "line 1: the checksum of its sentence is no",
            "line 2: it has over 1024 bytes",
            "line 3: piece 2 of 2 of its message is missing",
            "line 8: it is no text",
            "line 7: piece 1 of 2 of its message is missing",
        ];
        assert_eq!(named.len(), expected.len(), "{named:?}");
        for (named, expected) in named.iter().zip(expected) {
            assert!(named.starts_with(expected), "{named} is not {expected}");
        }
        assert_eq!(drafts(&items).len(), 2);
        for strange in ["", "hello\n", &"hello\n".repeat(200), "{\"type\":\"bundle\"}"] {
            assert!(matches!(all(strange.as_bytes()), Err(ReadError::Shape { .. })), "{strange}");
        }
    }

    #[test]
    fn pieces_that_never_become_a_message_have_a_bound() {
        let mut feed = String::new();
        for n in 0..1_000 {
            feed += &particulars("EVER TEST")[0]
                .replace("!AIVDM,2,1,3,A", &format!("!AIVDM,2,1,{n},A"));
            feed.push('\n');
        }
        let fixed: String = feed
            .lines()
            .map(|line| {
                let body = line[1..].split('*').next().unwrap_or_default();
                format!("!{body}*{:02X}\n", body.bytes().fold(0, |sum, byte| sum ^ byte))
            })
            .collect();
        let mut named = 0;
        let mut first_at = None;
        let mut lines = 0;
        read(fixed.as_bytes(), b"", &mut |item| {
            if let Item::Bad(problem) = item {
                first_at.get_or_insert(problem.place);
                named += 1;
            }
            lines += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((named, first_at.as_deref()), (1_000, Some("line 1")));
    }

    #[test]
    fn a_receivers_file_goes_in_whole() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../shared/data/ais/nmea_data_sample.txt");
        let Ok(text) = std::fs::read(&file) else {
            eprintln!("SKIPPED: no {}", file.display());
            return;
        };
        let items = all(&text).unwrap();
        let lines =
            text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"!AIVDM")).count();
        let named = problems(&items);
        assert!(
            named.iter().all(|problem| problem.ends_with("of its message is missing")),
            "{named:?}"
        );
        assert!(named.len() < lines / 20, "{named:?}");
        let drafts = drafts(&items);
        let of = |kind| drafts.iter().filter(|draft| draft.kind == kind).count();
        assert!(
            of(Kind::Sighting) > lines / 2 && of(Kind::Vessel) > 0,
            "{} of {lines}",
            drafts.len()
        );
        for draft in drafts {
            assert_eq!(faults(draft.kind, &draft.fields), []);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_feed_makes_the_reader_panic(
            payload in "[0-W`-w]{0,90}", fill in 0..7_usize, of in 0..4_usize, at in 0..4_usize,
            noise in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let body = format!("AIVDM,{of},{at},1,A,{payload},{fill}");
            let line = format!("!{body}*{:02X}\n", body.bytes().fold(0, |sum, byte| sum ^ byte));
            for feed in [line.as_bytes().to_vec(), [line.as_bytes(), &noise, line.as_bytes()].concat(), noise.clone()] {
                if let Ok(items) = all(&feed) {
                    for draft in drafts(&items) {
                        prop_assert_eq!(faults(draft.kind, &draft.fields), []);
                    }
                }
            }
        }
    }
}
