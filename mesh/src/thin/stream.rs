//! Streams: one of each urgency, in each direction. A stream is a row of items, each behind its
//! length, as on a libp2p substream; its bytes have offsets from the session's start, and travel in
//! fragments that may be lost, repeated and reordered. An item is a message with its head
//! ([`super::order`]).

use std::collections::VecDeque;

use tearline_crdt::codec::Write as _;

use super::ThinFault;
use super::frame::BODY_BYTES_MAX;
use super::ranges::Ranges;
use crate::wire::FRAME_BYTES_MAX;

/// Largest message: any frame of the mesh.
pub const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// How far past the first byte that is not acknowledged a stream is sent, and taken. Below half of
/// what the 16 bits of an offset tell apart; 90 full frames.
pub(super) const STREAM_BYTES_MAX: u64 = 16 * 1024;
/// Most separate ranges that a stream keeps beyond its first gap. An honest side has at most
/// [`super::flight::FLIGHT_FRAMES_MAX`] frames of four fragments on their way.
const AHEAD_RANGES_MAX: usize = 256;
/// With so little of an item unsent the next may be given, so that frames are filled.
const NEARLY_SENT_BYTES: u64 = BODY_BYTES_MAX as u64;
/// What a stream carries as one: a message, and what the session says in front of it.
pub(super) const ITEM_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 2;
/// Longest length in front of an item, canonical LEB128: 512 KiB take three bytes.
const LENGTH_BYTES_MAX: usize = 3;
const _: () = assert!(ITEM_BYTES_MAX < 1 << (7 * LENGTH_BYTES_MAX));

/// What is to be sent, until it is acknowledged.
#[derive(Debug, Default)]
pub(super) struct SendStream {
    /// Offset of the first byte that is not acknowledged.
    base: u64,
    /// The bytes from there on.
    bytes: VecDeque<u8>,
    /// Offset of the first byte that was never sent.
    next: u64,
    /// Acknowledged, beyond `base`.
    acked: Ranges,
    /// Sent and lost.
    lost: Ranges,
    /// Whether [`SendStream::made_room`] is yet to say that there is room.
    filled: bool,
}

impl SendStream {
    /// Whether another item may be given.
    pub(super) fn has_room(&self) -> bool {
        self.end() - self.next <= NEARLY_SENT_BYTES
    }

    /// Appends an item, in two parts, which must be within its bound.
    pub(super) fn push(&mut self, head: &[u8], message: &[u8]) {
        let mut length = Vec::with_capacity(LENGTH_BYTES_MAX);
        length.number((head.len() + message.len()) as u64);
        self.bytes.extend(length);
        self.bytes.extend(head);
        self.bytes.extend(message);
        self.filled = true;
    }

    /// Whether room came since an item was given; said once.
    pub(super) fn made_room(&mut self) -> bool {
        let made = self.filled && self.has_room();
        self.filled &= !made;
        made
    }

    /// Whether there is something to send.
    pub(super) fn is_ready(&self) -> bool {
        !self.lost.is_empty() || self.next < self.end().min(self.base + STREAM_BYTES_MAX)
    }

    /// Takes up to `max` bytes to send: what was lost first, the lowest offset first.
    pub(super) fn take(&mut self, max: usize) -> Option<(u64, Vec<u8>)> {
        let max = max as u64;
        let (from, to) = match self.lost.first() {
            Some((from, to)) => {
                let to = to.min(from + max);
                self.lost.remove(from, to);
                (from, to)
            }
            None => {
                let end = self.end().min(self.base + STREAM_BYTES_MAX);
                let from = self.next;
                self.next = end.min(from + max).max(from);
                (from, self.next)
            }
        };
        let at = from.checked_sub(self.base)? as usize;
        let bytes: Vec<u8> =
            self.bytes.iter().skip(at).take((to - from) as usize).copied().collect();
        (!bytes.is_empty()).then_some((from, bytes))
    }

