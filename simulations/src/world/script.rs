//! The script: writes and faults, each at its moment, and the end of all faults.

use std::collections::VecDeque;

use serde_json::{Map, Value};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::id::{Class, CompartmentId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::shelf::Draft;
use tearline_mesh::replica::ActError;

use super::{LOOK, RunError, World, moment};
use crate::agenda::{Nanos, Who};
use crate::books::Record;
use crate::draws::Draws;
use crate::founding::label;
use crate::oracle::confidentiality::canary;
use crate::peer::Seen;
use crate::plan::{FaultKind, Plan};

/// Something that the plan says.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Scripted {
    /// A fault ends; of a seizure, the desk hears of it.
    Over(u32),
    /// What is on a disk is kept, for a fault that rolls it back.
    Keep(u32),
    /// A fault begins.
    Fault(u32),
    /// Something is written.
    Write(u32),
    /// It is found that a standing ended by mistake.
    Adopt(u32),
    /// Nothing fails from here on.
    Heal,
}

/// All that a plan says, in order of time.
pub(super) fn of(plan: &Plan) -> VecDeque<(Nanos, Scripted)> {
    let horizon = plan.horizon();
    let mut script = vec![(horizon, Scripted::Heal)];
    script.extend((0..).zip(&plan.writes).map(|(n, write)| (write.at, Scripted::Write(n))));
    for (number, fault) in (0..).zip(&plan.faults) {
        script.push((fault.at, Scripted::Fault(number)));
        match fault.kind {
            FaultKind::Crash | FaultKind::LostDisk => {}
            FaultKind::RolledBack => {
                script.push((
                    fault.at.saturating_sub(fault.by.unsigned_abs()),
                    Scripted::Keep(number),
                ));
            }
            _ => script.push((fault.at.saturating_add(fault.lasts), Scripted::Over(number))),
        }
    }
    script.retain(|(at, _)| *at <= horizon);
    script.sort_unstable();
    script.into()
}

impl World {
    pub(super) fn on_script(&mut self) -> Result<(), RunError> {
        while let Some((_, scripted)) = self.script.pop_front_if(|(at, _)| *at <= self.now) {
            match scripted {
                Scripted::Write(number) => self.write(number)?,
                Scripted::Fault(number) => self.begin_fault(number)?,
                Scripted::Over(number) => self.end_fault(number)?,
                Scripted::Adopt(number) => self.adopt(number)?,
                Scripted::Keep(number) => {
                    for post in self.plan.faults[number as usize].posts.clone() {
                        self.peers[post as usize].keep_disk();
                        // What is written from now on is not there any more afterwards.
                        self.books.not_owed(post, self.now, None);
                        self.unsure.insert(post);
                    }
                }
                Scripted::Heal => self.heal()?,
            }
        }
        if let Some((at, _)) = self.script.front() {
            self.agenda.put(*at, Who::Script);
        }
        Ok(())
    }

    fn write(&mut self, number: u32) -> Result<(), RunError> {
        let write = self.plan.writes[number as usize].clone();
        let earlier = self.own.get(&(write.by, write.compartment)).filter(|_| write.edit);
        // A flash builds on flashes alone; a change of one is a record of its own here.
        let earlier = earlier.filter(|_| write.class != Class::Flash);
        let earlier =
            earlier.and_then(|own| own.get(self.draws.below(own.len() as u64) as usize).copied());
        let text = text_of(self.plan.seed, number, write.compartment, write.bytes);
        let draft = match earlier {
            Some(record) => {
                let mut patch = Patch::default();
                patch.set(vec![Segment::Name("description".into())], text.into());
                Draft::Edit { record, patch }
            }
            None => {
                let mut fields = Map::new();
                fields.insert("name".into(), format!("EXERCISE sighting {number}").into());
                fields.insert("description".into(), Value::from(text));
                Draft::New { kind: Kind::Sighting, fields, label: label()? }
            }
        };
        let id: CompartmentId = self.compartments[write.compartment as usize];
        let peer = &mut self.peers[write.by as usize];
        let now = moment(self.now, peer.clock);
        let Some(replica) = peer.replica.as_mut() else {
            self.not_written += 1;
            return Ok(());
        };
        let done = match replica.write(now, id, write.class, vec![draft]) {
            Ok(done) => done,
            Err(ActError::Store(error)) => return self.fall(write.by, error),
            // A post that lost its disk does not know the compartment or its own record yet.
            Err(_) => {
                self.not_written += 1;
                return self.drain(write.by);
            }
        };
        self.trace.note(self.now, b'W', write.by, &number.to_be_bytes());
        self.books.entries += 1;
        self.books.text_bytes += write.bytes;
        if let (None, Some(written)) = (earlier, done.value.first()) {
            let mut record = Record::new(written.record, self.now, &write, self.plan.posts.len());
            record.gone = self.unsure.contains(&write.by);
            record.closed_to = self.closed_to(write.by, id);
            if write.class == Class::Flash {
                let posts = 0..self.plan.posts.len() as u32;
                let meant =
                    posts.map(|p| self.is_honest(p) && self.plan.reads(p, write.compartment));
                record.meant = meant.collect();
            }
            self.taints.record(&written.record, write.compartment);
            self.tell_relays(write.by, &written.record)?;
            let shown = self.sabotage == Some(super::Sabotage::WrongScreen);
            let screens = if shown { record.closed_to.clone() } else { Vec::new() };
            let record = self.books.add(record);
            self.peers[write.by as usize].tickets.insert(done.ticket, vec![record]);
            if write.class != Class::Flash {
                let own = self.own.entry((write.by, write.compartment)).or_default();
                own.push(written.record);
            }
            for post in screens {
                self.peers[post as usize].show(Seen { record: written.record, compartment: id });
                self.drain(post)?;
            }
        }
        self.drain(write.by)
    }

