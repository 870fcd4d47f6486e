//! Thin links: which are kept up, and how they are.
//!
//! A thin link is for when nothing faster is there. The transport keeps one up exactly while the
//! operator set it and did not pause the peer, the device at its other end has a standing, and no other
//! link to that device is up. Whenever one of these may have changed, what is wanted is worked out anew
//! and compared with what the transport was told ([`Core::tend_thin_links`]).
//!
//! The device's card holds the key that the session is made with, so that a thin link needs nothing but
//! the two statements by which its ends know each other. Either end begins: of two handshakes that cross,
//! that of the smaller device id goes on (`docs/protocol/thin.md`). An end that waits to be called,
//! because it does not know where the other is, begins none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tearline_crdt::id::DeviceId;
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::time::MonoTime;
use tearline_mesh::net::NetCommand;
use tearline_mesh::net::thin::{MakeMachine, Medium, Meter, Reading, ThinAddress, is_thin};
use tearline_mesh::thin::{Config, Machine};

use super::SystemEntropy;
use super::core::Core;
use crate::config::THIN_LINKS_MAX;
use crate::failure::Failure;

/// The thin links that the transport keeps up.
#[derive(Debug)]
pub struct ThinLinks {
    keys: Arc<DeviceKeys>,
    kept: BTreeMap<DeviceId, Kept>,
    /// Those of all that were kept up since the daemon started.
    meters: BTreeMap<DeviceId, Arc<Meter>>,
}

/// One of them.
#[derive(Debug)]
struct Kept {
    wanted: Wanted,
    open: bool,
    trouble: Option<Trouble>,
}

/// A thin link that is to be kept up.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Wanted {
    address: ThinAddress,
    /// The agreement key on the card of the device at the other end.
    agreement: [u8; 32],
}

/// Why what carries a link is not open.
#[derive(Debug)]
struct Trouble {
    reason: String,
    /// When it is opened again, if ever.
    again: Option<MonoTime>,
}

/// How the line of a thin link is.
#[derive(Debug)]
pub(super) struct LineState {
    /// Whether nothing can pass over it: what carries it is not open.
    pub(super) broken: bool,
    /// How it is, while no session began: for people.
    pub(super) reason: String,
    /// When what carries it is opened again.
    pub(super) again: Option<Duration>,
}

impl ThinLinks {
    /// None, for a device with these keys.
    pub(super) fn new(keys: DeviceKeys) -> Self {
        Self { keys: Arc::new(keys), kept: BTreeMap::new(), meters: BTreeMap::new() }
    }

    /// How the line to a device is; `None` while no thin link to it is kept up.
    pub(super) fn line(&self, device: &DeviceId, now: MonoTime) -> Option<LineState> {
        let kept = self.kept.get(device)?;
        let name = kept.wanted.address.medium.name();
        let left = |at: MonoTime| Duration::from_millis(at.0.saturating_sub(now.0));
        let again = kept.trouble.as_ref().and_then(|trouble| trouble.again).map(left);
        let waits_to_be_called = !begins(&kept.wanted.address);
        let reason = match &kept.trouble {
            Some(trouble) => format!("{name}: {}", trouble.reason),
            None if !kept.open => format!("{name}: being opened"),
            None if waits_to_be_called => format!("{name}: not called yet"),
            None => format!("{name}: no answer yet"),
        };
        Some(LineState { broken: kept.trouble.is_some(), reason, again })
    }

    /// What passed over the line to a device since the daemon started.
    pub(super) fn reading(&self, device: &DeviceId) -> Reading {
        self.meters.get(device).map(|meter| meter.read()).unwrap_or_default()
    }

