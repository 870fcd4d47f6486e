//! Cursor on Target (MITRE MTR 060017, 2006), as TAK programs send it: events in XML, one after the other, each of which
//! says of something what it is, where, and until when. One that has a place becomes a sighting.
//!
//! An event is known by its `uid` and its time, so that the same one again changes nothing. The ids that say so are drawn
//! from the compartment's id too. What an event says of whose side somebody is on is kept as it came, and becomes nobody's
//! kind: it is whoever drew the map who says so.

use std::io::Read;

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Value};

use tearline_crdt::hash::sha256;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::label::Label;
use tearline_crdt::time::WallTime;

use super::stix::uuid;
use super::{Draft, Item, Problem, ReadError, Sink, clip};

/// How what came from a map says that it was seen.
pub(crate) const METHOD: &str = "CoT";
/// Largest event: its largest datagram.
pub(crate) const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Most elements and texts of an event.
const NODES_MAX: u32 = 2_000;
/// Most declarations of namespaces, and most attributes.
const NAMESPACES_MAX: usize = 16;
const ATTRIBUTES_MAX: usize = 2_000;
/// Longest name of a thing, in bytes.
const UID_BYTES_MAX: usize = 256;
/// What stands for a radius of uncertainty that is not known, in metres, and for more.
const UNKNOWN_M: f64 = 9_999_999.0;
const END: &[u8] = b"</event>";

/// Reads events, one after the other. `realm` is what the ids of sightings are drawn from besides the events.
pub fn read(mut reader: impl Read, realm: &[u8], sink: &mut Sink<'_>) -> Result<(), ReadError> {
    let (mut cutter, mut buffer, mut number) = (Cutter::default(), vec![0; 16 * 1024], 0_u64);
    loop {
        let count = reader.read(&mut buffer)?;
        cutter.take(buffer.get(..count).unwrap_or_default());
        while let Some(text) = cutter.cut().map_err(|TooLong| ReadError::Shape {
            expected: "file of events",
            hint: "an event has over 64 KiB, or never ends",
        })? {
            number += 1;
            if sink(item(number, &text, realm)).is_break() {
                return Ok(());
            }
        }
        if count == 0 {
            break;
        }
    }
    if cutter.is_empty() && number > 0 {
        return Ok(());
    }
    let hint = "expected <event version=\"2.0\" ...>...</event>, as often as you like";
    Err(ReadError::Shape { expected: "file of events, or it breaks off", hint })
}

fn item(number: u64, text: &str, realm: &[u8]) -> Item {
    let place = format!("event {number}");
    match Event::read(text) {
        Ok(Some(event)) => Item::Draft(Draft {
            kind: Kind::Sighting,
            marking: event.marking,
            place: format!("{place} ({})", clip(&event.uid)),
            fields: with_id(event.fields, realm, &event.uid, event.at),
            partial: false,
        }),
        Ok(None) => Item::PassedOver,
        Err(reason) => Item::Bad(Problem { place, reason }),
    }
}

fn with_id(
    mut fields: Map<String, Value>,
    realm: &[u8],
    uid: &str,
    at: WallTime,
) -> Map<String, Value> {
    let told = [b"tearline cot 1\0", realm, uid.as_bytes(), b"\0", &at.0.to_be_bytes()].concat();
    let digest = sha256(&told);
    let id = uuid(std::array::from_fn(|n| digest.get(n).copied().unwrap_or_default()));
    fields.insert("id".into(), format!("sighting--{id}").into());
    fields
}

/// An event that says where something was.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// The thing's name among programs.
    pub(crate) uid: String,
    /// When it was there.
    at: WallTime,
    /// The label that its remarks begin with, if they do.
    marking: Option<String>,
    fields: Map<String, Value>,
}

