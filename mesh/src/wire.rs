//! Frames: what two replicas say to each other. `docs/protocol/sync.md` describes them to the byte.
//!
//! A frame is one byte of type and its fields. Transports carry frames whole and in order; they
//! authenticate the device at the other end, so frames carry no sender.

pub(crate) mod aside;
mod logs;
mod nodes;

use std::ops::Range;

use tearline_crdt::bounds::{
    FORMAT_VERSION, PAYLOAD_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENT_ENTRIES_MAX, STATEMENT_BYTES_MAX,
};
use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::entry::run::Head;
use tearline_crdt::epoch::KEY_BOX_BYTES;
use tearline_crdt::frontier::{Leaf, LogKey, NodeHash, Prefix, Subtree};
use tearline_crdt::id::{AttachmentId, DeviceId, EntryId, EpochId, Incarnation, RecordId};

use self::logs::{decode_logs, encode_logs};
use self::nodes::{decode_nodes, decode_positions, encode_leaf, encode_subtree};
use crate::gossip::Message;
use crate::gossip::wire::MESSAGE_BYTES_MAX;
use crate::interest::INTEREST_BYTES_MAX;
use crate::replica::fetch::PART_BYTES_MAX;
use crate::replica::presence;
use crate::replica::whereabouts::{CARD_BYTES_MAX, CARDS_MAX, Known};

/// Largest frame: the largest segment, its boxes, and the frame's own fields, rounded up.
pub const FRAME_BYTES_MAX: usize = 512 * 1024;
const _: () =
    assert!(SEGMENT_BYTES_MAX + 80 * 1024 + SEGMENT_ENTRIES_MAX * KEY_BOX_BYTES < FRAME_BYTES_MAX);

/// A compartment's name for one session: only who knows the compartment recognises it.
pub type Tag = [u8; 8];
/// Random bytes of the dialer, from which the session's tags are drawn.
pub type Nonce = [u8; 8];

/// Most compartments that two peers compare in one session.
pub const AREAS_MAX: usize = 4_096;
/// Most subtrees in one frame.
pub const NODES_MAX: usize = 256;
/// Most positions in one frame.
pub const POSITIONS_MAX: usize = 1_024;
/// Most entries in one run: a frame of one-segment entries or of several segments.
pub const RUN_ENTRIES_MAX: usize = 4_096;
/// Longest opening, certificate or name in a frame.
const STATEMENT_MAX: usize = 16 * 1024;
/// Most ids in one frame.
pub const IDS_MAX: usize = 4_096;
/// Longest authority entry that travels alone: header, signature, statement and payload.
const STRAY_BYTES_MAX: usize = 1024 + STATEMENT_BYTES_MAX + PAYLOAD_BYTES_MAX;
/// Longest part of an enclosure: a chunk of a bundle.
pub const ENCLOSURE_PART_BYTES_MAX: usize = 64 * 1024;
/// The type of the frame that has one.
const ENCLOSURE: u8 = 30;
/// Longest proof: 65 branches of up to 676 bytes and a statement.
const PROOF_BYTES_MAX: usize = 64 * 1024;

