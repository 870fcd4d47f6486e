//! Which frames of the other side came: the replay window, and what an acknowledgement says.
//!
//! A window is the highest number seen and a map of the 63 before it (RFC 4303 §3.4.3 has the
//! method). A frame below the window is taken for a repetition; the sender repeats its content under
//! another number.

/// The highest number that came, and which of the 63 before it did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Received {
    /// Highest number, plus one; 0 when nothing came.
    next: u32,
    /// Bit `i`: the number `i` below the highest came. Bit 0 is the highest.
    map: u64,
}

/// How far below the highest number a frame may be.
pub(super) const WINDOW_FRAMES: u32 = 64;

impl Received {
    /// Whether a frame of this number has not come, as far as is known.
    pub(super) const fn is_new(&self, number: u32) -> bool {
        if number >= self.next {
            return true;
        }
        let below = self.next - 1 - number;
        below < WINDOW_FRAMES && self.map & (1 << below) == 0
    }

    /// A frame of this number came.
    pub(super) const fn note(&mut self, number: u32) {
        if number >= self.next {
            let by = number - self.next + 1;
            self.map = if by < WINDOW_FRAMES { self.map << by | 1 } else { 1 };
            self.next = number + 1;
        } else if self.next - 1 - number < WINDOW_FRAMES {
            self.map |= 1 << (self.next - 1 - number);
        }
    }

    /// How many numbers were used, as far as is known.
    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    /// What to acknowledge: the highest number, and which of the 63 below it did *not* come (bit
    /// `i`: the one `i + 1` below).
    pub(super) const fn ack(&self) -> Option<(u32, u64)> {
        let Some(highest) = self.next.checked_sub(1) else { return None };
        let there_are = if highest < 63 { (1 << highest) - 1 } else { u64::MAX >> 1 };
        Some((highest, !(self.map >> 1) & there_are))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once_and_only_within_the_window() {
        let mut received = Received::default();
        assert_eq!(received.ack(), None);
        for number in [0, 5, 3, 70] {
            assert!(received.is_new(number));
            received.note(number);
            assert!(!received.is_new(number));
        }
        assert!(!received.is_new(5), "it came, and is below the window");
        assert!(!received.is_new(6), "64 below the highest");
        assert!(received.is_new(7), "63 below the highest");
        received.note(7);
        assert!(!received.is_new(7));
        received.note(2);
        assert_eq!(received.next(), 71);
    }

    #[test]
    fn an_acknowledgement_names_what_is_missing() {
        let mut received = Received::default();
        received.note(0);
        assert_eq!(received.ack(), Some((0, 0)));
        received.note(3);
        assert_eq!(received.ack(), Some((3, 0b011)));
        received.note(2);
        assert_eq!(received.ack(), Some((3, 0b010)));
        received.note(200);
        assert_eq!(received.ack(), Some((200, u64::MAX >> 1)));
    }
}
