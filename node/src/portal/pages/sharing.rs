//! Sharing: the coalition, its members and their devices, who was granted what by whom, and what waits for
//! signatures.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::Frame;
use super::super::html::{self, Trouble};
use super::records::{agency, device, short};
use crate::audit::{Event, Outcome};
use crate::control::trust::{self, Grant, GrantList, Grants, Named, Proposals};
use crate::control::{Empty, Request, reply};
use crate::failure::Kind;
use crate::operators::Right;

#[derive(Template)]
#[template(path = "sharing.html")]
struct Sharing {
    f: Frame,
    coalition: Option<reply::Coalition>,
    members: Vec<Member>,
    proposals: Vec<Proposal>,
    grants: Vec<Branch>,
    rooms: Vec<(String, String)>,
    approves: bool,
    /// Whether he may look at what the loss of a device would mean.
    trusts: bool,
}

struct Member {
    name: String,
    founder: bool,
    ended: bool,
    devices: Vec<(String, String, bool, String)>,
}

struct Proposal {
    id: String,
    what: String,
    terms: Vec<String>,
    approved: String,
    waiting: String,
    count: usize,
    needed: u16,
    in_force: bool,
}

/// A grant, with how deep in the tree it stands.
struct Branch {
    depth: usize,
    issuer: String,
    to: String,
    right: String,
    limits: String,
    verdict: String,
    ended: bool,
    id: String,
}

pub(in super::super) fn show(call: &Call) -> Done {
    let f = Frame::new(call, call.language.words().sharing);
    let coalition: Option<reply::Coalition> =
        match call.state.service.answer_unnoted(Request::CoalitionShow(Empty {})) {
            Err(failure) if failure.kind == Kind::NotFound => None,
            answer => Some(crate::service::desk::typed(answer?)?),
        };
    let (mut proposals, mut grants, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
    if coalition.is_some() {
        let all: Proposals = call.ask_peer(Request::CoalitionProposals(Empty {}))?;
        proposals = all.proposals.iter().map(proposal).collect();
        let all: Grants = call.ask_peer(Request::GrantList(GrantList { compartment: None }))?;
        grants = tree(&all.grants);
        let all: reply::Compartments = call.ask_peer(Request::CompartmentList(Empty {}))?;
        rooms = all
            .compartments
            .iter()
            .map(|room| {
                let agencies: Vec<String> = room.agencies.iter().map(agency).collect();
                (room.name.clone(), agencies.join(", "))
            })
            .collect();
    }
    let members = coalition.iter().flat_map(|coalition| &coalition.agencies).map(member).collect();
    let approves = call.may(Right::Approve);
    let trusts = call.may(Right::Trust);
    let page = Sharing { f, coalition, members, proposals, grants, rooms, approves, trusts };
    Ok(html::page(StatusCode::OK, &page))
}

fn member(member: &reply::Member) -> Member {
    let devices = member.devices.iter();
    Member {
        name: format!("{} ({})", member.name, member.country),
        founder: member.founder,
        ended: member.standing.has_ended(),
        devices: devices
            .map(|one| {
                let ended = one.standing.has_ended();
                (device(one), one.right.clone(), ended, one.device.clone())
            })
            .collect(),
    }
}

fn proposal(proposal: &trust::Proposal) -> Proposal {
    let names =
        |agencies: &[reply::AgencyRef]| agencies.iter().map(agency).collect::<Vec<_>>().join(", ");
    Proposal {
        id: proposal.proposal.clone(),
        what: proposal.what.clone(),
        terms: proposal.terms.clone(),
        approved: names(&proposal.approved),
        waiting: names(&proposal.waiting_for),
        count: proposal.counting.len(),
        needed: proposal.needed,
        in_force: proposal.in_force,
    }
}

/// The grants as they follow from one another: below each device what it gave. Each stands there once, also
/// where two devices gave each other something.
fn tree(grants: &[Grant]) -> Vec<Branch> {
    let granted: BTreeSet<&str> =
        grants.iter().filter_map(|grant| Some(grant.device.as_ref()?.device.as_str())).collect();
    let mut by_issuer: BTreeMap<&str, Vec<&Grant>> = BTreeMap::new();
    for grant in grants {
        by_issuer.entry(&grant.issuer.device).or_default().push(grant);
    }
    let roots = by_issuer.keys().copied().filter(|issuer| !granted.contains(issuer));
    let mut stack: Vec<(usize, &str)> = roots.rev().map(|issuer| (0, issuer)).collect();
    let mut branches = Vec::new();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    loop {
        while let Some((depth, issuer)) = stack.pop() {
            for grant in by_issuer.remove(issuer).unwrap_or_default() {
                placed.insert(&grant.statement);
                branches.push(branch(grant, depth));
                if let Some(to) = &grant.device {
                    stack.push((depth + 1, &to.device));
                }
            }
        }
        // What is left gave itself its right in a circle.
        match by_issuer.keys().next() {
            Some(issuer) => stack.push((0, *issuer)),
            None => break,
        }
    }
    debug_assert_eq!(placed.len(), branches.len(), "each grant stands there once");
    branches
}

fn branch(grant: &Grant, depth: usize) -> Branch {
    Branch {
        depth: depth.min(DEPTH_SHOWN_MAX),
        issuer: format!("{} · {}", device(&grant.issuer), agency(&grant.issuer.agency)),
        to: match &grant.device {
            Some(to) => format!("{} · {}", device(to), agency(&to.agency)),
            None => agency(&grant.agency),
        },
        right: grant.right.clone(),
        limits: grant.limits.clone(),
        verdict: grant.verdict.clone(),
        ended: grant.standing.has_ended(),
        id: short(&grant.statement),
    }
}

/// Deepest indent of the tree.
const DEPTH_SHOWN_MAX: usize = 4;

pub(in super::super) fn approve(call: &Call) -> Done {
    let id = call.form.text("proposal");
    if id.is_empty() || id.len() > 64 || call.form.text("sure") != "yes" {
        let detail = call.language.words().say_sure.to_owned();
        return Err(Trouble { detail, ..Trouble::new(StatusCode::BAD_REQUEST) });
    }
    call.note(Event::Administration, Vec::new(), &format!("approve {id}"), Outcome::Asked)?;
    let _: trust::Proposal = call.ask_peer(Request::CoalitionApprove(Named { id: id.into() }))?;
    Ok(html::redirect("/sharing?done=approved"))
}
