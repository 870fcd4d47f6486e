//! The threads that were used last. Another is let go only for want of room, the one first that was
//! not used for longest.

use std::collections::BTreeMap;

use crate::id::RecordId;

use super::thread::Thread;

/// Most threads in the cache. A thread of one genesis takes about 3 kB with its document.
pub(super) const THREADS_MAX: usize = 256;
/// Most that the cached threads take together, beside the one that was used last.
pub(super) const THREADS_BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Cache {
    /// How many threads it keeps.
    threads_max: usize,
    threads: BTreeMap<RecordId, Kept>,
    /// The records in the order in which their threads were used.
    by_use: BTreeMap<u64, RecordId>,
    next_use: u64,
    /// About what the threads take, in bytes.
    weight: usize,
}

#[derive(Debug)]
struct Kept {
    thread: Thread,
    weight: usize,
    used: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self::with(THREADS_MAX)
    }
}

impl Cache {
    fn with(threads_max: usize) -> Self {
        let (threads, by_use) = (BTreeMap::new(), BTreeMap::new());
        Self { threads_max, threads, by_use, next_use: 0, weight: 0 }
    }

    /// From now on keeps so many threads at the most.
    pub(super) fn keep_at_most(&mut self, threads: usize) {
        self.threads_max = threads.clamp(1, THREADS_MAX);
    }

    pub(super) fn contains(&self, record: &RecordId) -> bool {
        self.threads.contains_key(record)
    }

    /// A thread, which is the one used last then.
    pub(super) fn thread(&mut self, record: &RecordId) -> Option<&Thread> {
        let kept = self.threads.get_mut(record)?;
        self.by_use.remove(&kept.used);
        kept.used = self.next_use;
        self.by_use.insert(kept.used, *record);
        self.next_use += 1;
        Some(&kept.thread)
    }

    /// A thread, of which that is no use.
    pub(super) fn peek(&self, record: &RecordId) -> Option<&Thread> {
        self.threads.get(record).map(|kept| &kept.thread)
    }

    pub(super) fn keep(&mut self, record: RecordId, thread: Thread) {
        drop(self.take(&record));
        let (weight, used) = (thread.weight(), self.next_use);
        self.next_use += 1;
        self.weight += weight;
        self.by_use.insert(used, record);
        self.threads.insert(record, Kept { thread, weight, used });
        while self.threads.len() > self.threads_max
            || self.weight > THREADS_BYTES_MAX && self.threads.len() > 1
        {
            let Some((_, oldest)) = self.by_use.first_key_value() else { return };
            let oldest = *oldest;
            drop(self.take(&oldest));
        }
    }

    pub(super) fn take(&mut self, record: &RecordId) -> Option<Thread> {
        let kept = self.threads.remove(record)?;
        self.by_use.remove(&kept.used);
        self.weight -= kept.weight;
        Some(kept.thread)
    }

    pub(super) fn clear(&mut self) {
        *self = Self { next_use: self.next_use, ..Self::with(self.threads_max) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: usize) -> RecordId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        RecordId(id)
    }

    fn kept(cache: &Cache) -> usize {
        let weights = cache.threads.values().map(|kept| kept.weight);
        assert_eq!(weights.sum::<usize>(), cache.weight);
        let by_use: Vec<_> = cache.by_use.values().copied().collect();
        assert!(cache.threads.iter().all(|(id, kept)| cache.by_use[&kept.used] == *id));
        assert_eq!(by_use.len(), cache.threads.len());
        by_use.len()
    }

    #[test]
    fn a_full_cache_lets_the_thread_go_that_was_not_used_for_longest() {
        let mut cache = Cache::default();
        for n in 0..THREADS_MAX {
            cache.keep(record(n), Thread::new(record(n)));
        }
        assert_eq!(kept(&cache), THREADS_MAX);
        assert!(cache.thread(&record(0)).is_some());
        cache.keep(record(THREADS_MAX), Thread::new(record(THREADS_MAX)));
        assert_eq!(kept(&cache), THREADS_MAX);
        assert!(cache.contains(&record(0)));
        assert!(!cache.contains(&record(1)));
        cache.keep(record(2), Thread::new(record(2)));
        assert_eq!(kept(&cache), THREADS_MAX);
        assert!(cache.take(&record(2)).is_some());
        assert!(cache.take(&record(2)).is_none());
        assert_eq!(kept(&cache), THREADS_MAX - 1);
        cache.clear();
        assert_eq!(kept(&cache), 0);
    }
}
