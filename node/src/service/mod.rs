//! The service: what the daemon answers. It opens the store, the replica and the network, runs the
//! core's thread, and turns each request into a question or an act on it.

mod acts;
mod again;
mod aside;
mod attachment;
pub(crate) mod books;
mod bundle;
pub mod core;
mod damage;
pub(crate) mod desk;
mod dialer;
mod doctor;
pub(crate) mod edge;
mod explain;
mod export;
mod field;
mod find;
mod grants;
pub(crate) mod hands;
mod import;
pub(crate) mod kept;
mod known;
mod link;
mod merge;
mod names;
mod outgoing;
mod overview;
mod passes;
mod patrol;
mod pattern;
mod peers;
mod penalty;
mod ports;
pub(crate) mod prepared;
mod presence;
mod quarantine;
mod records;
mod release;
mod room;
mod root;
mod said;
pub(crate) mod sight;
mod standing;
mod thin;
mod trust;
mod whereabouts;
mod why;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::entropy::Entropy;
use tearline_crdt::id::{AgencyNo, Incarnation};
use tearline_crdt::keys::{DeviceKeys, Signer};
use tearline_crdt::record::label::Label;
use tearline_crdt::record::vocabulary::Tlp;
use tearline_crdt::statement::{DeskCertificate, Right};
use tearline_crdt::store::Batch;
use tearline_crdt::time::WallTime;
use tearline_mesh::invitation::{Applicant, Invitation, Invited, JoinRequest, Refusal, check_code};
use tearline_mesh::net::{self, NetConfig};
use tearline_mesh::replica::{RelayTerms, Setup, Terms, Ticket};
use tearline_mesh::{Event, Replica};

use self::books::Books;
use self::core::{Core, CoreHandle};
use self::dialer::Dialer;
use self::edge::Edge;
use self::room::Gauge;
use self::thin::ThinLinks;
use crate::config::check_address;
use crate::control::{self, Progress, Report, Request, Service, reply};
use crate::country;
use crate::daemon::Opening;
use crate::failure::{Failure, Kind};
use crate::gateway::{self, Gateway};
use crate::home::{Home, check_name};
use crate::index::{Index, Indexing};
use crate::pass::PassKey;
use crate::portal::{self, Portal};
use crate::store::{SledStore, StoreKey};

pub(crate) use field::LASTS_S_MAX as FIELD_LASTS_S_MAX;
pub(crate) use names::compartment_id;
pub(crate) use trust::root_key;

/// The answer to a request: its value, and the ticket that must be durable before it is given.
type Answer = Result<(Value, Option<Ticket>), Failure>;

/// How long the network may take to close its links.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// The daemon's inside.
pub struct Tearline {
    core: CoreHandle,
    gateway: Option<Gateway>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Closed once the driver of the network has ended.
    carried: Mutex<std::sync::mpsc::Receiver<()>>,
    announce: Vec<String>,
    agency: Option<AgencyRoot>,
    keys: DeviceKeys,
    pass_key: PassKey,
    books: Books,
    home: Home,
    portal: Option<Portal>,
    stop: mpsc::Sender<()>,
}

/// The agency's root, while its key is on this device.
struct AgencyRoot {
    signer: Signer,
    name: String,
    country: String,
}

