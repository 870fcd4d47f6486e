//! What the operator says of peers: where they are, and whether links to them are wanted.

use serde_json::Value;

use tearline_crdt::id::DeviceId;
use tearline_crdt::store::Batch;
use tearline_mesh::interest::Interest;
use tearline_mesh::net;

use super::core::Core;
use super::names::is_prefix;
use super::overview::store_failure;
use super::thin::FORMS;
use super::{Answer, Tearline, aside, json};
use crate::control::PeerAdd;
use crate::failure::{Failure, Kind};

impl Tearline {
    pub(super) fn peer_add(&self, add: PeerAdd) -> Result<Value, Failure> {
        let PeerAdd { address, interest } = add;
        let interest = aside::read(&interest)?;
        self.answer(move |core| match core.thin_address(&address) {
            Some(thin) => {
                let thin = thin?;
                core.check_thin(&thin)?;
                let device = thin.device;
                core.want_of(device, interest)?;
                core.change_peer(device, |core, batch| core.dialer.set_thin(batch, thin))
            }
            None => {
                let (device, address) = net::split_address(&address).ok_or_else(|| {
                    Failure::usage(format!("{address:?} is no address of a peer")).hint(format!(
                        "write a multiaddress that ends in /p2p/PEER, as `tearline status` shows it \
                         there, or a thin link: {FORMS}"
                    ))
                })?;
                core.want_of(device, interest)?;
                core.change_peer(device, |core, batch| {
                    let connected = core.is_connected(&device);
                    core.dialer.add(batch, device, &address.to_string(), connected);
                })
            }
        })
    }

    pub(super) fn peer_remove(&self, name: String) -> Result<Value, Failure> {
        self.answer(move |core| {
            let (device, address) = core.configured_peer(&name)?;
            let was = json(&core.peer(&device))?;
            let (_, ticket) = core.change_peer(device, |core, batch| match &address {
                Some(address) => core.dialer.remove_address(batch, &device, address),
                None => core.dialer.remove(batch, &device),
            })?;
            // A thin link by this address has ended; another may have been by this one.
            if address.is_none_or(|address| !net::thin::is_thin(&address)) {
                core.disconnect(&device);
            }
            Ok((was, ticket))
        })
    }

    pub(super) fn peer_pause(&self, name: String, paused: bool) -> Result<Value, Failure> {
        self.answer(move |core| {
            let device = core.peer_or_member(&name)?;
            if !paused {
                core.penalties.release(&device);
            }
            let answer =
                core.change_peer(device, |core, batch| core.dialer.pause(batch, device, paused))?;
            if paused {
                core.disconnect(&device);
            }
            Ok(answer)
        })
    }
}

impl Core {
    /// Changes what is written down of a peer, and answers with how it is then.
    fn change_peer(
        &mut self,
        device: DeviceId,
        change: impl FnOnce(&mut Self, &mut Batch),
    ) -> Answer {
        let mut batch = Batch::default();
        change(self, &mut batch);
        let ticket = self.replica.put(batch).map_err(|error| store_failure(&error))?;
        self.tend_thin_links();
        Ok((json(&self.peer(&device))?, Some(ticket)))
    }

    /// From now on wants this of a peer, if anything is said.
    fn want_of(&mut self, device: DeviceId, interest: Option<Interest>) -> Result<(), Failure> {
        if interest.is_some() {
            let set = self.replica.set_interest(device, interest);
            set.map_err(|error| store_failure(&error))?;
        }
        Ok(())
    }

    /// The configured peer of a name or address, or else the member with that name; not this device.
    pub(super) fn peer_or_member(&self, name: &str) -> Result<DeviceId, Failure> {
        let device = match self.configured_peer(name) {
            Ok((device, _)) => device,
            // Of one that dials us nothing is written down.
            Err(unknown) => self.named_device(name).map_err(|failure| {
                if failure.kind == Kind::NotFound { unknown } else { failure }
            })?,
        };
        if device == self.replica.device() {
            return Err(Failure::usage("that is this device itself"));
        }
        Ok(device)
    }

    /// The configured peer of a device id or the beginning of one, a name, or an address; with the
    /// address, as it is written down, if it was that.
    fn configured_peer(&self, text: &str) -> Result<(DeviceId, Option<String>), Failure> {
        let address = match self.thin_address(text) {
            Some(thin) => thin?.to_string(),
            // As `status` shows it at the peer itself, or as it is written down here.
            None => net::split_address(text).map_or(text.to_owned(), |(_, bare)| bare.to_string()),
        };
        let targets = self.dialer.targets();
        let by_address = targets.iter().find(|(_, target)| {
            let thin = target.thin.as_ref().map(ToString::to_string);
            thin.as_ref() == Some(&address) || target.addresses.contains(&address)
        });
        if let Some((device, _)) = by_address {
            return Ok((*device, Some(address)));
        }
        let named = |device: &DeviceId| {
            is_prefix(text, &device.to_string())
                || self.device(device).name.is_some_and(|name| name.eq_ignore_ascii_case(text))
        };
        let known: Vec<DeviceId> = targets.keys().filter(|device| named(device)).copied().collect();
        match known.as_slice() {
            [device] => Ok((*device, None)),
            [] => {
                Err(Failure::not_found("peer", text)
                    .hint("`tearline peer list` shows those there are"))
            }
            several => {
                let ids: Vec<String> = several.iter().map(DeviceId::short).collect();
                Err(Failure::usage(format!("{text:?} fits several peers: {}", ids.join(", "))))
            }
        }
    }
}