    /// What carries the link to a device, if one is kept up.
    pub(super) fn medium(&self, device: &DeviceId) -> Option<&'static str> {
        self.kept.get(device).map(|kept| kept.wanted.address.medium.name())
    }

    /// What carries the link to a device is open.
    pub(super) fn opened(&mut self, device: &DeviceId) {
        if let Some(kept) = self.kept.get_mut(device) {
            kept.open = true;
            kept.trouble = None;
        }
    }

    /// What carries the link to a device is not open, and is opened again then.
    pub(super) fn failed(&mut self, device: &DeviceId, reason: String, again: Option<MonoTime>) {
        if let Some(kept) = self.kept.get_mut(device) {
            kept.open = false;
            kept.trouble = Some(Trouble { reason, again });
        }
    }

    /// What the transport is to be told so that it keeps up what is wanted, and nothing else.
    fn told(&mut self, wanted: &BTreeMap<DeviceId, Wanted>) -> Vec<NetCommand> {
        let ended: BTreeSet<DeviceId> = self
            .kept
            .iter()
            .filter(|(device, kept)| wanted.get(device) != Some(&kept.wanted))
            .map(|(device, _)| *device)
            .collect();
        self.kept.retain(|device, _| !ended.contains(device));
        let mut commands: Vec<NetCommand> =
            ended.into_iter().map(|device| NetCommand::NoThin { device }).collect();
        for (device, wanted) in wanted {
            if self.kept.contains_key(device) {
                continue;
            }
            let meter = Arc::clone(self.meters.entry(*device).or_default());
            let kept = Kept { wanted: wanted.clone(), open: false, trouble: None };
            self.kept.insert(*device, kept);
            let (address, make) = (wanted.address.clone(), self.makes(wanted.clone()));
            commands.push(NetCommand::Thin { address, make, meter });
        }
        commands
    }

    fn makes(&self, wanted: Wanted) -> MakeMachine {
        let keys = Arc::clone(&self.keys);
        let Wanted { address, agreement } = wanted;
        let config = Config::new(address.line, begins(&address));
        MakeMachine::new(move || {
            Machine::new(&keys, address.device, agreement, config, Box::new(SystemEntropy))
        })
    }
}

/// Whether this end begins sessions: it knows where the other is.
const fn begins(address: &ThinAddress) -> bool {
    !matches!(address.medium, Medium::Udp { to: None, .. })
}

impl Core {
    /// Has the transport keep up the thin links that are wanted, and no others.
    pub(super) fn tend_thin_links(&mut self) {
        if self.broken().is_some() {
            return;
        }
        let wanted = self.wanted_thin_links();
        for command in self.thin.told(&wanted) {
            self.command(command);
        }
    }

    fn wanted_thin_links(&self) -> BTreeMap<DeviceId, Wanted> {
        let Ok(coalition) = self.coalition() else { return BTreeMap::new() };
        let targets = self.dialer.targets().iter();
        targets
            .filter(|(device, target)| !target.paused && !self.is_connected(device))
            .filter(|(device, _)| !self.is_penalised(device))
            .filter_map(|(device, target)| {
                let address = target.thin.clone()?;
                let agreement = coalition.live(device)?.card.agreement;
                Some((*device, Wanted { address, agreement }))
            })
            // Those of the settings and those that were added are each no more than this.
            .take(THIN_LINKS_MAX)
            .collect()
    }

    /// Reads the address of a thin link, in which the device may have any of its names; `None` if it is
    /// none.
    pub(super) fn thin_address(&self, text: &str) -> Option<Result<ThinAddress, Failure>> {
        is_thin(text).then(|| {
            let mut unknown = None;
            let address = ThinAddress::read(text, |name| {
                self.named_device(name).map_err(|failure| unknown = Some(failure)).ok()
            });
            address.map_err(|error| {
                unknown.unwrap_or_else(|| {
                    Failure::usage(format!("{text:?} is no thin link: {error}")).hint(FORMS)
                })
            })
        })
    }

    /// Fails if the thin link of an address can never be, or cannot be from this host as it is.
    pub(super) fn check_thin(&self, address: &ThinAddress) -> Result<(), Failure> {
        let device = &address.device;
        if *device == self.replica.device() {
            return Err(Failure::usage("a thin link needs another device, and that is this one"));
        }
        if self.coalition()?.live(device).is_none() {
            return Err(Failure::denied(format!("the standing of {} has ended", device.short()))
                .hint("`tearline device list` says since when"));
        }
        let targets = self.dialer.targets();
        let collides = |thin: &ThinAddress| thin.medium.collides(&address.medium);
        let own = targets.get(device).and_then(|target| target.thin.as_ref());
        let others =
            targets.iter().filter(|(other, target)| *other != device && target.thin.is_some());
        check_count(others.count() + 1)?;
        let taken = targets
            .iter()
            .find(|(other, target)| *other != device && target.thin.as_ref().is_some_and(collides));
        if let Some((other, _)) = taken {
            let what = format!("the thin link to {} uses the same line", other.short());
            return Err(Failure::failed(what).hint("a line is for two devices"));
        }
        // What the link has open by now is there.
        if self.thin.medium(device).is_some() && own.is_some_and(collides) {
            return Ok(());
        }
        let place = match &address.medium {
            Medium::Udp { bind, .. } => bind.to_string(),
            Medium::KissTcp { at } => at.clone(),
            Medium::KissSerial { path, .. } => path.clone(),
        };
        let checked = address.medium.check_here();
        checked.map_err(|error| Failure::io(format_args!("cannot use {place}"), &error))
    }
}

