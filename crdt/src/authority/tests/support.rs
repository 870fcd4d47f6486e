//! A small coalition with one compartment, in which everybody says what a test wants.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::authority::{
    Coalition, Compartment, Limit, Logs, Place, StatementFault, StatementVerdict,
};
use crate::charter::{Charter, Member};
use crate::entry::merkle_root;
use crate::hash::sha256;
use crate::id::{
    AgencyNo, Class, CompartmentId, DeviceId, EntryId, EpochId, Incarnation, LogId, StatementId,
};
use crate::keys::{DeviceCard, DeviceKeys, KEM_CIPHERTEXT_BYTES, RootKey, Signer};
use crate::seal::{SecretBox, TAG_BYTES};
use crate::statement::{
    Act, Audience, Caveats, DeskCertificate, EpochStatement, Mark, Marks, Opening, Reopening,
    Right, RootAct, Statement,
};

/// A device by its agency's number and its own. Number 0 is the agency's first desk.
pub(super) type Who = (u8, u8);

/// Where something is said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::authority) enum Area {
    /// In the coalition's logs.
    Whole,
    /// In the compartment's.
    Part,
}

pub(super) use Area::{Part, Whole};

/// The first life of every device.
pub(super) const LIFE: Incarnation = Incarnation(1);

/// A peer that holds all that is said.
pub(in crate::authority) struct World {
    pub(in crate::authority) coalition: Coalition,
    pub(in crate::authority) compartment: Compartment,
    pub(super) held: Held,
    /// Tells entries of equal places apart.
    written: u64,
}

/// The logs that it holds.
#[derive(Default)]
pub(super) struct Held {
    branches: BTreeMap<LogId, Vec<EntryId>>,
    forks: BTreeMap<LogId, u64>,
}

impl Logs for Held {
    fn held(&self, log: &LogId) -> u64 {
        self.branches.get(log).map_or(0, |branch| branch.len() as u64)
    }

    fn id_at(&self, log: &LogId, seq: u64) -> Option<EntryId> {
        self.branches.get(log)?.get(usize::try_from(seq).ok()?).copied()
    }

    fn forked_at(&self, log: &LogId) -> Option<u64> {
        self.forks.get(log).copied()
    }

    fn proven_at(&self, log: &LogId) -> Option<u64> {
        self.forked_at(log)
    }
}

impl World {
    /// A coalition of two founders, either of whom acts alone, with a desk each.
    pub(in crate::authority) fn new() -> Self {
        Self::of(2, 1)
    }

    /// A coalition of so many founders, with a desk each, and a compartment for all of them that
    /// the first desk opened.
    pub(super) fn of(founders: u8, quorum: u16) -> Self {
        let charter = Charter {
            name: "Drill".into(),
            nonce: [1; 16],
            quorum,
            limits_version: 1,
            erasure_delay_hours: 0,
            default_label: Vec::new(),
            agreement: None,
            founders: (1..=founders).map(|no| member(no, no)).collect(),
        };
        let audience = (1..=founders).map(|no| (agency(no), root(no).public())).collect();
        let id = charter.id();
        let opening = keys((1, 0), |keys| Opening::sign(keys.signer(), id, audience, [2; 16]));
        let mut world = Self {
            coalition: Coalition::new(charter),
            compartment: Compartment::new(opening),
            held: Held::default(),
            written: 0,
        };
        for no in 1..=founders {
            world.certify(no, (no, 0));
        }
        world
    }

    /// Says something at the end of the speaker's authority log, and draws what follows.
    pub(super) fn say(&mut self, who: Who, area: Area, statement: Statement) -> EntryId {
        let log = self.log(who, area, Class::Authority);
        let place = self.append(log);
        self.take(area, place, statement, None).expect("a statement that is sound by itself");
        place.id
    }

    /// Takes a statement wherever it stands.
    pub(super) fn take(
        &mut self,
        area: Area,
        place: Place,
        statement: Statement,
        payload: Option<&[u8]>,
    ) -> Result<bool, StatementFault> {
        let taken = match area {
            Whole => self.coalition.insert(place, statement, payload),
            Part => self.compartment.insert(place, statement, payload),
        };
        self.judge();
        taken
    }

    /// Draws all answers.
    pub(in crate::authority) fn judge(&mut self) {
        self.coalition.evaluate(&self.held);
        self.compartment.evaluate(&self.coalition, &self.held);
    }

    /// Puts an entry behind a log's end.
    pub(super) fn append(&mut self, log: LogId) -> Place {
        self.written += 1;
        let id = EntryId(sha256(&self.written.to_be_bytes()));
        let branch = self.held.branches.entry(log).or_default();
        branch.push(id);
        Place { log, seq: branch.len() as u64 - 1, id }
    }

