//! `root draft`, `sign` and `apply`: what an agency's root does alone, while it stays offline.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use tearline_crdt::id::{Incarnation, StatementId};
use tearline_crdt::keys::DeviceKeys;
use tearline_crdt::statement::{Act, Marks, Reopening};

use super::context::Context;
use super::device::void_text;
use super::output::{self, Outcome};
use super::render::{counted, facts, short};
use super::when::{KEEP_BY, since};
use crate::control::trust::{Proposed, RootApplied, RootApply, RootDraft, RootReopening, Void};
use crate::control::{Empty, Request};
use crate::failure::{Failure, Kind};
use crate::files::{read_text, write_atomically};
use crate::home::{Agency, Kept as _};
use crate::offline::{OFFLINE_TEXT_BYTES_MAX, OfflineError, RootRequest, RootWord, SignError};
use crate::service::root_key;

/// Draw up what the agency's root is to sign
#[derive(Debug, Subcommand)]
pub(super) enum Draft {
    /// End the standing of a device of the root's agency, a desk too
    #[command(after_help = "\
Example:
  tearline root draft revoke 4be1a09c --out revoke.txt     on any peer of the coalition
  tearline root sign revoke.txt --root agency.key --out signed.txt     where the root is
  tearline root apply signed.txt                           on any peer of the coalition")]
    Revoke {
        /// The device: its name here, its id, or the beginning of it
        device: String,
        /// Since when what it wrote does not count; from now on, if absent
        #[arg(long, value_name = "TIME", value_parser = since, allow_hyphen_values = true)]
        since: Option<String>,
        /// By what that is told: what this peer held by then, or what the entries say of themselves, which
        /// who has the device's keys chooses [default: arrival]
        #[arg(long, value_parser = KEEP_BY, requires = "since")]
        by: Option<String>,
        /// Write it to this file, instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Let a quarantined entry of a device of the root's agency count, and those before it in its log
    #[command(after_help = "\
Example:
  tearline root draft adopt 4be1a09c --out adopt.txt")]
    Adopt {
        /// The entry's id, or the beginning of it
        entry: String,
        /// Write it to this file, instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Ask that this device become a desk of the root's agency
    #[command(after_help = "\
Example:
  tearline root draft desk --root 5f0c... --out desk.txt   on the device; its daemon need not run
  tearline root sign desk.txt --root agency.key --out signed.txt     where the root is
  tearline join INVITATION --certificate signed.txt        on the device

The root's key is what `tearline id` shows as `root` at the agency, and `coalition show --json` at
every peer. A device that is in the coalition already becomes a desk by `root apply`.

A desk whose standing has ended comes back in a new life, if what ended it is lifted: its root's word, or
a desk's, by its root; its agency's retirement, once the founders have admitted the agency again.
  tearline doctor --new-life                               on the device, its daemon stopped
  tearline run &
  tearline root draft desk --root 5f0c... --readmit --out desk.txt
  tearline root sign desk.txt --root agency.key --out signed.txt     where the root is
  tearline root apply signed.txt                           on another peer of the coalition")]
    Desk {
        /// The root's key
        #[arg(long, value_name = "HEX")]
        root: String,
        /// Lift what ended this device's standing, for the life that it has now; asks its daemon
        #[arg(long)]
        readmit: bool,
        /// Write it to this file, instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Sign a draft with the agency's root; needs no daemon, and with --root no home
///
/// What is signed is shown first of all to who signs: compare it with what was agreed.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline root sign revoke.txt --root /media/safe/agency.key --out signed.txt")]
pub(super) struct Sign {
    /// The draft
    draft: PathBuf,
    /// The root's key file [default: that of this home]
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Write it to this file, instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Write down what the agency's root signed, on a peer of the coalition
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline root apply signed.txt")]
pub(super) struct Apply {
    /// What `root sign` made
    signed: PathBuf,
}

impl Draft {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (act, out) = match self {
            Self::Revoke { device, since, by, out } => {
                (Proposed::Revoke { device, since, by }, out)
            }
            Self::Adopt { entry, out } => (Proposed::Adopt { entry }, out),
            Self::Desk { root, readmit, out } => {
                return desk(context, &root, readmit, out.as_deref());
            }
        };
        let answer = context.ask::<RootDraft>(Request::RootDraft(act))?;
        let draft = &answer.typed;
        let text = handed_over("request", &draft.request, out.as_deref())?;
        let unnamed = (draft.unnamed > 0).then(|| {
            let logs = counted(draft.unnamed, "log");
            ("not kept", format!("{logs}; what was honest there can be adopted"))
        });
        let asks = facts([("asks", draft.what.clone())].into_iter().chain(unnamed));
        let text = format!("{asks}{text}{}", void_text(&draft.void));
        Ok(Outcome::new(answer.data, text).hint("sign it where the root is: tearline root sign"))
    }
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let text = read_text(&self.draft, OFFLINE_TEXT_BYTES_MAX)?;
        let request = RootRequest::from_text(&text).map_err(|e| unreadable(&self.draft, &e))?;
        let agency = root(context, self.root.as_deref())?;
        let what = describe(&request);
        let word = request.sign(&agency).map_err(sign_failure)?.to_text();
        let by = format!("{} ({})", agency.name, agency.country);
        let shown = handed_over("signed", &word, self.out.as_deref())?;
        let data = json!({ "word": word, "what": what, "agency": agency.name });
        let text = format!("{}{shown}", facts([("signed", what), ("by", by)]));
        Ok(Outcome::new(data, text).hint(
            "take it to a peer of the coalition: tearline root apply; for a new desk, to the device: \
             tearline join INVITATION --certificate",
        ))
    }
}

impl Apply {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        apply(context, read_text(&self.signed, OFFLINE_TEXT_BYTES_MAX)?, &[])
    }
}

/// Draws up, signs with a root's key file, and writes down at once: on a peer that has the file.
pub(super) fn by_root(context: &Context, act: Proposed, file: &Path) -> Result<Outcome, Failure> {
    let agency = root(context, Some(file))?;
    let draft = context.ask::<RootDraft>(Request::RootDraft(act))?;
    let request = RootRequest::from_text(&draft.typed.request)
        .map_err(|error| Failure::bug(format!("a draft does not read: {error}")))?;
    let word = request.sign(&agency).map_err(sign_failure)?;
    apply(context, word.to_text(), &draft.typed.void)
}

/// The text of a certificate, as `join` hands it on.
pub(super) fn certificate(file: &Path) -> Result<String, Failure> {
    let text = read_text(file, OFFLINE_TEXT_BYTES_MAX)?;
    RootWord::from_text(&text).map_err(|error| unreadable(file, &error))?;
    Ok(text)
}

fn apply(context: &Context, word: String, void: &[Void]) -> Result<Outcome, Failure> {
    let answer = context.ask::<RootApplied>(Request::RootApply(RootApply { word }))?;
    let applied = &answer.typed;
    let none = || "none".to_owned();
    let rotated = if applied.rotated.is_empty() { none() } else { applied.rotated.join(", ") };
    let statement = if applied.already {
        format!("{}; nothing to do, it counts already", applied.statement)
    } else {
        applied.statement.clone()
    };
    let text =
        facts([("statement", statement), ("says", applied.what.clone()), ("new keys", rotated)]);
    let mut data = answer.data;
    if let (Some(fields), false) = (data.as_object_mut(), void.is_empty()) {
        fields.insert("void".into(), output::data(&void)?);
    }
    Ok(Outcome::new(data, text + &void_text(void)))
}

/// The request of this device to be a desk.
fn desk(
    context: &Context,
    root: &str,
    readmit: bool,
    out: Option<&Path>,
) -> Result<Outcome, Failure> {
    let root = root_key(root)?;
    let identity = context.home.read_identity(&mut context.opener())?;
    let keys = DeviceKeys::from_seeds(&identity.device_seed, &identity.agreement_seed);
    let reopening = if readmit { Some(reopening(context)?) } else { None };
    let (card, kem) = (keys.card(root), keys.kem_key().clone());
    let request = RootRequest::Desk { card, kem, reopening };
    let what = describe(&request);
    let request = request.to_text();
    let text = handed_over("request", &request, out)?;
    let data = json!({ "request": request, "what": what, "void": [] });
    let text = format!("{}{text}", facts([("asks", what)]));
    Ok(Outcome::new(data, text).hint("sign it where the root is: tearline root sign"))
}

/// What ended this device's standing, and the life for which that is to be lifted.
fn reopening(context: &Context) -> Result<Reopening, Failure> {
    let answer = context.ask::<RootReopening>(Request::RootReopening(Empty {}))?;
    let malformed = || Failure::bug("the daemon names no life or no statement");
    let life = u64::from_str_radix(&answer.typed.incarnation, 16).map_err(|_| malformed())?;
    let cites = answer.typed.cites.iter().map(|id| id.parse());
    let cites = cites.collect::<Result<Vec<StatementId>, _>>().map_err(|_| malformed())?;
    Ok(Reopening { incarnation: Incarnation(life), cites })
}

/// What a root is asked to sign, without the names that only a peer knows.
fn describe(request: &RootRequest) -> String {
    let count = |marks: &Marks, list: &Option<Vec<u8>>| marks.resolve(list.as_deref()).len();
    match request {
        RootRequest::Act { coalition, act: Act::Revoke { device, keep }, marks, .. } => format!(
            "revoke device {device} in coalition {}; of its logs {} are kept up to a mark, of others \
             nothing",
            short(&coalition.to_string()),
            count(keep, marks)
        ),
        RootRequest::Act { coalition, act: Act::Adopt { marks: adopted }, marks, .. } => format!(
            "adopt {} logs up to a mark in coalition {}",
            count(adopted, marks),
            short(&coalition.to_string())
        ),
        RootRequest::Act { .. } => "an act that a root does not do alone".into(),
        RootRequest::Desk { card, reopening: None, .. } => {
            format!("device {} is a desk", card.device)
        }
        RootRequest::Desk { card, reopening: Some(reopening), .. } => {
            let ends: Vec<String> = reopening.cites.iter().map(ToString::to_string).collect();
            format!(
                "device {} is a desk again, in its life {:016x}; of what ended it is lifted: {}",
                card.device,
                reopening.incarnation.0,
                ends.join(", ")
            )
        }
    }
}

fn root(context: &Context, file: Option<&Path>) -> Result<Agency, Failure> {
    let mut opener = context.opener();
    let found = match file {
        Some(file) => Agency::read(file, &mut opener)?.map(|(agency, _)| agency),
        None => context.home.read_agency(&mut opener)?,
    };
    found.ok_or_else(|| match file {
        Some(file) => Failure::failed(format!("there is no file {}", file.display())),
        None => Failure::denied("this home holds no agency root")
            .hint("name its file with --root, or rebuild it from shares: tearline root join"),
    })
}

/// Writes a text to a file that is not there yet, and says so; or gives it to be printed.
fn handed_over(what: &str, text: &str, out: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = out else { return Ok(format!("\n{text}")) };
    if path.symlink_metadata().is_ok() {
        return Err(Failure::failed(format!("{} is there already", path.display()))
            .hint("it was left as it is; name another file"));
    }
    write_atomically(path, text.as_bytes())?;
    Ok(facts([(what, path.display().to_string())]))
}

fn unreadable(file: &Path, error: &OfflineError) -> Failure {
    Failure::new(Kind::Integrity, format!("{}: {error}", file.display()))
}

fn sign_failure(error: SignError) -> Failure {
    match error {
        SignError::OtherRoot(root) => {
            let root: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
            Failure::denied(format!("{error}: {root}"))
        }
        SignError::NotForRoots => Failure::denied(error.to_string()),
        SignError::Card => Failure::new(Kind::Integrity, error.to_string()),
    }
}
