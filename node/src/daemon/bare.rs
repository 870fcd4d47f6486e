//! A daemon's inside without a replica: it knows its own device and nothing else. The shell is run
//! and tested with it.

use std::process;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::time::WallTime;

use super::Opening;
use crate::control::reply::{AgencyRef, Check, CheckStatus, Doctor, Peers, Status};
use crate::control::{Progress, Request, Service};
use crate::failure::Failure;

/// Opens an inside that answers `status`, `doctor` and `peer list`.
pub fn start_bare(opening: Opening) -> Result<Arc<dyn Service>, Failure> {
    let keys =
        DeviceKeys::from_seeds(&opening.identity.device_seed, &opening.identity.agreement_seed);
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    Ok(Arc::new(Bare {
        status: Status {
            device: keys.id().to_string(),
            name: opening.config.name,
            agency: opening.agency.as_ref().map(|agency| AgencyRef {
                no: None,
                name: agency.name.clone(),
                country: agency.country.clone(),
            }),
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: WallTime(now_ms).to_string(),
            ..Status::default()
        },
    }))
}

struct Bare {
    status: Status,
}

impl Service for Bare {
    fn call(
        &self,
        request: Request,
        _progress: &mut dyn FnMut(Progress),
    ) -> Result<Value, Failure> {
        let encoded = match &request {
            Request::Status(_) => serde_json::to_value(&self.status),
            Request::PeerList(_) => serde_json::to_value(Peers::default()),
            Request::Doctor(_) => serde_json::to_value(Doctor {
                checks: vec![Check {
                    name: "replica".into(),
                    status: CheckStatus::Warn,
                    message: "this daemon holds no replica".into(),
                    fix: None,
                }],
            }),
            other => {
                let verb = other.verb();
                return Err(Failure::failed(format!("`{verb}` needs a replica, there is none")));
            }
        };
        encoded.map_err(|error| Failure::bug(error.to_string()))
    }
}
