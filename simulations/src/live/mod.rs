//! An exercise: a plan carried out in real time by real daemons on loopback.
//!
//! Each post is a process of its own, made for the exercise, with keys that are nowhere else. Each link is a
//! forwarder of bytes with the rate and the latency of the plan, which is up when the plan says so. What the
//! plan writes, cuts and kills happens at its moment (`speed` moments of the plan in one of ours), and whoever
//! trains works on the homes in between, with the program that ships. All agencies, records and the
//! coalition say that they are an exercise.
//!
//! What is found is measured: which records are where when the contacts end, how long it takes then until
//! all readers hold all of them, and the bytes of frames.
#![expect(
    clippy::disallowed_methods,
    reason = "an exercise has clocks, threads and processes; the simulator has none"
)]
#![expect(clippy::indexing_slicing, reason = "what a JSON document lacks reads as null")]

mod link;
mod stage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agenda::Nanos;
use crate::plan::{FaultKind, Plan};
use crate::quantity::short;
use crate::world::text_of;
use link::Link;
use stage::{Stage, program_beside, until};

/// Most posts: each is a process.
const POSTS_MAX: usize = 40;
/// How long the founding of a coalition may take in each step.
const STEP_WAIT: Duration = Duration::from_secs(60);
/// How often counters are read, so that what a cut forgets is missed by no more than that.
const SAMPLE: Duration = Duration::from_secs(1);
/// What everything that is written begins with.
const EXERCISE: &str = "EXERCISE";

/// How an exercise is played.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The `tearline` program; the one beside this one if it is not said.
    pub program: Option<PathBuf>,
    /// So many seconds of the plan in a second.
    pub speed: f64,
    /// Set once the exercise is to end early. Its daemons and its folder go all the same.
    pub interrupted: Arc<AtomicBool>,
}

/// Why an exercise was not played to its end.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The plan has what only a simulation does.
    #[error("{what} cannot be played by real daemons: leave it out, or run without --live")]
    Unplayable {
        /// What.
        what: String,
    },
    /// There is no program to be played with.
    #[error("there is no program at {}: build it (cargo build), or name one with --program", .at.display())]
    NoProgram {
        /// Where it was looked for.
        at: PathBuf,
    },
    /// The system refused something.
    #[error("{at}: {cause}")]
    Io {
        /// Where.
        at: String,
        /// What it said.
        cause: String,
    },
    /// A command of the program failed.
    #[error("{post}: tearline {verb}: {what}")]
    Said {
        /// On whose home.
        post: String,
        /// The command.
        verb: String,
        /// What it said.
        what: String,
    },
    /// A daemon ended by itself.
    #[error("the daemon of {post} ended by itself")]
    Ended {
        /// Whose.
        post: String,
    },
    /// It was to end early.
    #[error("interrupted: the daemons of the exercise, its keys and its records are gone")]
    Interrupted,
    /// Something did not come.
    #[error("{what} did not come within {} s", .wait.as_secs())]
    Late {
        /// What.
        what: &'static str,
        /// In what time.
        wait: Duration,
    },
}

/// What an exercise came to.
#[derive(Clone, Debug)]
pub struct Played {
    /// Records that were written, in each compartment.
    pub records: Vec<u64>,
    /// Changes of them.
    pub edits: u64,
    /// What a post could not write because it was down.
    pub missed: u64,
    /// Of each post and compartment that it reads, how many records it held when the contacts ended, and in
    /// the end.
    pub held: Vec<Held>,
    /// How long it took after that until all readers held all records; `None` if they did not in time.
    pub settled: Option<Duration>,
    /// Bytes of frames that were sent, of all posts together.
    pub frame_bytes: u64,
}

/// How much a post held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    /// The post.
    pub post: String,
    /// The compartment.
    pub compartment: String,
    /// Records when the contacts ended.
    pub then: u64,
    /// Records in the end.
    pub last: u64,
    /// Records that were written.
    pub of: u64,
}