/// A frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// 1: the dialer's first. The digest of all that the dialer believes both should hold.
    Open {
        /// The pair digest.
        digest: NodeHash,
        /// For the session's tags.
        nonce: Nonce,
    },
    /// 2: the listener's answer to an equal digest: in sync, nothing else to say.
    Same,
    /// 3: the side that sends it holds what the other remembers; news follow at once.
    Behind,
    /// 4: what I hold, each compartment by its tag, with its frontier's root.
    Hello {
        /// The pair digest.
        digest: NodeHash,
        /// Compartments.
        areas: Vec<(Tag, NodeHash)>,
    },
    /// 5: a compartment that you may hold and did not name: its opening statement.
    Intro {
        /// The encoded statement.
        opening: Vec<u8>,
    },
    /// 6: subtrees of a frontier, to be compared.
    Nodes {
        /// Of which compartment.
        area: Tag,
        /// The subtrees.
        nodes: Vec<(Prefix, Subtree)>,
    },
    /// 7: where I am in logs in which you are ahead.
    Positions {
        /// Of which compartment.
        area: Tag,
        /// The positions.
        positions: Vec<Leaf>,
    },
    /// 8: entries that continue a log where you are.
    Run {
        /// Of which compartment.
        area: Tag,
        /// Which log.
        key: LogKey,
        /// Whose log it is; said with its first entry only.
        author: Option<(DeviceId, Incarnation)>,
        /// If payloads or key boxes are gone from it: what the sender holds of the authority logs
        /// that decide what is erased.
        knows: Option<NodeHash>,
        /// If it is pushed along a tree of gossip: over how many hops it comes from its writer, at least 1.
        hops: Option<u8>,
        /// Whether payloads are left out of it: the receiver does not want them, or they are not here yet.
        left_out: bool,
        /// Seq of the first entry.
        first: u64,
        /// How many entries.
        count: usize,
        /// In short form.
        entries: Vec<u8>,
        /// Their key boxes.
        boxes: Vec<u8>,
    },
    /// 9: what I hold durably now.
    Have {
        /// Of which compartment.
        area: Tag,
        /// Log and seq of the next entry.
        logs: Vec<(LogKey, u64)>,
    },
    /// 10: a proof that a log's author forked it, or that a device has too many incarnations.
    Fork {
        /// Of which compartment.
        area: Tag,
        /// The encoded proof.
        proof: Vec<u8>,
    },
    /// 11: what proves our entries of some positions of a log, for a peer that holds another branch.
    Evidence {
        /// Of which compartment.
        area: Tag,
        /// The encoded branches, in ascending order of position.
        branches: Vec<u8>,
    },
    /// 12: an applicant's request, under an invitation.
    Join {
        /// The encoded request ([`crate::invitation::JoinRequest`]).
        request: Vec<u8>,
    },
    /// 13: the answer: the coalition's charter, or why not.
    JoinAnswer {
        /// The encoded answer ([`crate::invitation::JoinAnswer`]).
        answer: Vec<u8>,
    },
    /// 14: runs that I do not take now; I say my position when that changes.
    Decline {
        /// Of which compartment.
        area: Tag,
        /// Log and seq of the run's first entry.
        logs: Vec<(LogKey, u64)>,
    },
    /// 15: which authority entries that travel alone I hold, of those with ids in a span.
    Strays {
        /// Of which compartment.
        area: Tag,
        /// Whether this answers such a frame, and is not answered by one.
        answer: bool,
        /// The span: ids after the first and up to the last.
        span: (EntryId, EntryId),
        /// Their ids, ascending.
        ids: Vec<EntryId>,
    },
    /// 16: an authority entry that travels alone.
    Stray {
        /// Of which compartment.
        area: Tag,
        /// The encoded entry.
        stray: Vec<u8>,
    },
    /// 17: in a bundle alone, where nobody has said where he is: the run that follows continues its log
    /// behind an entry with an id that begins so.
    After {
        /// As in [`Leaf::head`].
        head: [u8; 8],
    },
    /// 18: what the gossip of a compartment says, beside runs.
    Gossip {
        /// Of which compartment.
        area: Tag,
        /// The message.
        message: Message,
    },
    /// 19: I lack what leads to an entry of a forked log that a mark names.
    Ask {
        /// Of which compartment.
        area: Tag,
        /// Of which log the branch is, by the key under which it is named.
        key: LogKey,
        /// Where what I hold of the log ends that all its branches share.
        first: u64,
        /// The position after the entry.
        end: u64,
        /// The entry.
        head: EntryId,
    },
    /// 20: entries that lead to the one that you asked for.
    Piece {
        /// Of which compartment.
        area: Tag,
        /// As in [`Frame::Ask`].
        key: LogKey,
        /// As in [`Frame::Run`].
        knows: Option<NodeHash>,
        /// What they continue.
        from: Head,
        /// How many entries.
        count: usize,
        /// In short form.
        entries: Vec<u8>,
        /// Their key boxes.
        boxes: Vec<u8>,
    },
    /// 21: in the place of entries that you lack: of these logs nothing before a position is here any more.
    Gone {
        /// Of which compartment.
        area: Tag,
        /// Log and seq of the first entry that is here.
        logs: Vec<(LogKey, u64)>,
    },
    /// 22: where devices can be reached.
    Whereabouts {
        /// What I hold of that, briefly.
        known: Known,
        /// Some of it, each encoded.
        cards: Vec<Vec<u8>>,
    },
    /// 23: I want what follows of an attachment's sealed file.
    Fetch {
        /// Of which compartment its record is.
        area: Tag,
        /// The record.
        record: RecordId,
        /// The attachment.
        attachment: AttachmentId,
        /// So many bytes of it are here.
        from: u64,
    },
    /// 24: a part of an attachment's sealed file.
    Part {
        /// The attachment.
        attachment: AttachmentId,
        /// Where in the sealed file the part begins.
        from: u64,
        /// The part; empty if there is nothing for you here.
        bytes: Vec<u8>,
    },
    /// 25: where devices are now.
    Presence {
        /// In which compartment they say so.
        area: Tag,
        /// What they say, each encoded.
        cards: Vec<Vec<u8>>,
    },
    /// 26: what I want whole from you; of everything else the headers.
    Interest {
        /// Encoded ([`crate::interest::Interest`]).
        interest: Vec<u8>,
    },
    /// 27: payloads that I lack.
    Lack {
        /// Of which compartment.
        area: Tag,
        /// Of which log.
        key: LogKey,
        /// Whether I want them whatever my interest says.
        any: bool,
        /// The positions, ascending; no two spans touch.
        spans: Vec<Range<u64>>,
    },
    /// 28: payloads that you lack.
    Payloads {
        /// Of which compartment.
        area: Tag,
        /// Of which log.
        key: LogKey,
        /// Whether these are the last that you get of those you asked for.
        done: bool,
        /// Positions, ascending, and payloads.
        payloads: Vec<(u64, Vec<u8>)>,
    },
    /// 29: I send you these logs now, up to there, unless you have it otherwise.
    Bring {
        /// Of which compartment.
        area: Tag,
        /// Log and the seq after the last entry.
        logs: Vec<(LogKey, u64)>,
    },
    /// 31: another brings me these logs, up to there: send nothing of them until I have that much, or say
    /// where I am.
    Wait {
        /// Of which compartment.
        area: Tag,
        /// Log and the seq after the last entry that is brought.
        logs: Vec<(LogKey, u64)>,
    },
    /// 30: something that is carried along with entries and is none. In a bundle alone; a
    /// [`Replica`](crate::Replica) takes none.
    Enclosure {
        /// What it is; the program says what that means.
        kind: u8,
        /// A part of it. Parts of a kind follow each other.
        part: Vec<u8>,
    },
}

