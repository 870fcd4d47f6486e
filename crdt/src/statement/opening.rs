//! The opening of a compartment: for whom it is, signed by who opened it.

use crate::bounds::{AGENCIES_MAX, FORMAT_VERSION};
use crate::codec::{DecodeError, Reader, Write as _};
use crate::hash::Domain;
use crate::id::{AgencyNo, CoalitionId, CompartmentId, DeviceId};
use crate::keys::{self, RootKey, Signature, Signer};

/// The opening of a compartment. The hash of all but its signature is the compartment's id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opening {
    /// The coalition whose agencies it is for.
    pub coalition: CoalitionId,
    /// The agencies that may read, each by its number and its root, in order of number: whoever
    /// took a number over is not meant. An empty audience means nobody.
    pub audience: Vec<(AgencyNo, RootKey)>,
    /// Random.
    pub nonce: [u8; 16],
    /// Who opened it.
    pub opener: DeviceId,
    /// The opener's signature, so that an opening proves itself before its log has come.
    pub signature: Signature,
}

impl Opening {
    /// Opens a compartment.
    #[must_use]
    pub fn sign(
        opener: &Signer,
        coalition: CoalitionId,
        audience: Vec<(AgencyNo, RootKey)>,
        nonce: [u8; 16],
    ) -> Self {
        let device = DeviceId(opener.public());
        let mut opening = Self { coalition, audience, nonce, opener: device, signature: [0; 64] };
        opening.signature = opener.sign(Domain::Opening, &opening.signed_bytes());
        opening
    }

    /// Whether the opener signed it.
    #[must_use]
    pub fn holds(&self) -> bool {
        keys::verify(&self.opener.0, Domain::Opening, &self.signed_bytes(), &self.signature)
    }

    /// The compartment's id.
    #[must_use]
    pub fn id(&self) -> CompartmentId {
        CompartmentId(Domain::Compartment.hash(&[&self.signed_bytes()]))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.raw(&self.signed_bytes()).raw(&self.signature);
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.raw(&[FORMAT_VERSION]).raw(&self.coalition.0).number(self.audience.len() as u64);
        for (agency, root) in &self.audience {
            out.number(u64::from(agency.0)).raw(root);
        }
        out.raw(&self.nonce).raw(&self.opener.0);
        out
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.at();
        if reader.u8("opening version")? != FORMAT_VERSION {
            return reader.invalid(at, "opening version");
        }
        let coalition = CoalitionId(reader.array("coalition id")?);
        let at = reader.at();
        let count = reader.count(AGENCIES_MAX, "audience")?;
        let mut audience = Vec::with_capacity(count);
        for _ in 0..count {
            audience.push((super::agency(reader)?, reader.array("agency root")?));
        }
        if !audience.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0)) {
            return reader.invalid(at, "audience");
        }
        let nonce = reader.array("nonce")?;
        let opener = DeviceId(reader.array("opener")?);
        let signature = reader.array("opener's signature")?;
        Ok(Self { coalition, audience, nonce, opener, signature })
    }
}
