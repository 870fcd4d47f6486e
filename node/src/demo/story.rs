//! The story, in requests to the daemons: who plays, what each step needs of the one before, and
//! how waiting is bounded.

mod erasure;
mod flash;
mod heal;
mod peers;
mod radio;
mod seized;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::line::Line;
use super::link::Link;
use super::report::{Report, Step};
use super::stage::{Actor, Stage};
use crate::control::reply::{CompartmentDetail, Status, Written};
use crate::control::{CompartmentShow, Empty, RecordNew, Request};
use crate::failure::{Failure, Kind};

/// The Niger's agency: founds the coalition; everybody's link leads to it.
const NE: Actor = agency("NE", "NE Border Guard (exercise)", "NE");
/// Chad's agency: in the alert's audience.
const TD: Actor = agency("TD", "TD Frontier Service (exercise)", "TD");
const NG: Actor = agency("NG", "NG Lake Police (exercise)", "NG");
const CM: Actor = agency("CM", "CM Customs (exercise)", "CM");
/// The joint maritime unit, to which the relay alone leads. XL is a code that ISO 3166-1 leaves to its users.
const LAKE: Actor = agency("LAKE", "Joint Maritime Unit (exercise)", "XL");
/// The patrol unit: a device of the Niger's agency, behind a radio.
const KILO: Actor = Actor { name: "KILO", agency: None, relay: false };
/// A blind relay of the Niger's agency, in a place that nobody trusts.
const RELAY: Actor = Actor { name: "RELAY", agency: None, relay: true };

/// Who works with records.
static ALL: [Actor; 6] = [NE, TD, NG, CM, LAKE, KILO];
/// Whose devices can read what is released to NE and TD.
const AUDIENCE: [Actor; 3] = [NE, TD, KILO];
/// Whose devices cannot.
const OUTSIDERS: [Actor; 3] = [NG, CM, LAKE];

/// Who plays an agency.
const fn agency(name: &'static str, agency: &'static str, country: &'static str) -> Actor {
    Actor { name, agency: Some((agency, country)), relay: false }
}

type Play = fn(&mut Story<'_>, &mut Step) -> Result<(), Failure>;

const STEPS: [(&str, Play); 6] = [
    ("1. Five agencies, a patrol unit and a blind relay come together", peers::play),
    ("1b. A flash alert for one agency and KILO overtakes routine reports", flash::play),
    ("2. The link to TD is cut; both sides go on working", heal::cut),
    ("3. The link heals, and a peer dies in the middle of it", heal::heal),
    ("4. KILO is seized, and its real key forges a report", seized::play),
    ("5. An order to erase, and a stick that carries it", erasure::play),
];

/// The links to NE, and LAKE's to the relay, by who is at the other end; what they carry ends with them.
pub(super) type Links = BTreeMap<&'static str, Link>;

/// Plays all steps, until one cannot be played to its end. Returns the links, too.
pub(super) fn tell(
    stage: &Stage,
    seed: u64,
    narrate: &mut dyn FnMut(&str),
) -> (Report, (Links, Option<Line>)) {
    let mut chance = Chance(seed);
    let canary = format!("canary{:016x}", chance.next());
    let mut story = Story {
        stage,
        chance,
        canary,
        links: BTreeMap::new(),
        radio: None,
        watch: String::new(),
        shore: String::new(),
        alert: String::new(),
        case: String::new(),
        acknowledged: Vec::new(),
    };
    let mut steps = Vec::new();
    for (title, play) in STEPS {
        narrate(&format!("\n{title}\n"));
        let mut step = Step::new(title);
        let played = play(&mut story, &mut step);
        let broken = played.is_err();
        if let Err(failure) = played {
            let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            let why = format!("{}{hint}", failure.what);
            // What follows from a claim that does not hold is no claim of its own.
            if step.fails() {
                step.note("the rest of the step is not played", why);
            } else {
                step.check("the step can be played to its end", why, "no failure", false);
            }
        }
        narrate(&step.text());
        steps.push(step);
        if broken {
            break;
        }
    }
    (Report::new(seed, steps), (story.links, story.radio))
}

/// What the steps hand on.
struct Story<'a> {
    stage: &'a Stage,
    chance: Chance,
    /// A word that stands in the alert and nowhere else.
    canary: String,
    links: Links,
    /// The line between NE and KILO, while KILO is out on the lake.
    radio: Option<Line>,
    /// The compartment of all agencies.
    watch: String,
    /// The compartment of NE and TD.
    shore: String,
    alert: String,
    case: String,
    /// Records and their entries that a daemon has acknowledged as durable.
    acknowledged: Vec<(String, String)>,
}