impl Frame {
    /// The frame's name, for logs and faults.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Same => "same",
            Self::Behind => "behind",
            Self::Hello { .. } => "hello",
            Self::Intro { .. } => "intro",
            Self::Nodes { .. } => "nodes",
            Self::Positions { .. } => "positions",
            Self::Run { .. } => "run",
            Self::Have { .. } => "have",
            Self::Fork { .. } => "fork",
            Self::Evidence { .. } => "evidence",
            Self::Join { .. } => "join",
            Self::JoinAnswer { .. } => "join-answer",
            Self::Decline { .. } => "decline",
            Self::Strays { .. } => "strays",
            Self::Stray { .. } => "stray",
            Self::After { .. } => "after",
            Self::Gossip { .. } => "gossip",
            Self::Ask { .. } => "ask",
            Self::Piece { .. } => "piece",
            Self::Gone { .. } => "gone",
            Self::Whereabouts { .. } => "whereabouts",
            Self::Fetch { .. } => "fetch",
            Self::Part { .. } => "part",
            Self::Presence { .. } => "presence",
            Self::Interest { .. } => "interest",
            Self::Lack { .. } => "lack",
            Self::Payloads { .. } => "payloads",
            Self::Bring { .. } => "bring",
            Self::Wait { .. } => "wait",
            Self::Enclosure { .. } => "enclosure",
        }
    }

    /// The frame's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Open { digest, nonce } => {
                out.raw(&[1, FORMAT_VERSION]).raw(digest).raw(nonce);
            }
            Self::Same => out.push(2),
            Self::Behind => out.push(3),
            Self::Hello { digest, areas } => {
                out.raw(&[4]).raw(digest).number(areas.len() as u64);
                for (tag, root) in areas {
                    out.raw(tag).raw(root);
                }
            }
            Self::Intro { opening } => {
                out.raw(&[5]).bytes(opening);
            }
            Self::Nodes { area, nodes } => {
                out.raw(&[6]).raw(area).number(nodes.len() as u64);
                for (prefix, subtree) in nodes {
                    out.bytes(prefix.nibbles());
                    encode_subtree(subtree, &mut out);
                }
            }
            Self::Positions { area, positions } => {
                out.raw(&[7]).raw(area).number(positions.len() as u64);
                positions.iter().for_each(|leaf| encode_leaf(leaf, &mut out));
            }
            Self::Run {
                area,
                key,
                author,
                knows,
                hops,
                left_out,
                first,
                count,
                entries,
                boxes,
            } => {
                let (one, one_box) = (*count == 1, boxes.len() == KEY_BOX_BYTES);
                let alone = one && (one_box || boxes.is_empty());
                let flags = if author.is_some() { AUTHOR } else { 0 }
                    | if knows.is_some() { KNOWS } else { 0 }
                    | if alone { ALONE } else { 0 }
                    | if alone && one_box { BOXED } else { 0 }
                    | if hops.is_some() { HOPS } else { 0 }
                    | if *left_out { LEFT_OUT } else { 0 };
                out.raw(&[8]).raw(area).raw(&key.0).raw(&[flags]);
                if let Some((device, incarnation)) = author {
                    out.raw(&device.0).raw(&incarnation.0.to_be_bytes());
                }
                out.raw(knows.as_ref().map_or(&[], |hash| hash.as_slice()));
                out.raw(hops.as_slice()).number(*first);
                if alone {
                    out.raw(boxes);
                } else {
                    out.number(*count as u64).bytes(boxes);
                }
                out.raw(entries);
            }
            Self::Have { area, logs } => {
                out.raw(&[9]).raw(area);
                encode_logs(logs, &mut out);
            }
            Self::Fork { area, proof } => {
                out.raw(&[10]).raw(area).bytes(proof);
            }
            Self::Evidence { area, branches } => {
                out.raw(&[11]).raw(area).bytes(branches);
            }
            Self::Join { request } => {
                out.raw(&[12]).bytes(request);
            }
            Self::JoinAnswer { answer } => {
                out.raw(&[13]).bytes(answer);
            }
            Self::Decline { area, logs } => {
                out.raw(&[14]).raw(area);
                encode_logs(logs, &mut out);
            }
            Self::Strays { area, answer, span: (first, last), ids } => {
                out.raw(&[15])
                    .raw(area)
                    .raw(&[u8::from(*answer)])
                    .raw(&first.0)
                    .raw(&last.0)
                    .number(ids.len() as u64);
                ids.iter().for_each(|id| {
                    out.raw(&id.0);
                });
            }
            Self::Stray { area, stray } => {
                out.raw(&[16]).raw(area).bytes(stray);
            }
            Self::After { head } => {
                out.raw(&[17]).raw(head);
            }
            Self::Gossip { area, message } => {
                out.raw(&[18]).raw(area).raw(&message.encode());
            }
            Self::Ask { area, key, first, end, head } => {
                out.raw(&[19]).raw(area).raw(&key.0).number(*first).number(*end).raw(&head.0);
            }
            Self::Piece { area, key, knows, from, count, entries, boxes } => {
                let flags = if knows.is_some() { KNOWS } else { 0 };
                out.raw(&[20]).raw(area).raw(&key.0).raw(&[flags]);
                out.raw(knows.as_ref().map_or(&[], |hash| hash.as_slice()));
                out.number(from.next).raw(&from.id.0).raw(&from.epoch.0);
                out.number(*count as u64).bytes(boxes).raw(entries);
            }
            Self::Gone { area, logs } => {
                out.raw(&[21]).raw(area);
                encode_logs(logs, &mut out);
            }
            Self::Whereabouts { known, cards } => {
                out.raw(&[22]).raw(known).number(cards.len() as u64);
                cards.iter().for_each(|card| {
                    out.bytes(card);
                });
            }
            Self::Fetch { area, record, attachment, from } => {
                out.raw(&[23]).raw(area).raw(&record.0).raw(&attachment.0).number(*from);
            }
            Self::Part { attachment, from, bytes } => {
                out.raw(&[24]).raw(&attachment.0).number(*from).raw(bytes);
            }
            Self::Presence { area, cards } => {
                out.raw(&[25]).raw(area).number(cards.len() as u64);
                cards.iter().for_each(|card| {
                    out.bytes(card);
                });
            }
            Self::Interest { interest } => {
                out.raw(&[26]).bytes(interest);
            }
            Self::Lack { area, key, any, spans } => {
                out.raw(&[27]).raw(area).raw(&key.0).raw(&[u8::from(*any)]);
                aside::encode_spans(spans, &mut out);
            }
            Self::Payloads { area, key, done, payloads } => {
                out.raw(&[28]).raw(area).raw(&key.0).raw(&[u8::from(*done)]);
                aside::encode_payloads(payloads, &mut out);
            }
            Self::Bring { area, logs } => {
                out.raw(&[29]).raw(area);
                encode_logs(logs, &mut out);
            }
            Self::Wait { area, logs } => {
                out.raw(&[31]).raw(area);
                encode_logs(logs, &mut out);
            }
            Self::Enclosure { kind, part } => {
                out.raw(&[ENCLOSURE, *kind]).raw(part);
            }
        }
        out
    }

    /// Whether the bytes of a frame are an enclosure, well-formed or not.
    #[must_use]
    pub fn is_enclosure(bytes: &[u8]) -> bool {
        bytes.first() == Some(&ENCLOSURE)
    }

    /// Reads a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let frame = match reader.u8("frame type")? {
            1 => decode_open(&mut reader)?,
            2 => Self::Same,
            3 => Self::Behind,
            4 => decode_hello(&mut reader)?,
            5 => Self::Intro { opening: reader.bytes(STATEMENT_MAX, "opening")?.to_vec() },
            6 => decode_nodes(&mut reader)?,
            7 => decode_positions(&mut reader)?,
            8 => decode_run(&mut reader)?,
            9 => Self::Have { area: reader.array("area")?, logs: decode_logs(&mut reader)? },
            10 => Self::Fork {
                area: reader.array("area")?,
                proof: reader.bytes(PROOF_BYTES_MAX, "fork proof")?.to_vec(),
            },
            11 => Self::Evidence {
                area: reader.array("area")?,
                branches: reader.bytes(STATEMENT_MAX, "branches")?.to_vec(),
            },
            12 => Self::Join { request: reader.bytes(STATEMENT_MAX, "request")?.to_vec() },
            13 => Self::JoinAnswer { answer: reader.bytes(FRAME_BYTES_MAX, "answer")?.to_vec() },
            14 => Self::Decline { area: reader.array("area")?, logs: decode_logs(&mut reader)? },
            15 => decode_strays(&mut reader)?,
            16 => Self::Stray {
                area: reader.array("area")?,
                stray: reader.bytes(STRAY_BYTES_MAX, "stray")?.to_vec(),
            },
            17 => Self::After { head: reader.array("head")? },
            18 => decode_gossip(&mut reader)?,
            19 => Self::Ask {
                area: reader.array("area")?,
                key: LogKey(reader.array("log key")?),
                first: reader.number("first seq")?,
                end: reader.number("end")?,
                head: EntryId(reader.array("entry id")?),
            },
            20 => decode_piece(&mut reader)?,
            21 => Self::Gone { area: reader.array("area")?, logs: decode_logs(&mut reader)? },
            22 => decode_whereabouts(&mut reader)?,
            23 => Self::Fetch {
                area: reader.array("area")?,
                record: RecordId(reader.array("record")?),
                attachment: AttachmentId(reader.array("attachment")?),
                from: reader.number("from")?,
            },
            24 => decode_part(&mut reader)?,
            25 => decode_presence(&mut reader)?,
            26 => {
                Self::Interest { interest: reader.bytes(INTEREST_BYTES_MAX, "interest")?.to_vec() }
            }
            27 => Self::Lack {
                area: reader.array("area")?,
                key: LogKey(reader.array("log key")?),
                any: aside::decode_flag(&mut reader, "any")?,
                spans: aside::decode_spans(&mut reader)?,
            },
            28 => Self::Payloads {
                area: reader.array("area")?,
                key: LogKey(reader.array("log key")?),
                done: aside::decode_flag(&mut reader, "done")?,
                payloads: aside::decode_payloads(&mut reader)?,
            },
            29 => Self::Bring { area: reader.array("area")?, logs: decode_logs(&mut reader)? },
            31 => Self::Wait { area: reader.array("area")?, logs: decode_logs(&mut reader)? },
            ENCLOSURE => decode_enclosure(&mut reader)?,
            _ => return reader.invalid(0, "frame type"),
        };
        reader.finish()?;
        Ok(frame)
    }
}

