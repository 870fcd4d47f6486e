//! Makes a failing history smaller, and tells it in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use tearline_crdt::id::{DeviceId, EntryId};
use tearline_crdt::statement::{Act, Audience, Mark, Marks, Statement};

use crate::cast;
use crate::world::{History, Item};

/// Drops logs, branches, tails and statements, one by one, while it still fails. A dropped statement
/// leaves its place, because marks name places.
pub(crate) fn shrink(history: &History, fails: &dyn Fn(&History) -> bool) -> History {
    let mut least = history.clone();
    loop {
        let smaller = smaller(&least).into_iter().find(|smaller| fails(smaller));
        match smaller {
            Some(smaller) => least = smaller,
            None => return least,
        }
    }
}

/// All histories that are one step smaller, the smallest first.
fn smaller(history: &History) -> Vec<History> {
    let mut all = Vec::new();
    for n in 0..history.logs.len() {
        let mut without = history.clone();
        without.logs.remove(n);
        all.push(without);
    }
    for (n, log) in history.logs.iter().enumerate() {
        for branch in (0..log.branches.len()).filter(|_| log.branches.len() > 1) {
            let mut without = history.clone();
            without.logs[n].branches.remove(branch);
            all.push(without);
        }
        for (branch, items) in log.branches.iter().enumerate() {
            if items.len() > 1 || items.len() == 1 && log.branches.len() == 1 {
                let mut without = history.clone();
                without.logs[n].branches[branch].pop();
                all.push(without);
            }
        }
    }
    let mut said: BTreeMap<EntryId, usize> = BTreeMap::new();
    for (n, log) in history.logs.iter().enumerate() {
        for item in log.branches.iter().flatten() {
            if !matches!(item.statement(), Statement::Unknown { .. }) {
                said.insert(item.id, n);
            }
        }
    }
    for (id, n) in said {
        let mut without = history.clone();
        for branch in &mut without.logs[n].branches {
            for item in branch.iter_mut().filter(|item| item.id == id) {
                *item = Rc::new(Item {
                    id,
                    statement: Some(Statement::Unknown { kind: 99, bytes: Vec::new() }),
                    payload: None,
                    boxes: std::collections::BTreeSet::new(),
                });
            }
        }
        all.push(without);
    }
    all
}

/// The history in words.
pub(crate) fn tell(history: &History) -> String {
    let mut out = String::new();
    let founders = history.charter.founders.len();
    let _ = writeln!(
        out,
        "seed {}: {founders} founders, quorum {}; coalition {}",
        history.seed,
        history.charter.quorum,
        history.coalition_area().short()
    );
    for opening in &history.openings {
        let audience: Vec<String> =
            opening.audience.iter().map(|(no, _)| no.0.to_string()).collect();
        let _ = writeln!(out, "compartment {} for {}", opening.id().short(), audience.join(", "));
    }
    for log in &history.logs {
        let _ = writeln!(
            out,
            "log of {} in {}, {}, life {}, digest {}",
            name(&log.id.device),
            log.id.compartment.short(),
            log.id.class.name(),
            log.id.incarnation.0,
            EntryId(log.id.digest()).short(),
        );
        for (n, branch) in log.branches.iter().enumerate() {
            if log.branches.len() > 1 {
                let _ = writeln!(out, "  branch {n}");
            }
            for (seq, item) in branch.iter().enumerate() {
                let _ = writeln!(out, "    {seq} {} {}", item.id.short(), said(history, item));
            }
        }
    }
    out
}

/// A device by agency and number; 0.n are strangers.
pub(crate) fn name(device: &DeviceId) -> String {
    for agency in 0..=6 {
        for n in 0..cast::DEVICES {
            if cast::device(agency, n) == *device {
                let desk = if n < cast::DESKS { " desk" } else { "" };
                return format!("{agency}.{n}{desk}");
            }
        }
    }
    device.short()
}

fn said(history: &History, item: &Item) -> String {
    let Some(statement) = &item.statement else { return "entry".into() };
    match statement {
        Statement::Desk(certificate) => format!(
            "desk {} root {} {:?}",
            name(&certificate.desk.device),
            EntryId(certificate.root).short(),
            certificate.reopening
        ),
        Statement::Grant { audience, right, caveats, reopening } => {
            let to = match audience {
                Audience::Device { agency, card } => format!(
                    "{} as {} under {} (agreement {})",
                    name(&card.device),
                    agency.0,
                    name(&DeviceId(card.sponsor)),
                    EntryId(card.agreement).short()
                ),
                Audience::Agency(agency) => format!("agency {}", agency.0),
            };
            format!("grant {} to {to} {caveats:?} {reopening:?}", right.name())
        }
        Statement::Propose { number, act } => {
            let id = act.id(&history.coalition(), *number);
            format!("propose {} {}", id.short(), act_said(act))
        }
        Statement::Approve { act } => format!("approve {}", act.short()),
        Statement::Revoke { device, keep } => {
            format!("revoke {} keep {}", name(device), marks_said(keep))
        }
        Statement::RootAct(act) => {
            let (root, id) = (EntryId(act.root).short(), act.id(&history.coalition()));
            format!("root {root} act {} {}", id.short(), act_said(&act.act))
        }
        Statement::Adopt { marks } => format!("adopt {}", marks_said(marks)),
        Statement::Seal { epoch, .. } => {
            let boxes: Vec<String> = item.boxes.iter().map(name).collect();
            format!("seal {} to {}", epoch.short(), boxes.join(", "))
        }
        Statement::Unknown { .. } => "nothing".into(),
        Statement::Open(_) => "open".into(),
        other => format!("{other:?}"),
    }
}

fn act_said(act: &Act) -> String {
    match act {
        Act::Retire { agency, keep } => format!("retire {} keep {}", agency.0, marks_said(keep)),
        Act::ReplaceRoot { agency, root, replaced, keep } => format!(
            "replace roots {} of {} by {} keep {}",
            replaced.iter().map(|root| EntryId(*root).short()).collect::<Vec<_>>().join(" "),
            agency.0,
            EntryId(*root).short(),
            marks_said(keep)
        ),
        Act::Revoke { device, keep } => {
            format!("revoke {} keep {}", name(device), marks_said(keep))
        }
        Act::Adopt { marks } => format!("adopt {}", marks_said(marks)),
        Act::Admit { member, cites } => {
            format!("admit {} root {} {cites:?}", member.no.0, EntryId(member.root).short())
        }
        other => format!("{other:?}"),
    }
}

fn marks_said(marks: &Marks) -> String {
    match marks {
        Marks::Inline(marks) => {
            let each = marks.iter().map(|Mark { log, count, head }| {
                format!("{}:{count}@{}", EntryId(*log).short(), head.short())
            });
            format!("[{}]", each.collect::<Vec<_>>().join(" "))
        }
        Marks::Wide(hash) => format!("wide {}", EntryId(*hash).short()),
    }
}