/// Opens the daemon's inside. It listens when this returns.
pub fn start(opening: Opening) -> Result<Arc<dyn Service>, Failure> {
    let books = Books::open(&opening)?;
    let Opening {
        home,
        config,
        identity,
        agency,
        runtime,
        api,
        portal: portal_options,
        sabotage,
        relay,
        mdns,
        stop,
        broke,
    } = opening;
    let keys = DeviceKeys::from_seeds(&identity.device_seed, &identity.agreement_seed);
    home.expect_store(identity.incarnation)?;
    let store = SledStore::open(&home.store(), &StoreKey::new(identity.store_key))?;
    if let Err(failure) = home.note_store(identity.incarnation) {
        // A full disk, perhaps. The next start tries again.
        tracing::warn!(%failure, "cannot note that this home has a store");
    }
    let index = Arc::new(Mutex::new(Index::open(&store).map_err(|e| overview::store_failure(&e))?));
    let news = index.lock().unwrap_or_else(PoisonError::into_inner).news();
    let mut dialer = Dialer::load(&store).map_err(|e| overview::store_failure(&e))?;
    dialer.add_configured(&config.peers);
    let setup = Setup {
        keys: DeviceKeys::from_seeds(&identity.device_seed, &identity.agreement_seed),
        incarnation: Incarnation(identity.incarnation),
        entropy: Box::new(SystemEntropy),
        projection: Box::new(Indexing(Arc::clone(&index))),
    };
    let mut replica = Replica::open(store, setup).map_err(|e| overview::store_failure(&e))?;
    replica.rotate_after(config.epochs.rotate_after_ms()?);
    replica.reauthor_after(config.records.reauthor_after_ms()?);
    replica.withheld_after(u64::from(config.limits.withheld_after_s) * 1_000);
    if sabotage {
        tracing::error!("SABOTAGE: this daemon quarantines nothing; it is for an exercise alone");
        replica.quarantine_nothing();
    }
    if let Some(terms) = relay {
        begin_relay(&mut replica, terms)?;
    }
    let listen = ports::as_before(replica.store(), &config.listen)
        .map_err(|e| overview::store_failure(&e))?;
    let listen = parse_listen(&listen)?;
    let net_config = NetConfig {
        listen,
        connections_max: config.limits.peers_max,
        known: replica.devices_with_standing(),
        carries_circuits: relay.is_some(),
        announce: parse_listen(&config.announce)?,
        looks_around: mdns,
        ..NetConfig::default()
    };
    let (net, mut events) = net::spawn(&runtime, identity.device_seed, net_config)
        .map_err(|error| Failure::failed(error.to_string()))?;
    let (handle, queue) = core::channel();
    let to_core = handle.clone();
    let (carrying, carried) = std::sync::mpsc::sync_channel::<()>(0);
    // Frames wait in the transport while the core is busy; this thread only carries them over. It ends with
    // the driver, which goes on for a moment after the core to close its links.
    std::thread::Builder::new()
        .name("net-events".into())
        .spawn(move || {
            let mut taken = true;
            while let Some(event) = events.blocking_recv() {
                taken = taken && to_core.net(event);
            }
            drop(carrying);
        })
        .map_err(|error| Failure::io("cannot start a thread", &error))?;
    let gauge = Gauge::new(home.store(), config.limits.disk_reserve_bytes());
    let thin =
        ThinLinks::new(DeviceKeys::from_seeds(&identity.device_seed, &identity.agreement_seed));
    let gateway = api.as_ref().map(|api| gateway::start(&runtime, api)).transpose()?;
    let portal =
        portal_options.as_ref().map(|options| portal::start(&runtime, options)).transpose()?;
    let name = config.name;
    let core = Core::new(replica, index, net, dialer, thin, gauge, handle.clone())
        .map_err(|error| Failure::io("cannot start a thread", &error))?
        .called(name.clone())
        .serving(gateway.as_ref().map(Gateway::url), portal.as_ref().map(Portal::address))
        .reached_at(config.announce.clone());
    let thread = std::thread::Builder::new()
        .name("core".into())
        .spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| core.run(&queue))).is_err() {
                // What was acknowledged is durable; the rest is not said to be.
                let _ = broke.send(());
            }
        })
        .map_err(|error| Failure::io("cannot start a thread", &error))?;
    let pass_key = PassKey::derive(&identity.device_seed, identity.incarnation);
    if let (Some(gateway), Some(api)) = (&gateway, &api) {
        gateway.answer(&runtime, api, Edge::new(handle.clone(), pass_key.clone(), news));
    }
    let service = Tearline {
        core: handle,
        gateway,
        thread: Mutex::new(Some(thread)),
        carried: Mutex::new(carried),
        announce: config.announce,
        agency: agency.map(|agency| AgencyRoot {
            signer: Signer::from_seed(&agency.root_seed),
            name: agency.name.clone(),
            country: agency.country.clone(),
        }),
        keys,
        pass_key,
        books,
        home,
        portal,
        stop,
    };
    let service = Arc::new(service);
    if let Some(portal) = &service.portal {
        let device = service.keys.id().to_string();
        portal.answer(&runtime, &device, &name, &service, &service.books)?;
    }
    Ok(service)
}