fn decode_open(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let at = reader.at();
    if reader.u8("version")? != FORMAT_VERSION {
        return reader.invalid(at, "version");
    }
    Ok(Frame::Open { digest: reader.array("digest")?, nonce: reader.array("nonce")? })
}

fn decode_hello(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let digest = reader.array("digest")?;
    let count = reader.count(AREAS_MAX, "areas")?;
    let mut areas = Vec::with_capacity(count);
    for _ in 0..count {
        areas.push((reader.array("tag")?, reader.array("root")?));
    }
    Ok(Frame::Hello { digest, areas })
}

fn decode_run(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let area = reader.array("area")?;
    let key = LogKey(reader.array("log key")?);
    let at = reader.at();
    let flags = reader.u8("run flags")?;
    let (alone, boxed) = (flags & ALONE != 0, flags & BOXED != 0);
    if flags > AUTHOR | KNOWS | ALONE | BOXED | HOPS | LEFT_OUT || boxed && !alone {
        return reader.invalid(at, "run flags");
    }
    let author = if flags & AUTHOR != 0 {
        let device = DeviceId(reader.array("device id")?);
        Some((device, Incarnation(u64::from_be_bytes(reader.array("incarnation")?))))
    } else {
        None
    };
    let knows = (flags & KNOWS != 0).then(|| reader.array("what is known")).transpose()?;
    let at = reader.at();
    let hops = (flags & HOPS != 0).then(|| reader.u8("hops")).transpose()?;
    if hops == Some(0) {
        return reader.invalid(at, "hops");
    }
    let left_out = flags & LEFT_OUT != 0;
    let first = reader.number("first seq")?;
    let at = reader.at();
    let (count, boxes) = if alone {
        (1, reader.take(if boxed { KEY_BOX_BYTES } else { 0 }, "key box")?.to_vec())
    } else {
        let count = reader.count(RUN_ENTRIES_MAX, "entries")?;
        let boxes = reader.bytes(RUN_ENTRIES_MAX * KEY_BOX_BYTES, "key boxes")?;
        if count == 1 && (boxes.is_empty() || boxes.len() == KEY_BOX_BYTES) {
            return reader.invalid(at, "entries");
        }
        (count, boxes.to_vec())
    };
    let entries = reader.take(reader.left(), "entries")?.to_vec();
    Ok(Frame::Run { area, key, author, knows, hops, left_out, first, count, entries, boxes })
}

