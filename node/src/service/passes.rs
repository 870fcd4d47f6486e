//! Passes in the daemon: minted from what this device may do, listed, revoked, and checked.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tearline_crdt::entropy::Entropy as _;
use tearline_crdt::id::CompartmentId;
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::vocabulary::{Purpose, Tlp};
use tearline_crdt::statement::Right;
use tearline_crdt::store::{Batch, StoreError};
use tearline_crdt::time::WallTime;

use super::core::Core;
use super::explain::hex;
use super::names::is_prefix;
use super::overview::store_failure;
use super::{SystemEntropy, Tearline, json};
use crate::control::pass::{
    PassCheck, PassChecked, PassMint, PassMinted, PassRevoke, PassRevoked, PassRow, PassState,
    Passes,
};
use crate::failure::Failure;
use crate::pass::register::{self, Minted, RegisterError};
use crate::pass::{
    Denial, Limit, MintError, Operation, Pass, PassFault, PassId, PassKey, PassRight, PassVerdict,
    Request, RunBounds, Scope, Second, Standing, TEXT_PREFIX, Terms, UnverifiedPass, check, mint,
};

impl Tearline {
    pub(super) fn pass_mint(&self, asked: PassMint) -> Result<Value, Failure> {
        let key = self.pass_key.clone();
        self.answer(move |core| {
            let now = Second::of(core.now().wall);
            let terms = core.terms(&asked, now)?;
            let standing: BTreeMap<_, _> = terms
                .scope
                .compartments
                .iter()
                .filter_map(|compartment| Some((*compartment, core.own_right(*compartment)?)))
                .collect();
            let mut seed = zeroize::Zeroizing::new([0; 32]);
            SystemEntropy.fill(seed.as_mut_slice());
            let pass = mint(&key, &terms, &standing, &seed).map_err(|e| mint_failure(core, &e))?;
            let mut batch = Batch::default();
            let kept = (&pass, &*hex(&key.public()));
            register::add(core.replica.store(), &mut batch, kept, now)
                .map_err(|error| register_failure(&error))?;
            let ticket = core.replica.put(batch).map_err(|error| store_failure(&error))?;
            let value = json(&PassMinted { terms: (&terms).into(), token: pass.to_text() })?;
            Ok((value, Some(ticket)))
        })
    }

    pub(super) fn pass_list(&self) -> Result<Value, Failure> {
        let key = hex(&self.pass_key.public());
        self.core.ask(move |core| {
            let now = Second::of(core.now().wall);
            let mut minted = core.minted()?;
            minted.sort_by(|a, b| {
                b.summary.minted.cmp(&a.summary.minted).then(a.block.cmp(&b.block))
            });
            let row = |minted| core.pass_row(minted, &key, now);
            let passes = minted.into_iter().map(row).collect();
            json(&Passes { key, passes })
        })
    }

    pub(super) fn pass_revoke(&self, asked: PassRevoke) -> Result<Value, Failure> {
        let key = self.pass_key.clone();
        self.answer(move |core| {
            let now = Second::of(core.now().wall);
            let (pass, block, name, not_after) = if asked.pass.starts_with(TEXT_PREFIX) {
                let pass = UnverifiedPass::parse(&asked.pass)
                    .and_then(|pass| pass.verify(&key))
                    .map_err(|fault| fault_failure(&fault))?;
                let (terms, blocks) = (pass.said().terms(), pass.said().blocks());
                let name = *blocks.last().ok_or_else(|| Failure::bug("a pass without blocks"))?;
                (terms.id.to_string(), blocks.len() - 1, name, terms.scope.not_after)
            } else {
                let minted = core.named_pass(&asked.pass)?;
                (minted.summary.pass, 0, minted.block, minted.not_after)
            };
            let mut batch = Batch::default();
            let store = core.replica.store();
            let revoked = register::revoke(store, &mut batch, &name, not_after, now)
                .map_err(|error| register_failure(&error))?;
            let ticket = core.replica.put(batch).map_err(|error| store_failure(&error))?;
            Ok((json(&PassRevoked { pass, block, revoked })?, Some(ticket)))
        })
    }