/// Makes a relay of a device that may read nothing.
fn begin_relay(replica: &mut Replica<SledStore>, terms: RelayTerms) -> Result<(), Failure> {
    if replica.may_read() {
        return Err(Failure::denied("this device may read: it is no blind relay").hint(
            "enrol a device of its own for that, from another home: `tearline device enrol NAME \
             --right relay`",
        ));
    }
    replica
        .relay(core::Clock::start().now().wall, terms)
        .map_err(|error| overview::store_failure(&error))
}

fn parse_listen(texts: &[String]) -> Result<Vec<net::Multiaddr>, Failure> {
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|_| {
                Failure::usage(format!("{text:?} is no address to listen on"))
                    .hint("write for example /ip4/0.0.0.0/udp/4001/quic-v1")
            })
        })
        .collect()
}

/// The operating system's randomness.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Without randomness no key may be made; the operating system fails only before boot is
        // complete or when it is broken, and then the process must not go on.
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

/// A reply as JSON.
fn json(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::bug(error.to_string()))
}

impl Service for Tearline {
    fn call(&self, request: Request, progress: &mut Report<'_>) -> Result<Value, Failure> {
        if needs_standing(&request) {
            self.core.ask(|core| core.stands())?;
        }
        self.books.note_console(&request);
        self.books.call(&request).unwrap_or_else(|| self.carry_out(request, progress))
    }

    fn close(&self) {
        if let Some(gateway) = &self.gateway {
            gateway.stop();
        }
        if let Some(portal) = &self.portal {
            portal.stop();
        }
        self.core.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        let carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = carried.recv_timeout(CLOSE_MAX);
    }
}