    /// Writes an entry of class routine in the compartment.
    pub(super) fn write(&mut self, who: Who) -> EntryId {
        self.append(self.record_log(who)).id
    }

    /// Proves that a log is forked.
    pub(super) fn fork(&mut self, log: LogId, at: u64) {
        self.held.forks.insert(log, at);
        self.judge();
    }

    pub(super) fn log(&self, who: Who, area: Area, class: Class) -> LogId {
        let compartment = match area {
            Whole => self.coalition.compartment(),
            Part => self.compartment.id(),
        };
        LogId { compartment, class, device: device(who), incarnation: LIFE }
    }

    /// The log of a device's routine entries in the compartment.
    pub(super) fn record_log(&self, who: Who) -> LogId {
        self.log(who, Part, Class::Routine)
    }

    /// How many entries of a log count.
    pub(super) fn counting(&self, log: LogId) -> u64 {
        let Limit { next, .. } = if log.compartment == self.compartment.id() {
            self.compartment.limit(&log, &self.held)
        } else {
            self.coalition.limit(&log, &self.held)
        };
        next.min(self.held.held(&log))
    }

    /// The first entries of a log, as a keep or an adopt names them.
    pub(super) fn mark(&self, log: LogId, count: u64) -> Mark {
        let head = self.held.id_at(&log, count - 1).expect("it is held");
        Mark { log: log.digest(), count, head }
    }

    pub(super) fn marks(&self, log: LogId, count: u64) -> Marks {
        Marks::Inline(vec![self.mark(log, count)])
    }

    /// A root's word that a device is a desk, which the device carries in.
    pub(super) fn certify(&mut self, root_no: u8, desk: Who) -> EntryId {
        self.certify_again(root_no, desk, None)
    }

    pub(super) fn certify_again(
        &mut self,
        root_no: u8,
        desk: Who,
        reopening: Option<Reopening>,
    ) -> EntryId {
        let certificate = keys(desk, |keys| DeskCertificate::sign(&root(root_no), keys, reopening));
        self.say(desk, Whole, Statement::Desk(certificate))
    }

    /// A grant under the first desk of the device's agency, that may be granted on.
    pub(super) fn grant(&mut self, by: Who, area: Area, to: Who, right: Right) -> EntryId {
        self.grant_with(by, area, to, right, delegating())
    }

    pub(super) fn grant_with(
        &mut self,
        by: Who,
        area: Area,
        to: Who,
        right: Right,
        caveats: Caveats,
    ) -> EntryId {
        let audience = Audience::Device { agency: agency(to.0), card: card(to, (to.0, 0)) };
        self.say(by, area, Statement::Grant { audience, right, caveats, reopening: None })
    }

    /// A desk opens a device's standing again for another life.
    pub(super) fn reopen(
        &mut self,
        by: Who,
        to: Who,
        cites: Vec<StatementId>,
        incarnation: Incarnation,
    ) -> EntryId {
        let reopening = Reopening { incarnation, cites };
        self.readmit(by, Whole, to, Right::Write, reopening)
    }

    /// A grant that names a life of a device.
    pub(super) fn readmit(
        &mut self,
        by: Who,
        area: Area,
        to: Who,
        right: Right,
        reopening: Reopening,
    ) -> EntryId {
        let audience = Audience::Device { agency: agency(to.0), card: card(to, (to.0, 0)) };
        let (caveats, reopening) = (delegating(), Some(reopening));
        self.say(by, area, Statement::Grant { audience, right, caveats, reopening })
    }

    pub(super) fn revoke(&mut self, by: Who, area: Area, target: Who, keep: Marks) -> EntryId {
        self.say(by, area, Statement::Revoke { device: device(target), keep })
    }

    /// The founders' desks do something together.
    pub(super) fn act(&mut self, act: Act) -> StatementId {
        let id = self.propose((1, 0), act);
        for founder in 2..=self.coalition.charter().founders.len() as u8 {
            self.say((founder, 0), Whole, Statement::Approve { act: id });
        }
        id
    }

    pub(super) fn propose(&mut self, by: Who, act: Act) -> StatementId {
        let id = act.id(&self.coalition.id(), 0);
        self.say(by, Whole, Statement::Propose { number: 0, act });
        id
    }

    /// A root's act, which the first desk carries in.
    pub(super) fn root_act(&mut self, root_no: u8, act: Act) -> StatementId {
        let act = RootAct::sign(&root(root_no), &self.coalition.id(), act).expect("roots do such");
        let id = act.id(&self.coalition.id());
        self.say((1, 0), Whole, Statement::RootAct(act));
        id
    }

