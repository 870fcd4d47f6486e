//! Blocks of rows and their summaries.

use std::collections::BTreeSet;

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::id::RecordId;

use super::query::Query;
use super::row::Row;
use super::text::{fold, words};

/// Most rows and bytes of a block. A block is rewritten whole while it is the last.
pub(super) const BLOCK_ROWS_MAX: usize = 64;
pub(super) const BLOCK_BYTES: usize = 32 * 1024;
/// Bits for each word and hash functions of the Bloom filter: 1 in 100 blocks is read in vain.
const BLOOM_BITS_PER_WORD: usize = 10;
const BLOOM_HASHES: u32 = 7;
/// Largest filter, for a block of long texts.
const BLOOM_BYTES_MAX: usize = 64 * 1024;

pub(super) fn encode_block(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    out.number(rows.len() as u64);
    rows.iter().for_each(|row| row.encode(&mut out));
    out
}

pub(super) fn decode_block(bytes: &[u8]) -> Result<Vec<Row>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(BLOCK_ROWS_MAX, "rows")?;
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        rows.push(Row::decode(&mut reader)?);
    }
    reader.finish()?;
    Ok(rows)
}

/// What a query needs to pass over a block.
#[derive(Debug)]
pub(super) struct Summary {
    kinds: u64,
    classes: u8,
    tlps: u8,
    /// Whether a row has a place.
    placed: bool,
    event: Span,
    received: Span,
    stamps: Span,
    bloom: Vec<u8>,
}

/// The least and greatest of some numbers; empty if there were none.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u64,
    to: u64,
}

impl Span {
    fn of(values: impl Iterator<Item = u64>) -> Self {
        values.fold(Self { from: u64::MAX, to: 0 }, |span, value| Self {
            from: span.from.min(value),
            to: span.to.max(value),
        })
    }

    fn meets(self, from: Option<u64>, to: Option<u64>) -> bool {
        from.is_none_or(|from| from <= self.to) && to.is_none_or(|to| to >= self.from)
    }
}

impl Summary {
    pub(super) fn of(rows: &[Row]) -> Self {
        let texts: Vec<String> = rows.iter().map(searchable).collect();
        let mut all: Vec<u64> = texts.iter().flat_map(|text| words(text)).map(hash).collect();
        all.extend(rows.iter().map(|row| hash_record(&row.record)));
        all.sort_unstable();
        all.dedup();
        let bytes = (all.len() * BLOOM_BITS_PER_WORD).div_ceil(8).clamp(8, BLOOM_BYTES_MAX);
        let mut bloom = vec![0; bytes];
        for word in all {
            for bit in bits(word, bytes) {
                if let Some(byte) = bloom.get_mut(bit / 8) {
                    *byte |= 1 << (bit % 8);
                }
            }
        }
        Self {
            kinds: rows.iter().fold(0, |map, row| map | 1 << (row.kind as u8).min(63)),
            classes: rows.iter().fold(0, |map, row| map | 1 << row.class as u8),
            tlps: rows.iter().fold(0, |map, row| map | 1 << row.tlp.min(7)),
            placed: rows.iter().any(|row| row.place.is_some()),
            event: Span::of(rows.iter().filter_map(|row| row.event_ms)),
            received: Span::of(rows.iter().map(|row| row.received_ms)),
            stamps: Span::of(rows.iter().map(|row| row.stamp_us)),
            bloom,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.number(self.kinds).raw(&[self.classes, self.tlps]).number(u64::from(self.placed));
        for span in [self.event, self.received, self.stamps] {
            out.number(span.from).number(span.to);
        }
        out.bytes(&self.bloom);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let kinds = reader.number("kinds")?;
        let [classes, tlps] = reader.array("classes")?;
        let placed = reader.number_max(1, "places")? == 1;
        let mut span = || -> Result<Span, DecodeError> {
            Ok(Span { from: reader.number("from")?, to: reader.number("to")? })
        };
        let (event, received, stamps) = (span()?, span()?, span()?);
        let bloom = reader.bytes(BLOOM_BYTES_MAX, "filter")?.to_vec();
        reader.finish()?;
        Ok(Self { kinds, classes, tlps, placed, event, received, stamps, bloom })
    }

    pub(super) fn may_match(&self, query: &Query) -> bool {
        let any = |wanted: &BTreeSet<u8>, held: u64| {
            wanted.is_empty() || wanted.iter().any(|n| held & 1 << n != 0)
        };
        let asks_event = query.event_from.is_some() || query.event_to.is_some();
        (0..u64::BITS as u8).any(|kind| self.kinds & 1 << kind != 0 && query.may_want(kind))
            && any(&query.classes, u64::from(self.classes))
            && any(&query.tlps, u64::from(self.tlps))
            && (self.placed || !query.placed && query.areas.is_empty())
            && (!query.timed || self.event.from <= self.event.to)
            && (!asks_event || self.event.meets(query.event_from, query.event_to))
            && self.received.meets(query.received_from, query.received_to)
            && query.may_have_words(&|word| self.may_hold(word))
    }

    /// The greatest stamp of its rows; `None` if it has none.
    pub(super) fn last_stamp(&self) -> Option<u64> {
        (self.stamps.from <= self.stamps.to).then_some(self.stamps.to)
    }

    fn may_hold(&self, word: &str) -> bool {
        self.may_hold_hash(hash(word))
    }

    /// Whether the block may have a row of a record.
    pub(super) fn may_hold_record(&self, record: &RecordId) -> bool {
        self.may_hold_hash(hash_record(record))
    }

    fn may_hold_hash(&self, hash: u64) -> bool {
        bits(hash, self.bloom.len())
            .all(|bit| self.bloom.get(bit / 8).is_some_and(|byte| byte & 1 << (bit % 8) != 0))
    }
}

/// What of a row is searched, folded.
pub(super) fn searchable(row: &Row) -> String {
    fold(&format!("{} {} {}", row.title, row.text, row.external_id.as_deref().unwrap_or_default()))
}

/// A word's hash: FNV-1a (Fowler, Noll and Vo). Nothing rests on it but how many blocks are read in
/// vain, and whoever can write words can have blocks read in vain without it.
fn hash(word: &str) -> u64 {
    hash_bytes(word.as_bytes())
}

/// A record's hash, for the same filter.
fn hash_record(record: &RecordId) -> u64 {
    hash_bytes(&record.0)
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The bits of a word: double hashing (Kirsch and Mitzenmacher, "Less hashing, same performance",
/// 2006). Both hashes are drawn from the word's by the finaliser of SplitMix64 (Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators", 2014), which spreads its low entropy.
fn bits(word: u64, bytes: usize) -> impl Iterator<Item = usize> {
    let a = mix(word);
    let b = mix(a.wrapping_add(0x9e37_79b9_7f4a_7c15)) | 1;
    let bits = (bytes as u64 * 8).max(1);
    (0..BLOOM_HASHES).map(move |n| (a.wrapping_add(b.wrapping_mul(u64::from(n))) % bits) as usize)
}

const fn mix(z: u64) -> u64 {
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_blocks_are_read_in_vain() {
        let text: String = (0..1_000).map(|n| format!("k{n} ")).collect();
        let row = Row { text, ..Row::default() };
        let summary = Summary::of(&[row]);
        assert!((0..1_000).all(|n| summary.may_hold(&format!("k{n}"))));
        let in_vain = (1_000..11_000).filter(|n| summary.may_hold(&format!("k{n}"))).count();
        // 1 in 100 by the theory of 10 bits and 7 hashes: 0.8 %.
        assert!(in_vain < 200, "{in_vain} of 10,000");
    }
}