impl Event {
    /// Reads an event; `None` for one that is no picture: a chat, a task, a sign of life, or without a place.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, String> {
        // Each takes time with each of the others.
        let namespaces = text.matches("xmlns").count();
        if namespaces > NAMESPACES_MAX || text.matches('=').count() > ATTRIBUTES_MAX {
            return Err("it has too many namespaces or attributes".into());
        }
        let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options)
            .map_err(|error| format!("it is no XML to read: {error}"))?;
        let event = document.root_element();
        if !event.has_tag_name("event") {
            return Err("it is no event".into());
        }
        let said = |name: &str| event.attribute(name).unwrap_or_default();
        let (uid, kind) = (said("uid"), said("type"));
        if uid.is_empty() || uid.len() > UID_BYTES_MAX {
            return Err(format!("its uid is not 1 to {UID_BYTES_MAX} bytes long"));
        }
        if !PICTURES.iter().any(|prefix| kind.starts_with(prefix)) {
            return Ok(None);
        }
        let at = WallTime::parse(said("start")).or_else(|| WallTime::parse(said("time")));
        let at = at.ok_or("its start and its time are none; write 2026-01-02T10:00:00.000Z")?;
        let point = child(event, "point").ok_or("it has no point")?;
        let number = |node: Node<'_, '_>, name: &str| {
            node.attribute(name).and_then(|text| text.trim().parse::<f64>().ok())
        };
        let place = number(point, "lat").zip(number(point, "lon"));
        let (latitude, longitude) = place.ok_or("its point has no lat and lon in degrees")?;
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return Err("its point is not on the globe".into());
        }
        let radius = number(point, "ce").filter(|ce| (0.0..UNKNOWN_M).contains(ce));
        if (latitude, longitude, radius) == (0.0, 0.0, None) {
            // So those say it who do not know where they are.
            return Ok(None);
        }
        let detail = child(event, "detail");
        let part = |name: &str| detail.and_then(|detail| child(detail, name));
        let callsign = part("contact").and_then(|contact| contact.attribute("callsign"));
        let remarks = part("remarks").and_then(|remarks| remarks.text()).map(str::trim);
        let described: Vec<&str> =
            [callsign, remarks].into_iter().flatten().filter(|text| !text.is_empty()).collect();
        let described = if described.is_empty() { kind.to_owned() } else { described.join(": ") };
        let track = |name: &str, most: f64| {
            let track = part("track").and_then(|track| number(track, name));
            track.filter(|value| (0.0..=most).contains(value))
        };
        let fields = [
            ("description", Some(Value::from(described))),
            ("latitude", Some(latitude.into())),
            ("longitude", Some(longitude.into())),
            ("precision", radius.map(Value::from)),
            ("speed_m_s", track("speed", 3_000.0).map(Value::from)),
            ("course", track("course", 360.0).map(Value::from)),
            ("first_seen", Some(at.to_string().into())),
            ("last_seen", Some(at.to_string().into())),
            ("method", Some(METHOD.into())),
            ("x_cot_uid", Some(uid.into())),
            ("x_cot_type", Some(kind.into())),
            ("x_cot_how", Some(said("how")).filter(|how| !how.is_empty()).map(Value::from)),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let marking = remarks.and_then(marking);
        Ok(Some(Self { uid: uid.to_owned(), at, marking, fields: fields.collect() }))
    }
}

/// What a picture consists of: things, what others drew as points, and emergencies.
const PICTURES: [&str; 3] = ["a-", "b-m-p", "b-a"];

fn child<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// The label that remarks begin with, as ours do.
fn marking(remarks: &str) -> Option<String> {
    let word = remarks.split_whitespace().next().filter(|word| word.starts_with("TLP:"))?;
    word.parse::<Label>().ok().map(|_| word.to_owned())
}

/// Cuts what comes over a line into events.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    held: Vec<u8>,
    /// How far there is no end of an event.
    looked: usize,
}

/// An event is larger than any may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an event has over {EVENT_BYTES_MAX} bytes, or never ends")]
pub(crate) struct TooLong;