impl Tearline {
    /// Does what is asked.
    fn carry_out(&self, request: Request, progress: &mut Report<'_>) -> Result<Value, Failure> {
        match request {
            Request::Status(_) => self.status(),
            Request::Doctor(_) => self.doctor(progress),
            Request::Stop(_) => {
                // It was told already if there is no room.
                let _ = self.stop.try_send(());
                json(&reply::Stopping { pid: std::process::id() })
            }
            Request::Join(join) => self.join(&join),
            Request::PeerInvite(invite) => self.invite(invite),
            Request::PeerAdd(add) => self.peer_add(add),
            Request::PeerInterest(ask) => self.answer(move |core| core.peer_interest(&ask)),
            Request::PeerList(_) => self.core.ask(|core| core.peer_list()),
            Request::PeerRemove(remove) => self.peer_remove(remove.peer),
            Request::PeerPause(named) => self.peer_pause(named.peer, true),
            Request::PeerResume(named) => self.peer_pause(named.peer, false),
            Request::CoalitionCreate(create) => self.coalition_create(&create),
            Request::CoalitionShow(_) => self.core.ask(|core| core.coalition_show()),
            Request::CompartmentOpen(open) => self.compartment_open(open),
            Request::CompartmentList(_) => self.core.ask(|core| {
                let compartments = core.compartment_summaries()?;
                json(&reply::Compartments { compartments })
            }),
            Request::CompartmentShow(show) => {
                self.core.ask(move |core| core.compartment_show(&show.compartment))
            }
            Request::PassMint(mint) => self.pass_mint(mint),
            Request::PassList(_) => self.pass_list(),
            Request::PassCheck(check) => self.pass_check(check),
            Request::PassRevoke(revoke) => self.pass_revoke(revoke),
            Request::RecordNew(new) => self.answer(move |core| core.record_new(new)),
            Request::RecordShow(show) => self.core.ask(move |core| core.record_show(&show.record)),
            Request::RecordList(list) => self.core.ask(move |core| core.record_list(&list)),
            Request::RecordEdit(edit) => self.answer(move |core| core.record_edit(edit)),
            Request::RecordHistory(history) => {
                self.core.ask(move |core| core.record_history(&history.record))
            }
            Request::RecordResolve(resolve) => {
                self.answer(move |core| core.record_resolve(&resolve))
            }
            Request::Import(import) => import::import(&self.core, &import, progress),
            Request::Export(export) => export::export(&self.core, &export, progress),
            Request::Outgoing(asked) => outgoing::page(&self.core, &asked),
            Request::BundleExport(act) => bundle::export(&self.core, &self.keys, &act, progress),
            Request::BundleInspect(named) => {
                bundle::inspect(&self.core, &self.keys, &named, progress)
            }
            Request::BundleImport(named) => {
                bundle::import(&self.core, &self.keys, &named, progress)
            }
            Request::FieldPack(pack) => field::pack(&self.core, &self.keys, &pack, progress),
            Request::FieldShow(_) => self.core.ask(|core| core.field_show()),
            Request::Search(mut search) => match search.pattern.take() {
                Some(text) => pattern::search(&self.core, &search, &text, progress),
                None => self.core.ask(move |core| core.search(&search)),
            },
            Request::CoalitionPropose(act) => self.answer(move |core| core.propose(&act)),
            Request::CoalitionApprove(named) => self.answer(move |core| core.approve(&named.id)),
            Request::CoalitionProposals(_) => self.core.ask(|core| core.proposals()),
            Request::GrantIssue(issue) => self.answer(move |core| core.grant_issue(&issue)),
            Request::GrantList(list) => {
                self.core.ask(move |core| core.grant_list(list.compartment.as_deref()))
            }
            Request::GrantExplain(named) => self.core.ask(move |core| core.explain(&named.id)),
            Request::GrantRevoke(revoke) => self.answer(move |core| core.grant_revoke(&revoke)),
            Request::GrantAdopt(named) => self.answer(move |core| core.adopt(&named.id)),
            Request::RootDraft(act) => self.core.ask(move |core| core.root_draft(&act)),
            Request::RootReopening(_) => self.core.ask(|core| core.root_reopening()),
            Request::RootApply(apply) => self.answer(move |core| core.root_apply(&apply.word)),
            Request::Quarantine(_) => self.core.ask(|core| core.quarantine()),
            Request::QuarantineShow(named) => {
                self.core.ask(move |core| core.quarantine_show(&named.id))
            }
            Request::DeviceList(_) => self.core.ask(|core| core.device_list()),
            Request::DeviceName(name) => self.answer(move |core| core.device_name(&name)),
            Request::DeviceLost(lost) => self.device_lost(lost),
            Request::CompartmentRotate(show) => {
                self.answer(move |core| core.compartment_rotate(&show.compartment))
            }
            Request::RecordSay(say) => {
                self.answer(move |core| core.record_say(&say.record, &say.said))
            }
            Request::RecordLift(named) => self.answer(move |core| core.record_lift(&named.id)),
            Request::RecordRelease(release) => {
                self.answer(move |core| core.record_release(release))
            }
            Request::RecordReceipts(show) => {
                self.core.ask(move |core| core.record_receipts(&show.record))
            }
            Request::PresenceSay(say) => self.core.ask(move |core| core.presence_say(&say)),
            Request::PresenceList(_) => self.core.ask(|core| core.presences()),
            Request::RecordAttach(act) => {
                let plain = attachment::read(&act.file)?;
                self.answer(move |core| core.attach(&act, &plain))
            }
            Request::RecordAttachments(show) => {
                self.core.ask(move |core| core.attachments(&show.record))
            }
            Request::RecordFetch(fetch) => attachment::fetch(&self.core, fetch),
            Request::RecordFetchEntries(show) => {
                self.core.ask(move |core| core.fetch_record(&show.record))
            }
            Request::RecordAsides(list) => {
                self.core.ask(move |core| core.record_asides(list.limit))
            }
            Request::Why(why) => self.core.ask(move |core| core.why(&why.record)),
            Request::OperatorAdd(_)
            | Request::OperatorList(_)
            | Request::OperatorRole(_)
            | Request::OperatorReset(_)
            | Request::OperatorRemove(_)
            | Request::AuditShow(_)
            | Request::AuditRead(_)
            | Request::AuditVerify(_) => Err(Failure::bug("the books did not answer")),
        }
    }
}

/// Whether a request writes what counts only while this device's standing holds. What takes away may
/// count all the same, and is judged for itself.
const fn needs_standing(request: &Request) -> bool {
    matches!(
        request,
        Request::RecordNew(_)
            | Request::RecordEdit(_)
            | Request::RecordResolve(_)
            | Request::RecordRelease(_)
            | Request::RecordSay(_)
            | Request::RecordLift(_)
            | Request::Import(_)
            | Request::CompartmentOpen(_)
            | Request::CompartmentRotate(_)
            | Request::GrantIssue(_)
            | Request::GrantAdopt(_)
            | Request::PeerInvite(_)
            | Request::PassMint(_)
    )
}

