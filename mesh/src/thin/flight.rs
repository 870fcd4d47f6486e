//! Frames on their way: what was sent and not acknowledged, when it counts as lost, and when to ask.
//!
//! The rules are those of QUIC (RFC 9002): a frame is lost when one that was sent later came and
//! either three did, or more than 9/8 of a round trip has passed; with nothing acknowledged for a round
//! trip and four times its variation, one asks, ever more seldom. Of an answer to a ping nothing else
//! is concluded than that frames before it came or did not.

use std::collections::VecDeque;

use tearline_crdt::time::MonoTime;

use super::ThinFault;
use super::frame::Ack;
use crate::urgency::Urgency;

/// Most frames on their way. Fewer than the 64 of which an acknowledgement speaks.
pub(super) const FLIGHT_FRAMES_MAX: usize = 48;
/// A frame is lost when one so much later came (RFC 9002 §6.1.1).
const REORDERED_FRAMES_MAX: u32 = 3;
/// Longest time between questions to a side that is silent, unless a round trip takes longer.
pub(super) const PROBE_MS_MAX: u64 = 15_000;
/// Smallest allowance for a round trip that varies.
const VARIATION_MS_MIN: u64 = 100;

/// A piece of a stream in a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Part {
    pub(super) urgency: Urgency,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// A frame on its way.
#[derive(Debug)]
struct Sent {
    number: u32,
    at: MonoTime,
    /// Empty: a ping.
    parts: Vec<Part>,
    /// Whether the answer tells a round trip: on a line that takes turns, the last of a turn.
    timed: bool,
}

/// What an acknowledgement changed.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) came: Vec<Part>,
    pub(super) lost: Vec<Part>,
}

/// All frames on their way, under one set of keys.
#[derive(Debug)]
pub(super) struct Flight {
    /// By ascending number.
    frames: VecDeque<Sent>,
    /// The highest number of which is known that it came.
    highest_came: Option<u32>,
    round_trip: RoundTrip,
    /// When something that wants an answer was sent last.
    sent_at: MonoTime,
    /// When it was last learnt that something came.
    came_at: MonoTime,
    /// How often in a row a question was due and nothing heard.
    timeouts: u32,
}

impl Flight {
    pub(super) fn new(now: MonoTime, first_round_trip_ms: u64) -> Self {
        Self {
            frames: VecDeque::new(),
            highest_came: None,
            round_trip: RoundTrip { first_ms: first_round_trip_ms, measured: None },
            sent_at: now,
            came_at: now,
            timeouts: 0,
        }
    }

    /// A frame that wants an answer was sent.
    pub(super) fn sent(&mut self, now: MonoTime, number: u32, parts: Vec<Part>, timed: bool) {
        if parts.is_empty() {
            // One ping is enough, and in a silence of hours there are many.
            self.frames.retain(|frame| !frame.parts.is_empty());
        }
        self.sent_at = now;
        self.frames.push_back(Sent { number, at: now, parts, timed });
    }

    /// A question was put by other means.
    pub(super) const fn asked(&mut self, now: MonoTime) {
        self.sent_at = now;
    }

