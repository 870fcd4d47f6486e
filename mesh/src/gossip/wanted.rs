//! What is wanted: logs that neighbours announced to go further than here, who announced it, and when
//! somebody is to be asked.
//!
//! A log is wanted once, however often and by how many it is announced, so that the memory is bounded by
//! what each neighbour may announce. A false announcement costs one question and its time.

use std::collections::{BTreeMap, BTreeSet};

use tearline_crdt::frontier::LogKey;
use tearline_crdt::id::DeviceId;
use tearline_crdt::time::MonoTime;

use super::News;
use super::wire::Announcement;

/// Most logs that are wanted of one neighbour. It announces further ones in vain, and brings them as what
/// was not answered.
pub(super) const WANTED_PER_NEIGHBOUR_MAX: usize = 1_024;

/// Logs that are wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    wants: BTreeMap<LogKey, Want>,
    due: BTreeSet<(MonoTime, LogKey)>,
    /// In how many wants a device is a source.
    listed: BTreeMap<DeviceId, usize>,
}

#[derive(Debug)]
struct Want {
    sources: Vec<Source>,
    /// Who was asked last, and for what.
    asked: Option<(DeviceId, Announcement)>,
    due: MonoTime,
}

/// Somebody who announced a log.
#[derive(Clone, Copy, Debug)]
struct Source {
    device: DeviceId,
    announced: Announcement,
}

/// What is to be done about a log whose time has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Due {
    /// Who was asked and has not brought it.
    pub(super) failed: Option<DeviceId>,
    /// Who is to be asked for what; `None` where nobody is left.
    pub(super) ask: Option<(DeviceId, Announcement)>,
}

impl Wanted {
    /// How many logs are wanted.
    pub(super) fn len(&self) -> usize {
        self.wants.len()
    }

    /// When somebody is to be asked next.
    pub(super) fn next_due(&self) -> Option<MonoTime> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A neighbour announced news that are not held. Somebody is asked at `due`, unless that is settled
    /// already.
    pub(super) fn announced(&mut self, device: DeviceId, announced: Announcement, due: MonoTime) {
        let log = announced.news.log;
        let listed = self.listed.entry(device).or_default();
        let want = self.wants.get_mut(&log);
        let known = want.is_some_and(|want| {
            let mut same = want.sources.iter_mut().filter(|source| source.device == device);
            same.next().map(|source| source.announced = announced).is_some()
        });
        if known || *listed >= WANTED_PER_NEIGHBOUR_MAX {
            return;
        }
        *listed += 1;
        let want = self.wants.entry(log).or_insert_with(|| {
            self.due.insert((due, log));
            Want { sources: Vec::new(), asked: None, due }
        });
        want.sources.push(Source { device, announced });
    }

    /// A log goes up to here now. Returns who had announced that much, and who was asked for it.
    pub(super) fn came(
        &mut self,
        news: &News,
        due: MonoTime,
    ) -> (Vec<DeviceId>, Option<(DeviceId, Announcement)>) {
        let Some(want) = self.wants.get_mut(&news.log) else { return (Vec::new(), None) };
        let holds = |source: &Source| source.announced.news.next >= news.next;
        let holders =
            want.sources.iter().filter(|source| holds(source)).map(|s| s.device).collect();
        let listed = &mut self.listed;
        want.sources.retain(|source| {
            let left = source.announced.news.next > news.next;
            if !left {
                unlist(listed, &source.device);
            }
            left
        });
        let answered = want.asked.take_if(|(_, asked)| asked.news.next <= news.next);
        if want.sources.is_empty() && want.asked.is_none() {
            self.remove(&news.log);
        } else {
            self.set_due(&news.log, due);
        }
        (holders, answered)
    }

    /// A neighbour is gone: it brings nothing any more.
    pub(super) fn lost(&mut self, device: &DeviceId, now: MonoTime) {
        let mut at_once = Vec::new();
        for (log, want) in &mut self.wants {
            want.sources.retain(|source| source.device != *device);
            if want.asked.take_if(|(asked, _)| asked == device).is_some() || want.sources.is_empty()
            {
                at_once.push(*log);
            }
        }
        self.listed.remove(device);
        at_once.iter().for_each(|log| self.set_due(log, now));
    }

