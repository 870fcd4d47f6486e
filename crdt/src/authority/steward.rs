//! Stewardship: erasure, restriction, hold and recall of records (`docs/protocol/authority.md`,
//! section 8).
//!
//! A record is named by the entry id of its genesis, which relays see, too. Its stewards are the
//! admins of the agency that began it, and acts of the whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{AgencyNo, EntryId, LogId, StatementId};
use crate::statement::{Act, Right, Statement};

use super::closure::Author;
use super::fact::Fact;
use super::{Coalition, Compartment};

/// What stewards said of a record, as it binds a peer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RecordState {
    /// The statement by which it is to be destroyed: of several the one with the smallest id.
    pub erased: Option<StatementId>,
    /// Its content is to be hidden.
    pub restricted: bool,
    /// It is not to be relied on.
    pub recalled: bool,
    /// A hold binds: an erasure only restricts.
    pub held: bool,
}

/// What a statement asks of those who hold a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// To destroy it.
    Erase,
    /// To hide it.
    Restrict,
    /// To say that it is not to be relied on.
    Recall,
}

/// A word about a record.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Word {
    Erase,
    Restrict,
    Hold,
    Recall,
}

/// All that is said of records in a compartment, by genesis.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Words {
    records: BTreeMap<EntryId, Vec<(Word, Author, StatementId)>>,
    /// Entries that are to be destroyed, with the genesis of the record and who says so.
    entries: BTreeMap<EntryId, Vec<(EntryId, Author)>>,
    lifted: BTreeSet<StatementId>,
}

impl Words {
    fn say(&mut self, genesis: EntryId, word: Word, author: Author, id: StatementId) {
        self.records.entry(genesis).or_default().push((word, author, id));
    }

    fn destroy<'a>(
        &mut self,
        genesis: EntryId,
        author: Author,
        entries: impl IntoIterator<Item = &'a EntryId>,
    ) {
        for entry in entries {
            self.entries.entry(*entry).or_default().push((genesis, author));
        }
    }
}

impl Compartment {
    /// Collects what is said of records. Who said it is judged when a record's originator is known.
    pub(super) fn words(&self, coalition: &Coalition) -> Words {
        let mut words = Words::default();
        for fact in self.facts.values() {
            self.hear(fact, &mut words);
        }
        for (id, held) in &coalition.counting.acts {
            let whole = Author::Whole;
            match &held.act {
                Act::Erase(erasure) => {
                    words.say(erasure.genesis, Word::Erase, whole, *id);
                    words.destroy(erasure.genesis, whole, erasure.entries());
                }
                Act::Restrict { genesis } => words.say(*genesis, Word::Restrict, whole, *id),
                Act::Hold { genesis } => words.say(*genesis, Word::Hold, whole, *id),
                Act::Recall { genesis } => words.say(*genesis, Word::Recall, whole, *id),
                Act::Lift { lifted } => {
                    words.lifted.insert(*lifted);
                }
                _ => {}
            }
        }
        words
    }

    fn hear(&self, fact: &Fact, words: &mut Words) {
        let by = |right| self.positive.speakers(&fact.issuer(), right);
        match &fact.statement {
            Statement::Erase(erasure) => {
                for author in by(Right::Admin) {
                    words.say(erasure.genesis, Word::Erase, author, fact.id());
                    words.destroy(erasure.genesis, author, erasure.entries());
                }
            }
            Statement::EraseAlso { genesis, entries } => {
                for author in by(Right::Write) {
                    words.destroy(*genesis, author, entries);
                }
            }
            Statement::Restrict { genesis } => {
                for author in by(Right::Admin) {
                    words.say(*genesis, Word::Restrict, author, fact.id());
                }
            }
            Statement::Hold { genesis } => {
                for author in by(Right::Admin) {
                    words.say(*genesis, Word::Hold, author, fact.id());
                }
            }
            Statement::Recall { genesis } => {
                for author in by(Right::Write) {
                    words.say(*genesis, Word::Recall, author, fact.id());
                }
            }
            Statement::Lift { lifted } if self.counted.contains(&fact.place.id) => {
                let by = self.counting.devices.get(&fact.issuer());
                let by = by.filter(|by| by.right() >= Right::Admin).map(|by| by.agency);
                let of = self.facts.get(&EntryId(lifted.0)).map(Fact::issuer);
                let own = of.zip(by).and_then(|(of, by)| self.positive.of(&of, by));
                if own.is_some() {
                    words.lifted.insert(*lifted);
                }
            }
            _ => {}
        }
    }

