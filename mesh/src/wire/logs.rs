//! Lists of logs, and a position in each.

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::frontier::LogKey;

use super::POSITIONS_MAX;

pub(super) fn encode_logs(logs: &[(LogKey, u64)], out: &mut Vec<u8>) {
    out.number(logs.len() as u64);
    for (key, seq) in logs {
        out.raw(&key.0).number(*seq);
    }
}

pub(super) fn decode_logs(reader: &mut Reader<'_>) -> Result<Vec<(LogKey, u64)>, DecodeError> {
    let count = reader.count(POSITIONS_MAX, "logs")?;
    let mut logs = Vec::with_capacity(count);
    for _ in 0..count {
        logs.push((LogKey(reader.array("log key")?), reader.number("seq")?));
    }
    Ok(logs)
}