fn decode_whereabouts(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let known = reader.array("what is known")?;
    let count = reader.count(CARDS_MAX, "whereabouts")?;
    let mut cards = Vec::with_capacity(count);
    for _ in 0..count {
        cards.push(reader.bytes(CARD_BYTES_MAX, "whereabouts")?.to_vec());
    }
    Ok(Frame::Whereabouts { known, cards })
}

fn decode_presence(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let area = reader.array("area")?;
    let count = reader.count(presence::CARDS_MAX, "presence")?;
    let mut cards = Vec::with_capacity(count);
    for _ in 0..count {
        cards.push(reader.bytes(presence::CARD_BYTES_MAX, "presence")?.to_vec());
    }
    Ok(Frame::Presence { area, cards })
}

fn decode_enclosure(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let [kind] = reader.array("kind")?;
    let at = reader.at();
    if reader.left() > ENCLOSURE_PART_BYTES_MAX {
        return reader.invalid(at, "enclosure");
    }
    Ok(Frame::Enclosure { kind, part: reader.take(reader.left(), "enclosure")?.to_vec() })
}

fn decode_part(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let attachment = AttachmentId(reader.array("attachment")?);
    let from = reader.number("from")?;
    let at = reader.at();
    if reader.left() > PART_BYTES_MAX {
        return reader.invalid(at, "part");
    }
    let bytes = reader.take(reader.left(), "part")?.to_vec();
    Ok(Frame::Part { attachment, from, bytes })
}

