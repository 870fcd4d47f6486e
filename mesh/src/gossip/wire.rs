//! Gossip's messages. Each is one byte of type and its fields, in the encoding of
//! [`tearline_crdt::codec`]; `docs/protocol/gossip.md` lists them. Messages carry no sender: the link
//! proves it.

use tearline_crdt::codec::{DecodeError, Reader, Write as _};
use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::DeviceId;

use super::News;
use super::membership::{CONTACTS_MAX, WALK_HOPS_MAX};

/// The first bytes of the id of the entry before a position: whether two hold the same log so far. The
/// machines leave them at zero; their parent says and checks them.
pub type HeadTag = [u8; 8];

/// Most announcements in one message.
pub const ANNOUNCEMENTS_MAX: usize = 256;

/// Longest message: its type, its count, and as many announcements as there may be.
pub const MESSAGE_BYTES_MAX: usize = 1 + 2 + ANNOUNCEMENTS_MAX * (16 + 10 + 8 + 1 + 1);
const _: () = assert!(1 + 32 + 1 + 1 + CONTACTS_MAX * 32 < MESSAGE_BYTES_MAX);

/// A message, for one machine or the other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// Between memberships.
    Membership(MembershipMessage),
    /// Between trees.
    Tree(TreeMessage),
}

/// What memberships say to each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MembershipMessage {
    /// 1: I am new here; take me and tell others.
    Join,
    /// 2: this device is new.
    ForwardJoin {
        /// The device.
        device: DeviceId,
        /// Hops that are left of the walk.
        hops_left: u8,
    },
    /// 3: be my neighbour.
    Neighbour {
        /// Whether to make room for it.
        urgent: bool,
    },
    /// 4: you are my neighbour.
    Accept,
    /// 5: I have no room.
    Refuse,
    /// 6: you are not my neighbour any more.
    Disconnect,
    /// 7: devices that I know, for who is at the end of the walk.
    Shuffle {
        /// Who began it.
        origin: DeviceId,
        /// Hops that are left of the walk.
        hops_left: u8,
        /// The devices, ascending.
        contacts: Vec<DeviceId>,
    },
    /// 8: devices that I know, in return.
    Contacts {
        /// The devices, ascending.
        contacts: Vec<DeviceId>,
    },
}

/// What trees say to each other, beside entries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TreeMessage {
    /// 9: what I hold, durably.
    Announce {
        /// The announcements, logs ascending, each once.
        announcements: Vec<Announcement>,
    },
    /// 10: send me that.
    Ask {
        /// What was announced.
        news: News,
        /// Seq of the next entry here.
        held: u64,
        /// Of the entry before that.
        head: HeadTag,
        /// Whether to push to me from now on.
        repair: bool,
    },
    /// 11: announce to me from now on.
    Prune,
    /// 12: how far from the root I am.
    Beacon(Beacon),
    /// 13: you are my parent; push to me from now on.
    Graft,
}

/// What a root says each period, and others pass on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Beacon {
    /// The root. The reader's parent says whether it has a right here.
    pub root: DeviceId,
    /// Of the root's beacons the how manieth.
    pub seq: u64,
    /// Hops from the root to the sender.
    pub hops: u8,
}

/// That somebody holds news.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Announcement {
    /// The news.
    pub news: News,
    /// Of the last of its entries.
    pub head: HeadTag,
    /// Over how many hops they would have come to the reader.
    pub hops: u8,
    /// Whether they are pushed along the tree, or only announced.
    pub pushed: bool,
}

impl Message {
    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Membership(message) => message.encode(&mut out),
            Self::Tree(message) => message.encode(&mut out),
        }
        out
    }

    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8("gossip type")? {
            kind @ 1..=8 => Self::Membership(MembershipMessage::decode(kind, &mut reader)?),
            kind @ 9..=13 => Self::Tree(TreeMessage::decode(kind, &mut reader)?),
            _ => return reader.invalid(0, "gossip type"),
        };
        reader.finish()?;
        Ok(message)
    }
}

impl MembershipMessage {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Join => out.push(1),
            Self::ForwardJoin { device, hops_left } => {
                out.raw(&[2]).raw(&device.0).raw(&[*hops_left]);
            }
            Self::Neighbour { urgent } => {
                out.raw(&[3, u8::from(*urgent)]);
            }
            Self::Accept => out.push(4),
            Self::Refuse => out.push(5),
            Self::Disconnect => out.push(6),
            Self::Shuffle { origin, hops_left, contacts } => {
                out.raw(&[7]).raw(&origin.0).raw(&[*hops_left]);
                encode_contacts(contacts, out);
            }
            Self::Contacts { contacts } => {
                out.push(8);
                encode_contacts(contacts, out);
            }
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            1 => Self::Join,
            2 => Self::ForwardJoin {
                device: DeviceId(reader.array("device id")?),
                hops_left: decode_hops_left(reader)?,
            },
            3 => Self::Neighbour { urgent: decode_flag(reader, "urgent")? },
            4 => Self::Accept,
            5 => Self::Refuse,
            6 => Self::Disconnect,
            7 => Self::Shuffle {
                origin: DeviceId(reader.array("origin")?),
                hops_left: decode_hops_left(reader)?,
                contacts: decode_contacts(reader)?,
            },
            _ => Self::Contacts { contacts: decode_contacts(reader)? },
        })
    }
}