    fn begin_fault(&mut self, number: u32) -> Result<(), RunError> {
        let fault = self.plan.faults[number as usize].clone();
        self.trace.note(self.now, b'X', number, &[fault.kind as u8]);
        let until = self.now.saturating_add(fault.lasts.max(1));
        match fault.kind {
            FaultKind::Partition => {
                self.cuts.insert(number);
                return self.refresh_all();
            }
            FaultKind::Clog | FaultKind::OneWay => {
                self.clogs.insert(number);
                return self.clog_all();
            }
            FaultKind::ClockJump => {
                for post in fault.posts {
                    self.peers[post as usize].clock += fault.by;
                }
                return Ok(());
            }
            FaultKind::FullDisk => {
                for post in fault.posts {
                    let peer = &mut self.peers[post as usize];
                    peer.full_until = peer.full_until.max(until);
                    peer.fill_disk(true);
                }
                return Ok(());
            }
            FaultKind::Seized | FaultKind::Cleared => {
                for post in fault.posts {
                    self.books.not_owed(post, self.now, None);
                    self.unsure.insert(post);
                }
                return Ok(());
            }
            FaultKind::Crash | FaultKind::LostDisk | FaultKind::RolledBack => {}
        }
        // What a crash leaves hangs on the crash alone, so that it stays as it is when a run is made smaller.
        let mut draws = Draws::of(self.plan.seed, "crash", fault.at);
        for post in fault.posts {
            let peer = &mut self.peers[post as usize];
            let was_up = peer.replica.is_some();
            peer.crash(&mut draws);
            if fault.kind == FaultKind::LostDisk {
                peer.lose_disk();
                self.books.lost_disk(post, &self.honest);
                self.own.retain(|(by, _), _| *by != post);
            }
            if fault.kind == FaultKind::RolledBack {
                self.peers[post as usize].roll_back();
                let kept_at = fault.at.saturating_sub(fault.by.unsigned_abs());
                self.books.rolled_back(post, kept_at, &self.honest);
            }
            let peer = &mut self.peers[post as usize];
            peer.starts_at = if was_up { until } else { peer.starts_at.max(until) };
            peer.due = crate::agenda::NEVER;
            self.schedule(post);
            self.refresh_of(post)?;
        }
        Ok(())
    }

    fn end_fault(&mut self, number: u32) -> Result<(), RunError> {
        let fault = self.plan.faults[number as usize].clone();
        match fault.kind {
            FaultKind::Partition => {
                self.cuts.remove(&number);
                return self.refresh_all();
            }
            FaultKind::Clog | FaultKind::OneWay => {
                self.clogs.remove(&number);
                return self.clog_all();
            }
            FaultKind::ClockJump => {
                for post in fault.posts {
                    self.peers[post as usize].clock -= fault.by;
                }
            }
            FaultKind::FullDisk => {
                for post in fault.posts {
                    let peer = &mut self.peers[post as usize];
                    if peer.full_until <= self.now {
                        peer.fill_disk(false);
                    }
                }
            }
            FaultKind::Seized | FaultKind::Cleared => {
                for post in fault.posts {
                    self.end_standing(number, post, fault.at)?;
                }
            }
            FaultKind::Crash | FaultKind::LostDisk | FaultKind::RolledBack => {}
        }
        Ok(())
    }

    /// Nothing fails any more, every link is up, and who is down starts.
    fn heal(&mut self) -> Result<(), RunError> {
        self.trace.note(self.now, b'H', 0, &[]);
        self.cuts.clear();
        self.clogs.clear();
        self.clog_all()?;
        for peer in &mut self.peers {
            peer.full_until = 0;
            peer.fill_disk(false);
        }
        self.lines.iter_mut().for_each(crate::line::Line::heal);
        for peer in 0..self.peers.len() as u32 {
            if self.peers[peer as usize].replica.is_none() {
                self.peers[peer as usize].starts_at = self.now + 1;
                self.peers[peer as usize].due = crate::agenda::NEVER;
                self.schedule(peer);
            }
        }
        self.agenda.put(self.now + LOOK, Who::Oracles);
        self.refresh_all()
    }
}

/// Text of a size, with the word that must not be found where it may not be read.
pub(crate) fn text_of(seed: u64, number: u32, compartment: u32, bytes: u64) -> String {
    let mut text = format!("{} {number} ", canary(seed, compartment));
    // Of both cases: text of one is packed, and then a frame would be shorter than its text.
    let mut filler = b"AbCdEfGhIjKlMnOpQrStUvWxYz".iter().cycle();
    while (text.len() as u64) < bytes {
        text.extend(filler.next().map(|byte| char::from(*byte)));
    }
    text
}