    pub(super) fn pass_check(&self, asked: PassCheck) -> Result<Value, Failure> {
        let key = self.pass_key.clone();
        self.core.ask(move |core| {
            let request = Request {
                operation: asked.operation.parse().map_err(|e| word(&asked.operation, &e))?,
                compartment: core.named_compartment(&asked.compartment)?,
                kind: asked.kind.parse().map_err(|e| word(&asked.kind, &e))?,
                label: asked.label.as_deref().map(colour).transpose()?,
                now: core.now().wall,
            };
            let pass = UnverifiedPass::parse(&asked.token).and_then(|pass| pass.verify(&key));
            let (reason, detail) = match pass {
                Err(PassFault::Signature) if core.minted_before(&asked.token, &key)? => {
                    (FORMER_LIFE, "the pass ended with a former life of this device".into())
                }
                Err(fault) => (fault_word(&fault), fault.to_string()),
                Ok(pass) => match core
                    .pass_verdict(&pass, &request)
                    .map_err(|e| store_failure(&e))?
                {
                    PassVerdict::Allowed => {
                        return json(&PassChecked { allowed: true, reason: None, detail: None });
                    }
                    PassVerdict::Denied(denial) => (denial_word(&denial), denial.to_string()),
                },
            };
            let reason = Some(reason.to_owned());
            json(&PassChecked { allowed: false, reason, detail: Some(detail) })
        })
    }
}

impl Core {
    /// Whether a pass allows a request through this device now. What every gateway asks.
    pub(super) fn pass_verdict(
        &self,
        pass: &Pass,
        request: &Request,
    ) -> Result<PassVerdict, StoreError> {
        let revoked = register::revoked_of(self.replica.store(), pass.said().blocks())?;
        let right = self.own_right(request.compartment);
        let standing = Standing { device: self.replica.device(), right };
        Ok(check(pass, request, &standing, &revoked, &RunBounds::default()))
    }

    /// What this device may do in a compartment now.
    fn own_right(&self, compartment: CompartmentId) -> Option<Right> {
        self.replica.right(compartment, &self.replica.device())
    }

    fn terms(&self, asked: &PassMint, now: Second) -> Result<Terms, Failure> {
        let right: PassRight = asked.right.parse().map_err(|e| word(&asked.right, &e))?;
        let mut operations = BTreeSet::new();
        for text in &asked.operations {
            operations.insert(text.parse().map_err(|e| word(text, &e))?);
        }
        if operations.is_empty() {
            operations.extend(Operation::ALL.into_iter().filter(|o| o.needs() <= right));
        }
        let mut kinds = BTreeSet::new();
        for text in &asked.kinds {
            kinds.insert(text.parse::<Kind>().map_err(|e| word(text, &e))?);
        }
        if kinds.is_empty() {
            kinds.extend(Kind::ALL);
        }
        let mut compartments = BTreeSet::new();
        for text in &asked.compartments {
            compartments.insert(self.named_compartment(text)?);
        }
        let mut id = [0; 16];
        SystemEntropy.fill(&mut id);
        Ok(Terms {
            id: PassId(id),
            device: self.replica.device(),
            holder: asked.holder.clone(),
            purpose: purpose(&asked.purpose)?,
            minted: now,
            scope: Scope {
                right,
                compartments,
                kinds,
                label_max: colour(&asked.label_max)?,
                operations,
                not_before: asked.not_before.as_deref().map_or(Ok(now), second)?,
                not_after: second(&asked.not_after)?,
            },
        })
    }

    fn minted(&self) -> Result<Vec<Minted>, Failure> {
        register::minted(self.replica.store()).map_err(|error| store_failure(&error))
    }

    /// Whether a text begins with a pass that this device minted in a former life.
    fn minted_before(&self, token: &str, key: &PassKey) -> Result<bool, Failure> {
        let Ok(pass) = UnverifiedPass::parse(token) else { return Ok(false) };
        let key = hex(&key.public());
        let is_it = |one: &Minted| pass.blocks().first() == Some(&one.block) && one.key != key;
        Ok(self.minted()?.iter().any(is_it))
    }

