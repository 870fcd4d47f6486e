//! Messages: what ships say of themselves (ITU-R M.1371-5, annex 8): positions, names, sizes, numbers.
//! A value that says "not available" is absent.

/// The bits of a message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Bits {
    sixes: Vec<u8>,
    len: usize,
}

impl Bits {
    /// The bits of the pieces of a message, the last of which has `fill` bits at its end that say nothing.
    pub(super) fn of<'a>(pieces: impl Iterator<Item = &'a str>, fill: usize) -> Self {
        let sixes: Vec<u8> = pieces.flat_map(str::bytes).filter_map(Self::of_character).collect();
        let len = (sixes.len() * 6).saturating_sub(fill);
        Self { sixes, len }
    }

    /// The six bits that a character stands for.
    pub(super) const fn of_character(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'W' => Some(byte - b'0'),
            b'`'..=b'w' => Some(byte - b'`' + 40),
            _ => None,
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// A number of at most 32 bits; bits that are not there are 0.
    fn number(&self, from: usize, count: usize) -> u32 {
        (from..from + count).fold(0, |number, at| {
            let six = self.sixes.get(at / 6).copied().unwrap_or_default();
            number << 1 | u32::from(at < self.len && six & (32 >> (at % 6)) != 0)
        })
    }

    /// A number in two's complement.
    fn signed(&self, from: usize, count: usize) -> i32 {
        let unused = 32 - count;
        (self.number(from, count) << unused).cast_signed() >> unused
    }

    /// A text of six-bit characters, up to the first `@`; `None` if it is blank.
    fn text(&self, from: usize, characters: usize) -> Option<String> {
        let text: String = (0..characters)
            .map(|n| self.number(from + 6 * n, 6) as u8)
            .map(|six| char::from(if six < 32 { six + 64 } else { six }))
            .take_while(|c| *c != '@')
            .collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// Its type, 1 to 27.
    pub(super) kind: u8,
    /// Who sent it.
    pub(super) mmsi: u32,
    /// Where that was.
    pub(super) position: Option<Position>,
    /// What that is.
    pub(super) particulars: Option<Particulars>,
}

/// Where a vessel is and how it moves.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Position {
    /// Degrees north and east.
    pub(super) place: Option<(f64, f64)>,
    /// Whether that is right to 10 metres.
    pub(super) accurate: bool,
    /// Over ground, in knots.
    pub(super) speed_knots: Option<f64>,
    /// Over ground, in degrees from true north.
    pub(super) course: Option<f64>,
    /// In degrees from true north.
    pub(super) heading: Option<f64>,
    /// Navigational status, 0 to 14.
    pub(super) status: Option<u8>,
}

/// What a vessel is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Particulars {
    /// IMO number.
    pub(super) imo: Option<u32>,
    /// Radio call sign.
    pub(super) call_sign: Option<String>,
    /// Name.
    pub(super) name: Option<String>,
    /// Type of ship and cargo.
    pub(super) ship_type: Option<u8>,
    /// Length in metres.
    pub(super) length_m: Option<u32>,
    /// Draught in tenths of a metre.
    pub(super) draught_dm: Option<u32>,
    /// Where it says it is bound.
    pub(super) destination: Option<String>,
    /// The vessel that this craft belongs to.
    pub(super) mother: Option<u32>,
}

/// Where the fields of a position stand.
struct Fields {
    speed: usize,
    accuracy: usize,
    longitude: usize,
    latitude: usize,
    course: usize,
    heading: usize,
}

const CLASS_A: Fields =
    Fields { speed: 50, accuracy: 60, longitude: 61, latitude: 89, course: 116, heading: 128 };
const CLASS_B: Fields =
    Fields { speed: 46, accuracy: 56, longitude: 57, latitude: 85, course: 112, heading: 124 };

/// Most an MMSI can be: nine digits.
const MMSI_MAX: u32 = 999_999_999;

