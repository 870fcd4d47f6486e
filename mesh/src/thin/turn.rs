//! Turns on a line on which only one side can speak at a time.
//!
//! Whoever speaks marks the last frame of its turn *over*, after a bounded number of frames or when it
//! has no more to say; then the other may speak, a guard time later. When both are silent, either may
//! begin. Two who begin at once do not hear each other; each then waits for an answer, and that the
//! larger device waits half as long again parts them. A turn that was lost with its last frame is taken
//! back when nothing is heard for a few frames.

use tearline_crdt::time::MonoTime;

/// How a line on which one side speaks at a time is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HalfDuplex {
    /// What both stations need to change over between receiving and sending.
    pub guard_ms: u64,
    /// Most frames in a turn. More carry more; fewer let the other side's flash through sooner.
    pub turn_frames_max: u32,
}

impl Default for HalfDuplex {
    fn default() -> Self {
        Self { guard_ms: 100, turn_frames_max: 20 }
    }
}

/// Frames of the other side that may be missed before its turn counts as over.
const MISSED_FRAMES_MAX: u64 = 3;

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Ours, or nobody's: so many frames more.
    Ours { left: u32 },
    /// The other side's, until it was silent for so long.
    Theirs { until: MonoTime },
}

/// The turns of a link; nothing on a line that carries both ways at once.
#[derive(Debug)]
pub(super) struct Turn {
    line: Option<HalfDuplex>,
    /// Air time of the largest frame.
    frame_ms: u64,
    /// Whether this is the larger device.
    yields: bool,
    state: State,
    /// End of the guard time.
    not_before: MonoTime,
}

impl Turn {
    pub(super) fn new(line: Option<HalfDuplex>, frame_ms: u64, yields: bool) -> Self {
        let left = line.map_or(0, |line| line.turn_frames_max);
        let state = State::Ours { left };
        Self { line, frame_ms, yields, state, not_before: MonoTime(0) }
    }

    pub(super) const fn is_taken(&self) -> bool {
        self.line.is_some()
    }

    /// When we may speak.
    pub(super) fn opens_at(&self) -> MonoTime {
        match (self.line, self.state) {
            (None, _) => MonoTime(0),
            (Some(_), State::Ours { .. }) => self.not_before,
            (Some(_), State::Theirs { until }) => until.max(self.not_before),
        }
    }

    /// Whether we may speak now. A turn of the other side that has run out is ours.
    pub(super) fn begin(&mut self, now: MonoTime) -> bool {
        let opens = self.opens_at() <= now;
        if let (true, Some(line), State::Theirs { .. }) = (opens, self.line, self.state) {
            self.state = State::Ours { left: line.turn_frames_max };
        }
        opens
    }

    /// Whether the next frame must be the last of its turn.
    pub(super) const fn is_last(&self) -> bool {
        self.line.is_some() && matches!(self.state, State::Ours { left: 0..=1 })
    }

    /// We speak. The answer to a last frame takes at most `answer_ms`.
    pub(super) fn sent(&mut self, now: MonoTime, over: bool, answer_ms: u64) {
        if over {
            let wait_ms = if self.yields { answer_ms + answer_ms / 2 } else { answer_ms };
            self.state = State::Theirs { until: now.plus_ms(wait_ms) };
        } else if let State::Ours { left } = &mut self.state {
            *left = left.saturating_sub(1);
        }
    }

    /// The other side spoke.
    pub(super) fn heard(&mut self, now: MonoTime, over: bool) {
        let Some(line) = self.line else { return };
        self.not_before = now.plus_ms(line.guard_ms);
        self.state = if over {
            State::Ours { left: line.turn_frames_max }
        } else {
            let until = now.plus_ms(MISSED_FRAMES_MAX * self.frame_ms + line.guard_ms);
            State::Theirs { until }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: HalfDuplex = HalfDuplex { guard_ms: 100, turn_frames_max: 3 };

    #[test]
    fn a_turn_has_so_many_frames_and_goes_over() {
        let mut turn = Turn::new(Some(LINE), 600, false);
        for _ in 0..2 {
            assert!(!turn.is_last());
            turn.sent(MonoTime(10), false, 2_000);
        }
        assert!(turn.is_last());
        turn.sent(MonoTime(10), true, 2_000);
        assert_eq!(turn.opens_at(), MonoTime(2_010), "until then the other side may speak");
        assert!(!turn.begin(MonoTime(2_009)));
        turn.heard(MonoTime(1_000), false);
        assert_eq!(turn.opens_at(), MonoTime(2_900), "it goes on");
        turn.heard(MonoTime(1_600), true);
        assert_eq!(turn.opens_at(), MonoTime(1_700));
        assert!(!turn.is_last());
        turn.heard(MonoTime(2_000), false);
        assert!(turn.begin(MonoTime(3_900)) && !turn.is_last(), "its turn was lost");
    }

    #[test]
    fn of_two_who_began_at_once_the_larger_waits_longer() {
        let mut both = [false, true].map(|yields| Turn::new(Some(LINE), 600, yields));
        both.iter_mut().for_each(|turn| turn.sent(MonoTime(0), true, 2_000));
        assert_eq!(both.map(|turn| turn.opens_at()), [MonoTime(2_000), MonoTime(3_000)]);
    }

    #[test]
    fn a_line_that_carries_both_ways_has_no_turns() {
        let mut turn = Turn::new(None, 600, true);
        turn.sent(MonoTime(10), true, 2_000);
        turn.heard(MonoTime(10), false);
        assert!(turn.begin(MonoTime(0)) && !turn.is_last());
    }
}