impl Cutter {
    /// Takes what came. What comes at once is to be cut at once: [`Cutter::cut`] until there is none.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next event that is here whole.
    pub(crate) fn cut(&mut self) -> Result<Option<String>, TooLong> {
        let from = self.looked.saturating_sub(END.len());
        let rest = self.held.get(from..).unwrap_or_default();
        let Some(at) = rest.windows(END.len()).position(|window| window == END) else {
            self.looked = self.held.len();
            return if self.held.len() > EVENT_BYTES_MAX { Err(TooLong) } else { Ok(None) };
        };
        let end = from + at + END.len();
        let event: Vec<u8> = self.held.drain(..end).collect();
        self.looked = 0;
        if event.len() > EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        // Some begin each event as a document of its own.
        let begin = event.windows(6).position(|window| window == b"<event").unwrap_or(0);
        let event = String::from_utf8_lossy(event.get(begin..).unwrap_or_default()).into_owned();
        // What is no UTF-8 becomes longer.
        if event.len() > EVENT_BYTES_MAX { Err(TooLong) } else { Ok(Some(event)) }
    }

    /// Whether nothing but blanks waits for its end.
    fn is_empty(&self) -> bool {
        self.held.iter().all(u8::is_ascii_whitespace)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::exchange::faults;

    const HEAD: &str = "<?xml version=\"1.0\"?>\n<event version=\"2.0\" uid=\"ANDROID-1\" how=\"m-g\" \
                        time=\"2026-01-02T10:00:00.000Z\" start=\"2026-01-02T10:00:00.000Z\" \
                        stale=\"2026-01-02T10:05:00.000Z\"";

    fn text(kind: &str, point: &str, detail: &str) -> String {
        format!("{HEAD} type=\"{kind}\"><point {point}/><detail>{detail}</detail></event>")
    }

    fn all(text: &[u8]) -> Result<Vec<Item>, ReadError> {
        let mut items = Vec::new();
        read(text, b"realm", &mut |item| {
            items.push(item);
            ControlFlow::Continue(())
        })?;
        Ok(items)
    }

    #[test]
    fn an_event_with_a_place_is_a_sighting() {
        let one = text(
            "a-f-G-U-C",
            "lat=\"13.1\" lon=\"14.5\" hae=\"9999999.0\" ce=\"12.5\" le=\"9999999.0\"",
            "<contact callsign=\"KILO &amp; 2\"/><remarks>TLP:AMBER at the ford</remarks>\
             <track speed=\"1.5\" course=\"361\"/>",
        );
        let items = all(format!("{one}\n{one}").as_bytes()).unwrap();
        let [Item::Draft(draft), Item::Draft(again)] = items.as_slice() else {
            panic!("{items:?}")
        };
        assert_eq!((&draft.fields, draft.marking.as_deref()), (&again.fields, Some("TLP:AMBER")));
        assert_eq!(faults(draft.kind, &draft.fields), []);
        let id = draft.fields["id"].as_str().unwrap_or_default().to_owned();
        assert!(super::super::stix::is_id("sighting", &id), "{id}");
        let mut fields = draft.fields.clone();
        fields.remove("id");
        assert_eq!(
            Value::Object(fields),
            json!({
                "description": "KILO & 2: TLP:AMBER at the ford", "latitude": 13.1, "longitude": 14.5,
                "precision": 12.5, "speed_m_s": 1.5, "first_seen": "2026-01-02T10:00:00.000Z",
                "last_seen": "2026-01-02T10:00:00.000Z", "method": "CoT", "x_cot_uid": "ANDROID-1",
                "x_cot_type": "a-f-G-U-C", "x_cot_how": "m-g",
            })
        );
        let mut elsewhere = Vec::new();
        read(one.as_bytes(), b"other", &mut |item| {
            elsewhere.push(item);
            ControlFlow::Continue(())
        })
        .unwrap();
        let [Item::Draft(other)] = elsewhere.as_slice() else { panic!("{elsewhere:?}") };
        assert_ne!(other.fields["id"], draft.fields["id"]);
    }

    #[test]
    fn what_is_no_picture_is_passed_over_and_what_is_wrong_is_named() {
        let nowhere = "lat=\"0.0\" lon=\"0\" ce=\"9999999.0\"";
        for (kind, point) in [
            ("t-x-c-t", "lat=\"1\" lon=\"1\""),
            ("b-t-f", "lat=\"1\" lon=\"1\""),
            ("a-f-G", nowhere),
        ] {
            assert_eq!(Event::read(&text(kind, point, "")).unwrap(), None, "{kind}");
        }
        for (point, detail) in [
            ("lat=\"91\" lon=\"1\"", ""),
            ("lat=\"NaN\" lon=\"1\"", ""),
            ("lon=\"1\"", ""),
            ("lat=\"1\" lon=\"1\"", "<unended>"),
            ("lat=\"1\" lon=\"1\"", "&unknown;"),
        ] {
            assert!(Event::read(&text("a-f-G", point, detail)).is_err(), "{point} {detail}");
        }
        // A bomb of entities, a tower of elements, and what is not an event.
        let bomb =
            "<!DOCTYPE event [<!ENTITY a \"aaaa\">]><event uid=\"a\" type=\"a-f\">&a;</event>";
        assert!(Event::read(bomb).is_err());
        assert!(Event::read(&text("a-f", "lat=\"1\" lon=\"1\"", &"<a>".repeat(20_000))).is_err());
        assert!(Event::read(&text("a-f", "lat=\"1\" lon=\"1\"", &"<a/>".repeat(9_000))).is_err());
        let spaces: String = (0..20).map(|n| format!(" xmlns:a{n}='b'")).collect();
        assert!(
            Event::read(&text("a-f", "lat=\"1\" lon=\"1\"", &format!("<a{spaces}/>"))).is_err()
        );
        assert!(Event::read("<a/>").is_err() && Event::read("").is_err());
    }

    #[test]
    fn events_are_cut_wherever_they_break_and_have_a_bound() {
        let one = text("a-f-G", "lat=\"1\" lon=\"1\"", "");
        let both = format!("{one}{one}  ");
        for size in [1, 7, 64, both.len()] {
            let (mut cutter, mut cut) = (Cutter::default(), 0);
            for piece in both.as_bytes().chunks(size) {
                cutter.take(piece);
                while let Some(event) = cutter.cut().unwrap() {
                    assert!(one.ends_with(&event) && event.starts_with("<event"), "{event}");
                    cut += 1;
                }
            }
            assert_eq!((cut, cutter.is_empty()), (2, true), "{size}");
        }
        let mut cutter = Cutter::default();
        cutter.take(&vec![b'a'; EVENT_BYTES_MAX + 1]);
        assert_eq!(cutter.cut(), Err(TooLong));
        let mut cutter = Cutter::default();
        let garbage = [vec![0xff; EVENT_BYTES_MAX / 2], b"</event>".to_vec()].concat();
        cutter.take(&garbage);
        assert_eq!(cutter.cut(), Err(TooLong));
        let long = text("a-f-G", "lat=\"1\" lon=\"1\"", &"a".repeat(EVENT_BYTES_MAX));
        assert!(all(long.as_bytes()).is_err());
        assert!(all(one.strip_suffix("</event>").unwrap().as_bytes()).is_err());
        assert!(all(b"").is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..200) {
            let mut damaged = text("a-f-G", "lat=\"1\" lon=\"1\"", "<remarks>TLP:RED</remarks>").into_bytes();
            let at = at.min(damaged.len());
            damaged.splice(at..at, bytes.clone());
            let _ = all(&damaged);
            let _ = all(&bytes);
        }
    }
}
