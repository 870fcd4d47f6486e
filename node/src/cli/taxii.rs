//! `taxii`: what other programs' TAXII servers have.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::context::Context;
use super::output::{Outcome, data};
use super::render::{Table, facts};
use crate::control::reply::{Imported, Problem};
use crate::control::{self, Request};
use crate::failure::{Failure, Kind};
use crate::files::read_named_secret;
use crate::taxii::{Pull, Pulled, pull};

/// Take objects out of other programs' TAXII 2.1 servers
#[derive(Debug, Subcommand)]
pub(super) enum Taxii {
    /// Import what was added to a collection since it was pulled last
    #[command(after_help = "\
Example:
  tearline taxii pull http://127.0.0.1:5000/taxii2/ --collection Indicators --compartment 'Northern shore' \\
      --user reader --password-file taxii.txt --label TLP:AMBER

The server is on this machine, or a program on this machine that does TLS for it, as stunnel does. How far the
collection was pulled is kept in the home: an interrupted pull goes on where it was.

Exit code 7: pulled, but for objects that are no records, or because the server does not say how to go on;
what there is was taken.")]
    Pull {
        /// The URL of a server or of one of its API roots
        url: String,
        /// The collection: its id or title
        #[arg(long, value_name = "COLLECTION")]
        collection: String,
        /// Where to: name, id, or the beginning of its id
        #[arg(long, value_name = "C")]
        compartment: String,
        /// The user's name for the server
        #[arg(long, requires = "password_file")]
        user: Option<String>,
        /// A file that holds the password, on one line
        #[arg(long, value_name = "PATH", requires = "user")]
        password_file: Option<PathBuf>,
        /// The least restrictive label of what is written
        #[arg(long)]
        label: Option<String>,
        /// Objects of a page
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Begin with the first object again; what is here already changes nothing
        #[arg(long)]
        anew: bool,
    },
}

impl Taxii {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Pull { .. } => "taxii.pull",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let Self::Pull { url, collection, compartment, user, password_file, label, limit, anew } =
            self;
        let password = password_file.as_deref().map(password).transpose()?;
        let login = user.as_deref().zip(password.as_ref().map(|password| password.as_str()));
        let (url, collection) = (&*url, &*collection);
        let asked = Pull { url, collection, compartment: &compartment, login, limit, anew };
        let mut taken = Taken::default();
        let pulled = pull(&context.home, &asked, &mut |objects| {
            taken.add(import(context, objects, &compartment, label.clone())?);
            Ok(())
        });
        match pulled {
            Ok(pulled) => taken.outcome(pulled),
            Err(failure) => Err(Failure {
                what: format!("{} ({} objects were taken before it)", failure.what, taken.all.read),
                ..failure
            }),
        }
    }
}

/// Has the objects of a page written: what is answered is durable.
fn import(
    context: &Context,
    objects: &str,
    compartment: &str,
    label: Option<String>,
) -> Result<Imported, Failure> {
    let mut scratch = context.home.scratch_file()?;
    write!(scratch.file, "{{\"objects\":{objects}}}")
        .map_err(|error| Failure::io("cannot keep a page", &error))?;
    let request = control::Import {
        files: vec![scratch.path().to_owned()],
        stdin: Some(scratch.path().to_owned()),
        compartment: compartment.to_owned(),
        format: Some(control::Source::Stix),
        map: None,
        label,
        class: None,
    };
    Ok(context.ask::<Imported>(Request::Import(request))?.typed)
}

/// The password in a file.
fn password(path: &std::path::Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = read_named_secret(path, PASSWORD_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).ok().map(str::trim).filter(|text| {
        !text.is_empty() && text.len() < PASSWORD_BYTES_MAX && !text.contains(char::is_control)
    });
    let text = text.ok_or_else(|| {
        Failure::usage(format!("{} holds no password on one line", path.display()))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// What the pages of a pull came to.
#[derive(Default)]
struct Taken {
    all: Imported,
}

impl Taken {
    fn add(&mut self, page: Imported) {
        let all = &mut self.all;
        all.read += page.read;
        all.created += page.created;
        all.updated += page.updated;
        all.unchanged += page.unchanged;
        all.rejected += page.rejected;
        let room = PROBLEMS_MAX.saturating_sub(all.problems.len());
        all.problems.extend(page.problems.into_iter().take(room));
    }

    fn outcome(self, pulled: Pulled) -> Result<Outcome, Failure> {
        let all = self.all;
        let document = json!({
            "pages": pulled.pages, "whole": pulled.whole, "read": all.read, "created": all.created,
            "updated": all.updated, "unchanged": all.unchanged, "rejected": all.rejected,
            "problems": data(&all.problems)?,
        });
        let mut text = facts([
            ("pages", pulled.pages.to_string()),
            ("read", all.read.to_string()),
            ("created", all.created.to_string()),
            ("updated", all.updated.to_string()),
            ("unchanged", all.unchanged.to_string()),
            ("rejected", all.rejected.to_string()),
        ]);
        if !all.problems.is_empty() {
            let mut problems = Table::new(&["place", "reason"]).with_whole_ends();
            for Problem { place, reason, .. } in &all.problems {
                problems.row([place, reason]);
            }
            text = format!("{text}\n{}", problems.text(""));
        }
        let short = all.rejected > 0 || !pulled.whole;
        let outcome = Outcome::new(document, text).short_of(Kind::Incomplete, short);
        Ok(if pulled.whole {
            outcome
        } else {
            outcome.hint(
                "the server repeats its pages, or says that it has more and not where: what it gave was taken",
            )
        })
    }
}

/// Longest password: a pass is one.
const PASSWORD_BYTES_MAX: usize = 16 * 1024;
/// Problems that are shown in full.
const PROBLEMS_MAX: usize = 100;