impl Story<'_> {
    /// Writes a record and keeps its entry among the acknowledged.
    fn write(&mut self, actor: &Actor, new: RecordNew) -> Result<Written, Failure> {
        let written: Written = self.stage.ask(actor, Request::RecordNew(new))?;
        self.acknowledge(&written);
        Ok(written)
    }

    fn acknowledge(&mut self, written: &Written) {
        let entry = written.entry.iter().map(|entry| (written.record.clone(), entry.clone()));
        self.acknowledged.extend(entry);
    }

    fn compartment(&self, actor: &Actor, id: &str) -> Result<CompartmentDetail, Failure> {
        let request = CompartmentShow { compartment: id.to_owned() };
        self.stage.ask(actor, Request::CompartmentShow(request))
    }

    /// Where somebody dials NE: over its own link.
    fn address_of_ne(&self, actor: &Actor) -> Result<String, Failure> {
        let port = self.link(actor)?.address().port();
        let status: Status = self.stage.ask(&NE, Request::Status(Empty {}))?;
        dialled_at(port, &status)
    }

    /// Frames and bytes that the radio carried, from NE and to it.
    fn carried_by_radio(&self) -> [(u64, u64); 2] {
        let carried =
            |side| self.radio.as_ref().map(|radio| radio.carried(side)).unwrap_or_default();
        [0, 1].map(carried).map(|carried| (carried.frames, carried.bytes))
    }

    fn link(&self, actor: &Actor) -> Result<&Link, Failure> {
        self.links
            .get(actor.name)
            .ok_or_else(|| Failure::bug(format!("{} has no link", actor.name)))
    }
}

/// The address of a daemon behind a port of this machine.
fn dialled_at(port: u16, of: &Status) -> Result<String, Failure> {
    let peer = of.addresses.iter().find_map(|address| address.split_once("/p2p/"));
    let (_, peer) = peer.ok_or_else(|| Failure::failed("a daemon listens at no address"))?;
    Ok(format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}"))
}

/// Looks until there is something to be seen, and says how long that took.
fn until<T>(
    what: &str,
    wait_max: Duration,
    mut look: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<(T, Duration), Failure> {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look()? {
            return Ok((seen, begun.elapsed()));
        }
        if begun.elapsed() > wait_max {
            let what = format!("{what}: not within {} s", wait_max.as_secs());
            return Err(Failure::new(Kind::Incomplete, what));
        }
        thread::sleep(POLL);
    }
}

/// What is not there yet is no failure.
fn if_there<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.kind == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// A record to be written to a compartment.
fn record(kind: &str, compartment: &str, fields: &[(&str, &str)]) -> RecordNew {
    RecordNew {
        kind: kind.into(),
        compartment: Some(compartment.into()),
        set: fields.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
        ..RecordNew::default()
    }
}

/// What the exercise calls an agency of a country.
fn called(country: &str) -> &str {
    let is_it = |actor: &&Actor| actor.agency.is_some_and(|(_, code)| code == country);
    ALL.iter().find(is_it).map_or(country, |actor| actor.name)
}

/// A length of time, for people.
fn lasted(time: Duration) -> String {
    if time < Duration::from_millis(1) {
        "< 1 ms".into()
    } else if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// The exercise's chances: SplitMix64 (Steele, Lea, Flood 2014), good enough for names.
struct Chance(u64);

impl Chance {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of several.
    fn one_of<'w>(&mut self, words: &[&'w str]) -> &'w str {
        let index = self.next() % words.len().max(1) as u64;
        words.get(index as usize).copied().unwrap_or_default()
    }
}

/// How often a daemon is looked at while something is awaited.
const POLL: Duration = Duration::from_millis(20);
/// How long everybody may take to see what is not urgent.
const SPREAD_WAIT: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_story() {
        let draw = |seed| {
            let mut chance = Chance(seed);
            (chance.next(), chance.one_of(&["a", "b", "c"]))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7).0, draw(8).0);
        // The generator's published first output for seed 0.
        assert_eq!(Chance(0).next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn what_people_read_is_said_as_they_say_it() {
        let times = [(0, "< 1 ms"), (999, "< 1 ms"), (1_000, "1 ms"), (999_999, "999 ms")];
        for (us, said) in times.into_iter().chain([(1_000_000, "1.0 s"), (61_240_000, "61.2 s")]) {
            assert_eq!(lasted(Duration::from_micros(us)), said);
        }
        assert_eq!(["XL", "NE", "ZZ"].map(called), ["LAKE", "NE", "ZZ"]);
    }

    #[test]
    fn waiting_ends() {
        let never = until("a thing", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert_eq!(
            (never.kind, never.what.as_str()),
            (Kind::Incomplete, "a thing: not within 0 s")
        );
        let mut looks = 0;
        let seen = until("a thing", SPREAD_WAIT, || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(seen.unwrap().0, 3);
        let failed = until("a thing", SPREAD_WAIT, || Err::<Option<()>, _>(Failure::denied("no")));
        assert_eq!(failed.unwrap_err().kind, Kind::Denied);
    }
}