impl Tearline {
    /// Runs a piece of work; waits for its ticket, if it has one.
    fn answer(
        &self,
        work: impl FnOnce(&mut Core) -> Answer + Send + 'static,
    ) -> Result<Value, Failure> {
        self.core.act(move |core| {
            let (value, ticket) = work(core)?;
            Ok((value, ticket.unwrap_or_else(|| core.replica.settled())))
        })
    }

    /// The act first, until it is durable and on its way; then what the device could read, which may
    /// take long and may fail without undoing anything.
    fn device_lost(&self, lost: control::trust::DeviceLost) -> Result<Value, Failure> {
        let (device, mut done) = self.core.act(move |core| core.device_lost(&lost))?;
        match self.core.ask(move |core| core.exposed(&device)) {
            Ok((exposed, unread)) => (done.exposed, done.unread) = (exposed, unread.shape()),
            Err(failure) => done.unlisted = Some(failure.what),
        }
        json(&done)
    }

    fn status(&self) -> Result<Value, Failure> {
        let agency = self.agency.as_ref().map(|a| (a.name.clone(), a.country.clone()));
        self.core.ask_even_if_broken(move |core| {
            let agency = agency.as_ref().map(|(name, country)| (name.as_str(), country.as_str()));
            core.status(agency)
        })
    }

    /// The core's checks, and the store read through while the core goes on.
    fn doctor(&self, progress: &mut Report<'_>) -> Result<Value, Failure> {
        let (mut checks, checker) =
            self.core.ask_even_if_broken(|core| Ok((core.checks()?, core.checker())))?;
        let read = checker.check(&mut |checked| {
            let _ = progress(Progress {
                done: checked.values,
                total: None,
                unit: "values".into(),
                note: "reading the store through".into(),
            });
        });
        checks.extend(self.core.ask_even_if_broken(move |core| Ok(core.check_store(read)))?);
        json(&reply::Doctor { checks })
    }

    fn certificate(&self) -> Result<(DeskCertificate, &AgencyRoot), Failure> {
        let root = self.agency.as_ref().ok_or_else(|| {
            Failure::denied("this device holds no agency root")
                .hint("only a home made with `init --agency` can speak for an agency")
        })?;
        Ok((DeskCertificate::sign(&root.signer, &self.keys, None), root))
    }

    fn coalition_create(&self, create: &control::CoalitionCreate) -> Result<Value, Failure> {
        check_name("a coalition's name", &create.name)?;
        let (certificate, root) = self.certificate()?;
        let founder = Member {
            no: AgencyNo(1),
            name: root.name.clone(),
            country: root.country.clone(),
            root: root.signer.public(),
        };
        let mut founders = vec![founder];
        for (other, no) in create.founders.iter().zip(2..) {
            check_name("an agency's name", &other.name)?;
            founders.push(Member {
                no: AgencyNo(no),
                name: other.name.clone(),
                country: country::read(&other.country)?,
                root: root_key(&other.root)?,
            });
        }
        let mut nonce = [0; 16];
        SystemEntropy.fill(&mut nonce);
        let label = Label { tlp: DEFAULT_TLP, ..Label::unrestricted() };
        let charter = Charter {
            name: create.name.clone(),
            nonce,
            quorum: create.quorum.unwrap_or(1),
            limits_version: 1,
            erasure_delay_hours: create.erasure_delay_hours.unwrap_or(ERASURE_DELAY_HOURS),
            default_label: label.encode(),
            agreement: None,
            founders,
        };
        let founders = charter.founders.len();
        if !(1..=founders).contains(&usize::from(charter.quorum)) {
            return Err(Failure::usage(match founders {
                1 => "a sole founder reaches a quorum of 1, and no other".into(),
                _ => format!("{founders} founders can reach a quorum of 1 to {founders}"),
            }));
        }
        self.core.act(move |core| {
            if let Ok(known) = core.coalition() {
                let name = known.charter().name.clone();
                return Err(Failure::failed(format!("this device is in the coalition {name:?}")));
            }
            let now = core.now();
            let act =
                core.replica.found(now, charter, certificate).map_err(records::act_failure)?;
            let (_, _, home) = core.audience_compartment(&[], Some("home"))?;
            Ok((core.coalition_show()?, home.unwrap_or(act.ticket)))
        })
    }