impl Played {
    /// Whether all readers held all records in the end.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.settled.is_some()
    }

    /// The document's `data`.
    #[must_use]
    pub fn data(&self) -> Value {
        let held = self.held.iter().map(|held| {
            json!({
                "post": held.post,
                "compartment": held.compartment,
                "at_the_end_of_contacts": held.then,
                "in_the_end": held.last,
                "of": held.of,
            })
        });
        json!({
            "exercise": true,
            "written": {
                "records": self.records.iter().sum::<u64>(),
                "edits": self.edits,
                "missed": self.missed,
            },
            "held": held.collect::<Vec<Value>>(),
            "settled_seconds": self.settled.map(|took| took.as_secs_f64()),
            "frame_bytes": self.frame_bytes,
        })
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let records: u64 = self.records.iter().sum();
        let mut text = format!(
            "{records} records and {} changes were written, {} could not be; {} bytes of frames\n",
            self.edits, self.missed, self.frame_bytes
        );
        for Held { post, compartment, then, last, of } in &self.held {
            text.push_str(&format!(
                "{post:<16} {compartment:<16} {then:>6} of {of} at the end of contacts, {last} in the end\n"
            ));
        }
        text.push_str(&match self.settled {
            Some(took) => {
                format!("PASS  all readers held all records {:.1} s later\n", took.as_secs_f64())
            }
            None => "FAIL  not all readers held all records in time\n".to_owned(),
        });
        text
    }
}

/// Plays a plan. What happens is said as it happens.
pub fn play(
    plan: &Plan,
    terms: &Terms,
    narrate: &mut dyn FnMut(&str),
) -> Result<Played, LiveError> {
    playable(plan)?;
    let program = terms.program.clone().map_or_else(program_beside, Ok)?;
    narrate(&format!("{EXERCISE} {EXERCISE} {EXERCISE}  {}: nothing of this is real", plan.name));
    let stage = Stage::new(program, Arc::clone(&terms.interrupted))?;
    let mut game = Game::found(plan, stage, terms.speed, narrate)?;
    game.open(narrate)?;
    game.play(narrate)?;
    let played = game.end()?;
    narrate(&format!("{EXERCISE} {EXERCISE} {EXERCISE}  is over: its keys and records are gone"));
    Ok(played)
}

/// Refuses what only a simulation does.
fn playable(plan: &Plan) -> Result<(), LiveError> {
    let what = if plan.posts.len() > POSTS_MAX {
        Some(format!("{} posts, of {POSTS_MAX} at most,", plan.posts.len()))
    } else if let Some(post) = plan.posts.iter().find(|p| p.hostile.is_some() || p.copies.is_some())
    {
        Some(format!("{}, which is hostile or a copy,", post.name))
    } else {
        let plays = |kind| matches!(kind, FaultKind::Crash | FaultKind::Partition);
        let fault = plan.faults.iter().find(|fault| !plays(fault.kind));
        fault.map(|fault| format!("a fault of kind {:?}", fault.kind.name()))
    };
    what.map_or(Ok(()), |what| Err(LiveError::Unplayable { what }))
}

/// Something that happens. What ends comes before what begins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Act {
    Over(usize),
    Contact { line: usize, open: bool },
    Fault(usize),
    Write(usize),
}

struct Game<'a> {
    plan: &'a Plan,
    stage: Stage,
    speed: f64,
    /// Ids, by number.
    compartments: Vec<String>,
    links: Vec<Link>,
    /// Whether there is contact, by link.
    contact: Vec<bool>,
    /// Partitions that are on.
    cuts: Vec<usize>,
    /// The last record of a post in a compartment.
    own: BTreeMap<(u32, u32), String>,
    records: Vec<u64>,
    edits: u64,
    missed: u64,
    /// Bytes that each post has sent to each device since its daemon started, and those before.
    sent: BTreeMap<(usize, String), u64>,
    sent_before: u64,
}

