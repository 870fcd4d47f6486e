//! What new keys cost for a compartment: bytes that every peer stores and relays, and the time that
//! their maker takes, with 10, 100 and 1,000 devices that may read. Beside it what the boxes alone
//! would take: their bytes, and the time to seal them, measured in the same run.
//!
//! `cargo bench -p tearline-mesh --bench rotation`
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::error::Error;
use std::time::Instant;

use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::entropy::SeededEntropy;
use tearline_crdt::id::{AgencyNo, Class, CoalitionId, Incarnation};
use tearline_crdt::keys::{DeviceKeys, Signer};
use tearline_crdt::seal::{BOX_BYTES, SecretBox};
use tearline_crdt::statement::DeskCertificate;
use tearline_crdt::store::Store as _;
use tearline_crdt::store::memory::MemoryStore;
use tearline_crdt::time::{MonoTime, Now, WallTime};
use tearline_mesh::invitation::{Applicant, Invited, JoinRequest};
use tearline_mesh::replica::Setup;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, Output, Replica};

type Broken = Box<dyn Error>;

const NOW: Now = Now { mono: MonoTime(0), wall: WallTime(1_767_225_600_000) };
/// Most bytes beside the boxes: statements, signatures, and their shares in segments.
const OVERHEAD_PER_CENT_MAX: usize = 10;

fn keys(n: u32) -> DeviceKeys {
    let seed = |tag: u8| {
        let mut seed = [tag; 32];
        seed.iter_mut().zip(n.to_be_bytes()).for_each(|(to, byte)| *to = byte);
        seed
    };
    DeviceKeys::from_seeds(&seed(1), &seed(2))
}

/// A desk with a coalition of its own.
fn founded() -> Result<(Replica<MemoryStore>, CoalitionId), Broken> {
    let setup = Setup {
        keys: keys(0),
        incarnation: Incarnation(1),
        entropy: Box::new(SeededEntropy::new(1)),
        projection: Box::new(()),
    };
    let mut replica = Replica::open(MemoryStore::new(), setup)?;
    let root = Signer::from_seed(&[9; 32]);
    let (no, name, country) = (AgencyNo(1), "Agency".to_owned(), "NE".to_owned());
    let charter = Charter {
        name: "Bench".into(),
        nonce: [0; 16],
        quorum: 1,
        limits_version: 1,
        erasure_delay_hours: 0,
        default_label: Vec::new(),
        agreement: None,
        founders: vec![Member { no, name, country, root: root.public() }],
    };
    let certificate = DeskCertificate::sign(&root, &keys(0), None);
    let coalition = replica.found(NOW, charter, certificate)?.value;
    drain(&mut replica)?;
    Ok((replica, coalition))
}

fn drain(replica: &mut Replica<MemoryStore>) -> Result<(), Broken> {
    while let Some(output) = replica.poll_output() {
        if let Output::Flush { barrier } = output {
            replica.store_mut().flush()?;
            replica.handle(NOW, Input::Flushed { barrier })?;
        }
    }
    Ok(())
}

/// Lets further devices of the agency in, until there are so many with the desk.
fn enrol(
    replica: &mut Replica<MemoryStore>,
    coalition: CoalitionId,
    from: u32,
    to: u32,
) -> Result<(), Broken> {
    for n in from..to {
        let expires = WallTime(NOW.wall.0 + 1_000);
        let invitation = replica
            .invite(coalition, Invited::Device { history: false }, expires, Vec::new(), "")?
            .value;
        let device = keys(n);
        let request = JoinRequest {
            coalition,
            secret: invitation.secret,
            applicant: Applicant::Device(device.card(invitation.inviter.0)),
            kem: device.kem_key().clone(),
        };
        let link = Link(u64::from(n));
        replica.handle(NOW, Input::Up { link, device: device.id(), dialer: false, thin: false })?;
        let bytes = Frame::Join { request: request.encode() }.encode();
        replica.handle(NOW, Input::Frame { link, bytes })?;
        replica.handle(NOW, Input::Down { link })?;
        drain(replica)?;
    }
    Ok(())
}

fn main() -> Result<(), Broken> {
    let (mut replica, coalition) = founded()?;
    let mut enrolled = 1;
    let mut failed = false;
    println!("devices    bytes  of boxes     ms  of sealing");
    for devices in [10_u32, 100, 1_000] {
        enrol(&mut replica, coalition, enrolled, devices)?;
        enrolled = devices;
        let name = format!("for {devices}");
        let opened = replica.open_another(NOW, coalition, vec![AgencyNo(1)], &name)?.value;
        drain(&mut replica)?;
        let log = replica.own_log(opened, Class::Authority);
        let before = replica.logbook().head(&log).next;

        let start = Instant::now();
        replica.rotate(NOW, opened)?;
        drain(&mut replica)?;
        let took = start.elapsed();

        let after = replica.logbook().head(&log).next;
        let store = replica.store();
        let stretch = replica.logbook().read(store, &log, before..after, usize::MAX)?;
        let bytes = stretch.map_or(0, |stretch| stretch.entries.len());
        let boxes = devices as usize * BOX_BYTES;
        let sealing = sealing(devices)?;
        println!(
            "{devices:>7} {bytes:>8} {:>7} % {:>6} {:>9} %",
            boxes * 100 / bytes.max(1),
            took.as_millis(),
            sealing.as_micros() * 100 / took.as_micros().max(1),
        );
        let readers = replica.compartment(opened).map_or(0, |c| c.readers().count());
        failed |= readers != devices as usize
            || bytes < boxes
            || bytes * 100 > boxes * (100 + OVERHEAD_PER_CENT_MAX) + 100_000;
    }
    if failed {
        return Err("a rotation is not for all readers, or has more bytes than it may".into());
    }
    Ok(())
}

/// The time to seal a secret to so many devices.
fn sealing(devices: u32) -> Result<std::time::Duration, Broken> {
    let cards: Vec<_> = (0..devices).map(|n| (keys(n).card([3; 32]), keys(n))).collect();
    let start = Instant::now();
    for (card, keys) in &cards {
        let made = SecretBox::seal(card, keys.kem_key(), &[4; 64], &[5; 32], &[6; 64])?;
        std::hint::black_box(made);
    }
    Ok(start.elapsed())
}
