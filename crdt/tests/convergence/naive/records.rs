//! §8: what holds of records.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::id::{AgencyNo, CompartmentId, DeviceId, EntryId, StatementId};
use tearline_crdt::statement::{Act, Erasure, Right, Statement};

use super::Naive;
use super::positive::Positive;
use super::reach::Drawing;
use crate::answers::RecordAnswers;
use crate::bug::Bug;

/// A word on a record: a statement, or an act in force.
struct Word<'a> {
    id: StatementId,
    /// `None`: the whole.
    issuer: Option<DeviceId>,
    what: What<'a>,
}

/// What holds of all records of an area.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) answers: BTreeMap<EntryId, BTreeMap<AgencyNo, RecordAnswers>>,
    pub(super) destroyed: BTreeMap<AgencyNo, BTreeSet<EntryId>>,
}

/// What is said.
#[derive(Clone, Copy)]
enum What<'a> {
    Erase(&'a Erasure),
    EraseAlso(EntryId, &'a [EntryId]),
    Restrict(EntryId),
    Hold(EntryId),
    Recall(EntryId),
}

impl What<'_> {
    const fn genesis(&self) -> EntryId {
        match self {
            Self::Erase(erasure) => erasure.genesis,
            Self::EraseAlso(genesis, _)
            | Self::Restrict(genesis)
            | Self::Hold(genesis)
            | Self::Recall(genesis) => *genesis,
        }
    }
}