impl<'a> Game<'a> {
    /// All come together over links that are up, as if they had met in one room.
    fn found(
        plan: &'a Plan,
        mut stage: Stage,
        speed: f64,
        narrate: &mut dyn FnMut(&str),
    ) -> Result<Self, LiveError> {
        let desks: Vec<u32> =
            (0..plan.agencies.len() as u32).filter_map(|agency| plan.desk(agency)).collect();
        let desk_of = |agency: u32| desks.get(agency as usize).map_or(0, |desk| *desk as usize);
        for (number, post) in plan.posts.iter().enumerate() {
            let agency = plan.agencies.get(post.agency as usize);
            let agency = agency.filter(|_| desk_of(post.agency) == number);
            let name = agency.map(|agency| format!("{EXERCISE} {}", agency.name));
            let agency = name.as_deref().zip(agency.map(|agency| agency.country.as_str()));
            stage.enter(&post.name, agency, post.relay)?;
            narrate(&format!("{:<16} tearline --home {}", post.name, stage.home(number).display()));
        }
        let first = desk_of(0);
        let name = format!("{EXERCISE} {}", plan.name);
        stage.tell(first, &["coalition", "create", "--name", &name])?;
        for desk in desks.iter().map(|desk| *desk as usize).filter(|desk| *desk != first) {
            let invited = stage.tell(first, &["peer", "invite"])?;
            stage.tell(desk, &["join", text(&invited["invitation"]), "--wait", "60s"])?;
        }
        for (number, post) in plan.posts.iter().enumerate() {
            let desk = desk_of(post.agency);
            if desk != number {
                let right: &[&str] = if post.relay { &["--right", "relay"] } else { &[] };
                let enrol = [&["device", "enrol", &post.name][..], right].concat();
                let invited = stage.tell(desk, &enrol)?;
                stage.tell(number, &["join", text(&invited["invitation"]), "--wait", "60s"])?;
            }
        }
        let mut compartments = Vec::new();
        for (number, compartment) in (0..).zip(&plan.compartments) {
            let country = |agency: &u32| plan.agencies.get(*agency as usize).map(|a| &*a.country);
            let rel: Vec<&str> = compartment.audience.iter().filter_map(country).collect();
            let Some(opener) = compartment.audience.iter().min() else { continue };
            let open =
                ["compartment", "open", "--name", &compartment.name, "--rel", &rel.join(",")];
            // Its agencies may not have heard of each other yet.
            let opened =
                until("a compartment", STEP_WAIT, || stage.try_tell(desk_of(*opener), &open))?;
            let id = text(&opened["compartment"]).to_owned();
            for post in (0..plan.posts.len()).filter(|post| plan.reads(*post as u32, number)) {
                until("a compartment at all its readers", STEP_WAIT, || {
                    stage.try_tell(post, &["compartment", "show", &id])
                })?;
            }
            compartments.push(id);
        }
        let records = vec![0; compartments.len()];
        Ok(Self {
            plan,
            stage,
            speed,
            compartments,
            links: Vec::new(),
            contact: Vec::new(),
            cuts: Vec::new(),
            own: BTreeMap::new(),
            records,
            edits: 0,
            missed: 0,
            sent: BTreeMap::new(),
            sent_before: 0,
        })
    }

