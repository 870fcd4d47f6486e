//! What comes before what. Streams keep their order each by itself, and more urgent ones overtake the
//! others; but nothing overtakes control: a run means nothing before the greeting that comes before it.
//!
//! So each message of another stream has in front how many control messages were given before it
//! (2 bytes, modulo 2^16), and waits at its receiver until they were delivered.

use std::collections::VecDeque;

use super::ThinFault;
use super::stream::ITEM_BYTES_MAX;
use crate::urgency::Urgency;

/// Most bytes of messages that wait for control. What an honest side sends while it repeats one lost
/// control frame is what a line carries in a few round trips.
const WAITING_BYTES_MAX: usize = ITEM_BYTES_MAX;

/// The order of the messages that a side gives.
#[derive(Debug, Default)]
pub(super) struct GiveOrder {
    control: u16,
}

impl GiveOrder {
    /// What stands in front of a message; empty for control.
    pub(super) fn head(&mut self, urgency: Urgency) -> Vec<u8> {
        if urgency == Urgency::Control {
            self.control = self.control.wrapping_add(1);
            return Vec::new();
        }
        self.control.to_be_bytes().to_vec()
    }
}

/// The order of the messages that come.
#[derive(Debug, Default)]
pub(super) struct TakeOrder {
    /// Control messages that were delivered.
    control: u16,
    /// Messages that came before the control messages that were given before them.
    waiting: VecDeque<(Urgency, u16, Vec<u8>)>,
    waiting_bytes: usize,
}

impl TakeOrder {
    /// Takes an item of a stream; all messages that may now be delivered are appended.
    pub(super) fn take(
        &mut self,
        urgency: Urgency,
        item: Vec<u8>,
        messages: &mut Vec<(Urgency, Vec<u8>)>,
    ) -> Result<(), ThinFault> {
        if urgency == Urgency::Control {
            self.control = self.control.wrapping_add(1);
            messages.push((urgency, item));
            self.release(messages);
            return Ok(());
        }
        let Some((after, message)) = item.split_first_chunk().filter(|(_, m)| !m.is_empty()) else {
            return Err(ThinFault::Message);
        };
        let after = u16::from_be_bytes(*after);
        // What waits in a stream waits for no more than what comes after it in the stream.
        if self.has_come(after) {
            messages.push((urgency, message.to_vec()));
            return Ok(());
        }
        self.waiting_bytes += item.len();
        if self.waiting_bytes > WAITING_BYTES_MAX {
            return Err(ThinFault::Window);
        }
        self.waiting.push_back((urgency, after, message.to_vec()));
        Ok(())
    }

    fn release(&mut self, messages: &mut Vec<(Urgency, Vec<u8>)>) {
        for (urgency, after, message) in std::mem::take(&mut self.waiting) {
            if self.has_come(after) {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(message.len() + 2);
                messages.push((urgency, message));
            } else {
                self.waiting.push_back((urgency, after, message));
            }
        }
    }

    /// Whether so many control messages were delivered. There are never 2^15 on their way.
    const fn has_come(&self, control: u16) -> bool {
        self.control.wrapping_sub(control) < 1 << 15
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(order: &mut TakeOrder, urgency: Urgency, item: &[u8]) -> Vec<(Urgency, Vec<u8>)> {
        let mut messages = Vec::new();
        order.take(urgency, item.to_vec(), &mut messages).unwrap();
        messages
    }

    #[test]
    fn nothing_overtakes_control() {
        // Two control messages were given before, up to the end of the count.
        let mut give = GiveOrder { control: u16::MAX };
        let mut take = TakeOrder { control: u16::MAX, ..TakeOrder::default() };
        let before = [&give.head(Urgency::Flash)[..], b"f"].concat();
        for _ in 0..2 {
            assert!(give.head(Urgency::Control).is_empty());
        }
        let after = [&give.head(Urgency::Routine)[..], b"r"].concat();
        assert!(taken(&mut take, Urgency::Routine, &after).is_empty());
        assert_eq!(taken(&mut take, Urgency::Flash, &before), [(Urgency::Flash, b"f".to_vec())]);
        assert_eq!(taken(&mut take, Urgency::Control, b"1"), [(Urgency::Control, b"1".to_vec())]);
        let both = [(Urgency::Control, b"2".to_vec()), (Urgency::Routine, b"r".to_vec())];
        assert_eq!(taken(&mut take, Urgency::Control, b"2"), both);
        assert_eq!((take.waiting.len(), take.waiting_bytes), (0, 0));
    }

    #[test]
    fn what_waits_is_bounded_and_an_empty_message_is_refused() {
        let mut order = TakeOrder::default();
        let item = [&[0, 1][..], &[7; 1_022]].concat();
        for _ in 0..WAITING_BYTES_MAX / item.len() {
            assert!(taken(&mut order, Urgency::Routine, &item).is_empty());
        }
        let one_more = order.take(Urgency::Routine, item, &mut Vec::new());
        assert_eq!(one_more, Err(ThinFault::Window));
        for bad in [&[][..], &[0], &[0, 0]] {
            let taken = TakeOrder::default().take(Urgency::Flash, bad.to_vec(), &mut Vec::new());
            assert_eq!(taken, Err(ThinFault::Message));
        }
    }
}
