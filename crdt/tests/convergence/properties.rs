//! What must hold of verdicts whatever the rules: taking away never gives, who is removed reads
//! nothing, and who has a standing can be closed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use tearline_crdt::id::{Class, EntryId, Incarnation, LogId, StatementId};
use tearline_crdt::keys::DeviceCard;
use tearline_crdt::statement::{Audience, Caveats, Marks, Reopening, Right, Statement};

use crate::answers::{Answers, DeviceAnswers};
use crate::bug::Bug;
use crate::naive::evaluate;
use crate::rng::Rng;
use crate::shrink::{shrink, tell};
use crate::world::{Choice, Held, History, Item, Log};
use crate::{generate, histories};

/// Asserts that no history breaks a property, and tells the least that does.
fn always(property: impl Fn(&History) -> Option<String>) {
    for seed in 0..histories() {
        let history = generate::history(seed);
        if property(&history).is_some() {
            let least = shrink(&history, &|history| property(history).is_some());
            let what = property(&least).unwrap_or_default();
            panic!("{what}\n{}", tell(&least));
        }
    }
}

fn answers(history: &History) -> (Held, Answers) {
    let held = history.held(&Choice::new());
    let answers = evaluate(&held, None);
    (held, answers)
}

#[test]
fn a_new_closure_never_makes_an_entry_below_the_fork_count() {
    always(|history| {
        let (held, before) = answers(history);
        let mut rng = Rng::new(history.seed ^ 0xc105);
        let devices: Vec<_> = held
            .branches
            .keys()
            .map(|log| log.device)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        for _ in 0..2 {
            let (issuer, target) = (rng.pick(&devices), rng.pick(&devices));
            let mut more = held.clone();
            // At a place beyond all that is held: narrowing counts at every place.
            let log = LogId {
                compartment: history.coalition_area(),
                class: Class::Authority,
                device: issuer,
                incarnation: Incarnation(u64::MAX),
            };
            let item = Item {
                id: EntryId([0xcc; 32]),
                statement: Some(Statement::Revoke { device: target, keep: Marks::NONE }),
                payload: None,
                boxes: BTreeSet::new(),
            };
            more.insert(&log, 5, &Rc::new(item));
            let after = evaluate(&more, None);
            // Without the approvals of who is closed another root may stand, or another member.
            if after.seats != before.seats {
                continue;
            }
            for (id, area) in &before.areas {
                for (log, (limit, _)) in &area.logs {
                    let grown = after.areas.get(id).and_then(|area| area.logs.get(log));
                    let fork = held.fork(log);
                    if grown.is_some_and(|(grown, _)| (*grown).min(fork) > *limit) {
                        return Some(format!("{log:?} counted {limit} and counts {grown:?}"));
                    }
                }
            }
        }
        None
    });
}

#[test]
fn a_readmission_takes_nothing_from_anybody_else() {
    let tried = Cell::new(0);
    always(|history| {
        let (held, before) = answers(history);
        let mut rng = Rng::new(history.seed ^ 0x4ead);
        let more = readmitted(history, &held, &before, &mut rng)?;
        tried.set(tried.get() + 1);
        let after = evaluate(&more, None);
        for (id, area) in &before.areas {
            for (log, (limit, _)) in &area.logs {
                let left = after.areas.get(id).and_then(|area| area.logs.get(log));
                if left.is_none_or(|(left, _)| left < limit) {
                    return Some(format!("{log:?} counted {limit} and counts {left:?}"));
                }
            }
        }
        None
    });
    assert!(tried.get() > histories() / 4, "{tried:?}");
}

