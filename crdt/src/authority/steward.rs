//! Stewardship: erasure, restriction, hold and recall of records (`docs/protocol/authority.md`,
//! section 8).
//!
//! A record is named by the entry id of its genesis, which relays see, too. Its stewards are the
//! admins of the agency that began it, and acts of the whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{AgencyNo, EntryId, LogId, StatementId};
use crate::statement::{Act, Right, Statement};

use super::fact::Fact;
use super::{Coalition, Compartment, StatementVerdict};

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

/// The agency on whose word something is said; `None` for an act.
type By = Option<AgencyNo>;

/// All that is said of records in a compartment. What is said twice is kept once: a record or an entry
/// costs as much as there are agencies that speak of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Words {
    /// By genesis: who says what, by which statements. Of holds and restrictions, those that nobody
    /// lifted.
    records: BTreeMap<EntryId, BTreeMap<(Word, By), BTreeSet<StatementId>>>,
    /// Entries that are to be destroyed, with the genesis of the record and who says so.
    entries: BTreeMap<EntryId, BTreeSet<(EntryId, By)>>,
    /// The records of which a hold stands, by genesis.
    held: BTreeSet<EntryId>,
}

impl Words {
    fn say(&mut self, genesis: EntryId, word: Word, by: By, id: StatementId) {
        let said = self.records.entry(genesis).or_default();
        said.entry((word, by)).or_default().insert(id);
    }

    fn destroy<'a>(
        &mut self,
        genesis: EntryId,
        by: By,
        entries: impl IntoIterator<Item = &'a EntryId>,
    ) {
        for entry in entries {
            self.entries.entry(*entry).or_default().insert((genesis, by));
        }
    }

    /// Forgets what is lifted. What is final stays.
    fn lift(&mut self, lifted: &BTreeSet<StatementId>) {
        for said in self.records.values_mut() {
            for ((word, _), ids) in &mut *said {
                if matches!(word, Word::Hold | Word::Restrict) {
                    ids.retain(|id| !lifted.contains(id));
                }
            }
            said.retain(|_, ids| !ids.is_empty());
        }
        let is_held =
            |said: &BTreeMap<(Word, By), _>| said.keys().any(|(word, _)| *word == Word::Hold);
        let held = self.records.iter().filter(|(_, said)| is_held(said));
        self.held = held.map(|(genesis, _)| *genesis).collect();
    }

    /// By whom a word is said of a record.
    fn by(&self, genesis: &EntryId, word: Word) -> impl Iterator<Item = By> {
        let all = (word, None)..=(word, Some(AgencyNo(u16::MAX)));
        let said = self.records.get(genesis);
        said.into_iter().flat_map(move |said| said.range(all.clone())).map(|((_, by), _)| *by)
    }
}

/// Whether who says something of a record is its steward, so that it binds all who hold it. Of a record
/// whose originator is not known only an act is known to be.
fn is_steward(by: By, origin: Option<AgencyNo>) -> bool {
    by.is_none() || by == origin
}

impl Compartment {
    /// Collects what is said of records. Who said it is judged when a record's originator is known.
    pub(super) fn words(&self, coalition: &Coalition) -> Words {
        let mut words = Words::default();
        let mut lifted = BTreeSet::new();
        for fact in self.facts.values() {
            self.hear(fact, &mut words);
            lifted.extend(self.lifted(fact));
        }
        for (id, held) in &coalition.counting.acts {
            match &held.act {
                Act::Erase(erasure) => {
                    words.say(erasure.genesis, Word::Erase, None, *id);
                    words.destroy(erasure.genesis, None, erasure.entries());
                }
                Act::Restrict { genesis } => words.say(*genesis, Word::Restrict, None, *id),
                Act::Hold { genesis } => words.say(*genesis, Word::Hold, None, *id),
                Act::Recall { genesis } => words.say(*genesis, Word::Recall, None, *id),
                Act::Lift { lifted: one } => {
                    lifted.insert(*one);
                }
                _ => {}
            }
        }
        words.lift(&lifted);
        words
    }

    fn hear(&self, fact: &Fact, words: &mut Words) {
        if let Some((word, genesis)) = word_of(&fact.statement) {
            for by in self.speakers(fact, word.needs()) {
                words.say(*genesis, word, by, fact.id());
            }
        }
        let (genesis, right) = match &fact.statement {
            Statement::Erase(erasure) => (erasure.genesis, Right::Admin),
            Statement::EraseAlso { genesis, .. } => (*genesis, Right::Write),
            _ => return,
        };
        for by in self.speakers(fact, right) {
            match &fact.statement {
                Statement::Erase(erasure) => words.destroy(genesis, by, erasure.entries()),
                Statement::EraseAlso { entries, .. } => words.destroy(genesis, by, entries),
                _ => {}
            }
        }
    }

