//! What is said again: who says what he said before is told so, and nothing is written.
//!
//! Statements have no time of their own, so what is told is by whom it was said, and in which statement.

use std::collections::BTreeSet;

use tearline_crdt::authority::{Asked, StatementVerdict};
use tearline_crdt::id::{CompartmentId, EntryId, LogId, StatementId};
use tearline_crdt::record::shelf::Detail;
use tearline_crdt::statement::{Act, Marks, Statement};
use tearline_mesh::replica::Word;

use super::core::Core;
use super::names::is_prefix;
use super::{Answer, json};
use crate::control::trust as shape;
use crate::failure::Failure;

impl Core {
    /// The answer to who says what was said.
    pub(super) fn said_already(&mut self, statement: StatementId, what: String) -> Answer {
        let by = self.decided(statement);
        let statement = statement.to_string();
        let said = shape::Declared { statement, what, already: true, by, ..Default::default() };
        Ok((json(&said)?, Some(self.replica.settled())))
    }

    /// The statement by which a word about a record was said and binds. Erasures and recalls are final, whoever
    /// said them; a restriction or a hold is lifted by whose it is, so that those of others do not do.
    pub(super) fn said_before(&self, detail: &Detail, word: &Word) -> Option<StatementId> {
        let asks = match word {
            Word::Erase { .. } => Asked::Erase,
            Word::Recall => Asked::Recall,
            Word::Restrict | Word::Hold => {
                let holds = *word == Word::Hold;
                let mut ours = self.binding_by_us(detail).into_iter();
                return ours.find(|(_, hold)| *hold == holds).map(|(id, _)| id);
            }
        };
        let compartment = self.replica.compartment(detail.compartment)?;
        let mut asked = compartment.asked_of(&detail.genesis, Some(detail.origin));
        asked.find(|(_, asked)| *asked == asks).map(|(statement, _)| statement)
    }

    /// The restrictions and holds of a record that devices of our agency said and that bind; whether each is
    /// a hold.
    pub(super) fn binding_by_us(&self, detail: &Detail) -> Vec<(StatementId, bool)> {
        let own = self.agency_of(&self.replica.device());
        let compartment = self.replica.compartment(detail.compartment).into_iter();
        let binding: BTreeSet<StatementId> = compartment
            .flat_map(|c| c.binding(&detail.genesis, detail.origin, own.unwrap_or_default()))
            .collect();
        let said = self.statements(detail.compartment).into_iter();
        said.filter(|(log, ..)| self.agency_of(&log.device) == own)
            .filter_map(|(_, entry, statement)| match statement {
                Statement::Hold { .. } => Some((StatementId(entry.0), true)),
                Statement::Restrict { .. } => Some((StatementId(entry.0), false)),
                _ => None,
            })
            .filter(|(id, _)| binding.contains(id))
            .collect()
    }

    /// The statement that lifted another one.
    pub(super) fn lifted_by(
        &self,
        area: CompartmentId,
        lifted: StatementId,
    ) -> Option<StatementId> {
        self.counting(
            area,
            |_, statement| matches!(statement, Statement::Lift { lifted: one } if *one == lifted),
        )
    }

    /// The statements that lifted holds and restrictions of a record which were said in such logs.
    pub(super) fn lifts_of(
        &self,
        area: CompartmentId,
        genesis: &EntryId,
        of: impl Fn(&LogId) -> bool,
    ) -> Vec<StatementId> {
        let said = self.statements(area).into_iter();
        let said = said.filter(|(log, _, statement)| match statement {
            Statement::Hold { genesis: one } | Statement::Restrict { genesis: one } => {
                one == genesis && of(log)
            }
            _ => false,
        });
        said.filter_map(|(_, entry, _)| self.lifted_by(area, StatementId(entry.0))).collect()
    }

    /// The statement by which our agency gave the same and that counts. A life that is named again is the same
    /// where what ended the one before is cited no more.
    pub(super) fn granted_before(
        &self,
        area: CompartmentId,
        grant: &Statement,
        named: Option<StatementId>,
    ) -> Option<StatementId> {
        let own = self.agency_of(&self.replica.device());
        self.counting(area, |log, statement| {
            let (
                Statement::Grant { audience, right, caveats, reopening },
                Statement::Grant { audience: to, right: of, caveats: within, reopening: asked },
            ) = (statement, grant)
            else {
                return false;
            };
            let life = match (reopening, asked) {
                (None, None) => true,
                (Some(given), Some(asked)) => {
                    let again = named.is_some_and(|named| asked.cites == [named]);
                    given.incarnation == asked.incarnation && (again || given.cites == asked.cites)
                }
                _ => false,
            };
            life && (audience, right, caveats) == (to, of, within)
                && self.agency_of(&log.device) == own
        })
    }

    /// The statement that adopted an entry, which counts by it: one that is in its marks.
    pub(super) fn adopted_by(&self, text: &str) -> Result<Option<StatementId>, Failure> {
        let names = |marks: &Marks| match marks {
            Marks::Inline(marks) => {
                marks.iter().any(|mark| is_prefix(text, &mark.head.to_string()))
            }
            Marks::Wide(_) => false,
        };
        let coalition = self.coalition()?;
        let acts = coalition.proposals().into_iter();
        let mut acts = acts.filter(|(_, one)| one.in_force);
        let act = acts.find(|(_, one)| matches!(&one.act, Act::Adopt { marks } if names(marks)));
        if let Some((id, _)) = act {
            return Ok(Some(id));
        }
        let adopts = |_: &LogId, said: &Statement| match said {
            Statement::Adopt { marks } => names(marks),
            Statement::RootAct(root) => matches!(&root.act, Act::Adopt { marks } if names(marks)),
            _ => false,
        };
        let mut areas = self.replica.areas().keys().filter(|area| self.may_see(area));
        Ok(areas.find_map(|area| self.counting(*area, adopts)))
    }

    /// The first statement of an area like that, of those that count.
    fn counting(
        &self,
        area: CompartmentId,
        is: impl Fn(&LogId, &Statement) -> bool,
    ) -> Option<StatementId> {
        let counts = |entry: &EntryId| {
            self.replica.verdict(area, entry).ok().flatten() == Some(StatementVerdict::Counts)
        };
        let said = self.statements(area).into_iter();
        said.filter(|(log, _, statement)| is(log, statement))
            .find(|(_, entry, _)| counts(entry))
            .map(|(_, entry, _)| StatementId(entry.0))
    }
}
