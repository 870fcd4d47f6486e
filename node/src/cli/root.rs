//! `root`: recovery shares of the agency's root, which act on the home folder alone; and what the root
//! does by itself.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::context::Context;
use super::offline::{Apply, Draft, Sign};
use super::output::Outcome;
use super::render::facts;
use crate::failure::{Failure, Kind};
use crate::files::{create_private, read_text, write_atomically};
use crate::home::Agency;
use crate::shares::{Fingerprint, Share, join, split};

/// Keep the agency's root safe, and let it act while it stays offline
#[derive(Debug, Subcommand)]
pub(super) enum Root {
    Split(Split),
    Join(Join),
    #[command(subcommand)]
    Draft(Draft),
    Sign(Sign),
    Apply(Apply),
}

/// Split the agency's root into recovery shares, any few of which rebuild it
///
/// Give each share to another person, on paper or a medium of his own; fewer than the threshold say
/// nothing about the root. The root itself stays where it is. A new split does not make an old
/// one's shares useless.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline root split --threshold 3 --shares 5 --out /media/stick
  tearline root split --threshold 2 --shares 3        prints the shares")]
pub(super) struct Split {
    /// How many shares it takes to rebuild the root
    #[arg(long, value_name = "K")]
    threshold: u8,
    /// How many shares to make
    #[arg(long, value_name = "N")]
    shares: u8,
    /// Write each share to a file of its own in this folder, instead of printing them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Rebuild the agency's root from recovery shares, in this device's home
///
/// A file may hold one share. Lines that do not begin with a number and a colon are ignored.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline root join share-1.txt share-3.txt share-4.txt")]
pub(super) struct Join {
    /// Files that hold a share each
    #[arg(required = true, num_args = 1..)]
    files: Vec<PathBuf>,
}

impl Root {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Split(_) => "root.split",
            Self::Join(_) => "root.join",
            Self::Draft(_) => "root.draft",
            Self::Sign(_) => "root.sign",
            Self::Apply(_) => "root.apply",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Split(verb) => verb.run(context),
            Self::Join(verb) => verb.run(context),
            Self::Draft(verb) => verb.run(context),
            Self::Sign(verb) => verb.run(context),
            Self::Apply(verb) => verb.run(context),
        }
    }
}

impl Split {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let agency = context.home.read_agency(&mut context.opener())?.ok_or_else(|| {
            Failure::denied("this device holds no agency root")
                .hint("only a home made with `init --agency` has one, until it is moved away")
        })?;
        let shares = split(&agency, self.threshold, self.shares)?;
        let Some(folder) = &self.out else {
            let texts: Vec<_> = shares.iter().map(Share::to_text).collect();
            let printed = texts.iter().map(|text| text.as_str()).collect::<Vec<_>>();
            let data = json!({ "agency": agency.name, "fingerprint": fingerprint(&agency),
                "threshold": self.threshold, "shares": printed });
            return Ok(Outcome::new(data, printed.join("\n")));
        };
        create_private(folder)?;
        let paths: Vec<PathBuf> =
            shares.iter().map(|share| folder.join(format!("share-{}.txt", share.index))).collect();
        if let Some(taken) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
            return Err(Failure::failed(format!("{} is there already", taken.display()))
                .hint("shares overwrite nothing; name another folder"));
        }
        for (share, path) in shares.iter().zip(&paths) {
            write_atomically(path, share.to_text().as_bytes())?;
        }
        let listed = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let data = json!({ "agency": agency.name, "fingerprint": fingerprint(&agency),
            "threshold": self.threshold, "files": paths });
        let mut lines = about(&agency).to_vec();
        lines.extend(listed.into_iter().map(|path| ("share", path)));
        Ok(Outcome::new(data, facts(lines))
            .hint("give each to another person; together on one medium they are the root"))
    }
}

impl Join {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        home.check_root()?;
        let shares = self
            .files
            .iter()
            .map(|file| Ok((file.display().to_string(), read(file)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let agency = join(&shares).map_err(|error| error.failure())?;
        let lock = home.lock()?;
        home.write_agency(&lock, &agency, &mut context.opener())?;
        let data = json!({ "agency": agency.name, "country": agency.country,
            "fingerprint": fingerprint(&agency) });
        Ok(Outcome::new(data, facts(about(&agency))).hint(format!(
            "{} is the agency's root: use it, and move it offline again",
            home.agency_key().display()
        )))
    }
}

fn about(agency: &Agency) -> [(&'static str, String); 2] {
    [
        ("agency", format!("{} ({})", agency.name, agency.country)),
        ("fingerprint", fingerprint(agency)),
    ]
}

fn fingerprint(agency: &Agency) -> String {
    Fingerprint::of(agency).to_string()
}

fn read(file: &Path) -> Result<Share, Failure> {
    let text = Zeroizing::new(read_text(file, SHARE_FILE_BYTES_MAX)?);
    Share::from_text(&text)
        .map_err(|error| Failure::new(Kind::Integrity, format!("{}: {error}", file.display())))
}

/// Longest file with a share: its lines, and what somebody may have written around them.
const SHARE_FILE_BYTES_MAX: usize = 64 * 1024;