    fn invite(&self, invite: control::PeerInvite) -> Result<Value, Failure> {
        let announce = self.announce.clone();
        self.core.act(move |core| {
            let coalition = core.coalition()?.id();
            if let Some(name) = &invite.name {
                core.free_name(name, None)?;
            }
            let name = invite.name.unwrap_or_default();
            invite.addresses.iter().try_for_each(|address| check_address(address))?;
            let named = if invite.addresses.is_empty() { announce } else { invite.addresses };
            let addresses = if named.is_empty() { core.full_addresses() } else { named };
            if addresses.is_empty() {
                return Err(Failure::failed("this daemon listens on no address")
                    .hint("see `tearline doctor`"));
            }
            let expires =
                WallTime(core.now().wall.0.saturating_add(invite.expires_s.saturating_mul(1_000)));
            let (replica, named) = (&mut core.replica, addresses.clone());
            let mut granted = None;
            let act = if invite.device {
                let right = grants::right(invite.right.as_deref().unwrap_or(Right::Write.name()))?;
                if right < Right::Read && invite.limits.history {
                    return Err(Failure::usage("a device with the right relay reads nothing")
                        .hint("leave out --history, or give it read"));
                }
                let terms = Terms { right, caveats: grants::caveats(&invite.limits)? };
                granted = Some((right.name().to_owned(), explain::limits_text(&terms.caveats)));
                replica.enrol(coalition, terms, expires, named, &name)
            } else {
                replica.invite(coalition, Invited::Agency, expires, named, &name)
            };
            let act = act.map_err(records::act_failure)?;
            let (right, limits) = granted.unzip();
            let value = json(&reply::Invitation {
                invitation: act.value.to_text(),
                device: invite.device,
                right,
                limits,
                history: invite.limits.history,
                expires: expires.to_string(),
                addresses,
            })?;
            Ok((value, act.ticket))
        })
    }

    /// Dials the inviter and waits for its answer, and then for the coalition's log to arrive. Where it
    /// has to wait for too long it says so, and the daemon goes on: the request may have gone out, and
    /// will until it is answered. Who is in already is told what a join that took place tells.
    fn join(&self, join: &control::Join) -> Result<Value, Failure> {
        let invitation = Invitation::from_text(&join.invitation)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let applicant = match invitation.invited {
            Invited::Agency => {
                let (desk, name, country) = match join.certificate.as_deref() {
                    Some(text) => root::certificate(text, &self.keys.id())?,
                    None => {
                        let (desk, root) = self.certificate()?;
                        (desk, root.name.clone(), root.country.clone())
                    }
                };
                let country = country.as_bytes().try_into().unwrap_or(*b"ZZ");
                Applicant::Agency { name, country, desk }
            }
            Invited::Device { .. } if join.certificate.is_some() => {
                return Err(Failure::usage("this invitation is for a device, not for a desk")
                    .hint("a desk comes in by an invitation for its agency: `peer invite`"));
            }
            Invited::Device { .. } if self.agency.is_some() => {
                let root = self.agency.as_ref().map_or("", |root| &root.name);
                return Err(Failure::denied(format!(
                    "this invitation is for a device of the inviter's agency, and this home holds the \
                     root of {root}"
                ))
                .hint(
                    "nothing was changed: join from a home made with `init --unit NAME`, or ask for an \
                     agency's invitation: `peer invite`",
                ));
            }
            Invited::Device { .. } => Applicant::Device(self.keys.card(invitation.inviter.0)),
        };
        let request = JoinRequest {
            coalition: invitation.coalition,
            secret: invitation.secret,
            applicant,
            kem: self.keys.kem_key().clone(),
        };
        let (told, hears) = std::sync::mpsc::sync_channel(16);
        let inviter = invitation.inviter;
        let check = check_code(&inviter, &self.keys.id(), &invitation.secret);
        let coalition = invitation.coalition;
        let is_in = self.core.ask(move |core| {
            core.check_room()?;
            if core.coalition().is_ok_and(|known| known.id() != coalition) {
                return Err(Failure::failed("this device is in another coalition already"));
            }
            let own = core.replica.device();
            if core.coalition().is_ok_and(|known| known.live(&own).is_some()) {
                return Ok(true);
            }
            if invitation.expires <= core.now().wall {
                return Err(Failure::denied(format!(
                    "the invitation expired at {}",
                    invitation.expires
                ))
                .hint("ask for a new one"));
            }
            core.join(&invitation, request, told)?;
            Ok(false)
        })?;
        if !is_in {
            let wait = join.wait_s.map_or(JOIN_WAIT, |s| Duration::from_secs(s.into()));
            hears.recv_timeout(wait.min(JOIN_WAIT_MAX)).map_err(|_| {
                Failure::new(Kind::Incomplete, "the inviter has not answered yet").hint(
                    "the daemon goes on asking as long as it runs: `tearline status` names the \
                     coalition once it is in. To join again changes nothing; check that the inviter \
                     runs and can be reached",
                )
            })??;
        }
        // What is said to have been joined is on the disk by then.
        self.answer(move |core| {
            let own = core.replica.device();
            let coalition = core.coalition()?;
            let (id, name) = (coalition.id(), coalition.charter().name.clone());
            let agency = core.agency_ref(core.agency_of(&own));
            let value = json(&reply::Joined {
                coalition: id.to_string(),
                name,
                agency,
                inviter: inviter.to_string(),
                check: (!is_in).then_some(check),
                already: is_in,
            })?;
            Ok((value, None))
        })
    }

