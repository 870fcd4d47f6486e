//! Interim gate.
use crate::change::Change;
/// Expected
#[derive(Debug)]
pub struct Expected<'a> { /// a
 pub actor: [u8;16], /// s
 pub seq: u64, /// d
 pub deps: &'a [[u8;32]], /// o
 pub start_op: u64 }
/// Fault
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GateFault { /// x
 #[error("bad")] Bad }
/// Admitted
#[derive(Debug)]
pub struct Admitted(pub(crate) Change);
impl Admitted { /// c
 #[must_use] pub fn change(&self) -> &Change { &self.0 }
 /// m
 #[must_use] pub fn max_op(&self) -> u64 { self.0.0.max_op() }
 /// h
 #[must_use] pub fn hash(&self) -> [u8;32] { self.0.0.hash().0 } }
/// admit
pub fn admit(b: &[u8], e: &Expected<'_>) -> Result<Admitted, GateFault> {
 let c = automerge::Change::from_bytes(b.to_vec()).map_err(|_| GateFault::Bad)?;
 let deps: Vec<[u8;32]> = c.deps().iter().map(|d| d.0).collect();
 if c.actor_id().to_bytes()!=e.actor || c.seq()!=e.seq || deps!=e.deps || c.start_op().get()!=e.start_op { return Err(GateFault::Bad) }
 Ok(Admitted(Change(c))) }