    /// Whether so many more frames with fragments may be sent.
    pub(super) fn has_room(&self, frames: usize) -> bool {
        self.frames.len() + frames <= FLIGHT_FRAMES_MAX
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The other side was heard.
    pub(super) const fn heard(&mut self) {
        self.timeouts = 0;
    }

    /// Takes what the other side says of ours. `next` is the number of our next frame.
    pub(super) fn on_ack(
        &mut self,
        now: MonoTime,
        next: u32,
        ack: Option<Ack>,
        pong: Option<u16>,
    ) -> Result<Outcome, ThinFault> {
        let mut outcome = Outcome::default();
        if let Some(low) = pong {
            let number = number(low, next).ok_or(ThinFault::Acknowledged)?;
            self.came(now, number, number, &mut outcome, |_| true);
        }
        if let Some(Ack { highest, missing }) = ack {
            let highest = number(highest, next).ok_or(ThinFault::Acknowledged)?;
            let lowest = highest.saturating_sub(63);
            self.came(now, lowest, highest, &mut outcome, |number| {
                number == highest || missing & (1 << (highest - number - 1)) == 0
            });
        }
        if !outcome.came.is_empty() {
            self.came_at = now;
        }
        outcome.lost = self.overtaken(now);
        Ok(outcome)
    }

    fn came(
        &mut self,
        now: MonoTime,
        lowest: u32,
        highest: u32,
        outcome: &mut Outcome,
        came: impl Fn(u32) -> bool,
    ) {
        self.highest_came = self.highest_came.max(Some(highest));
        let round_trip = &mut self.round_trip;
        self.frames.retain(|frame| {
            let came = (lowest..=highest).contains(&frame.number) && came(frame.number);
            if came {
                outcome.came.extend(&frame.parts);
                if frame.timed && frame.number == highest {
                    round_trip.sample(now.0.saturating_sub(frame.at.0));
                }
            }
            !came
        });
    }

    /// Takes out the frames that later ones overtook.
    pub(super) fn overtaken(&mut self, now: MonoTime) -> Vec<Part> {
        let Some(highest) = self.highest_came else { return Vec::new() };
        let late_ms = self.round_trip.late_ms();
        let mut lost = Vec::new();
        self.frames.retain(|frame| {
            let is_lost = frame.number < highest
                && (highest - frame.number >= REORDERED_FRAMES_MAX
                    || frame.at.plus_ms(late_ms) <= now);
            if is_lost {
                lost.extend(&frame.parts);
            }
            !is_lost
        });
        lost
    }

    /// When the next frame counts as overtaken.
    pub(super) fn overtaken_at(&self) -> Option<MonoTime> {
        let highest = self.highest_came?;
        let first = self.frames.iter().find(|frame| frame.number < highest)?;
        Some(first.at.plus_ms(self.round_trip.late_ms()))
    }

    /// When to ask, because nothing was heard; `None` when nothing is on its way.
    pub(super) fn ask_at(&self, turns: bool) -> Option<MonoTime> {
        let first = self.frames.front()?;
        let since = if turns || self.timeouts > 0 {
            self.sent_at
        } else {
            // Whoever goes on sending must not put the question off by it.
            first.at.max(self.came_at)
        };
        let ms = self.round_trip.wait_ms();
        Some(since.plus_ms((ms << self.timeouts.min(6)).min(PROBE_MS_MAX.max(ms))))
    }

    /// Nothing was heard in time. The first time the most urgent frame on its way is to be sent again.
    pub(super) fn timed_out(&mut self) -> Vec<Part> {
        self.timeouts += 1;
        if self.timeouts > 1 {
            return Vec::new();
        }
        let urgency = |frame: &Sent| frame.parts.first().map(|part| part.urgency);
        let most_urgent = |(_, frame): &(usize, &Sent)| urgency(frame);
        let with_parts =
            self.frames.iter().enumerate().filter(|(_, frame)| !frame.parts.is_empty());
        let Some((at, _)) = with_parts.min_by_key(most_urgent) else { return Vec::new() };
        self.frames.remove(at).map(|frame| frame.parts).unwrap_or_default()
    }

    /// How often in a row nothing was heard when it should have been.
    pub(super) const fn timeouts(&self) -> u32 {
        self.timeouts
    }

    /// How long an answer may take.
    pub(super) fn wait_ms(&self) -> u64 {
        self.round_trip.wait_ms()
    }

    /// New keys: whatever is on its way is to be sent again under them.
    pub(super) fn restart(&mut self, now: MonoTime) -> Vec<Part> {
        self.highest_came = None;
        self.timeouts = 0;
        self.came_at = now;
        self.frames.drain(..).flat_map(|frame| frame.parts).collect()
    }
}

/// The number below `next` whose low bits these are.
fn number(low: u16, next: u32) -> Option<u32> {
    let last = next.checked_sub(1)?;
    last.checked_sub(u32::from((last as u16).wrapping_sub(low)))
}

/// The time from handing a frame over to the answer (RFC 6298, RFC 9002 §5).
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    /// Taken to be so long before it was measured.
    first_ms: u64,
    /// Smoothed, its variation, and the last.
    measured: Option<(u64, u64, u64)>,
}

impl RoundTrip {
    fn sample(&mut self, ms: u64) {
        self.measured = Some(match self.measured {
            None => (ms, ms / 2, ms),
            Some((smooth, variation, _)) => {
                ((7 * smooth + ms) / 8, (3 * variation + smooth.abs_diff(ms)) / 4, ms)
            }
        });
    }

