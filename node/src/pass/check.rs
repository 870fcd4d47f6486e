//! The check: does this pass allow this request, here and now?
//!
//! The request's facts and the checks below join the token's blocks in Biscuit's evaluator. The
//! first block's facts are trusted; a further block's checks see them and the request, and nothing
//! of any other block. All checks must hold. Time, standing and revocations are arguments, so the
//! verdict is a function of them, with one exception that can only deny: the bound on run time.

use std::collections::BTreeSet;
use std::time::Duration;

use biscuit_auth::builder::{AuthorizerBuilder, Term};
use biscuit_auth::error::{FailedCheck, Logic, MatchedPolicy, RunLimit, Token};
use biscuit_auth::{AuthorizerLimits, Biscuit};
use tearline_crdt::id::{CompartmentId, DeviceId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::vocabulary::Tlp;
use tearline_crdt::statement::Right;
use tearline_crdt::time::WallTime;

use super::read::{BlockId, Pass, part};
use super::scope::{Limit, Operation, PassRight, Second};
use super::vocabulary::{fact, label, right};
use super::{FACTS_MAX, ITERATIONS_MAX, RUN_MS_MAX};

/// What a program asks to do, with one record or one kind of record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Request {
    /// What to do. The right that it takes follows from it.
    pub operation: Operation,
    /// Where.
    pub compartment: CompartmentId,
    /// With what kind of record.
    pub kind: Kind,
    /// The colour of its label; `None` if its label is not known, which is above every colour.
    pub label: Option<Tlp>,
    /// When.
    pub now: WallTime,
}

/// The answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PassVerdict {
    /// It may be done.
    Allowed,
    /// It may not.
    Denied(Denial),
}

/// Why not.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denial {
    /// A block of the pass was revoked, and with it all that was narrowed from it.
    #[error("{} of the pass is revoked", part(*.block))]
    Revoked {
        /// Which.
        block: usize,
    },
    /// Another device minted it.
    #[error("the pass is another device's")]
    OtherDevice,
    /// The device itself may not do it there, or not any longer.
    #[error("the device that minted the pass has no such right there now")]
    Standing,
    /// The request lies outside what a block of the pass covers; the first holds its terms.
    #[error("{} of the pass does not cover it: {}", part(*.block), outside(*.limit))]
    Outside {
        /// Which block: the first that says no.
        block: usize,
        /// Which of its limits.
        limit: Limit,
    },
    /// The check took too many facts or rounds, or too long. Trying again may help with the last.
    #[error("checking the pass exceeded a bound: {0:?}")]
    Bound(RunBound),
    /// The evaluator failed.
    #[error("the pass cannot be evaluated")]
    Evaluation,
}

/// The bounds on a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunBound {
    /// [`RunBounds::facts_max`].
    Facts,
    /// [`RunBounds::iterations_max`].
    Iterations,
    /// [`RunBounds::run_max`].
    Time,
}

/// How much one check may cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RunBounds {
    /// Most facts.
    pub facts_max: usize,
    /// Most rounds of evaluation.
    pub iterations_max: u64,
    /// Longest run.
    pub run_max: Duration,
}

impl Default for RunBounds {
    fn default() -> Self {
        Self {
            facts_max: FACTS_MAX,
            iterations_max: ITERATIONS_MAX,
            run_max: Duration::from_millis(RUN_MS_MAX),
        }
    }
}

/// Who asks, as the checker sees itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// The device that checks: its own passes, and no other's.
    pub device: DeviceId,
    /// What it may do in the request's compartment now; `None` where it may do nothing.
    pub right: Option<Right>,
}

/// Says whether a pass allows a request. `revoked` holds at least those of the pass's blocks that
/// were revoked. To list many records, ask once for each compartment, kind and colour among them.
#[must_use]
pub fn check(
    pass: &Pass,
    request: &Request,
    standing: &Standing,
    revoked: &BTreeSet<BlockId>,
    bounds: &RunBounds,
) -> PassVerdict {
    let said = pass.said();
    if let Some(block) = said.blocks().iter().position(|id| revoked.contains(id)) {
        return PassVerdict::Denied(Denial::Revoked { block });
    }
    match evaluate(pass.token(), request, standing, bounds) {
        Ok(()) => PassVerdict::Allowed,
        Err(Stop::Denial(denial)) => PassVerdict::Denied(denial),
        Err(Stop::Check { block, check }) => {
            let limit = block
                .checked_sub(1)
                .and_then(|narrowing| said.narrowings().get(narrowing)?.limits().nth(check));
            let denial = limit.map_or(Denial::Evaluation, |limit| Denial::Outside { block, limit });
            PassVerdict::Denied(denial)
        }
    }
}