impl TreeMessage {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Announce { announcements } => {
                out.raw(&[9]).number(announcements.len() as u64);
                for Announcement { news, head, hops, pushed } in announcements {
                    out.raw(&news.log.0).number(news.next).raw(head);
                    out.raw(&[*hops, u8::from(*pushed)]);
                }
            }
            Self::Ask { news, held, head, repair } => {
                out.raw(&[10]).raw(&news.log.0).number(news.next).number(*held).raw(head);
                out.push(u8::from(*repair));
            }
            Self::Prune => out.push(11),
            Self::Beacon(Beacon { root, seq, hops }) => {
                out.raw(&[12]).raw(&root.0).number(*seq).raw(&[*hops]);
            }
            Self::Graft => out.push(13),
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            9 => Self::Announce { announcements: decode_announcements(reader)? },
            10 => Self::Ask {
                news: decode_news(reader)?,
                held: reader.number("held")?,
                head: reader.array("head")?,
                repair: decode_flag(reader, "repair")?,
            },
            11 => Self::Prune,
            12 => Self::Beacon(Beacon {
                root: DeviceId(reader.array("root")?),
                seq: reader.number("beacon seq")?,
                hops: reader.u8("hops")?,
            }),
            _ => Self::Graft,
        })
    }
}

fn encode_contacts(contacts: &[DeviceId], out: &mut Vec<u8>) {
    out.number(contacts.len() as u64);
    contacts.iter().for_each(|contact| {
        out.raw(&contact.0);
    });
}

fn decode_contacts(reader: &mut Reader<'_>) -> Result<Vec<DeviceId>, DecodeError> {
    let count = reader.count(CONTACTS_MAX, "contacts")?;
    let mut contacts: Vec<DeviceId> = Vec::with_capacity(count);
    for _ in 0..count {
        let at = reader.at();
        let contact = DeviceId(reader.array("contact")?);
        if contacts.last().is_some_and(|last| *last >= contact) {
            return reader.invalid(at, "contact");
        }
        contacts.push(contact);
    }
    Ok(contacts)
}

fn decode_announcements(reader: &mut Reader<'_>) -> Result<Vec<Announcement>, DecodeError> {
    let count = reader.count(ANNOUNCEMENTS_MAX, "announcements")?;
    let mut announcements: Vec<Announcement> = Vec::with_capacity(count);
    for _ in 0..count {
        let at = reader.at();
        let news = decode_news(reader)?;
        if announcements.last().is_some_and(|last| last.news.log >= news.log) {
            return reader.invalid(at, "announcement");
        }
        let head = reader.array("head")?;
        let hops = reader.u8("hops")?;
        let pushed = decode_flag(reader, "pushed")?;
        announcements.push(Announcement { news, head, hops, pushed });
    }
    Ok(announcements)
}

/// News of no entry are none.
fn decode_news(reader: &mut Reader<'_>) -> Result<News, DecodeError> {
    let log = LogKey(reader.array("log key")?);
    let at = reader.at();
    match reader.number("next seq")? {
        0 => reader.invalid(at, "next seq"),
        next => Ok(News { log, next }),
    }
}

fn decode_hops_left(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let at = reader.at();
    let hops_left = reader.u8("hops left")?;
    if hops_left > WALK_HOPS_MAX {
        let (found, max) = (u64::from(hops_left), u64::from(WALK_HOPS_MAX));
        return Err(DecodeError::TooLarge { at, what: "hops left", found, max });
    }
    Ok(hops_left)
}