    /// A log whose time has come: whom to ask, with the least by `rank` first. It has until `again`.
    pub(super) fn take_due<R: Ord>(
        &mut self,
        now: MonoTime,
        again: MonoTime,
        rank: impl Fn(&DeviceId, &Announcement) -> R,
    ) -> Option<Due> {
        let (_, log) = self.due.first().copied().filter(|(due, _)| *due <= now)?;
        let want = self.wants.get_mut(&log)?;
        let failed = want.asked.take().map(|(device, _)| device);
        let best = (0..want.sources.len())
            .filter_map(|at| Some((at, want.sources.get(at)?)))
            .min_by_key(|(_, source)| rank(&source.device, &source.announced));
        let Some((at, source)) = best.map(|(at, source)| (at, *source)) else {
            self.remove(&log);
            return Some(Due { failed, ask: None });
        };
        want.sources.remove(at);
        want.asked = Some((source.device, source.announced));
        unlist(&mut self.listed, &source.device);
        self.set_due(&log, again);
        Some(Due { failed, ask: Some((source.device, source.announced)) })
    }

    fn set_due(&mut self, log: &LogKey, due: MonoTime) {
        if let Some(want) = self.wants.get_mut(log) {
            self.due.remove(&(want.due, *log));
            self.due.insert((due, *log));
            want.due = due;
        }
    }

    fn remove(&mut self, log: &LogKey) {
        if let Some(want) = self.wants.remove(log) {
            self.due.remove(&(want.due, *log));
            want.sources.iter().for_each(|source| unlist(&mut self.listed, &source.device));
        }
    }
}

fn unlist(listed: &mut BTreeMap<DeviceId, usize>, device: &DeviceId) {
    if let Some(count) = listed.get_mut(device) {
        *count -= 1;
        if *count == 0 {
            listed.remove(device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(log: u64, next: u64) -> Announcement {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&log.to_be_bytes());
        let news = News { log: LogKey(key), next };
        Announcement { news, head: [0; 8], hops: 1, pushed: true }
    }

    fn device(byte: u8) -> DeviceId {
        DeviceId([byte; 32])
    }

    fn ask(wanted: &mut Wanted, now: u64) -> Option<Due> {
        wanted.take_due(MonoTime(now), MonoTime(now + 100), |device, _| *device)
    }

    #[test]
    fn each_source_is_asked_once_until_none_is_left() {
        let mut wanted = Wanted::default();
        let news = announcement(1, 5);
        wanted.announced(device(2), news, MonoTime(10));
        wanted.announced(device(1), news, MonoTime(99));
        assert_eq!(ask(&mut wanted, 9), None);
        assert_eq!(ask(&mut wanted, 10), Some(Due { failed: None, ask: Some((device(1), news)) }));
        assert_eq!(ask(&mut wanted, 109), None);
        let second = Due { failed: Some(device(1)), ask: Some((device(2), news)) };
        assert_eq!(ask(&mut wanted, 110), Some(second));
        assert_eq!(ask(&mut wanted, 210), Some(Due { failed: Some(device(2)), ask: None }));
        assert_eq!((wanted.len(), wanted.next_due()), (0, None));
    }

    #[test]
    fn what_came_is_wanted_no_more_and_a_larger_claim_stays() {
        let mut wanted = Wanted::default();
        wanted.announced(device(1), announcement(1, 5), MonoTime(10));
        wanted.announced(device(2), announcement(1, u64::MAX), MonoTime(10));
        let came = wanted.came(&announcement(1, 5).news, MonoTime(50));
        assert_eq!(came, (vec![device(1), device(2)], None));
        assert_eq!(wanted.next_due(), Some(MonoTime(50)));
        assert_eq!(ask(&mut wanted, 50).unwrap().ask.unwrap().0, device(2));
        assert_eq!(ask(&mut wanted, 150), Some(Due { failed: Some(device(2)), ask: None }));
        wanted.announced(device(1), announcement(1, 9), MonoTime(200));
        ask(&mut wanted, 200);
        let answered = Some((device(1), announcement(1, 9)));
        assert_eq!(wanted.came(&announcement(1, 9).news, MonoTime(0)), (vec![], answered));
        assert_eq!(wanted.len(), 0);
    }

    #[test]
    fn one_neighbour_lists_as_many_logs_as_it_may_and_others_still_can() {
        let mut wanted = Wanted::default();
        for log in 0..2 * WANTED_PER_NEIGHBOUR_MAX as u64 {
            wanted.announced(device(1), announcement(log, 5), MonoTime(10));
        }
        assert_eq!(wanted.len(), WANTED_PER_NEIGHBOUR_MAX);
        wanted.announced(device(2), announcement(u64::MAX, 5), MonoTime(10));
        assert_eq!(wanted.len(), WANTED_PER_NEIGHBOUR_MAX + 1);
        wanted.lost(&device(1), MonoTime(5));
        while let Some(due) = ask(&mut wanted, 5) {
            assert_eq!(due.ask, None, "nobody is left to ask");
        }
        assert_eq!(wanted.len(), 1);
        wanted.announced(device(1), announcement(7, 5), MonoTime(10));
        assert_eq!(wanted.len(), 2, "what is settled counts no more");
    }
}