    /// The other side has `from..to`.
    pub(super) fn acknowledged(&mut self, from: u64, to: u64) {
        self.acked.insert(from.max(self.base), to);
        self.lost.remove(from, to);
        if let Some((start, end)) = self.acked.first().filter(|(start, _)| *start == self.base) {
            self.acked.remove(start, end);
            self.bytes.drain(..((end - start) as usize).min(self.bytes.len()));
            self.base = end;
        }
    }

    /// `from..to` is to be sent again, but for what the other side has.
    pub(super) fn lost(&mut self, from: u64, to: u64) {
        self.lost.insert(from.max(self.base), to);
        for (start, end) in self.acked.iter() {
            self.lost.remove(start, end);
        }
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

/// What came.
#[derive(Debug, Default)]
pub(super) struct ReceiveStream {
    /// Offset of the first byte that did not come.
    next: u64,
    /// The bytes from there on, as far as any came; zeros where none did.
    ahead: VecDeque<u8>,
    /// Which of them came.
    came: Ranges,
    /// The item that is coming, with its length in front.
    item: Vec<u8>,
    /// Bytes that came again.
    pub(super) repeated_bytes: u64,
}

impl ReceiveStream {
    /// The offset that the low bits of a fragment's stand for; `None` beyond what may be on its way.
    pub(super) fn locate(&self, low: u16, len: usize) -> Option<u64> {
        let distance = low.wrapping_sub(self.next as u16).cast_signed();
        let from = self.next.checked_add_signed(i64::from(distance))?;
        let within = from + len as u64 <= self.next + STREAM_BYTES_MAX;
        (within && self.came.len() < AHEAD_RANGES_MAX).then_some(from)
    }

    /// Takes a fragment; whole items are appended to `items`.
    pub(super) fn take(
        &mut self,
        from: u64,
        bytes: &[u8],
        items: &mut Vec<Vec<u8>>,
    ) -> Result<(), ThinFault> {
        let known = self.next.saturating_sub(from).min(bytes.len() as u64);
        self.repeated_bytes += known;
        let bytes = bytes.get(known as usize..).unwrap_or_default();
        let from = from + known;
        if bytes.is_empty() {
            return Ok(());
        }
        let to = from + bytes.len() as u64;
        self.repeated_bytes += bytes.len() as u64 - self.came.insert(from, to);
        let at = (from - self.next) as usize;
        self.ahead.resize(self.ahead.len().max(at + bytes.len()), 0);
        for (byte, new) in self.ahead.iter_mut().skip(at).zip(bytes) {
            *byte = *new;
        }
        if let Some((start, end)) = self.came.first().filter(|(start, _)| *start == self.next) {
            self.came.remove(start, end);
            self.next = end;
            for byte in self.ahead.drain(..(end - start) as usize) {
                self.item.push(byte);
                if let Some(whole) = whole(&self.item)? {
                    items.push(whole.to_vec());
                    self.item = Vec::new();
                }
            }
        }
        Ok(())
    }
}

/// The item behind its length, if all of it is there.
fn whole(bytes: &[u8]) -> Result<Option<&[u8]>, ThinFault> {
    let mut len = 0u64;
    for (n, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        len |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            // An overlong length ends in a zero; so does that of an empty item.
            if *byte == 0 || len > ITEM_BYTES_MAX as u64 {
                return Err(ThinFault::Message);
            }
            let rest = bytes.get(n + 1..).unwrap_or_default();
            return Ok((rest.len() as u64 == len).then_some(rest));
        }
    }
    if bytes.len() >= LENGTH_BYTES_MAX { Err(ThinFault::Message) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(stream: &mut ReceiveStream, from: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let from = stream.locate(from as u16, bytes.len()).unwrap();
        stream.take(from, bytes, &mut messages).unwrap();
        messages
    }

    #[test]
    fn items_come_whole_and_in_order_whatever_the_order_of_their_pieces() {
        let mut send = SendStream::default();
        send.push(b"o", b"ne");
        send.push(&[], &[7; 200]);
        let mut pieces = Vec::new();
        while let Some(piece) = send.take(50) {
            pieces.push(piece);
        }
        let mut receive = ReceiveStream::default();
        let (last, rest) = pieces.split_last().unwrap();
        assert!(taken(&mut receive, last.0, &last.1).is_empty());
        let mut messages = Vec::new();
        for (from, bytes) in rest.iter().rev() {
            messages.extend(taken(&mut receive, *from, bytes));
        }
        assert_eq!(messages, [b"one".to_vec(), vec![7; 200]]);
        assert_eq!(receive.repeated_bytes, 0);
        assert!(taken(&mut receive, last.0, &last.1).is_empty());
        assert_eq!(receive.repeated_bytes, last.1.len() as u64);
    }

    #[test]
    fn what_was_lost_is_sent_again_and_what_came_is_not() {
        let mut send = SendStream::default();
        send.push(&[], &[7; 99]);
        for _ in 0..4 {
            send.take(25);
        }
        assert!(!send.is_ready());
        send.acknowledged(50, 75);
        send.lost(0, 100);
        assert_eq!(send.take(30).map(|(at, bytes)| (at, bytes.len())), Some((0, 30)));
        assert_eq!(send.take(30).map(|(at, bytes)| (at, bytes.len())), Some((30, 20)));
        send.acknowledged(75, 100);
        assert!(send.take(30).is_none(), "the rest came meanwhile");
        send.acknowledged(0, 50);
        assert_eq!((send.base, send.bytes.len()), (100, 0));
    }

    #[test]
    fn a_stream_is_sent_and_taken_up_to_its_bound() {
        let mut send = SendStream::default();
        send.push(&[], &vec![7; 40_000]);
        let mut sent = 0;
        while let Some((_, bytes)) = send.take(1_000) {
            sent += bytes.len() as u64;
        }
        assert_eq!(sent, STREAM_BYTES_MAX);
        assert!(!send.is_ready() && !send.has_room() && !send.made_room());
        send.acknowledged(0, 10);
        assert_eq!(send.take(1_000).map(|(_, bytes)| bytes.len()), Some(10));

        let receive = ReceiveStream { next: 1 << 20, ..ReceiveStream::default() };
        let last = (1 << 20) + STREAM_BYTES_MAX - 1;
        assert_eq!(receive.locate(last as u16, 1), Some(last));
        assert_eq!(receive.locate(last as u16, 2), None);
        assert_eq!(receive.locate(0xffff, 1), Some((1 << 20) - 1), "it came before");
        assert_eq!(ReceiveStream::default().locate(0xffff, 1), None, "before the start");
    }

    #[test]
    fn pieces_beyond_the_bound_of_ranges_are_not_kept() {
        let mut receive = ReceiveStream::default();
        for n in 0..AHEAD_RANGES_MAX as u64 {
            assert!(taken(&mut receive, 1 + 2 * n, &[1]).is_empty());
        }
        assert_eq!(receive.locate(10_000, 1), None);
    }

    #[test]
    fn lengths_are_believed_up_to_the_bound() {
        let announced = |len: u64| {
            let mut bytes = Vec::new();
            bytes.number(len);
            let mut messages = Vec::new();
            ReceiveStream::default().take(0, &bytes, &mut messages)
        };
        assert_eq!(announced(ITEM_BYTES_MAX as u64), Ok(()));
        assert_eq!(announced(ITEM_BYTES_MAX as u64 + 1), Err(ThinFault::Message));
        assert_eq!(announced(0), Err(ThinFault::Message));
        for bad in [&[0x80, 0][..], &[0x80, 0x80, 0x80], &[0xff, 0xff, 0x7f]] {
            let taken = ReceiveStream::default().take(0, bad, &mut Vec::new());
            assert_eq!(taken, Err(ThinFault::Message), "{bad:?}");
        }
    }
}