fn decode_flag(reader: &mut Reader<'_>, what: &'static str) -> Result<bool, DecodeError> {
    let at = reader.at();
    match reader.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => reader.invalid(at, what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn device(byte: u8) -> DeviceId {
        DeviceId([byte; 32])
    }

    fn announcement(log: u8) -> Announcement {
        let news = News { log: LogKey([log; 16]), next: 300 };
        Announcement { news, head: [0xcc; 8], hops: 2, pushed: true }
    }

    /// Each message and its bytes, in hexadecimal; `N*bb` stands for N bytes bb.
    fn golden() -> Vec<(Message, &'static str)> {
        use MembershipMessage as M;
        let of_membership = [
            (M::Join, "01"),
            (M::ForwardJoin { device: device(0xaa), hops_left: 6 }, "02 32*aa 06"),
            (M::Neighbour { urgent: true }, "03 01"),
            (M::Accept, "04"),
            (M::Refuse, "05"),
            (M::Disconnect, "06"),
            (
                M::Shuffle {
                    origin: device(0xaa),
                    hops_left: 3,
                    contacts: vec![device(1), device(2)],
                },
                "07 32*aa 03 02 32*01 32*02",
            ),
            (M::Contacts { contacts: vec![device(9)] }, "08 01 32*09"),
        ];
        let news = announcement(0xbb).news;
        let of_trees = [
            (
                TreeMessage::Announce { announcements: vec![announcement(1), announcement(2)] },
                "09 02 16*01 ac 02 8*cc 02 01 16*02 ac 02 8*cc 02 01",
            ),
            (
                TreeMessage::Ask { news, held: 7, head: [0xdd; 8], repair: false },
                "0a 16*bb ac 02 07 8*dd 00",
            ),
            (TreeMessage::Prune, "0b"),
            (
                TreeMessage::Beacon(Beacon { root: device(0xaa), seq: 300, hops: 2 }),
                "0c 32*aa ac 02 02",
            ),
            (TreeMessage::Graft, "0d"),
        ];
        let of_membership = of_membership.map(|(message, hex)| (Message::Membership(message), hex));
        let of_trees = of_trees.map(|(message, hex)| (Message::Tree(message), hex));
        of_membership.into_iter().chain(of_trees).collect()
    }

    fn bytes_of(hex: &str) -> Vec<u8> {
        let part = |part: &str| {
            let (count, byte) = part.split_once('*').unwrap_or(("1", part));
            vec![u8::from_str_radix(byte, 16).unwrap(); count.parse().unwrap()]
        };
        hex.split(' ').flat_map(part).collect()
    }

    #[test]
    fn messages_have_these_bytes_and_no_others() {
        for (message, hex) in golden() {
            let bytes = bytes_of(hex);
            assert_eq!(message.encode(), bytes, "{message:?}");
            assert_eq!(Message::decode(&bytes), Ok(message.clone()));
            for len in 0..bytes.len() {
                assert!(Message::decode(&bytes[..len]).is_err(), "{message:?} cut at {len}");
            }
            assert!(Message::decode(&[bytes, vec![0]].concat()).is_err());
        }
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        for hex in [
            "00",
            "0e",
            "0c 32*aa 80 00 02",
            "03 02",
            "02 32*aa 07",
            "08 02 32*02 32*01",
            "08 02 32*01 32*01",
            "09 02 16*02 05 8*cc 02 01 16*01 05 8*cc 02 01",
            "09 02 16*01 05 8*cc 02 01 16*01 06 8*cc 02 01",
            "09 01 16*01 00 8*cc 02 01",
            "09 01 16*01 05 8*cc 02 02",
            "0a 16*bb 00 00 8*dd 00",
            "0a 16*bb 05 80 00 8*dd 00",
        ] {
            assert!(Message::decode(&bytes_of(hex)).is_err(), "{hex}");
        }
    }

    #[test]
    fn the_largest_messages_are_read_and_larger_ones_are_not() {
        let contacts = |count: usize| {
            let contacts = (0..count as u8).map(device).collect();
            let shuffle = MembershipMessage::Shuffle { origin: device(1), hops_left: 0, contacts };
            Message::Membership(shuffle).encode()
        };
        assert!(Message::decode(&contacts(CONTACTS_MAX)).is_ok());
        let too_many = Message::decode(&contacts(CONTACTS_MAX + 1));
        assert!(matches!(too_many, Err(DecodeError::TooLarge { what: "contacts", .. })));
        let announcements = |count: usize| {
            let of = |n: usize| {
                let mut log = [0; 16];
                log[..8].copy_from_slice(&(n as u64).to_be_bytes());
                let news = News { log: LogKey(log), next: u64::MAX };
                Announcement { news, head: [255; 8], hops: 255, pushed: true }
            };
            let announcements = (0..count).map(of).collect();
            Message::Tree(TreeMessage::Announce { announcements }).encode()
        };
        let largest = announcements(ANNOUNCEMENTS_MAX);
        assert_eq!(largest.len(), MESSAGE_BYTES_MAX);
        assert!(Message::decode(&largest).is_ok());
        let too_many = Message::decode(&announcements(ANNOUNCEMENTS_MAX + 1));
        assert!(matches!(too_many, Err(DecodeError::TooLarge { what: "announcements", .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