fn decode_piece(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let area = reader.array("area")?;
    let key = LogKey(reader.array("log key")?);
    let at = reader.at();
    let knows = match reader.u8("piece flags")? {
        0 => None,
        KNOWS => Some(reader.array("what is known")?),
        _ => return reader.invalid(at, "piece flags"),
    };
    let from = Head {
        next: reader.number("first seq")?,
        id: EntryId(reader.array("entry before")?),
        epoch: EpochId(reader.array("epoch before")?),
    };
    let count = reader.count(RUN_ENTRIES_MAX, "entries")?;
    let boxes = reader.bytes(RUN_ENTRIES_MAX * KEY_BOX_BYTES, "key boxes")?.to_vec();
    let entries = reader.take(reader.left(), "entries")?.to_vec();
    Ok(Frame::Piece { area, key, knows, from, count, entries, boxes })
}

/// Flags of a run: its author is named.
const AUTHOR: u8 = 1;
/// What the sender knows is said.
const KNOWS: u8 = 2;
/// It is one entry, with its key box or none.
const ALONE: u8 = 4;
/// That entry has a key box.
const BOXED: u8 = 8;
/// It is pushed along a tree, and says over how many hops.
const HOPS: u8 = 16;
/// Payloads are left out of it.
const LEFT_OUT: u8 = 32;

fn decode_gossip(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let area = reader.array("area")?;
    let (at, found) = (reader.at(), reader.left());
    if found > MESSAGE_BYTES_MAX {
        let (found, max) = (found as u64, MESSAGE_BYTES_MAX as u64);
        return Err(DecodeError::TooLarge { at, what: "gossip", found, max });
    }
    Ok(Frame::Gossip { area, message: Message::decode(reader.take(found, "gossip")?)? })
}

fn decode_strays(reader: &mut Reader<'_>) -> Result<Frame, DecodeError> {
    let area = reader.array("area")?;
    let at = reader.at();
    let answer = match reader.u8("answer")? {
        0 => false,
        1 => true,
        _ => return reader.invalid(at, "answer"),
    };
    let span = (EntryId(reader.array("first id")?), EntryId(reader.array("last id")?));
    let count = reader.count(IDS_MAX, "ids")?;
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        ids.push(EntryId(reader.array("id")?));
    }
    Ok(Frame::Strays { area, answer, span, ids })
}

#[cfg(test)]
mod tests;