    /// What was said of a record that `origin` began, as it binds a peer of `reader`.
    #[must_use]
    pub fn record_state(
        &self,
        genesis: &EntryId,
        origin: AgencyNo,
        reader: AgencyNo,
    ) -> RecordState {
        let mut state = RecordState::default();
        for (word, author, id) in self.words.records.get(genesis).into_iter().flatten() {
            let by = agency(*author);
            let steward = by.is_none_or(|by| by == origin);
            let lifted = self.words.lifted.contains(id);
            match word {
                Word::Erase if steward => {
                    state.erased = Some(state.erased.map_or(*id, |other| other.min(*id)));
                }
                Word::Erase => {}
                Word::Recall => state.recalled |= steward,
                Word::Restrict => state.restricted |= steward && !lifted,
                Word::Hold => state.held |= (steward || by == Some(reader)) && !lifted,
            }
        }
        if state.erased.is_some() && state.held {
            state.erased = None;
            state.restricted = true;
        }
        state
    }

    /// The records, by genesis, with which a peer of `reader` is to destroy an entry that `author`'s
    /// device wrote.
    pub fn erasures_of(
        &self,
        entry: &EntryId,
        author: AgencyNo,
        reader: AgencyNo,
    ) -> impl Iterator<Item = EntryId> {
        let listed = self.words.entries.get(entry).into_iter().flatten();
        listed
            .filter(move |(genesis, by)| {
                agency(*by).is_none_or(|by| by == author) && self.is_in_effect(genesis, *by, reader)
            })
            .map(|(genesis, _)| *genesis)
    }

    /// Whether some peer may have destroyed an entry that `author`'s device wrote: as
    /// [`Compartment::erasures_of`], for readers of any agency, and before any hold.
    #[must_use]
    pub fn is_erased_anywhere(&self, entry: &EntryId, author: AgencyNo) -> bool {
        let mut listed = self.words.entries.get(entry).into_iter().flatten();
        listed.any(|(genesis, by)| {
            agency(*by).is_none_or(|by| by == author) && self.is_said_erased(genesis)
        })
    }

    /// Whether somebody erased a record.
    fn is_said_erased(&self, genesis: &EntryId) -> bool {
        let mut said = self.words.records.get(genesis).into_iter().flatten();
        said.any(|(word, ..)| *word == Word::Erase)
    }

    /// Whether an erasure lists an entry.
    #[must_use]
    pub fn is_listed(&self, entry: &EntryId) -> bool {
        self.words.entries.contains_key(entry)
    }

    /// What is asked of peers about a record: every erasure, restriction and recall that is not
    /// lifted.
    pub fn asked_of(&self, genesis: &EntryId) -> impl Iterator<Item = (StatementId, Asked)> {
        let said = self.words.records.get(genesis).into_iter().flatten();
        said.filter(|(_, _, id)| !self.words.lifted.contains(id)).filter_map(|(word, _, id)| {
            let asked = match word {
                Word::Erase => Asked::Erase,
                Word::Restrict => Asked::Restrict,
                Word::Recall => Asked::Recall,
                Word::Hold => return None,
            };
            Some((*id, asked))
        })
    }

    /// Whether a list of entries is in effect: its author erased the record, and nothing holds it.
    fn is_in_effect(&self, genesis: &EntryId, by: Author, reader: AgencyNo) -> bool {
        let said = || self.words.records.get(genesis).into_iter().flatten();
        let erased = said().any(|(word, ..)| *word == Word::Erase);
        let binds = |author: Author| {
            let holder = agency(author);
            holder.is_none() || holder == agency(by) || holder == Some(reader)
        };
        let held = said().any(|(word, author, id)| {
            *word == Word::Hold && binds(*author) && !self.words.lifted.contains(id)
        });
        erased && !held
    }

    /// The agency whose the entries of a log are, and the records that began in it: by what counts,
    /// else in positive reach.
    #[must_use]
    pub fn originator(&self, log: &LogId) -> Option<AgencyNo> {
        let counting = self.counting.devices.get(&log.device).map(|standing| standing.agency);
        counting.or_else(|| self.positive.parts(&log.device).next().map(|(no, _)| no))
    }

    /// The records of which something was said, by genesis.
    pub fn spoken_of(&self) -> impl Iterator<Item = &EntryId> {
        self.words.records.keys()
    }

    /// The entries that are listed of records that somebody erased.
    pub fn listed_entries(&self) -> impl Iterator<Item = &EntryId> {
        let lists = self.words.entries.iter();
        lists
            .filter(|(_, lists)| lists.iter().any(|(genesis, _)| self.is_said_erased(genesis)))
            .map(|(entry, _)| entry)
    }
}

const fn agency(author: Author) -> Option<AgencyNo> {
    match author {
        Author::Whole => None,
        Author::Root(agency) | Author::Desk(agency) | Author::Device(agency) => Some(agency),
    }
}