    /// The pass of an id, or of the prefix of one.
    fn named_pass(&self, name: &str) -> Result<Minted, Failure> {
        let mut hits = self.minted()?;
        hits.retain(|minted| is_prefix(name, &minted.summary.pass));
        match <[Minted; 1]>::try_from(hits) {
            Ok([minted]) => Ok(minted),
            Err(hits) if hits.is_empty() => {
                Err(Failure::not_found("pass", name)
                    .hint("`tearline pass list` shows those there are"))
            }
            Err(hits) => {
                let ids: Vec<&str> = hits.iter().map(|minted| &*minted.summary.pass).collect();
                Err(Failure::usage(format!("{name:?} fits several passes: {}", ids.join(", "))))
            }
        }
    }

    fn pass_row(&self, minted: Minted, key: &str, now: Second) -> PassRow {
        let scope = &minted.summary.scope;
        let name =
            |id: &String| id.parse().map_or_else(|_| id.clone(), |id| self.compartment_name(&id));
        let compartment_names = scope.compartments.iter().map(name).collect();
        let begins = second(&scope.not_before).unwrap_or_default();
        let state = if minted.revoked {
            PassState::Revoked
        } else if minted.key != key {
            PassState::FormerLife
        } else if now >= minted.not_after {
            PassState::Expired
        } else if now < begins {
            PassState::NotYet
        } else {
            PassState::Valid
        };
        PassRow { terms: minted.summary, compartment_names, state }
    }
}

fn mint_failure(core: &Core, error: &MintError) -> Failure {
    match error {
        MintError::Terms(error) => Failure::usage(format!("no pass was minted: {error}")),
        MintError::Above { compartment, wanted } => Failure::denied(format!(
            "this device has no right to {} in {}",
            wanted.name(),
            core.compartment_name(compartment)
        )),
        MintError::Unreadable(_) | MintError::Build(_) => Failure::bug(error.to_string()),
    }
}

fn register_failure(error: &RegisterError) -> Failure {
    match error {
        RegisterError::Store(error) => store_failure(error),
        RegisterError::Full(_) => Failure::failed(error.to_string())
            .hint("they make room 30 days after they end; mint fewer passes, and narrow them"),
    }
}

fn fault_failure(fault: &PassFault) -> Failure {
    let kind = match fault {
        PassFault::Text | PassFault::TooLarge | PassFault::Malformed => crate::failure::Kind::Usage,
        _ => crate::failure::Kind::Integrity,
    };
    Failure::new(kind, fault.to_string())
}

/// Why a pass of a former life is none, as one word.
const FORMER_LIFE: &str = "former-life";

/// A fault as one word.
const fn fault_word(fault: &PassFault) -> &'static str {
    match fault {
        PassFault::Signature => "signature",
        _ => "malformed",
    }
}

/// A denial as one word.
const fn denial_word(denial: &Denial) -> &'static str {
    match denial {
        Denial::Revoked { .. } => "revoked",
        Denial::OtherDevice => "other-device",
        Denial::Standing => "standing",
        Denial::Outside { limit: Limit::NotBefore, .. } => "not-yet",
        Denial::Outside { limit: Limit::NotAfter, .. } => "expired",
        Denial::Outside { limit: Limit::Right, .. } => "right",
        Denial::Outside { limit: Limit::Compartment, .. } => "compartment",
        Denial::Outside { limit: Limit::Kind, .. } => "kind",
        Denial::Outside { limit: Limit::Label, .. } => "label",
        Denial::Outside { limit: Limit::Operation, .. } => "operation",
        Denial::Bound(_) => "bound",
        Denial::Evaluation => "evaluation",
    }
}

fn word(text: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("{text:?}: {error}"))
}

/// What records are used for.
pub(super) fn purpose(text: &str) -> Result<Purpose, Failure> {
    text.parse().map_err(|e| word(text, &e))
}

/// A TLP colour, with or without `TLP:` before it.
pub(super) fn colour(text: &str) -> Result<Tlp, Failure> {
    text.strip_prefix("TLP:").unwrap_or(text).parse().map_err(|e| word(text, &e))
}

fn second(text: &str) -> Result<Second, Failure> {
    WallTime::parse(text).map(Second::of).ok_or_else(|| {
        Failure::usage(format!("{text:?} is no time")).hint("write 2026-03-01T12:00:00Z")
    })
}
