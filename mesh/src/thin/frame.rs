//! What stands inside a sealed link frame: an acknowledgement and pieces of streams.
//!
//! ```text
//! flags (1) || [ack: highest (2), missing (0 to 8)] || [pong (2)] || fragments to the end
//! fragment: head (1) || offset (2) || [length (1)] || bytes
//! ```
//! Numbers and offsets are said by their low 16 bits: the window on each is far smaller. Missing
//! frames are a map of at most 63 bits without its leading zero bytes, usually none.

use tearline_crdt::codec::{DecodeError, Reader, Write as _};

use crate::urgency::Urgency;

/// Largest frame that the link carries.
pub const LINK_FRAME_BYTES_MAX: usize = 200;
/// Kind and number in front of what is sealed, and the seal's tag.
pub(super) const SEALED_OVERHEAD_BYTES: usize = 5 + 16;
/// Largest content of a sealed frame.
pub(super) const BODY_BYTES_MAX: usize = LINK_FRAME_BYTES_MAX - SEALED_OVERHEAD_BYTES;
/// Most fragments in a frame: of the end of one message, of what was lost, of two streams more.
pub(super) const FRAGMENTS_MAX: usize = 4;
/// Shortest rest of a frame in which another fragment is begun.
const FRAGMENT_REST_BYTES_MIN: usize = 12;
/// Head and offset of a fragment that fills its frame.
const FRAGMENT_HEAD_BYTES: usize = 3;

const OVER: u8 = 1;
const PING: u8 = 1 << 1;
const ACK: u8 = 1 << 2;
const PONG: u8 = 1 << 3;
const MAP_SHIFT: u8 = 4;
const TO_THE_END: u8 = 1 << 7;

/// What came: the low bits of the highest number of a frame with fragments, and which of the 63
/// below it did not come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ack {
    pub(super) highest: u16,
    pub(super) missing: u64,
}

/// A piece of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fragment {
    pub(super) urgency: Urgency,
    pub(super) offset: u16,
    pub(super) bytes: Vec<u8>,
}

/// A frame's content.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Body {
    /// The turn is yours.
    pub(super) over: bool,
    /// Say that this came, although it carries nothing.
    pub(super) ping: bool,
    pub(super) ack: Option<Ack>,
    /// Low bits of the number of the last ping that came.
    pub(super) pong: Option<u16>,
    pub(super) fragments: Vec<Fragment>,
}

impl Body {
    /// How many bytes the next fragment may hold; `None` when no other is begun.
    pub(super) fn room(&self) -> Option<usize> {
        if self.fragments.len() == FRAGMENTS_MAX {
            return None;
        }
        // Those before the last say their length.
        let used: usize =
            self.fragments.iter().map(|f| FRAGMENT_HEAD_BYTES + 1 + f.bytes.len()).sum();
        let left = BODY_BYTES_MAX.checked_sub(self.head_bytes() + used)?;
        (left >= FRAGMENT_REST_BYTES_MIN).then(|| left - FRAGMENT_HEAD_BYTES)
    }