    /// After how long an answer is overdue.
    fn wait_ms(&self) -> u64 {
        self.measured.map_or(self.first_ms, |(smooth, variation, _)| {
            smooth + (4 * variation).max(VARIATION_MS_MIN)
        })
    }

    /// After how long a frame that was overtaken is lost.
    fn late_ms(&self) -> u64 {
        self.measured.map_or(self.first_ms, |(smooth, _, last)| smooth.max(last) * 9 / 8 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(n: u64) -> Part {
        Part { urgency: Urgency::Routine, from: n * 100, to: n * 100 + 100 }
    }

    fn flight(frames: u32) -> Flight {
        let mut flight = Flight::new(MonoTime(0), 1_000);
        for n in 0..frames {
            flight.sent(MonoTime(u64::from(n) * 100), n, vec![part(u64::from(n))], true);
        }
        flight
    }

    fn ack(highest: u16, missing: u64) -> Option<Ack> {
        Some(Ack { highest, missing })
    }

    #[test]
    fn what_came_and_what_was_overtaken_is_told_apart() {
        let mut flight = flight(6);
        let outcome = flight.on_ack(MonoTime(2_400), 6, ack(4, 0b1011), None).unwrap();
        assert_eq!(outcome.came, [part(1), part(4)]);
        assert_eq!(outcome.lost, [part(0)], "four later; 2 and 3 may be late");
        assert_eq!(flight.overtaken_at(), Some(MonoTime(200 + 2_000 * 9 / 8 + 1)));
        assert_eq!(flight.overtaken(MonoTime(2_451)), [part(2)]);
        assert_eq!(flight.overtaken(MonoTime(3_000)), [part(3)]);
        assert_eq!(flight.overtaken_at(), None, "nothing later than the last came");
    }

    #[test]
    fn nobody_acknowledges_what_was_not_sent() {
        assert!(flight(6).on_ack(MonoTime(700), 6, ack(6, 0), None).is_err());
        assert!(flight(6).on_ack(MonoTime(700), 6, None, Some(6)).is_err());
        assert!(flight(0).on_ack(MonoTime(700), 0, ack(0, 0), None).is_err());
        assert_eq!(number(0xfffe, 0x1_0001), Some(0xfffe));
        assert_eq!(number(0x0000, 0x1_0001), Some(0x1_0000));
    }

    #[test]
    fn questions_become_seldom_and_an_answer_to_one_tells_all() {
        let mut flight = flight(3);
        assert_eq!(flight.ask_at(false), Some(MonoTime(1_000)));
        assert_eq!(flight.timed_out(), [part(0)]);
        flight.sent(MonoTime(1_000), 3, vec![part(0)], true);
        let mut at = MonoTime(1_000);
        for (n, wait) in [(4, 2_000), (5, 4_000), (6, 8_000), (7, 15_000), (8, 15_000)] {
            at = at.plus_ms(wait);
            assert_eq!(flight.ask_at(false), Some(at));
            assert!(flight.timed_out().is_empty());
            flight.sent(at, n, Vec::new(), true);
        }
        assert_eq!(flight.frames.len(), 4, "one ping and three frames");
        // Hours and 60,000 questions later the same is known of the frames before.
        flight.sent(MonoTime(1 << 40), 60_000, Vec::new(), true);
        let outcome = flight.on_ack(MonoTime(1 << 41), 60_001, ack(1, 1), Some(60_000)).unwrap();
        assert_eq!(outcome.came, [part(1)]);
        assert_eq!(outcome.lost, [part(2), part(0)], "0 was sent again, and lost again");
        assert!(flight.frames.is_empty());
    }

    #[test]
    fn whoever_goes_on_sending_asks_all_the_same() {
        let mut flight = flight(6);
        assert_eq!(flight.ask_at(false), Some(MonoTime(1_000)));
        assert_eq!(flight.ask_at(true), Some(MonoTime(1_500)), "in a turn nobody answers");
        flight.on_ack(MonoTime(400), 6, ack(1, 1), None).unwrap();
        assert_eq!(flight.ask_at(false), Some(MonoTime(400 + 300 + 600)));
        while flight.frames.len() < FLIGHT_FRAMES_MAX {
            assert!(flight.has_room(1));
            flight.sent(MonoTime(600), 9, vec![part(0)], true);
        }
        assert!(!flight.has_room(1));
    }
}
