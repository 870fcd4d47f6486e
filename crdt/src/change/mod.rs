//! Interim change building over Automerge.
use serde_json::{Map, Value};
/// Built.
#[derive(Clone, Debug)]
pub struct Built { /// bytes
 pub bytes: Vec<u8> }
/// Err
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildError { /// no
 #[error("bad")] Bad }
/// Change
#[derive(Clone, Debug)]
pub struct Change(pub automerge::Change);
use automerge::{AutoCommit, ObjType, ReadDoc, transaction::Transactable, ObjId};
fn put(doc: &mut AutoCommit, obj: &ObjId, key: &str, v: &Value) { match v {
 Value::Null => { doc.put(obj, key, ()).unwrap_or(()); }
 Value::Bool(b) => { doc.put(obj, key, *b).unwrap_or(()); }
 Value::Number(n) => { if let Some(i)=n.as_i64(){doc.put(obj,key,i).unwrap_or(())} else if let Some(u)=n.as_u64(){doc.put(obj,key,u).unwrap_or(())} else {doc.put(obj,key,n.as_f64().unwrap_or(0.0)).unwrap_or(())} }
 Value::String(s) => { doc.put(obj, key, s.as_str()).unwrap_or(()); }
 Value::Array(a) => { if let Ok(l)=doc.put_object(obj,key,ObjType::List){ for (i,x) in a.iter().enumerate(){ ins(doc,&l,i,x);} } }
 Value::Object(m) => { if let Ok(o)=doc.put_object(obj,key,ObjType::Map){ for (k,x) in m { put(doc,&o,k,x);} } }
}}
fn ins(doc: &mut AutoCommit, obj: &ObjId, i: usize, v: &Value) { match v {
 Value::Null => { doc.insert(obj, i, ()).unwrap_or(()); }
 Value::Bool(b) => { doc.insert(obj, i, *b).unwrap_or(()); }
 Value::Number(n) => { if let Some(x)=n.as_i64(){doc.insert(obj,i,x).unwrap_or(())} else {doc.insert(obj,i,n.as_f64().unwrap_or(0.0)).unwrap_or(())} }
 Value::String(s) => { doc.insert(obj, i, s.as_str()).unwrap_or(()); }
 Value::Array(a) => { if let Ok(l)=doc.insert_object(obj,i,ObjType::List){ for (j,x) in a.iter().enumerate(){ ins(doc,&l,j,x);} } }
 Value::Object(m) => { if let Ok(o)=doc.insert_object(obj,i,ObjType::Map){ for (k,x) in m { put(doc,&o,k,x);} } }
}}
/// first
pub fn first_change(actor: [u8;16], time: i64, fields: &Map<String, Value>) -> Result<Vec<Built>, BuildError> {
 let mut doc = AutoCommit::new().with_actor(automerge::ActorId::from(actor));
 for (k,v) in fields { put(&mut doc, &automerge::ROOT, k, v); }
 doc.commit_with(automerge::transaction::CommitOptions::default().with_time(time));
 Ok(doc.get_changes(&[]).iter().map(|c| Built{bytes: c.raw_bytes().to_vec()}).collect())
}
/// json
#[must_use]
pub fn to_json(c: &Change) -> Option<Map<String, Value>> {
 let mut d = automerge::Automerge::new(); d.apply_changes([c.0.clone()]).ok()?; Some(doc_json(&d)) }
pub(crate) fn doc_json(d: &automerge::Automerge) -> Map<String, Value> {
 match conv(d, &automerge::ROOT) { Value::Object(m) => m, _ => Map::new() } }
fn scalar(v: &automerge::ScalarValue) -> Value { use automerge::ScalarValue as S; match v {
 S::Null => Value::Null, S::Boolean(b)=>Value::Bool(*b), S::Int(i)=>(*i).into(), S::Uint(u)=>(*u).into(), S::F64(f)=>serde_json::Number::from_f64(*f).map_or(Value::Null, Value::Number), S::Str(s)=>Value::String(s.to_string()), _=>Value::Null } }
fn conv(d: &automerge::Automerge, o: &ObjId) -> Value { match d.object_type(o) { Ok(ObjType::Map) => { let mut m=Map::new(); for k in d.keys(o) { if let Ok(Some((v,id)))=d.get(o,k.as_str()) { m.insert(k, match v { automerge::Value::Object(_)=>conv(d,&id), automerge::Value::Scalar(s)=>scalar(&s)}); } } Value::Object(m) } _ => { let n=d.length(o); Value::Array((0..n).filter_map(|i| d.get(o,i).ok().flatten()).map(|(v,id)| match v { automerge::Value::Object(_)=>conv(d,&id), automerge::Value::Scalar(s)=>scalar(&s)}).collect()) } } }