impl Naive<'_> {
    /// §8, for each record of a known originator and the peers of each member; and of what erasures
    /// list, what peers of each member destroy that do not read the record.
    pub(super) fn records(
        &self,
        area: CompartmentId,
        positive: &Positive,
        counting: &Drawing,
        in_force: &BTreeSet<StatementId>,
        lifts: &BTreeSet<EntryId>,
    ) -> Records {
        let words = self.words(area, in_force);
        let lifted =
            |word: &Word<'_>| self.is_lifted(area, word, positive, counting, in_force, lifts);
        let mut records = Records::default();
        let named = words.iter().map(|word| word.what.genesis());
        let all: BTreeSet<EntryId> = named.chain(self.held.records.iter().copied()).collect();
        for genesis in all {
            let originator = self.author_of(area, genesis);
            let originator = originator.and_then(|device| whose(&device, positive, counting));
            let about: Vec<&Word<'_>> =
                words.iter().filter(|word| word.what.genesis() == genesis).collect();
            for no in counting.members.keys() {
                let (answers, destroyed) =
                    self.record(area, *no, originator, &about, (positive, counting), &lifted);
                records.destroyed.entry(*no).or_default().extend(destroyed);
                if originator.is_some() {
                    records.answers.entry(genesis).or_default().insert(*no, answers);
                }
            }
        }
        records
    }

    /// The agencies of the devices in whose logs in the area entries are.
    pub(super) fn authors(
        &self,
        area: CompartmentId,
        positive: &Positive,
        counting: &Drawing,
    ) -> BTreeMap<EntryId, AgencyNo> {
        let mut authors = BTreeMap::new();
        for log in self.logs_in(area) {
            if let (Some(agency), Some(branch)) =
                (whose(&log.device, positive, counting), self.held.branches.get(log))
            {
                authors.extend(branch.iter().map(|entry| (*entry, agency)));
            }
        }
        authors
    }

    /// What holds of one record for the peers of one agency.
    fn record(
        &self,
        area: CompartmentId,
        peer: AgencyNo,
        originator: Option<AgencyNo>,
        about: &[&Word<'_>],
        (positive, counting): (&Positive, &Drawing),
        lifted: &dyn Fn(&Word<'_>) -> bool,
    ) -> (RecordAnswers, BTreeSet<EntryId>) {
        // The agencies as whose its issuer says a word, having the right.
        let says = |word: &Word<'_>, right: Right| {
            word.issuer.map(|issuer| positive.agencies_with(&issuer, right)).unwrap_or_default()
        };
        let has =
            |word: &Word<'_>, right: Right| word.issuer.is_none() || !says(word, right).is_empty();
        let of = |word: &Word<'_>, right: Right, agency: Option<AgencyNo>| {
            agency.is_some_and(|agency| says(word, right).contains(&agency))
        };
        let steward = |word: &Word<'_>| word.issuer.is_none() || of(word, Right::Admin, originator);
        let erasers = about.iter().filter(|word| {
            matches!(word.what, What::Erase(_))
                && (steward(word) || self.has(Bug::AnybodyErases) && has(word, Right::Write))
        });
        let erasures: Vec<&&Word<'_>> = erasers.collect();
        let is_hold = |word: &Word<'_>| {
            matches!(word.what, What::Hold(_))
                && has(word, Right::Admin)
                && !lifted(word)
                && !self.has(Bug::NoHolds)
        };
        // "Hold by a steward binds all; by an admin of another agency ... the peers of that agency."
        let binds = |word: &Word<'_>| {
            is_hold(word)
                && (steward(word)
                    || of(word, Right::Admin, Some(peer))
                    || self.has(Bug::HoldsBindAll))
        };
        let held = about.iter().any(|word| binds(word));
        let restricts = |word: &&&Word<'_>| {
            matches!(word.what, What::Restrict(_)) && steward(word) && !lifted(word)
        };
        let erased = !erasures.is_empty() && !held;
        // "Destroyed if any admin or act has erased the record and no hold by an act, by the adding
        // device's agency or by the peer's own binds."
        let any_erased =
            about.iter().any(|word| matches!(word.what, What::Erase(_)) && has(word, Right::Admin));
        let mut destroyed = BTreeSet::new();
        for word in about.iter().filter(|_| any_erased) {
            let (listed, right): (Vec<&EntryId>, Right) = match word.what {
                What::Erase(erasure) => {
                    (erasure.others.iter().chain([&erasure.genesis]).collect(), Right::Admin)
                }
                What::EraseAlso(_, entries) if !self.has(Bug::NoEraseAlso) => {
                    (entries.iter().collect(), Right::Write)
                }
                _ => continue,
            };
            let own = says(word, right).into_iter().map(Some);
            let whole = word.issuer.is_none().then_some(None);
            for adding in own.chain(whole) {
                let spared = about.iter().any(|hold| {
                    let binds = hold.issuer.is_none()
                        || of(hold, Right::Admin, adding)
                        || of(hold, Right::Admin, Some(peer));
                    is_hold(hold) && binds
                });
                if !spared {
                    destroyed.extend(self.own_entries(area, adding, &listed, (positive, counting)));
                }
            }
        }
        let answers = RecordAnswers {
            erased,
            restricted: about.iter().any(|word| restricts(&word)) || !erasures.is_empty() && held,
            recalled: about.iter().any(|word| {
                matches!(word.what, What::Recall(_))
                    && (word.issuer.is_none() || of(word, Right::Write, originator))
            }),
            held,
        };
        (answers, destroyed)
    }

    /// §8, erase: "the listed entries that devices of the issuer's agency wrote, or all listed ones
    /// if it is an act".
    fn own_entries(
        &self,
        area: CompartmentId,
        adding: Option<AgencyNo>,
        listed: &[&EntryId],
        (positive, counting): (&Positive, &Drawing),
    ) -> BTreeSet<EntryId> {
        let own = |entry: &&&EntryId| {
            adding.is_none_or(|adding| {
                let author = self.author_of(area, ***entry);
                author.is_some_and(|author| {
                    self.has(Bug::EraseAll) || whose(&author, positive, counting) == Some(adding)
                })
            })
        };
        listed.iter().filter(own).map(|entry| **entry).collect()
    }

    /// §8, lift: "counts if its place counts and its issuer is an admin of the agency whose device
    /// issued that, or it is an act in force".
    fn is_lifted(
        &self,
        area: CompartmentId,
        word: &Word<'_>,
        positive: &Positive,
        counting: &Drawing,
        in_force: &BTreeSet<StatementId>,
        lifts: &BTreeSet<EntryId>,
    ) -> bool {
        if self.has(Bug::NoLifts) {
            return false;
        }
        let by_act = in_force
            .iter()
            .filter_map(|id| self.acts.get(id))
            .any(|known| matches!(&known.act, Act::Lift { lifted } if *lifted == word.id));
        let by_admin = self.statements_in(area).any(|placed| {
            let names = matches!(placed.item.statement(),
                Statement::Lift { lifted } if *lifted == word.id);
            let admin = counting.devices.get(&placed.log.device).is_some_and(|device| {
                let same =
                    word.issuer.is_some_and(|of| positive.agencies(&of).contains(&device.agency));
                counting.may(&placed.log, Right::Admin) && same
            });
            names && admin && lifts.contains(&placed.item.id)
        });
        by_act || by_admin
    }

    /// All that is said of records: in the compartment's logs, and by acts.
    fn words(&self, area: CompartmentId, in_force: &BTreeSet<StatementId>) -> Vec<Word<'_>> {
        let mut words = Vec::new();
        for placed in self.statements_in(area) {
            let what = match placed.item.statement() {
                Statement::Erase(erasure) => What::Erase(erasure),
                Statement::EraseAlso { genesis, entries } => What::EraseAlso(*genesis, entries),
                Statement::Restrict { genesis } => What::Restrict(*genesis),
                Statement::Hold { genesis } => What::Hold(*genesis),
                Statement::Recall { genesis } => What::Recall(*genesis),
                _ => continue,
            };
            let issuer = Some(placed.log.device);
            words.push(Word { id: placed.item.id.into(), issuer, what });
        }
        for id in in_force {
            let what = match self.acts.get(id).map(|known| &known.act) {
                Some(Act::Erase(erasure)) => What::Erase(erasure),
                Some(Act::Restrict { genesis }) => What::Restrict(*genesis),
                Some(Act::Hold { genesis }) => What::Hold(*genesis),
                Some(Act::Recall { genesis }) => What::Recall(*genesis),
                _ => continue,
            };
            words.push(Word { id: *id, issuer: None, what });
        }
        words
    }

    /// The device in whose log in the area an entry is.
    fn author_of(&self, area: CompartmentId, entry: EntryId) -> Option<DeviceId> {
        let mut logs = self.logs_in(area);
        let log = logs.find(|log| self.held.branches.get(log).is_some_and(|b| b.contains(&entry)));
        log.map(|log| log.device)
    }
}

/// "The agency of the device by what counts, else the smallest in positive reach."
fn whose(device: &DeviceId, positive: &Positive, counting: &Drawing) -> Option<AgencyNo> {
    counting.agency(device).or_else(|| positive.agencies(device).first().copied())
}
