//! Links in the world: when they are up, and what passes.

use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, Urgency};

use super::{RunError, Sabotage, World};
use crate::agenda::{NEVER, Nanos, Who};
use crate::founding::{LINKS_OF_FOUNDING, request_of};
use crate::oracle::{self, Oracle};
use crate::plan::FaultKind;
use crate::quantity::SECOND;

/// How soon a connection that one end closed is made again.
const AGAIN_AFTER: Nanos = 30 * SECOND;
/// Up to this rate a link counts as thin: nothing goes over it but what the peer lacks.
const THIN_RATE_MAX: u64 = 9_600;
/// The first byte of a gossip frame (`docs/protocol/gossip.md`).
const GOSSIP: u8 = 18;

impl World {
    pub(super) fn on_line(&mut self, number: u32) -> Result<(), RunError> {
        let now = self.now;
        if self.lines[number as usize].due != now {
            return Ok(());
        }
        self.lines[number as usize].due = NEVER;
        self.lines[number as usize].pass_edges(now);
        self.refresh(number)?;
        if self.lines[number as usize].given_up(now) {
            self.disconnect(number, None)?;
        }
        if self.lines[number as usize].connects <= now {
            self.connect(number)?;
        }
        for end in [0, 1] {
            let line = &mut self.lines[number as usize];
            let (link, post) = (line.link, line.plan.between[end]);
            if let (Some(link), Some(urgency)) = (link, line.sent(now, end)) {
                self.trace.note(now, b'S', post, &[urgency as u8]);
                if urgency == Urgency::Routine {
                    let found = oracle::priority::check(self, number, end);
                    self.judge(Oracle::Priority, found);
                }
                self.input(post, Input::Sent { link, urgency })?;
            }
        }
        while let Some(arrival) = self.lines[number as usize].arrived(now) {
            let line = &self.lines[number as usize];
            let link = line.link;
            let way = [1 - arrival.end, arrival.end].map(|end| line.plan.between[end]);
            for bytes in self.hostiles.instead(way, now, arrival.bytes) {
                // What was sent in its place may have ended the connection.
                if self.lines[number as usize].link == link {
                    self.deliver(number, arrival.end, bytes)?;
                }
            }
        }
        self.lines[number as usize].send(now);
        self.reschedule(number);
        Ok(())
    }

    fn deliver(&mut self, number: u32, end: usize, mut bytes: Vec<u8>) -> Result<(), RunError> {
        let line = &mut self.lines[number as usize];
        let (Some(link), post) = (line.link, line.plan.between[end]) else { return Ok(()) };
        let news = line.plan.between.map(|post| self.peers[post as usize].news).iter().sum();
        if line.news != news {
            (line.news, line.idle_frames) = (news, 0);
        }
        // Trees say by beacons that they are there, as long as a link is up.
        line.idle_frames += u32::from(bytes.first() != Some(&GOSSIP));
        let found = oracle::livelock::check(self, number);
        self.judge(Oracle::Livelock, found);
        match self.sabotage {
            Some(Sabotage::LostRuns) if number == 0 && is_run(&bytes) => return Ok(()),
            Some(Sabotage::FlippedBit) if is_run(&bytes) => {
                bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
            }
            Some(Sabotage::Chatter) if matches!(Frame::decode(&bytes), Ok(Frame::Have { .. })) => {
                self.again(number, 1 - end, &bytes);
            }
            _ => {}
        }
        if let Some((oracle, found)) = oracle::metadata::in_frame(self, post, &bytes) {
            self.judge(oracle, Some(found));
        }
        self.trace.note(self.now, b'F', post, &bytes);
        self.input(post, Input::Frame { link, bytes })
    }

    /// A planted bug: whoever said what it holds says it once more.
    fn again(&mut self, number: u32, end: usize, bytes: &[u8]) {
        let line = &mut self.lines[number as usize];
        line.give(end, Urgency::Control, bytes.to_vec());
    }

    /// Connects or disconnects where that should be otherwise now.
    pub(super) fn refresh(&mut self, number: u32) -> Result<(), RunError> {
        let line = &self.lines[number as usize];
        // A connection that is there waits for a while, and none is made.
        let made = line.link.is_some() || !line.is_stopped();
        let wanted = line.open && made && !self.is_cut(number);
        let there = line.link.is_some() || line.connects != NEVER;
        if wanted && !there {
            // A connection takes a round trip.
            let line = &mut self.lines[number as usize];
            line.connects = self.now + (2 * line.plan.latency).max(1);
        } else if !wanted && there {
            self.disconnect(number, None)?;
        }
        self.reschedule(number);
        Ok(())
    }