/// Fails if so many thin links are more than a daemon keeps up.
fn check_count(links: usize) -> Result<(), Failure> {
    if links > THIN_LINKS_MAX {
        let what = format!("a daemon keeps up to {THIN_LINKS_MAX} thin links");
        return Err(
            Failure::failed(what).hint("remove one first: `tearline peer list`, `peer remove`")
        );
    }
    Ok(())
}

/// How thin links are written.
pub(super) const FORMS: &str = "udp://HOST:PORT/DEVICE?bind=PORT&rate=2400, \
    kiss://HOST:PORT/DEVICE?rate=1200 or kiss:///dev/ttyUSB0/DEVICE?baud=9600&rate=1200";

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(list: &[(u8, &str, u8)]) -> BTreeMap<DeviceId, Wanted> {
        list.iter()
            .map(|(device, settings, key)| {
                let device = DeviceId([*device; 32]);
                let address = format!("udp://192.0.2.7:7300/{device}?{settings}").parse().unwrap();
                (device, Wanted { address, agreement: [*key; 32] })
            })
            .collect()
    }

    /// What is said: `+` and `-` with the first byte of a device.
    fn said(links: &mut ThinLinks, list: &[(u8, &str, u8)]) -> Vec<(char, u8)> {
        let commands = links.told(&wanted(list));
        let said = commands.into_iter().map(|command| match command {
            NetCommand::Thin { address, .. } => ('+', address.device.0[0]),
            NetCommand::NoThin { device } => ('-', device.0[0]),
            other => panic!("{other:?}"),
        });
        said.collect()
    }

    #[test]
    fn the_transport_is_told_what_changes_and_nothing_else() {
        let mut links = ThinLinks::new(DeviceKeys::from_seeds(&[1; 32], &[2; 32]));
        let both = [(5, "rate=600", 1), (6, "rate=600", 1)];
        assert_eq!(said(&mut links, &both), [('+', 5), ('+', 6)]);
        assert!(said(&mut links, &both).is_empty());
        assert_eq!(said(&mut links, &both[..1]), [('-', 6)]);
        // Another rate or another key is another link.
        assert_eq!(said(&mut links, &[(5, "rate=1200", 1)]), [('-', 5), ('+', 5)]);
        assert_eq!(said(&mut links, &[(5, "rate=1200", 2)]), [('-', 5), ('+', 5)]);
        assert_eq!(said(&mut links, &[]), [('-', 5)]);
    }

    #[test]
    fn thin_links_are_counted() {
        assert!(check_count(THIN_LINKS_MAX).is_ok());
        let failure = check_count(THIN_LINKS_MAX + 1).unwrap_err();
        assert!(failure.what.contains("32") && failure.hint.is_some(), "{failure:?}");
    }

    #[test]
    fn a_line_says_how_it_is() {
        let mut links = ThinLinks::new(DeviceKeys::from_seeds(&[1; 32], &[2; 32]));
        let device = DeviceId([5; 32]);
        let now = MonoTime(1_000);
        assert!(links.line(&device, now).is_none());
        said(&mut links, &[(5, "rate=600", 1)]);
        let reason = |links: &ThinLinks| links.line(&device, now).unwrap().reason;
        assert_eq!(reason(&links), "udp: being opened");
        links.failed(&device, "address in use".into(), Some(MonoTime(3_500)));
        let line = links.line(&device, now).unwrap();
        assert_eq!((line.reason.as_str(), line.broken), ("udp: address in use", true));
        assert_eq!(line.again, Some(Duration::from_millis(2_500)));
        links.opened(&device);
        assert_eq!(reason(&links), "udp: no answer yet");
        assert!(!links.line(&device, now).unwrap().broken);
    }
}
