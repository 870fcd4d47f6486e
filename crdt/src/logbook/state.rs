//! What is resident of a log, and how it is written down.

use std::sync::Arc;

use crate::codec::{DecodeError, Reader, Write as _};
use crate::entry::run::Head;
use crate::id::{EntryId, EpochId, LogId};

/// A log's number in this store.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LogNo(pub u32);

/// What is resident of a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogState {
    /// Its number in this store.
    pub no: LogNo,
    /// Where it ends here.
    pub head: Head,
    /// From where on its entries do not count: where the segment begins in which its lowest proven
    /// fork is, because no signature covers less. While that segment is not held, the fork itself.
    pub forked_at: Option<u64>,
    /// Position of the lowest proven fork. Entries from there on are not taken any more.
    pub proven_at: Option<u64>,
    /// Where what all its branches share ends, as far as it is held; the head while no fork is
    /// proven.
    pub shared: Head,
    /// What the first entry continues that is still here: the empty head, unless the log's beginning was
    /// let go of.
    pub begins: Head,
    /// How many bytes its author wrote of what was appended here, whatever is gone of it since
    /// ([`VerifiedRun::written`](crate::entry::run::VerifiedRun::written)).
    pub written: u64,
}

impl LogState {
    pub(super) const fn new(no: LogNo) -> Self {
        let (head, shared, begins) = (Head::EMPTY, Head::EMPTY, Head::EMPTY);
        Self { no, head, forked_at: None, proven_at: None, shared, begins, written: 0 }
    }

    /// Whether the entry at a position is here.
    pub(super) const fn holds(&self, seq: u64) -> bool {
        self.begins.next <= seq && seq < self.head.next
    }

    /// As it is kept, with its head as that is kept elsewhere.
    pub(super) fn kept(self, ends: Arc<Head>) -> Kept {
        let Self { no, head, forked_at, proven_at, shared, begins, written } = self;
        let plain = forked_at.is_none() && proven_at.is_none() && begins == Head::EMPTY;
        let apart = Apart { forked_at, proven_at, shared, begins };
        let apart = (!plain || shared != head).then(|| Box::new(apart));
        Kept { no, head: ends, written, apart }
    }

    /// `log || head || bytes written (number) || position of the proven fork + 1, or 0 (number)`; of a forked log `from where it does
    /// not count (number) || where its branches part (head)`; and the head that the log begins with here,
    /// if its beginning was let go of.
    pub(super) fn encode(&self, log: &LogId) -> Vec<u8> {
        let mut value = log.encode().to_vec();
        write_head(&mut value, &self.head);
        value.number(self.written);
        value.number(self.proven_at.map_or(0, |at| at.saturating_add(1)));
        if let Some(at) = self.forked_at {
            write_head(value.number(at), &self.shared);
        }
        if self.begins.next > 0 {
            write_head(&mut value, &self.begins);
        }
        value
    }
}

/// A log's state as it is kept: of nearly all logs no more than where they end.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Kept {
    pub(super) no: LogNo,
    /// One copy for all who keep it.
    pub(super) head: Arc<Head>,
    written: u64,
    apart: Option<Box<Apart>>,
}

/// What is kept beside of a log that is forked or lacks its beginning.
#[derive(Debug, Eq, PartialEq)]
struct Apart {
    forked_at: Option<u64>,
    proven_at: Option<u64>,
    shared: Head,
    begins: Head,
}

impl From<LogState> for Kept {
    fn from(state: LogState) -> Self {
        state.kept(Arc::new(state.head))
    }
}

impl Kept {
    /// What it says.
    #[inline]
    pub(super) fn state(&self) -> LogState {
        let (Self { no, written, .. }, head) = (self, *self.head);
        let (no, written) = (*no, *written);
        let plain = LogState { no, head, written, shared: head, ..LogState::new(no) };
        match self.apart.as_deref() {
            None => plain,
            Some(Apart { forked_at, proven_at, shared, begins }) => LogState {
                forked_at: *forked_at,
                proven_at: *proven_at,
                shared: *shared,
                begins: *begins,
                ..plain
            },
        }
    }
}

/// Reads what [`LogState::encode`] wrote, and the log's number from its key.
pub(super) fn read_state(key: &[u8], value: &[u8]) -> Result<(LogId, LogState), DecodeError> {
    let mut reader = Reader::new(key);
    let no = LogNo(u32::from_be_bytes(reader.array("log number")?));
    reader.finish()?;
    let mut reader = Reader::new(value);
    let log = LogId::decode(&mut reader)?;
    let head = read_head(&mut reader)?;
    let written = reader.number("bytes written")?;
    let proven_at = reader.number("fork position")?.checked_sub(1);
    let mut state = LogState { head, written, proven_at, shared: head, ..LogState::new(no) };
    if proven_at.is_some() {
        state.forked_at = Some(reader.number("forked from")?);
        state.shared = read_head(&mut reader)?;
    }
    if reader.left() > 0 {
        state.begins = read_head(&mut reader)?;
    }
    reader.finish()?;
    Ok((log, state))
}

pub(super) fn read_head(reader: &mut Reader<'_>) -> Result<Head, DecodeError> {
    Ok(Head {
        next: reader.number("next seq")?,
        id: EntryId(reader.array("head id")?),
        epoch: EpochId(reader.array("head epoch")?),
    })
}

fn write_head(out: &mut Vec<u8>, head: &Head) {
    out.number(head.next).raw(&head.id.0).raw(&head.epoch.0);
}