    /// From here on there are the plan's links and no others.
    fn open(&mut self, narrate: &mut dyn FnMut(&str)) -> Result<(), LiveError> {
        for post in 0..self.plan.posts.len() {
            let listed = self.stage.tell(post, &["peer", "list"])?;
            let peers = listed["peers"].as_array().into_iter().flatten();
            for address in peers.flat_map(|peer| peer["addresses"].as_array()).flatten() {
                self.stage.tell(post, &["peer", "remove", text(address)])?;
            }
        }
        for post in 0..self.plan.posts.len() {
            self.stage.stop(post)?;
        }
        for post in 0..self.plan.posts.len() {
            self.stage.start(post)?;
        }
        for line in &self.plan.lines {
            let [_, to] = line.between;
            let (target, _) = self.stage.address(to as usize)?;
            let latency = self.real(line.latency);
            let link = Link::new(target, line.rate, latency);
            self.links.push(link.map_err(|error| LiveError::io(&"a link", &error))?);
            self.contact.push(line.windows.is_none());
        }
        for line in 0..self.links.len() {
            self.refresh(line)?;
        }
        let joined: Vec<usize> = (0..self.links.len()).filter(|line| self.is_up(*line)).collect();
        let posts: Vec<usize> = joined
            .iter()
            .filter_map(|line| self.plan.lines.get(*line))
            .flat_map(|line| line.between.map(|post| post as usize))
            .collect();
        until("the links", STEP_WAIT, || {
            let linked = |post: &usize| Ok(self.linked(*post)? > 0);
            let all: Result<Vec<bool>, LiveError> = posts.iter().map(linked).collect();
            Ok(all?.into_iter().all(|linked| linked).then_some(()))
        })?;
        narrate(&format!("{} posts are up, with {} links", self.plan.posts.len(), joined.len()));
        Ok(())
    }

    /// Carries out what the plan says, each at its moment.
    fn play(&mut self, narrate: &mut dyn FnMut(&str)) -> Result<(), LiveError> {
        let horizon = self.plan.horizon();
        let mut acts: Vec<(Nanos, Act)> = Vec::new();
        for (line, of) in self.plan.lines.iter().enumerate() {
            for (from, to) in of.windows.iter().flatten() {
                acts.push((*from, Act::Contact { line, open: true }));
                acts.push((*to, Act::Contact { line, open: false }));
            }
        }
        for (number, fault) in self.plan.faults.iter().enumerate() {
            acts.push((fault.at, Act::Fault(number)));
            acts.push((fault.at.saturating_add(fault.lasts), Act::Over(number)));
        }
        acts.extend(
            self.plan.writes.iter().enumerate().map(|(n, write)| (write.at, Act::Write(n))),
        );
        acts.retain(|(at, _)| *at < horizon);
        acts.sort_unstable();
        let begun = Instant::now();
        for (at, act) in acts {
            self.wait_until(begun + self.real(at))?;
            let late = begun.elapsed().saturating_sub(self.real(at));
            let said = self.act(act)?;
            let late = if late > SAMPLE {
                format!("  ({:.0} s late)", late.as_secs_f64())
            } else {
                String::new()
            };
            narrate(&format!("{EXERCISE} {:>10}  {said}{late}", short(at)));
        }
        self.wait_until(begun + self.real(horizon))
    }

    /// Counters are read meanwhile.
    fn wait_until(&mut self, moment: Instant) -> Result<(), LiveError> {
        loop {
            self.stage.goes_on()?;
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if left > 2 * SAMPLE {
                self.sample()?;
            }
            thread::sleep(moment.saturating_duration_since(Instant::now()).min(SAMPLE));
        }
    }

    fn act(&mut self, act: Act) -> Result<String, LiveError> {
        match act {
            Act::Write(number) => self.write(number),
            Act::Contact { line, open } => {
                self.contact.get_mut(line).into_iter().for_each(|contact| *contact = open);
                self.refresh(line)?;
                let [a, b] = self.plan.lines.get(line).map_or([0; 2], |line| line.between);
                let what = if open { "contact" } else { "no contact" };
                Ok(format!("{} - {}: {what}", self.name(a), self.name(b)))
            }
            Act::Fault(number) | Act::Over(number) => {
                let begins = matches!(act, Act::Fault(_));
                self.fault(number, begins)?;
                let Some(fault) = self.plan.faults.get(number) else { return Ok(String::new()) };
                let names: Vec<&str> = fault.posts.iter().map(|post| self.name(*post)).collect();
                let over = if begins { "" } else { " is over" };
                Ok(format!("{}: {}{over}", names.join(", "), fault.kind.name()))
            }
        }
    }

