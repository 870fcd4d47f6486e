//! One move after the other.

use super::{Actor, Draft};
use crate::cast;

impl Draft {
    /// One move of the history.
    pub(super) fn one_move(&mut self) {
        match self.rng.below(100) {
            0..=13 => self.some_grant(),
            14..=16 => self.deep_chain(),
            17 => self.many_routes(),
            18..=31 => self.revoke(),
            32..=34 => self.lose(),
            35..=40 => self.root_act(),
            41..=51 => self.act(),
            52..=58 => self.adopt(),
            59..=66 => self.reopen(),
            67..=70 => self.fork(),
            71..=77 => self.fork_and_choose(),
            78 => self.many_lives(),
            79..=81 => self.scene(),
            82..=90 => self.judge_record(),
            91..=95 => self.epoch(),
            _ => {
                let author = self.anybody();
                let area = self.compartment();
                self.write_record(author, area);
            }
        }
    }

    /// A device restarts again and again, or a thief of its key pretends so.
    fn many_lives(&mut self) {
        let author = self.anybody();
        for _ in 0..self.rng.within(1, 4) {
            self.new_life(author);
            let area = self.compartment();
            self.write(author, area);
            let to =
                Actor { n: self.rng.within(2, usize::from(cast::DEVICES) - 1) as u8, ..author };
            let right = self.right();
            self.grant(author, self.whole(), to, right, None);
        }
    }
}