/// Reads a message. `None` for one of a type that says nothing of a vessel, or of none that is read here.
pub(super) fn read(bits: &Bits) -> Result<Option<Message>, String> {
    let kind = bits.number(0, 6) as u8;
    let part = bits.number(38, 2);
    // To the end of the last field that is used.
    let bits_min = match (kind, part) {
        (1..=3, _) => 137,
        (5, _) => 422,
        (18, _) => 133,
        (19, _) => 301,
        (24, 0) => 160,
        (24, 1) => 162,
        (27, _) => 94,
        _ => return Ok(None),
    };
    if bits.len() < bits_min {
        let len = bits.len();
        return Err(format!(
            "a message of type {kind} has {bits_min} bits at least, and this has {len}"
        ));
    }
    let mmsi = bits.number(8, 30);
    if mmsi > MMSI_MAX {
        return Err(format!("its sender {mmsi} is no MMSI, which has nine digits"));
    }
    let position = match kind {
        1..=3 => Some(Position { status: status(bits.number(38, 4)), ..position(bits, &CLASS_A)? }),
        18 | 19 => Some(position(bits, &CLASS_B)?),
        27 => Some(long_range(bits)?),
        _ => None,
    };
    let particulars = match (kind, part) {
        (5, _) => Some(Particulars {
            imo: some(bits.number(40, 30)),
            call_sign: bits.text(70, 7),
            name: bits.text(112, 20),
            ship_type: some(bits.number(232, 8)).map(|kind| kind as u8),
            length_m: length(bits, 240),
            draught_dm: some(bits.number(294, 8)),
            destination: bits.text(302, 20),
            mother: None,
        }),
        (19, _) => Some(Particulars {
            name: bits.text(143, 20),
            ship_type: some(bits.number(263, 8)).map(|kind| kind as u8),
            length_m: length(bits, 271),
            ..Particulars::default()
        }),
        (24, 0) => Some(Particulars { name: bits.text(40, 20), ..Particulars::default() }),
        (24, 1) => {
            // Of auxiliary craft (98, then their state) the bits of the size name the mother ship.
            let auxiliary = mmsi / 10_000_000 == 98;
            Some(Particulars {
                call_sign: bits.text(90, 7),
                ship_type: some(bits.number(40, 8)).map(|kind| kind as u8),
                length_m: if auxiliary { None } else { length(bits, 132) },
                mother: some(bits.number(132, 30)).filter(|n| auxiliary && *n <= MMSI_MAX),
                ..Particulars::default()
            })
        }
        _ => None,
    };
    Ok(Some(Message { kind, mmsi, position, particulars }))
}

/// A position in ten-thousandths of a minute.
fn position(bits: &Bits, at: &Fields) -> Result<Position, String> {
    let (longitude, latitude) = (bits.signed(at.longitude, 28), bits.signed(at.latitude, 27));
    Ok(Position {
        place: place(longitude, latitude, 10_000)?,
        accurate: bits.number(at.accuracy, 1) == 1,
        speed_knots: number_below(bits.number(at.speed, 10), 1_023).map(|tenths| tenths / 10.0),
        course: number_below(bits.number(at.course, 12), 3_600).map(|tenths| tenths / 10.0),
        heading: number_below(bits.number(at.heading, 9), 360),
        status: None,
    })
}

/// Type 27: a position in tenths of a minute, for receivers on satellites.
fn long_range(bits: &Bits) -> Result<Position, String> {
    Ok(Position {
        place: place(bits.signed(44, 18), bits.signed(62, 17), 10)?,
        accurate: bits.number(38, 1) == 1,
        speed_knots: number_below(bits.number(79, 6), 63),
        course: number_below(bits.number(85, 9), 360),
        heading: None,
        status: status(bits.number(40, 4)),
    })
}