    fn head_bytes(&self) -> usize {
        let ack = self.ack.map_or(0, |ack| 2 + map_bytes(ack.missing));
        1 + ack + self.pong.map_or(0, |_| 2)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let map = self.ack.map_or(0, |ack| map_bytes(ack.missing));
        let mut flags = (map as u8) << MAP_SHIFT;
        for (flag, set) in [
            (OVER, self.over),
            (PING, self.ping),
            (ACK, self.ack.is_some()),
            (PONG, self.pong.is_some()),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let mut out = vec![flags];
        if let Some(ack) = self.ack {
            let missing = ack.missing.to_be_bytes();
            out.raw(&ack.highest.to_be_bytes()).raw(missing.get(8 - map..).unwrap_or_default());
        }
        if let Some(pong) = self.pong {
            out.raw(&pong.to_be_bytes());
        }
        let last = self.fragments.len().saturating_sub(1);
        for (n, fragment) in self.fragments.iter().enumerate() {
            let head = fragment.urgency as u8;
            out.push(if n == last { head | TO_THE_END } else { head });
            out.raw(&fragment.offset.to_be_bytes());
            if n < last {
                out.push(fragment.bytes.len() as u8);
            }
            out.raw(&fragment.bytes);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8("flags")?;
        let map = usize::from(flags >> MAP_SHIFT);
        if map > 8 || map > 0 && flags & ACK == 0 {
            return reader.invalid(0, "flags");
        }
        let ack = if flags & ACK != 0 {
            let highest = u16::from_be_bytes(reader.array("highest number")?);
            let at = reader.at();
            let missing =
                reader.take(map, "missing")?.iter().fold(0u64, |map, b| map << 8 | u64::from(*b));
            if map_bytes(missing) != map || missing >> 63 != 0 {
                return reader.invalid(at, "missing");
            }
            Some(Ack { highest, missing })
        } else {
            None
        };
        let pong = (flags & PONG != 0)
            .then(|| reader.array("pong").map(u16::from_be_bytes))
            .transpose()?;
        let mut fragments = Vec::new();
        while reader.left() > 0 {
            let at = reader.at();
            if fragments.len() == FRAGMENTS_MAX {
                return reader.invalid(at, "fragments");
            }
            let head = reader.u8("fragment")?;
            let Some(urgency) = Urgency::from_u8(head & !TO_THE_END) else {
                return reader.invalid(at, "stream");
            };
            let offset = u16::from_be_bytes(reader.array("offset")?);
            let len = if head & TO_THE_END == 0 {
                usize::from(reader.u8("length")?)
            } else {
                reader.left()
            };
            let bytes = reader.take(len, "fragment")?.to_vec();
            if bytes.is_empty() || head & TO_THE_END == 0 && reader.left() == 0 {
                return reader.invalid(at, "length");
            }
            fragments.push(Fragment { urgency, offset, bytes });
        }
        Ok(Self { over: flags & OVER != 0, ping: flags & PING != 0, ack, pong, fragments })
    }
}

/// Bytes of a map without its leading zeros.
const fn map_bytes(map: u64) -> usize {
    (64 - map.leading_zeros()).div_ceil(8) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fragment(urgency: Urgency, offset: u16, len: usize) -> Fragment {
        Fragment { urgency, offset, bytes: vec![7; len] }
    }

    #[test]
    fn a_full_body_is_as_large_as_the_link_allows() {
        let ack = Ack { highest: 9, missing: u64::MAX >> 1 };
        let mut body = Body { ack: Some(ack), pong: Some(3), ..Body::default() };
        body.fragments.push(fragment(Urgency::Flash, 0, 30));
        let room = body.room().unwrap();
        body.fragments.push(fragment(Urgency::Routine, 65_535, room));
        let bytes = body.encode();
        assert_eq!(bytes.len(), BODY_BYTES_MAX);
        assert_eq!(Body::decode(&bytes), Ok(body.clone()));
        assert_eq!(body.room(), None);
        for cut in 0..bytes.len() - room + 1 {
            assert!(Body::decode(&bytes[..cut]).is_err() || cut == 13 || cut == 47, "{cut}");
        }
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        for bad in [
            &[][..],
            &[0x10],                                  // a map without an acknowledgement
            &[0x14, 0, 1, 0],                         // a map with a leading zero
            &[0x84, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0], // 64 missing
            &[0x94, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], // a map of nine bytes
            &[0, 0x85, 0, 0, 1],                      // a sixth stream
            &[0, 0x80, 0, 0],                         // an empty fragment
            &[0, 0x00, 0, 0, 1, 7],                   // a length in front of the last
        ] {
            assert!(Body::decode(bad).is_err(), "{bad:?}");
        }
        let one = [0x01, 0, 0, 1, 7];
        let five = [&[0][..], &one, &one, &one, &one, &[0x80, 0, 0, 7]].concat();
        assert!(Body::decode(&five).is_err());
        assert!(Body::decode(&[&[0][..], &one, &one, &one, &[0x80, 0, 0, 7]].concat()).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_have_one_spelling(
            bytes in proptest::collection::vec(any::<u8>(), 0..BODY_BYTES_MAX)
        ) {
            if let Ok(body) = Body::decode(&bytes) {
                prop_assert_eq!(body.encode(), bytes);
            }
        }
    }
}
