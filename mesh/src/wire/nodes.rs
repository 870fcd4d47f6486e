//! Descriptions of frontiers: subtrees, and positions in logs.

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::frontier::{DEPTH_MAX, LEAVES_MAX, Leaf, LogKey, Prefix, Subtree};

use super::{Frame, NODES_MAX, POSITIONS_MAX};

pub(super) fn decode_nodes(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let area = reader.array("area")?;
    let count = reader.count(NODES_MAX, "nodes")?;
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        let at = reader.at();
        let nibbles = reader.bytes(DEPTH_MAX, "path")?.to_vec();
        let prefix = Prefix::new(nibbles).ok_or(DecodeError::Invalid { at, what: "path" })?;
        nodes.push((prefix, decode_subtree(reader)?));
    }
    Ok(Frame::Nodes { area, nodes })
}

/// `0 || count (number), leaves` or `1 || bitmap of branches (2, big-endian), hashes (16 each)`.
pub(super) fn encode_subtree(subtree: &Subtree, out: &mut Vec<u8>) {
    match subtree {
        Subtree::Leaves(leaves) => {
            out.raw(&[0]).number(leaves.len() as u64);
            leaves.iter().for_each(|leaf| encode_leaf(leaf, out));
        }
        Subtree::Branches(branches) => {
            let bitmap = branches.iter().fold(0u16, |map, (branch, _)| map | 1 << branch);
            out.raw(&[1]).raw(&bitmap.to_be_bytes());
            for (_, hash) in branches {
                out.raw(hash);
            }
        }
    }
}

fn decode_subtree(reader: &mut Reader<'_>) -> Result<Subtree, DecodeError> {
    let at = reader.at();
    Ok(match reader.u8("subtree form")? {
        0 => {
            let count = reader.count(LEAVES_MAX, "leaves")?;
            let mut leaves = Vec::with_capacity(count);
            for _ in 0..count {
                leaves.push(decode_leaf(reader)?);
            }
            Subtree::Leaves(leaves)
        }
        1 => {
            let bitmap = u16::from_be_bytes(reader.array("branches")?);
            let mut branches = Vec::new();
            for branch in (0..16u8).filter(|branch| bitmap & 1 << branch != 0) {
                branches.push((branch, reader.array("branch hash")?));
            }
            Subtree::Branches(branches)
        }
        _ => return reader.invalid(at, "subtree form"),
    })
}

pub(super) fn encode_leaf(leaf: &Leaf, out: &mut Vec<u8>) {
    out.raw(&leaf.key.0).number(leaf.next).raw(&leaf.head);
}

fn decode_leaf(reader: &mut Reader<'_>) -> Result<Leaf, DecodeError> {
    Ok(Leaf {
        key: LogKey(reader.array("log key")?),
        next: reader.number("next seq")?,
        head: reader.array("head")?,
    })
}

pub(super) fn decode_positions(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let area = reader.array("area")?;
    let count = reader.count(POSITIONS_MAX, "positions")?;
    let mut positions = Vec::with_capacity(count);
    for _ in 0..count {
        positions.push(decode_leaf(reader)?);
    }
    Ok(Frame::Positions { area, positions })
}
