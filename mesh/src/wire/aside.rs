//! The parts of frames about payloads that were left out.

use std::ops::Range;

use tearline_crdt::bounds::PAYLOAD_BYTES_MAX;
use tearline_crdt::codec::{DecodeError, Reader, Write as _};

/// Most spans in one frame, and most positions in them.
pub(crate) const SPANS_MAX: usize = 256;
pub(crate) const LACKED_MAX: u64 = 4_096;

pub(super) fn decode_flag(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<bool, DecodeError> {
    let at = reader.at();
    match reader.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => reader.invalid(at, what),
    }
}

/// `count (number)`, and of each span how many positions lie before it, behind the last, and how many are in it
/// (numbers).
pub(super) fn encode_spans(spans: &[Range<u64>], out: &mut Vec<u8>) {
    out.number(spans.len() as u64);
    let mut end = 0;
    for span in spans {
        out.number(span.start.saturating_sub(end)).number(span.end.saturating_sub(span.start));
        end = span.end;
    }
}

pub(super) fn decode_spans(reader: &mut Reader<'_>) -> Result<Vec<Range<u64>>, DecodeError> {
    let count = reader.count(SPANS_MAX, "spans")?;
    let mut spans: Vec<Range<u64>> = Vec::with_capacity(count);
    let mut left = LACKED_MAX;
    for _ in 0..count {
        let at = reader.at();
        let end = spans.last().map(|span| span.end);
        let gap = reader.number("gap")?;
        let len = reader.number_max(left, "span")?;
        left -= len;
        let start = end.unwrap_or_default().checked_add(gap);
        let span = start.and_then(|start| Some(start..start.checked_add(len)?));
        match span.filter(|_| len > 0 && (gap > 0 || end.is_none())) {
            Some(span) => spans.push(span),
            None => return reader.invalid(at, "span"),
        }
    }
    Ok(spans)
}

/// `count (number)`, and of each how many positions lie before it, behind the last (number), and the payload
/// (bytes).
pub(super) fn encode_payloads(payloads: &[(u64, Vec<u8>)], out: &mut Vec<u8>) {
    out.number(payloads.len() as u64);
    let mut next = 0;
    for (seq, payload) in payloads {
        out.number(seq.saturating_sub(next)).bytes(payload);
        next = seq.saturating_add(1);
    }
}

pub(super) fn decode_payloads(reader: &mut Reader<'_>) -> Result<Vec<(u64, Vec<u8>)>, DecodeError> {
    let count = reader.count(LACKED_MAX as usize, "payloads")?;
    let mut payloads = Vec::new();
    let mut next = Some(0_u64);
    for _ in 0..count {
        let at = reader.at();
        let gap = reader.number("gap")?;
        let Some(seq) = next.and_then(|next| next.checked_add(gap)) else {
            return reader.invalid(at, "position");
        };
        payloads.push((seq, reader.bytes(PAYLOAD_BYTES_MAX, "payload")?.to_vec()));
        next = seq.checked_add(1);
    }
    Ok(payloads)
}