    /// The agencies as whose a statement's issuer has a right.
    fn speakers<'a>(&'a self, fact: &Fact, right: Right) -> impl Iterator<Item = By> + use<'a> {
        self.positive.speakers(&fact.issuer(), right).map(Some)
    }

    /// What a statement lifts.
    fn lifted(&self, fact: &Fact) -> Option<StatementId> {
        let Statement::Lift { lifted } = &fact.statement else { return None };
        if !self.counted.contains(&fact.place.id) {
            return None;
        }
        let by = self.counting.devices.get(&fact.issuer())?;
        let is_admin = by.right_in(fact.place.log.incarnation) >= Some(Right::Admin);
        let by = is_admin.then_some(by.agency)?;
        let of = self.facts.get(&EntryId(lifted.0))?.issuer();
        self.positive.of(&of, by).map(|_| *lifted)
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
        for ((word, by), ids) in self.words.records.get(genesis).into_iter().flatten() {
            let steward = is_steward(*by, Some(origin));
            match word {
                Word::Erase if steward => {
                    state.erased = state.erased.into_iter().chain(ids.first().copied()).min();
                }
                Word::Erase => {}
                Word::Recall => state.recalled |= steward,
                Word::Restrict => state.restricted |= steward,
                Word::Hold => state.held |= steward || *by == Some(reader),
            }
        }
        if state.erased.is_some() && state.held {
            state.erased = None;
            state.restricted = true;
        }
        state
    }

    /// The statements that make [`Compartment::record_state`] what it is: what was said by who may, and
    /// was not lifted.
    pub fn binding(
        &self,
        genesis: &EntryId,
        origin: AgencyNo,
        reader: AgencyNo,
    ) -> impl Iterator<Item = StatementId> {
        let said = self.words.records.get(genesis).into_iter().flatten();
        said.filter(move |((word, by), _)| {
            is_steward(*by, Some(origin)) || *word == Word::Hold && *by == Some(reader)
        })
        .flat_map(|(_, ids)| ids.iter().copied())
    }

    /// The records of which a hold stands, whomever it binds, by genesis.
    pub fn held(&self) -> impl Iterator<Item = &EntryId> {
        self.words.held.iter()
    }

    /// The holds of a record that stand, whomever they bind: on whose word, an agency's or `None` for an act,
    /// and by which statement.
    pub fn holds_of(
        &self,
        genesis: &EntryId,
    ) -> impl Iterator<Item = (Option<AgencyNo>, StatementId)> {
        let said = self.words.records.get(genesis).into_iter().flatten();
        said.filter(|((word, _), _)| *word == Word::Hold)
            .flat_map(|((_, by), ids)| ids.iter().map(|id| (*by, *id)))
    }

    /// On whose word a record is to be destroyed, whoever began it: agencies, and `None` for an act.
    pub fn erasers(&self, genesis: &EntryId) -> impl Iterator<Item = Option<AgencyNo>> {
        self.words.by(genesis, Word::Erase)
    }

    /// The records, by genesis, with which a peer of `reader` is to destroy an entry that `author`'s
    /// device wrote, and who listed it.
    pub fn erasures_of(
        &self,
        entry: &EntryId,
        author: AgencyNo,
        reader: AgencyNo,
    ) -> impl Iterator<Item = (EntryId, Option<AgencyNo>)> {
        let listed = self.words.entries.get(entry).into_iter().flatten();
        let own = listed.filter(move |(_, by)| is_steward(*by, Some(author)));
        own.filter(move |(genesis, by)| self.is_in_effect(genesis, *by, reader)).copied()
    }

    /// Whether some peer may have destroyed an entry that `author`'s device wrote: as
    /// [`Compartment::erasures_of`], for readers of any agency and before any hold, or with all of a
    /// record that its steward erased. `origin` names the originator of a record, if it is known.
    #[must_use]
    pub fn is_erased_anywhere(
        &self,
        entry: &EntryId,
        author: AgencyNo,
        origin: &dyn Fn(&EntryId) -> Option<AgencyNo>,
    ) -> bool {
        let mut listed = self.words.entries.get(entry).into_iter().flatten();
        listed.any(|(genesis, by)| {
            let erased = || self.words.by(genesis, Word::Erase);
            let whole = || {
                let origin = origin(genesis);
                erased().any(|by| is_steward(by, origin))
            };
            is_steward(*by, Some(author)) && erased().next().is_some() || whole()
        })
    }

    /// Whether somebody erased a record.
    fn is_said_erased(&self, genesis: &EntryId) -> bool {
        self.words.by(genesis, Word::Erase).next().is_some()
    }

    /// Whether an erasure lists an entry.
    #[must_use]
    pub fn is_listed(&self, entry: &EntryId) -> bool {
        self.words.entries.contains_key(entry)
    }

    /// What is asked of those who hold a record that `origin` began: every erasure, restriction and
    /// recall by a steward that is not lifted. Where the originator is not known, by any agency: so who
    /// holds nothing of it can say so. Acts are not among those: they name no compartment, and are heard in
    /// each, of which one has the record.
    pub fn asked_of(
        &self,
        genesis: &EntryId,
        origin: Option<AgencyNo>,
    ) -> impl Iterator<Item = (StatementId, Asked)> {
        let said = self.words.records.get(genesis).into_iter().flatten();
        let asks = move |by: By| origin.map_or(by.is_some(), |origin| is_steward(by, Some(origin)));
        said.filter(move |((_, by), _)| asks(*by))
            .filter_map(|((word, _), ids)| Some((word.asks()?, ids)))
            .flat_map(|(asked, ids)| ids.iter().map(move |id| (*id, asked)))
    }

    /// Whether a list of entries is in effect: somebody erased the record, and nothing holds it.
    fn is_in_effect(&self, genesis: &EntryId, by: By, reader: AgencyNo) -> bool {
        let binds = |holder: By| holder.is_none() || holder == by || holder == Some(reader);
        self.words.by(genesis, Word::Erase).next().is_some()
            && !self.words.by(genesis, Word::Hold).any(binds)
    }

    /// What became of a word about a record; `None` of other statements. `origin` names the originator
    /// of a record, if it is known.
    pub(super) fn verdict_on_word(
        &self,
        fact: &Fact,
        origin: &dyn Fn(&EntryId) -> Option<AgencyNo>,
    ) -> Option<StatementVerdict> {
        let word = word_of(&fact.statement);
        let needed = match (&fact.statement, word) {
            (_, Some((word, _))) => word.needs(),
            (Statement::EraseAlso { .. }, None) => Right::Write,
            _ => return None,
        };
        let mut speakers = self.speakers(fact, needed).peekable();
        if speakers.peek().is_none() {
            return Some(StatementVerdict::NoStanding);
        }
        // Anybody's admin holds for his own agency's peers, and anybody adds what his agency wrote.
        let Some((word, genesis)) = word.filter(|(word, _)| *word != Word::Hold) else {
            return Some(StatementVerdict::Counts);
        };
        let Some(origin) = origin(genesis) else { return Some(StatementVerdict::NoRecord) };
        if !speakers.any(|by| is_steward(by, Some(origin))) {
            return Some(StatementVerdict::NotAbove);
        }
        let said = self.words.records.get(genesis).into_iter().flatten();
        let mut unlifted = said.filter(|((said, _), _)| *said == word).flat_map(|(_, ids)| ids);
        Some(if unlifted.any(|id| *id == fact.id()) {
            StatementVerdict::Counts
        } else {
            StatementVerdict::Lifted
        })
    }

    /// How much is kept of who lists an entry, and of who says what of a record.
    #[cfg(test)]
    pub(super) fn kept(&self, entry: &EntryId, genesis: &EntryId) -> (usize, usize) {
        let lists = self.words.entries.get(entry).map_or(0, BTreeSet::len);
        (lists, self.words.records.get(genesis).map_or(0, BTreeMap::len))
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

impl Word {
    /// The right that it takes.
    const fn needs(self) -> Right {
        match self {
            Self::Erase | Self::Restrict | Self::Hold => Right::Admin,
            Self::Recall => Right::Write,
        }
    }

    const fn asks(self) -> Option<Asked> {
        match self {
            Self::Erase => Some(Asked::Erase),
            Self::Restrict => Some(Asked::Restrict),
            Self::Recall => Some(Asked::Recall),
            Self::Hold => None,
        }
    }
}

/// The word that a statement is, and the genesis of the record.
const fn word_of(statement: &Statement) -> Option<(Word, &EntryId)> {
    Some(match statement {
        Statement::Erase(erasure) => (Word::Erase, &erasure.genesis),
        Statement::Restrict { genesis } => (Word::Restrict, genesis),
        Statement::Hold { genesis } => (Word::Hold, genesis),
        Statement::Recall { genesis } => (Word::Recall, genesis),
        _ => return None,
    })
}