/// The same with one readmission more: a desk says, at the end of a log that counts, that a device of its
/// agency may read in a life that begins.
fn readmitted(history: &History, held: &Held, before: &Answers, rng: &mut Rng) -> Option<Held> {
    let area = before.areas.get(&history.coalition_area())?;
    let speaks = |log: &&LogId| {
        let all = area.logs.get(log).is_some_and(|(_, cause)| cause.is_none());
        let desk = area.devices.get(&log.device).is_some_and(|device| device.desk);
        log.class == Class::Authority && desk && all && !held.forks.contains_key(*log)
    };
    let coalition = |log: &&LogId| log.compartment == history.coalition_area();
    let logs: Vec<LogId> = held.branches.keys().filter(coalition).filter(speaks).copied().collect();
    let log = rng.one(&logs).copied()?;
    let agency = area.devices.get(&log.device)?.agency?;
    let of_agency = |device: &&DeviceAnswers| device.agency == Some(agency) && !device.desk;
    let units: Vec<DeviceCard> =
        area.devices.values().filter(of_agency).filter_map(|device| device.card.clone()).collect();
    let card = rng.one(&units).cloned()?;
    let closures = area.closures.iter().filter(|one| one.devices.contains(&card.device));
    let mut cites: Vec<StatementId> = closures.map(|closure| closure.id).collect();
    cites.push(StatementId([0xff; 32]));
    let incarnation = Incarnation(u64::MAX);
    let statement = Statement::Grant {
        audience: Audience::Device { agency, card },
        right: Right::Read,
        caveats: Caveats::default(),
        reopening: Some(Reopening { incarnation, cites }),
    };
    let id = EntryId([0xcd; 32]);
    let item = Item { id, statement: Some(statement), payload: None, boxes: BTreeSet::new() };
    let mut more = held.clone();
    let branch = more.branches.entry(log).or_default();
    branch.push(id);
    let seq = branch.len() as u64 - 1;
    more.insert(&log, seq, &Rc::new(item));
    Some(more)
}

#[test]
fn no_clean_epoch_is_read_by_who_is_closed_or_may_not_read() {
    always(|history| {
        let (_, answers) = answers(history);
        for area in answers.areas.values() {
            for (id, epoch) in area.epochs.iter().filter(|(_, epoch)| epoch.clean) {
                for reader in &epoch.readers {
                    let device = area.devices.get(reader);
                    let may = device.is_some_and(|device| {
                        let mut routes = device.counting.values().flatten();
                        device.live && routes.any(|route| route.right >= Right::Read)
                    });
                    if !may {
                        return Some(format!("{id:?} is read by {reader:?}"));
                    }
                }
            }
        }
        None
    });
}

#[test]
fn who_has_a_counting_route_has_positive_reach_as_the_same_agencys() {
    always(|history| {
        let (_, answers) = answers(history);
        for area in answers.areas.values() {
            for (id, device) in &area.devices {
                if device.agency.is_some_and(|agency| !device.reach.contains(&agency)) {
                    return Some(format!("{id:?} counts and has not that reach: {device:?}"));
                }
            }
        }
        None
    });
}

#[test]
fn at_most_one_branch_of_a_log_counts() {
    always(|history| two_branches_count(history, None));
    let broken =
        |seed| two_branches_count(&generate::history(seed), Some(Bug::ChoicesUnite)).is_some();
    assert!(
        (0..histories()).any(broken),
        "where marks that contradict each other unite, two count"
    );
}

/// A log of which a peer that holds one branch counts what no peer does that holds another.
fn two_branches_count(history: &History, bug: Option<Bug>) -> Option<String> {
    let forked = history.logs.iter().filter(|log| log.id.class != Class::Authority);
    for log in forked.filter(|log| log.fork().is_some()) {
        let counting: Vec<&[Rc<Item>]> =
            (0..log.branches.len()).map(|n| counting(history, log, n, bug)).collect();
        let along = |(a, b): (&Rc<Item>, &Rc<Item>)| a.id == b.id;
        for one in &counting {
            for other in &counting {
                if !one.iter().zip(other.iter()).all(along) {
                    let id = log.id;
                    return Some(format!("{} and {} of {id:?} count", one.len(), other.len()));
                }
            }
        }
    }
    None
}

/// What counts of a log at a peer that holds this branch of it.
fn counting<'a>(
    history: &History,
    log: &'a Log,
    branch: usize,
    bug: Option<Bug>,
) -> &'a [Rc<Item>] {
    let answers = evaluate(&history.held(&Choice::from([(log.id, branch)])), bug);
    let area = answers.areas.get(&log.id.compartment);
    let limit = area.and_then(|area| area.logs.get(&log.id)).map_or(0, |(limit, _)| *limit);
    &log.branches[branch][..limit as usize]
}
