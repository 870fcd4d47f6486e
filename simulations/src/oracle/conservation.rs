//! Conservation: every byte that was sent arrived, was lost, or is under way. The three are counted where
//! they happen, and what is under way by looking.

use super::Found;
use crate::line::{Counts, Line};

pub(crate) fn check(line: &Line) -> Option<Found> {
    let Counts { sent, delivered, lost, .. } = line.counts();
    let flying = line.in_flight();
    if sent == delivered + lost + flying {
        return None;
    }
    Some(Found(format!(
        "{sent} bytes were sent, {delivered} arrived, {lost} were lost and {flying} are under way"
    )))
}