    fn compartment_open(&self, open: control::CompartmentOpen) -> Result<Value, Failure> {
        check_name("a compartment's name", &open.name)?;
        self.answer(move |core| {
            let (id, opened, ticket) = core.audience_compartment(&open.rel, Some(&open.name))?;
            let compartment = core
                .replica
                .compartment(id)
                .ok_or_else(|| Failure::bug("an opened compartment is not there"))?;
            let value = json(&reply::Opened {
                compartment: id.to_string(),
                name: core.compartment_name(&id),
                agencies: core.audience(compartment),
                unlinked: core.unlinked(compartment),
                opened,
            })?;
            Ok((value, ticket))
        })
    }
}

impl Core {
    /// Sends a request to join, and tells what becomes of it.
    fn join(
        &mut self,
        invitation: &Invitation,
        request: JoinRequest,
        told: std::sync::mpsc::SyncSender<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let inviter = invitation.inviter;
        let mut batch = Batch::default();
        for address in invitation.addresses.iter().rev() {
            let bare = net::split_address(address).map(|(_, bare)| bare.to_string());
            let connected = self.is_connected(&inviter);
            self.dialer.add(&mut batch, inviter, bare.as_deref().unwrap_or(address), connected);
        }
        self.replica.put(batch).map_err(|error| overview::store_failure(&error))?;
        self.replica.join(inviter, request);
        self.disconnect(&inviter);
        let own = self.replica.device();
        self.on_event(Box::new(move |event, replica| {
            let outcome = match event {
                Event::JoinRefused { inviter: by, refusal } if *by == inviter => {
                    Some(Err(match refusal {
                        Refusal::Quorum => {
                            Failure::new(Kind::Waits, "the founders' signatures are awaited")
                                .hint(AWAITS_SIGNATURES)
                        }
                        _ => Failure::denied(refusal.to_string()),
                    }))
                }
                Event::Fault { device, .. } if *device == inviter => {
                    Some(Err(Failure::denied("the inviter's answer makes no sense")))
                }
                Event::StandingsChanged(id) => replica
                    .coalition(*id)
                    .is_some_and(|coalition| coalition.live(&own).is_some())
                    .then_some(Ok(())),
                _ => None,
            };
            match outcome {
                Some(outcome) => {
                    let _ = told.try_send(outcome);
                    true
                }
                None => false,
            }
        }));
        Ok(())
    }
}

/// The colour of a record that names none, in a coalition founded here.
const DEFAULT_TLP: Tlp = Tlp::Amber;
/// Hours between an erasure's statement and the destruction of what it names.
const ERASURE_DELAY_HOURS: u32 = 72;
/// What becomes of a request that a quorum has to admit.
const AWAITS_SIGNATURES: &str = "each founder's desk has the proposal in `tearline coalition proposals` and signs it \
    with `coalition approve`; this daemon goes on by itself when enough have, also after a restart, and \
    `tearline status` names the coalition then";
/// How long a join waits for the inviter if nothing is said, and at most.
const JOIN_WAIT: Duration = Duration::from_secs(30);
const JOIN_WAIT_MAX: Duration = Duration::from_secs(crate::length::DAY_S);