    /// An epoch after others, with boxes for some.
    pub(super) fn epoch(&mut self, by: Who, parents: &[EpochId], readers: &[Who]) -> EpochId {
        let known = self.compartment.epochs();
        let depths = parents.iter().filter_map(|parent| known.get(parent));
        let depth = 1 + depths.map(|state| state.statement.depth).max().unwrap_or(0);
        self.written += 1;
        let commitment = sha256(&self.written.to_be_bytes());
        let epoch = EpochStatement { parents: parents.to_vec(), depth, commitment };
        let id = epoch.id(&self.compartment.id());
        self.say(by, Part, Statement::Epoch(epoch));
        self.seal(by, id, readers);
        id
    }

    /// Boxes of an epoch; nobody opens them here.
    pub(super) fn seal(&mut self, by: Who, epoch: EpochId, readers: &[Who]) {
        let boxed = |who: &Who| SecretBox {
            device: device(*who),
            suite: 1,
            encapsulation: vec![0; 32 + KEM_CIPHERTEXT_BYTES],
            sealed: [0; 32 + TAG_BYTES],
        };
        let mut boxes: Vec<SecretBox> = readers.iter().map(boxed).collect();
        boxes.sort_by_key(|sealed| sealed.device);
        let payload = crate::epoch::encode_boxes(&boxes);
        let boxes_root = merkle_root(boxes.iter().map(SecretBox::leaf));
        let place = self.append(self.log(by, Part, Class::Authority));
        let seal = Statement::Seal { epoch, boxes_root };
        self.take(Part, place, seal, Some(&payload)).expect("the boxes are those named");
    }

    pub(super) fn verdict(&self, id: EntryId) -> StatementVerdict {
        let origin = |genesis: &EntryId| {
            let mut logs = self.held.branches.iter();
            let (log, _) = logs.find(|(_, branch)| branch.contains(genesis))?;
            self.compartment.originator(log)
        };
        let here = self.compartment.verdict(&id, &origin, &self.held);
        here.or_else(|| self.coalition.verdict(&id, &self.held)).expect("it is held")
    }

    /// The right of a live device in the coalition.
    pub(super) fn right(&self, who: Who) -> Option<Right> {
        self.coalition.right(&device(who))
    }

    /// The right of a live device in the compartment.
    pub(super) fn right_here(&self, who: Who) -> Option<Right> {
        self.compartment.right(&device(who))
    }
}

pub(in crate::authority) const fn agency(no: u8) -> AgencyNo {
    AgencyNo(no as u16)
}

/// An agency with the root of a number.
pub(super) fn member(no: u8, root_no: u8) -> Member {
    let root = root(root_no).public();
    Member { no: agency(no), name: format!("Agency {no}"), country: "NE".into(), root }
}

/// Agency n comes with root n.
pub(super) fn root(n: u8) -> Signer {
    Signer::from_seed(&[n; 32])
}

pub(super) fn root_key(n: u8) -> RootKey {
    root(n).public()
}

/// Puts one root of an agency in the place of others.
pub(super) fn replace_root(no: u8, replaced: &[u8], by: u8, keep: Marks) -> Act {
    let mut replaced: Vec<RootKey> = replaced.iter().map(|n| root_key(*n)).collect();
    replaced.sort_unstable();
    Act::ReplaceRoot { agency: agency(no), root: root_key(by), replaced, keep }
}

pub(super) fn device(who: Who) -> DeviceId {
    keys(who, DeviceKeys::id)
}

/// A device's card under a desk.
pub(super) fn card(who: Who, sponsor: Who) -> DeviceCard {
    let sponsor = device(sponsor).0;
    keys(who, |keys| keys.card(sponsor))
}

/// No limits, and the right to grant on.
pub(super) fn delegating() -> Caveats {
    Caveats { may_delegate: true, ..Caveats::default() }
}

/// A compartment that is none of this coalition's.
pub(super) const ELSEWHERE: CompartmentId = CompartmentId([0xee; 32]);

pub(super) fn keys<T>(who: Who, use_them: impl FnOnce(&DeviceKeys) -> T) -> T {
    thread_local! {
        static KEYS: RefCell<BTreeMap<Who, DeviceKeys>> = const { RefCell::new(BTreeMap::new()) };
    }
    let mut seed = [9; 32];
    (seed[0], seed[1]) = who;
    KEYS.with_borrow_mut(|all| {
        use_them(all.entry(who).or_insert_with(|| DeviceKeys::from_seeds(&seed, &seed)))
    })
}