    fn fault(&mut self, number: usize, begins: bool) -> Result<(), LiveError> {
        let Some(fault) = self.plan.faults.get(number) else { return Ok(()) };
        if fault.kind == FaultKind::Partition {
            self.cuts.retain(|cut| *cut != number);
            self.cuts.extend(begins.then_some(number));
            return (0..self.links.len()).try_for_each(|line| self.refresh(line));
        }
        for post in fault.posts.iter().map(|post| *post as usize) {
            if begins {
                self.sample_post(post)?;
                self.sent_before += self.forget_sent(post);
                self.stage.kill(post)?;
            } else if !self.stage.is_up(post) {
                self.stage.start(post)?;
                let (target, _) = self.stage.address(post)?;
                for (line, link) in self.plan.lines.iter().zip(&self.links) {
                    if line.between[1] as usize == post {
                        link.lead_to(target);
                    }
                }
                for line in 0..self.links.len() {
                    self.refresh(line)?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, number: usize) -> Result<String, LiveError> {
        let Some(write) = self.plan.writes.get(number) else { return Ok(String::new()) };
        let post = write.by as usize;
        let name = self.name(write.by).to_owned();
        if !self.stage.is_up(post) {
            self.missed += 1;
            return Ok(format!("{name} is down and writes nothing"));
        }
        let place = (write.by, write.compartment);
        let drawn = || text_of(self.plan.seed, number as u32, write.compartment, write.bytes);
        let words = write.says.as_ref().map_or_else(drawn, |says| format!("{EXERCISE} {says}"));
        let description = format!("description={words}");
        let edited = self.own.get(&place).filter(|_| write.edit);
        if let Some(record) = edited {
            self.stage.tell(post, &["record", "edit", record, "--set", &description])?;
            self.edits += 1;
            return Ok(format!("{name} changes {record}"));
        }
        let title = format!("name={EXERCISE} sighting {number}");
        let compartment = self.compartments.get(write.compartment as usize);
        let compartment = compartment.map_or("", String::as_str);
        let new = ["record", "new", "--kind", "sighting", "--compartment", compartment];
        let more = ["--class", write.class.name(), "--label", "TLP:AMBER"];
        let fields = ["--set", &title, "--set", &description];
        let written = self.stage.tell(post, &[&new[..], &more, &fields].concat())?;
        let record = text(&written["record"]).to_owned();
        self.records.get_mut(write.compartment as usize).into_iter().for_each(|count| *count += 1);
        self.own.insert(place, record.clone());
        Ok(format!("{name} writes {} {record}", write.class.name()))
    }

    /// All contacts end the exercise: every link is up, whoever is down starts, and all come to hold the same.
    fn end(mut self) -> Result<Played, LiveError> {
        let then = self.held()?;
        for number in std::mem::take(&mut self.cuts) {
            self.fault(number, false)?;
        }
        for number in 0..self.plan.faults.len() {
            self.fault(number, false)?;
        }
        self.contact.iter_mut().for_each(|contact| *contact = true);
        for line in 0..self.links.len() {
            self.refresh(line)?;
        }
        let begun = Instant::now();
        let wait = self.real(self.plan.settle).max(STEP_WAIT);
        let all = until("all records at all readers", wait, || {
            let held = self.held()?;
            Ok(held.iter().all(|held| held.last == held.of).then_some(()))
        });
        let settled = match all {
            Ok(()) => Some(begun.elapsed()),
            Err(LiveError::Late { .. }) => None,
            Err(error) => return Err(error),
        };
        self.sample()?;
        let mut held = self.held()?;
        for (held, then) in held.iter_mut().zip(then) {
            held.then = then.last;
        }
        let frame_bytes = self.sent_before + self.sent.values().sum::<u64>();
        let Self { records, edits, missed, .. } = self;
        Ok(Played { records, edits, missed, held, settled, frame_bytes })
    }

    /// What each reader holds now.
    fn held(&self) -> Result<Vec<Held>, LiveError> {
        let mut all = Vec::new();
        for post in 0..self.plan.posts.len() {
            let up = self.stage.is_up(post);
            let status = if up { self.stage.tell(post, &["status"])? } else { Value::Null };
            for (number, id) in self.compartments.iter().enumerate() {
                let compartment = self.plan.compartments.get(number);
                if !self.plan.reads(post as u32, number as u32) {
                    continue;
                }
                let listed = status["compartments"].as_array().into_iter().flatten();
                let known = listed.filter(|known| known["compartment"] == id.as_str());
                let last = known.filter_map(|known| known["records"].as_u64()).sum();
                let of = self.records.get(number).copied().unwrap_or_default();
                let compartment = compartment.map(|known| known.name.clone()).unwrap_or_default();
                let post = self.name(post as u32).to_owned();
                all.push(Held { post, compartment, then: 0, last, of });
            }
        }
        Ok(all)
    }

    /// Puts a link up or down, as it should be now.
    fn refresh(&self, number: usize) -> Result<(), LiveError> {
        let (Some(line), Some(link)) = (self.plan.lines.get(number), self.links.get(number)) else {
            return Ok(());
        };
        let [from, to] = line.between.map(|post| post as usize);
        let up = self.is_up(number);
        link.put(up);
        if up {
            let (_, peer) = self.stage.address(to)?;
            let port = link.address().port();
            let address = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}");
            // Said again, it is dialled at once.
            self.stage.tell(from, &["peer", "add", &address])?;
        }
        Ok(())
    }

    /// Whether a link should be up.
    fn is_up(&self, number: usize) -> bool {
        let Some(line) = self.plan.lines.get(number) else { return false };
        let parted = |cut: &usize| {
            let side = self.plan.faults.get(*cut).map_or(&[][..], |fault| &fault.posts);
            let [a, b] = line.between.map(|post| side.contains(&post));
            a != b
        };
        let contact = self.contact.get(number) == Some(&true);
        let there = line.between.iter().all(|post| self.stage.is_up(*post as usize));
        contact && there && !self.cuts.iter().any(parted)
    }

    /// To how many peers a post is linked.
    fn linked(&self, post: usize) -> Result<usize, LiveError> {
        let status = self.stage.tell(post, &["status"])?;
        let peers = status["peers"].as_array().into_iter().flatten();
        Ok(peers.filter(|peer| !peer["by"].is_null()).count())
    }

    fn sample(&mut self) -> Result<(), LiveError> {
        (0..self.plan.posts.len()).try_for_each(|post| self.sample_post(post))
    }

    /// Notes how much a post has sent. What is counted is of one connection.
    fn sample_post(&mut self, post: usize) -> Result<(), LiveError> {
        if !self.stage.is_up(post) {
            return Ok(());
        }
        let status = self.stage.tell(post, &["status"])?;
        for peer in status["peers"].as_array().into_iter().flatten() {
            let now = peer["sent_bytes"].as_u64().unwrap_or_default();
            let sent = self.sent.entry((post, text(&peer["device"]).to_owned())).or_default();
            if now < *sent {
                self.sent_before += *sent;
            }
            *sent = now;
        }
        Ok(())
    }

    /// What a post has sent that is about to forget it.
    fn forget_sent(&mut self, post: usize) -> u64 {
        let sent = self.sent.iter_mut().filter(|((of, _), _)| *of == post);
        sent.map(|(_, sent)| std::mem::take(sent)).sum()
    }

    fn real(&self, nanos: Nanos) -> Duration {
        Duration::from_secs_f64(nanos as f64 / 1e9 / self.speed)
    }

    fn name(&self, post: u32) -> &str {
        self.plan.posts.get(post as usize).map_or("", |post| &post.name)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