/// Degrees north and east, to six places; 91 and 181 say that they are not known.
fn place(longitude: i32, latitude: i32, per_minute: i32) -> Result<Option<(f64, f64)>, String> {
    let per_degree = 60 * per_minute;
    if longitude == 181 * per_degree || latitude == 91 * per_degree {
        return Ok(None);
    }
    let degrees = |units: i32| (f64::from(units) / f64::from(per_degree) * 1e6).round() / 1e6;
    let (latitude, longitude) = (degrees(latitude), degrees(longitude));
    if latitude.abs() > 90.0 || longitude.abs() > 180.0 {
        return Err(format!("its position {latitude}, {longitude} is not on the globe"));
    }
    Ok(Some((latitude, longitude)))
}

fn number_below(number: u32, end: u32) -> Option<f64> {
    (number < end).then_some(f64::from(number))
}

fn status(number: u32) -> Option<u8> {
    (number < 15).then_some(number as u8)
}

/// From bow and stern to the antenna.
fn length(bits: &Bits, at: usize) -> Option<u32> {
    let (bow, stern) = (bits.number(at, 9), bits.number(at + 9, 9));
    some(bow + stern)
}

const fn some(number: u32) -> Option<u32> {
    if number == 0 { None } else { Some(number) }
}

/// A navigational status in words (M.1371-5, table 50).
pub(super) fn status_words(status: u8) -> Option<&'static str> {
    Some(match status {
        0 => "under way using engine",
        1 => "at anchor",
        2 => "not under command",
        3 => "restricted manoeuvrability",
        4 => "constrained by her draught",
        5 => "moored",
        6 => "aground",
        7 => "engaged in fishing",
        8 => "under way sailing",
        11 => "towing astern",
        12 => "pushing ahead or towing alongside",
        14 => "distress beacon active",
        _ => return None,
    })
}

