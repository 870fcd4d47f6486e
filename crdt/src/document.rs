//! Interim document.
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use crate::gate::Admitted;
/// Conflicts
pub type Conflicts = BTreeMap<String, Vec<Concurrent>>;
/// C
#[derive(Clone, Debug)]
pub struct Concurrent { /// v
 pub value: Value, /// a
 pub actor: [u8;16] }
/// S
#[derive(Clone, Debug)]
pub enum Segment { /// n
 Name(String) }
impl Patch { /// s
 pub fn set(&mut self, p: Vec<Segment>, v: Value) { if let Some(Segment::Name(n)) = p.into_iter().next() { self.set.push((n, Some(v))); } }
 /// u
 pub fn unset(&mut self, p: Vec<Segment>) { if let Some(Segment::Name(n)) = p.into_iter().next() { self.set.push((n, None)); } } }
/// Patch
#[derive(Clone, Debug, Default)]
pub struct Patch { /// s
 pub set: Vec<(String, Option<Value>)> }
/// E
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EditError { /// r
 #[error("one change of a record at a time")] Repeated, /// b
 #[error("bad")] Bad }
/// Held
#[derive(Debug)]
pub struct Held;
/// D
#[derive(Debug)]
pub struct Document(automerge::Automerge);
impl Document { /// e
 #[must_use] pub fn empty() -> Self { Self(automerge::Automerge::new()) }
 /// a
 pub fn apply(&mut self, a: &Admitted) -> Result<(), Held> { self.0.apply_changes([a.0.0.clone()]).map_err(|_| Held) }
 /// j
 #[must_use] pub fn to_json(&self) -> Map<String, Value> { crate::change::doc_json(&self.0) }
 /// c
 #[must_use] pub fn conflicts(&self) -> Conflicts { Conflicts::new() }
 /// e
 pub fn edit(&self, actor: [u8;16], _seq: u64, time: i64, p: &Patch) -> Result<Vec<u8>, EditError> {
  use automerge::transaction::Transactable; let mut d = automerge::AutoCommit::load(&self.0.save()).map_err(|_| EditError::Bad)?.with_actor(automerge::ActorId::from(actor));
  for (k,v) in &p.set { match v { Some(Value::String(s)) => d.put(automerge::ROOT, k.as_str(), s.as_str()).map_err(|_| EditError::Bad)?, _ => d.delete(automerge::ROOT, k.as_str()).map_err(|_| EditError::Bad)? } }
  d.commit_with(automerge::transaction::CommitOptions::default().with_time(time));
  d.get_last_local_change().map(|c| c.raw_bytes().to_vec()).ok_or(EditError::Bad) } }
/// actor
#[must_use]
pub fn actor(log: &[u8;32], record: &crate::id::RecordId, run: u32) -> [u8;16] { let h = crate::hash::Domain::Actor.hash(&[log, &record.0, &run.to_be_bytes()]); let mut a=[0;16]; a.copy_from_slice(&h[..16]); a }