/// Why evaluation did not end in "allow".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stop {
    /// For this reason.
    Denial(Denial),
    /// Because of this check of this block after the first.
    Check { block: usize, check: usize },
}

/// What the checker demands, and what it means when that is not met. A pass's first block has facts
/// only; these are what makes them bind.
const DEMANDS: [(&str, Denial); 9] = [
    ("check if device($d), this_device($d)", Denial::OtherDevice),
    ("check if needs($n), standing($s), $n <= $s", Denial::Standing),
    ("check if now($t), not_before($from), $t >= $from", outside_terms(Limit::NotBefore)),
    ("check if now($t), not_after($to), $t < $to", outside_terms(Limit::NotAfter)),
    ("check if needs($n), right($r), $n <= $r", outside_terms(Limit::Right)),
    (
        "check if compartment($c), compartments($all), $all.contains($c)",
        outside_terms(Limit::Compartment),
    ),
    ("check if kind($k), kinds($all), $all.contains($k)", outside_terms(Limit::Kind)),
    ("check if label($l), label_max($most), $l <= $most", outside_terms(Limit::Label)),
    (
        "check if operation($o), operations($all), $all.contains($o)",
        outside_terms(Limit::Operation),
    ),
];

/// Runs the evaluator.
pub(super) fn evaluate(
    token: &Biscuit,
    request: &Request,
    standing: &Standing,
    bounds: &RunBounds,
) -> Result<(), Stop> {
    let outcome = authorizer(request, standing, bounds)
        .and_then(|authorizer| authorizer.build(token))
        .and_then(|mut authorizer| {
            // Biscuit counts facts only after a rule fired.
            if authorizer.fact_count() > bounds.facts_max {
                return Err(Token::RunLimit(RunLimit::TooManyFacts));
            }
            authorizer.authorize()
        });
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => Err(stop(&error)),
    }
}

fn authorizer(
    request: &Request,
    standing: &Standing,
    bounds: &RunBounds,
) -> Result<AuthorizerBuilder, Token> {
    let held = standing
        .right
        .and_then(|held| PassRight::ALL.into_iter().rfind(|pass_right| pass_right.right() <= held));
    let facts = [
        Some(("this_device", Term::Bytes(standing.device.0.to_vec()))),
        held.map(|held| ("standing", right(held))),
        Some(("now", Term::Date(Second::of(request.now).0))),
        Some(("needs", right(request.operation.needs()))),
        Some(("compartment", Term::Bytes(request.compartment.0.to_vec()))),
        Some(("kind", Term::Integer(request.kind as i64))),
        request.label.map(|tlp| ("label", label(tlp))),
        Some(("operation", Term::Str(request.operation.name().to_owned()))),
    ];
    let mut builder = AuthorizerBuilder::new();
    for (name, value) in facts.into_iter().flatten() {
        builder = builder.fact(fact(name, value))?;
    }
    for (demand, _) in DEMANDS {
        builder = builder.check(demand)?;
    }
    Ok(builder.policy("allow if pass($id)")?.set_limits(AuthorizerLimits {
        max_facts: bounds.facts_max as u64,
        max_iterations: bounds.iterations_max,
        max_time: bounds.run_max,
    }))
}

/// What an error of the evaluator means: a denial, whatever it is.
fn stop(error: &Token) -> Stop {
    let denial = match error {
        Token::RunLimit(RunLimit::TooManyFacts) => Denial::Bound(RunBound::Facts),
        Token::RunLimit(RunLimit::TooManyIterations) => Denial::Bound(RunBound::Iterations),
        Token::RunLimit(RunLimit::Timeout) => Denial::Bound(RunBound::Time),
        Token::FailedLogic(Logic::Unauthorized { policy: MatchedPolicy::Allow(_), checks }) => {
            match checks.first() {
                Some(FailedCheck::Authorizer(failed)) => DEMANDS
                    .get(failed.check_id as usize)
                    .map_or(Denial::Evaluation, |(_, denial)| *denial),
                Some(FailedCheck::Block(failed)) => {
                    return Stop::Check {
                        block: failed.block_id as usize,
                        check: failed.check_id as usize,
                    };
                }
                None => Denial::Evaluation,
            }
        }
        _ => Denial::Evaluation,
    };
    Stop::Denial(denial)
}

const fn outside_terms(limit: Limit) -> Denial {
    Denial::Outside { block: 0, limit }
}

const fn outside(limit: Limit) -> &'static str {
    match limit {
        Limit::NotBefore => "not valid yet",
        Limit::NotAfter => "expired",
        Limit::Right => "the operation takes a greater right",
        Limit::Compartment => "another compartment",
        Limit::Kind => "another kind of record",
        Limit::Label => "a more restrictive label, or one that is not known",
        Limit::Operation => "another operation",
    }
}