/// A type of ship in words (M.1371-5, table 53).
pub(super) fn type_words(ship_type: u8) -> Option<&'static str> {
    Some(match ship_type {
        20..=29 => "wing in ground",
        30 => "fishing",
        31 | 32 => "towing",
        33 => "dredging or underwater operations",
        34 => "diving operations",
        35 => "military operations",
        36 => "sailing",
        37 => "pleasure craft",
        40..=49 => "high-speed craft",
        50 => "pilot vessel",
        51 => "search and rescue",
        52 => "tug",
        53 => "port tender",
        54 => "anti-pollution",
        55 => "law enforcement",
        58 => "medical transport",
        59 => "ship of a state not party to an armed conflict",
        60..=69 => "passenger",
        70..=79 => "cargo",
        80..=89 => "tanker",
        90..=99 => "other",
        _ => return None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message of these fields, each a number and how many bits it has.
    pub(in super::super) fn armoured(fields: &[(i64, usize)]) -> (String, usize) {
        let mut bits: Vec<bool> = Vec::new();
        for (number, count) in fields {
            bits.extend((0..*count).rev().map(|at| number.rotate_right(at as u32) & 1 == 1));
        }
        let fill = (6 - bits.len() % 6) % 6;
        bits.resize(bits.len() + fill, false);
        let characters = bits.chunks(6).map(|six| {
            let value = six.iter().fold(0, |value, bit| value << 1 | u8::from(*bit));
            char::from(if value < 40 { value + b'0' } else { value - 40 + b'`' })
        });
        (characters.collect(), fill)
    }

    /// The fields of a text of so many characters.
    pub(in super::super) fn letters(text: &str, count: usize) -> Vec<(i64, usize)> {
        let padded = text.bytes().chain(std::iter::repeat(b'@')).take(count);
        padded.map(|byte| (i64::from(byte & 63), 6)).collect()
    }

    fn decoded(fields: &[(i64, usize)]) -> Result<Option<Message>, String> {
        let (payload, fill) = armoured(fields);
        read(&Bits::of([payload.as_str()].into_iter(), fill))
    }

    fn class_a(longitude: i64, latitude: i64) -> Vec<(i64, usize)> {
        vec![
            (1, 6),
            (0, 2),
            (244_660_920, 30),
            (7, 4),
            (-127, 8),
            (123, 10),
            (1, 1),
            (longitude, 28),
            (latitude, 27),
            (2_245, 12),
            (215, 9),
            (33, 6),
            (0, 25),
        ]
    }

    #[test]
    fn a_position_says_where_and_how_fast() {
        let message = decoded(&class_a(2_926_398, -31_214_100)).unwrap().unwrap();
        assert_eq!((message.kind, message.mmsi, message.particulars), (1, 244_660_920, None));
        let position = message.position.unwrap();
        assert_eq!(position.place, Some((-52.0235, 4.87733)));
        assert_eq!((position.speed_knots, position.course), (Some(12.3), Some(224.5)));
        assert_eq!(
            (position.heading, position.status, position.accurate),
            (Some(215.0), Some(7), true)
        );

        let unknown = [
            (18, 6),
            (0, 2),
            (244_660_920, 30),
            (0, 8),
            (1_023, 10),
            (0, 1),
            (181 * 600_000, 28),
            (91 * 600_000, 27),
            (3_600, 12),
            (511, 9),
            (60, 6),
            (0, 29),
        ];
        let position = decoded(&unknown).unwrap().unwrap().position.unwrap();
        assert_eq!(position, Position::default());
        assert!(decoded(&class_a(182 * 600_000, 0)).unwrap_err().contains("not on the globe"));

        let far = [
            (27, 6),
            (0, 2),
            (244_660_920, 30),
            (1, 1),
            (0, 1),
            (0, 4),
            (-10 * 600 - 1, 18),
            (5 * 600 + 3, 17),
            (14, 6),
            (270, 9),
            (0, 2),
        ];
        let position = decoded(&far).unwrap().unwrap().position.unwrap();
        assert_eq!(position.place, Some((5.005, -10.001_667)));
        assert_eq!((position.speed_knots, position.course), (Some(14.0), Some(270.0)));
    }

    #[test]
    fn a_vessel_says_what_it_is() {
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
            &letters("EVER TEST", 20),
            &tail,
            &letters("COTONOU", 20),
            &[(0, 2)],
        ]
        .concat();
        let message = decoded(&all).unwrap().unwrap();
        assert_eq!(
            message.particulars,
            Some(Particulars {
                imo: Some(9_074_729),
                call_sign: Some("D5AB2".into()),
                name: Some("EVER TEST".into()),
                ship_type: Some(70),
                length_m: Some(150),
                draught_dm: Some(75),
                destination: Some("COTONOU".into()),
                mother: None,
            })
        );
        let short = decoded(&all[..20]).unwrap_err();
        assert!(short.contains("422 bits at least"), "{short}");

        let head = [(24, 6), (0, 2), (982_441_234, 30), (1, 2), (36, 8), (0, 42)];
        let craft = [&head[..], &letters("PA1", 7), &[(244_123_456, 30), (0, 6)]].concat();
        let craft = decoded(&craft).unwrap().unwrap().particulars.unwrap();
        assert_eq!((craft.mother, craft.length_m), (Some(244_123_456), None));
        assert_eq!((craft.call_sign.as_deref(), craft.ship_type), (Some("PA1"), Some(36)));

        let name =
            [&[(24, 6), (0, 2), (244_660_920, 30), (0, 2)], &letters("KILO", 20)[..]].concat();
        let name = decoded(&name).unwrap().unwrap().particulars.unwrap();
        assert_eq!(name, Particulars { name: Some("KILO".into()), ..Particulars::default() });
    }

    #[test]
    fn others_are_passed_over_and_no_sender_has_ten_digits() {
        assert_eq!(decoded(&[(4, 6), (0, 162)]), Ok(None));
        assert_eq!(decoded(&[]), Ok(None));
        assert!(decoded(&[(1, 6), (0, 2), (-1, 30), (0, 130)]).unwrap_err().contains("no MMSI"));
    }
}