    pub(super) fn refresh_of(&mut self, post: u32) -> Result<(), RunError> {
        for index in 0..self.lines_of[post as usize].len() {
            self.refresh(self.lines_of[post as usize][index])?;
        }
        Ok(())
    }

    /// Stops and lets go what clogs stop now.
    pub(super) fn clog_all(&mut self) -> Result<(), RunError> {
        for number in 0..self.lines.len() as u32 {
            let posts = self.lines[number as usize].plan.between;
            let stops = |from: u32, to: u32| {
                self.clogs.iter().map(|clog| &self.plan.faults[*clog as usize]).any(|fault| {
                    let (sends, takes) = (fault.posts.contains(&from), fault.posts.contains(&to));
                    match fault.kind {
                        FaultKind::OneWay => sends && !takes,
                        _ => sends != takes,
                    }
                })
            };
            let stopped = [stops(posts[0], posts[1]), stops(posts[1], posts[0])];
            self.lines[number as usize].stop(stopped, self.now);
            self.refresh(number)?;
        }
        Ok(())
    }

    pub(super) fn refresh_all(&mut self) -> Result<(), RunError> {
        (0..self.lines.len() as u32).try_for_each(|line| self.refresh(line))
    }

    /// Whether an end is down, or the two lie on two sides of a partition.
    fn is_cut(&self, number: u32) -> bool {
        let [a, b] = self.lines[number as usize].plan.between;
        let down = [a, b].iter().any(|post| self.peers[*post as usize].replica.is_none());
        down || self.cuts.iter().any(|cut| {
            let side = &self.plan.faults[*cut as usize].posts;
            side.contains(&a) != side.contains(&b)
        })
    }

    fn connect(&mut self, number: u32) -> Result<(), RunError> {
        let line = &mut self.lines[number as usize];
        line.connects = NEVER;
        let posts = line.plan.between;
        let thin = line.plan.rate <= THIN_RATE_MAX;
        let homeless = posts.map(|post| self.peers[post as usize].homeless);
        // Whoever is to come in dials; else they take turns.
        let dialer = match homeless {
            [true, false] => 0,
            [false, true] => 1,
            _ => 1 - line.dialer,
        };
        line.dialer = dialer;
        let link = Link(LINKS_OF_FOUNDING + self.line_of.len() as u64);
        line.link = Some(link);
        (line.idle_frames, line.news) = (0, 0);
        self.line_of.push(number);
        let (from, to) = (posts[dialer], posts[1 - dialer]);
        let devices = [from, to].map(|post| self.peers[post as usize].device);
        if self.peers[from as usize].homeless
            && let Some(replica) = self.peers[from as usize].replica.as_mut()
        {
            replica.join(devices[1], request_of(&self.plan, from, self.coalition));
        }
        self.trace.note(self.now, b'U', number, &link.0.to_be_bytes());
        self.input(to, Input::Up { link, device: devices[0], dialer: false, thin })?;
        self.input(from, Input::Up { link, device: devices[1], dialer: true, thin })
    }

    /// A connection ends; `knows` has closed it and need not be told.
    fn disconnect(&mut self, number: u32, knows: Option<u32>) -> Result<(), RunError> {
        let line = &mut self.lines[number as usize];
        let (link, posts) = (line.link, line.plan.between);
        line.cut();
        if self.sabotage == Some(Sabotage::Miscount) {
            line.miscount();
        }
        let found = oracle::conservation::check(line);
        self.judge(Oracle::Conservation, found);
        let Some(link) = link else { return Ok(()) };
        self.trace.note(self.now, b'D', number, &link.0.to_be_bytes());
        for post in posts {
            if knows != Some(post) {
                self.input(post, Input::Down { link })?;
            }
        }
        Ok(())
    }

    /// A peer closed a connection: it is made again a while later.
    pub(super) fn hang_up(&mut self, number: u32, by: u32) -> Result<(), RunError> {
        self.disconnect(number, Some(by))?;
        self.lines[number as usize].connects = self.now + AGAIN_AFTER;
        self.reschedule(number);
        Ok(())
    }

    pub(super) fn reschedule(&mut self, number: u32) {
        let line = &mut self.lines[number as usize];
        let next = line.next();
        self.agenda.put_earlier(&mut line.due, next, Who::Line(number));
    }
}

fn is_run(bytes: &[u8]) -> bool {
    matches!(Frame::decode(bytes), Ok(Frame::Run { .. }))
}
