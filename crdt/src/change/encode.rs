//! Writing a change chunk, as Automerge would.

use crate::codec::Write as _;
use crate::hash::{Digest, sha256};

use super::column::{DeltaWriter, FlagWriter, RunWriter, spec};
use super::leb::{signed_len, unsigned_len, write_signed};
use super::{Action, Change, Elem, KIND_CHANGE, Key, MAGIC, ObjId, Op, Scalar};

/// The chunk of a change. Byte for byte what Automerge writes, if the change is one that it could
/// have made; in any case one chunk for one change.
#[must_use]
pub fn encode(change: &Change) -> Vec<u8> {
    encode_hashed(change).0
}

/// As [`encode`], with the chunk's hash.
pub(crate) fn encode_hashed(change: &Change) -> (Vec<u8>, Digest) {
    let mut columns = Columns::default();
    for op in &change.ops {
        columns.push(op);
    }
    let columns = columns.finish();
    let columns = spec::ALL.iter().zip(&columns).filter(|(_, column)| !column.is_empty());

    let size: usize = columns.clone().map(|(_, column)| column.len() + 4).sum();
    let mut data = Vec::with_capacity(size + 64 + 32 * change.deps.len());
    data.number(change.deps.len() as u64);
    for dep in &change.deps {
        data.raw(dep);
    }
    data.bytes(&change.actor).number(change.seq).number(change.start_op);
    write_signed(&mut data, change.time);
    data.bytes(change.message.as_deref().unwrap_or_default().as_bytes());
    data.number(change.other_actors.len() as u64);
    for actor in &change.other_actors {
        data.bytes(actor);
    }
    data.number(columns.clone().count() as u64);
    for (spec, column) in columns.clone() {
        data.number(u64::from(*spec)).number(column.len() as u64);
    }
    for (_, column) in columns {
        data.raw(column);
    }
    chunk(&data)
}

impl Change {
    /// What its chunk takes at least: a header of 34 bytes, and names and texts, which no column packs
    /// but a name that is the same as the one before it.
    pub(crate) fn chunk_bytes_min(&self) -> usize {
        let mut before = None;
        let ops = self.ops.iter().map(|op| {
            let name = match &op.key {
                Key::Map(name) => Some(name.as_str()),
                Key::Seq(_) => None,
            };
            let said = if before == name { 0 } else { name.map_or(0, str::len) };
            before = name;
            match &op.action {
                Action::Put(Scalar::Str(text)) => said + text.len(),
                _ => said,
            }
        });
        34 + ops.sum::<usize>()
    }
}

/// Puts the header before a chunk's data.
pub(super) fn chunk(data: &[u8]) -> (Vec<u8>, Digest) {
    let mut hashed = Vec::with_capacity(data.len() + 8);
    hashed.raw(&[KIND_CHANGE]).bytes(data);
    let hash = sha256(&hashed);
    let mut out = Vec::with_capacity(hashed.len() + 8);
    let [a, b, c, d, ..] = hash;
    out.raw(&MAGIC).raw(&[a, b, c, d]).raw(&hashed);
    (out, hash)
}

/// The columns of a change as they are being written.
#[derive(Default)]
struct Columns<'a> {
    obj_actor: RunWriter<u64>,
    obj_counter: RunWriter<u64>,
    key_actor: RunWriter<u64>,
    key_counter: DeltaWriter,
    key_string: RunWriter<&'a str>,
    insert: FlagWriter,
    action: RunWriter<u64>,
    value_meta: RunWriter<u64>,
    value: Vec<u8>,
    pred_count: RunWriter<u64>,
    pred_actor: RunWriter<u64>,
    pred_counter: DeltaWriter,
}

impl<'a> Columns<'a> {
    fn push(&mut self, op: &'a Op) {
        let obj = match op.obj {
            ObjId::Root => None,
            ObjId::Made(id) => Some(id),
        };
        self.obj_actor.push(obj.map(|id| u64::from(id.actor)));
        self.obj_counter.push(obj.map(|id| id.counter));
        let (actor, counter, string) = match &op.key {
            Key::Map(name) => (None, None, Some(name.as_str())),
            Key::Seq(Elem::Head) => (None, Some(0), None),
            Key::Seq(Elem::Inserted(id)) => (Some(u64::from(id.actor)), Some(id.counter), None),
        };
        self.key_actor.push(actor);
        self.key_counter.push(counter);
        self.key_string.push(string);
        self.insert.push(op.insert);
        self.action.push(Some(code(&op.action)));
        let meta = match &op.action {
            Action::Put(value) => write_value(&mut self.value, value),
            Action::Increment(by) => write_value(&mut self.value, &Scalar::Int(*by)),
            _ => 0,
        };
        self.value_meta.push(Some(meta));
        self.pred_count.push(Some(op.pred.len() as u64));
        for pred in &op.pred {
            self.pred_actor.push(Some(u64::from(pred.actor)));
            self.pred_counter.push(Some(pred.counter));
        }
    }

    /// In the order of [`spec::ALL`].
    fn finish(self) -> [Vec<u8>; 12] {
        [
            self.obj_actor.finish(),
            self.obj_counter.finish(),
            self.key_actor.finish(),
            self.key_counter.finish(),
            self.key_string.finish(),
            self.insert.finish(),
            self.action.finish(),
            self.value_meta.finish(),
            self.value,
            self.pred_count.finish(),
            self.pred_actor.finish(),
            self.pred_counter.finish(),
        ]
    }
}

const fn code(action: &Action) -> u64 {
    match action {
        Action::MakeMap => 0,
        Action::Put(_) => 1,
        Action::MakeList => 2,
        Action::Delete => 3,
        Action::MakeText => 4,
        Action::Increment(_) => 5,
    }
}

/// Writes a value's bytes; returns its type and length in one number.
fn write_value(out: &mut Vec<u8>, value: &Scalar) -> u64 {
    let (kind, len) = match value {
        Scalar::Null => (0, 0),
        Scalar::Bool(false) => (1, 0),
        Scalar::Bool(true) => (2, 0),
        Scalar::Uint(n) => {
            out.number(*n);
            (3, unsigned_len(*n))
        }
        Scalar::Int(n) => (4, write_int(out, *n)),
        Scalar::F64(n) => {
            out.raw(&n.to_le_bytes());
            (5, 8)
        }
        Scalar::Str(text) => {
            out.raw(text.as_bytes());
            (6, text.len())
        }
        Scalar::Bytes(bytes) => {
            out.raw(bytes);
            (7, bytes.len())
        }
        Scalar::Counter(n) => (8, write_int(out, *n)),
        Scalar::Timestamp(n) => (9, write_int(out, *n)),
    };
    (len as u64) << 4 | kind
}

fn write_int(out: &mut Vec<u8>, n: i64) -> usize {
    write_signed(out, n);
    signed_len(n)
}
