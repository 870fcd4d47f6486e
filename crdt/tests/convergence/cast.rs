//! Who acts in all histories: agencies, their roots, desks and devices, and strangers. The keys are
//! the same in all of them, so that each card and certificate is signed once.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tearline_crdt::charter::Member;
use tearline_crdt::id::{AgencyNo, CoalitionId, DeviceId};
use tearline_crdt::keys::{DeviceCard, DeviceKeys, RootKey, Signer};
use tearline_crdt::statement::{Act, DeskCertificate, Opening, Reopening, RootAct};

/// The number of an agency's desks.
pub(crate) const DESKS: u8 = 2;
/// The number of an agency's devices, desks among them.
pub(crate) const DEVICES: u8 = 6;

/// The device with this number of an agency; desks first. Agency 0 is nobody's: strangers.
pub(crate) fn device(agency: u8, n: u8) -> DeviceId {
    keys(agency, n, DeviceKeys::id)
}

/// Cards by agency, device and sponsor.
type Cards = BTreeMap<(u8, u8, [u8; 32]), DeviceCard>;

/// The device's card under a sponsor.
pub(crate) fn card(agency: u8, n: u8, sponsor: [u8; 32]) -> DeviceCard {
    thread_local! {
        static CARDS: RefCell<Cards> = const { RefCell::new(Cards::new()) };
    }
    let known = CARDS.with_borrow(|cards| cards.get(&(agency, n, sponsor)).cloned());
    known.unwrap_or_else(|| {
        let card = keys(agency, n, |keys| keys.card(sponsor));
        CARDS.with_borrow_mut(|cards| cards.insert((agency, n, sponsor), card.clone()));
        card
    })
}

/// Another card of the same device under the same sponsor: with other keys to receive.
pub(crate) fn second_card(agency: u8, n: u8, sponsor: [u8; 32]) -> DeviceCard {
    thread_local! {
        static CARDS: RefCell<Cards> = const { RefCell::new(Cards::new()) };
    }
    let known = CARDS.with_borrow(|cards| cards.get(&(agency, n, sponsor)).cloned());
    known.unwrap_or_else(|| {
        let card = DeviceKeys::from_seeds(&seed(agency, n), &[1; 32]).card(sponsor);
        CARDS.with_borrow_mut(|cards| cards.insert((agency, n, sponsor), card.clone()));
        card
    })
}

/// The certificate of a device as a desk, by a root.
pub(crate) fn certificate(root: u8, agency: u8, n: u8) -> DeskCertificate {
    thread_local! {
        static CERTIFICATES: RefCell<BTreeMap<(u8, u8, u8), DeskCertificate>> =
            const { RefCell::new(BTreeMap::new()) };
    }
    let key = (root, agency, n);
    let known = CERTIFICATES.with_borrow(|all| all.get(&key).cloned());
    known.unwrap_or_else(|| {
        let signed = reopening_certificate(root, agency, n, None);
        CERTIFICATES.with_borrow_mut(|all| all.insert(key, signed.clone()));
        signed
    })
}

/// The same, with closures that end for an incarnation.
pub(crate) fn reopening_certificate(
    root: u8,
    agency: u8,
    n: u8,
    reopening: Option<Reopening>,
) -> DeskCertificate {
    keys(agency, n, |keys| DeskCertificate::sign(&root_signer(root), keys, reopening))
}

/// The public key of a root. Agency n begins with root n; n + 100 and n + 200 may replace it.
pub(crate) fn root(n: u8) -> RootKey {
    thread_local! {
        static ROOTS: RefCell<BTreeMap<u8, RootKey>> = const { RefCell::new(BTreeMap::new()) };
    }
    ROOTS.with_borrow_mut(|roots| *roots.entry(n).or_insert_with(|| root_signer(n).public()))
}

/// An act of a root.
pub(crate) fn root_act(n: u8, coalition: &CoalitionId, act: Act) -> Option<RootAct> {
    RootAct::sign(&root_signer(n), coalition, act)
}

/// An opening by a device.
pub(crate) fn opening(
    (agency, n): (u8, u8),
    coalition: CoalitionId,
    audience: Vec<(AgencyNo, RootKey)>,
    nonce: u8,
) -> Opening {
    keys(agency, n, |keys| Opening::sign(keys.signer(), coalition, audience, [nonce; 16]))
}

/// An agency as a member.
pub(crate) fn member(no: u8, root_no: u8) -> Member {
    Member {
        no: AgencyNo(u16::from(no)),
        name: format!("Agency {no}"),
        country: "NE".into(),
        root: root(root_no),
    }
}

fn root_signer(n: u8) -> Signer {
    let mut seed = [7; 32];
    seed[0] = n;
    Signer::from_seed(&seed)
}

fn keys<T>(agency: u8, n: u8, use_them: impl FnOnce(&DeviceKeys) -> T) -> T {
    thread_local! {
        static KEYS: RefCell<BTreeMap<(u8, u8), DeviceKeys>> = const { RefCell::new(BTreeMap::new()) };
    }
    KEYS.with_borrow_mut(|all| {
        use_them(
            all.entry((agency, n))
                .or_insert_with(|| DeviceKeys::from_seeds(&seed(agency, n), &seed(agency, n))),
        )
    })
}

fn seed(agency: u8, n: u8) -> [u8; 32] {
    let mut seed = [9; 32];
    seed[0] = agency;
    seed[1] = n;
    seed
}
