//! Where secrets come from while one command runs: files that were named, or a person at the
//! terminal, who is asked once.

use std::fs::File;
use std::path::PathBuf;

use super::{
    Head, KeyFile, Method, Passphrase, Protection, ProtectionError, Sealing, Secret, terminal,
};
use crate::failure::Failure;

/// The environment variable that names a file with the passphrase.
pub const PASSPHRASE_FILE_VARIABLE: &str = "TEARLINE_PASSPHRASE_FILE";
/// The environment variable that names a key file.
pub const KEY_FILE_VARIABLE: &str = "TEARLINE_KEY_FILE";

/// Where to look for what opens.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file with the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// A key file.
    pub key_file: Option<PathBuf>,
    /// Whether a person may be asked.
    pub may_ask: bool,
}

/// Where to look for what seals, when it is not what opens.
#[derive(Clone, Debug, Default)]
pub struct NewSources {
    /// A file with the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// A key file; made if it is not there.
    pub key_file: Option<PathBuf>,
}

/// Opens sealed files, and gives what new ones are sealed under. Remembers a passphrase until it is
/// dropped.
#[derive(Debug, Default)]
pub struct Opener {
    sources: Sources,
    passphrase: Option<Secret>,
    key_file: Option<Secret>,
    spare: Option<Secret>,
}

impl Opener {
    /// An opener that has these sources.
    #[must_use]
    pub const fn new(sources: Sources) -> Self {
        Self { sources, passphrase: None, key_file: None, spare: None }
    }

    /// Lets another secret open too: what files are about to be sealed under, when an earlier run
    /// may have sealed some of them already.
    pub fn also_try(&mut self, secret: Secret) {
        self.spare = Some(secret);
    }

    /// The key of what stands behind a head. `what` names it to the person who is asked.
    pub fn open(&mut self, head: &Head, what: &str) -> Result<Sealing, Failure> {
        if let Some(Ok(sealing)) = self.spare.as_ref().map(|spare| Sealing::find(head, spare)) {
            return Ok(sealing);
        }
        let secret = match head.method {
            Method::Passphrase(_) => self.passphrase(what)?,
            Method::KeyFile => self.key_file(what)?,
        };
        let opened = Sealing::find(head, secret);
        if opened.is_err() {
            // What was typed wrong once is not tried on the next file.
            self.passphrase = None;
        }
        opened.map_err(|error: ProtectionError| error.failure(what))
    }

    /// What new files are sealed under: the first of the new sources, and else what opens. A person
    /// is asked anew if `ask`, and otherwise what was typed to open is taken again. `None` if there
    /// is none of them.
    pub fn secret_for_new(
        &mut self,
        new: &NewSources,
        ask: bool,
        what: &str,
    ) -> Result<Option<Secret>, Failure> {
        let secret = if let Some(path) = &new.passphrase_file {
            Secret::Passphrase(Passphrase::read(path)?)
        } else if let Some(path) = &new.key_file {
            Secret::KeyFile(KeyFile::read_or_create(path)?)
        } else if let Some(path) = &self.sources.passphrase_file {
            Secret::Passphrase(Passphrase::read(path)?)
        } else if let Some(path) = &self.sources.key_file {
            Secret::KeyFile(KeyFile::read(path)?)
        } else if let Some(terminal) = self.terminal().filter(|_| ask) {
            Secret::Passphrase(terminal::ask_new(&terminal, what)?)
        } else if let Some(Secret::Passphrase(typed)) = self.passphrase.as_ref().filter(|_| !ask) {
            Secret::Passphrase(typed.clone())
        } else {
            return Ok(None);
        };
        if let Secret::Passphrase(passphrase) = &secret {
            passphrase.check_strength()?;
        }
        Ok(Some(secret))
    }

    /// As [`Opener::secret_for_new`], for what is not written in clear.
    pub fn sealing_for_new(&mut self, new: &NewSources, what: &str) -> Result<Sealing, Failure> {
        match self.secret_for_new(new, true, what)? {
            Some(secret) => Sealing::new(&secret),
            None => Err(Failure::usage(format!("nothing was given to seal {what} under")).hint(
                "name it with --new-passphrase-file PATH or --new-key-file PATH, or use a terminal",
            )),
        }
    }

    /// As [`Opener::secret_for_new`]; in clear when nothing was named.
    pub fn protection_for_new(&mut self, new: &NewSources) -> Result<Protection, Failure> {
        Protection::under(self.secret_for_new(new, false, "")?.as_ref())
    }

    fn passphrase(&mut self, what: &str) -> Result<&Secret, Failure> {
        let secret = match (self.passphrase.take(), &self.sources.passphrase_file) {
            (Some(known), _) => known,
            (None, Some(path)) => Secret::Passphrase(Passphrase::read(path)?),
            (None, None) => match self.terminal() {
                Some(terminal) => Secret::Passphrase(terminal::ask(
                    &terminal,
                    &format!("Passphrase for {what}: "),
                )?),
                None => {
                    return Err(Failure::usage(format!(
                        "{what} is sealed under a passphrase, and none was given"
                    ))
                    .hint(format!(
                        "name a file that holds it: --passphrase-file PATH, or set \
                         {PASSPHRASE_FILE_VARIABLE}"
                    )));
                }
            },
        };
        Ok(self.passphrase.insert(secret))
    }

    fn key_file(&mut self, what: &str) -> Result<&Secret, Failure> {
        let Some(path) = &self.sources.key_file else {
            return Err(Failure::usage(format!(
                "{what} is sealed under a key file, and none was named"
            ))
            .hint(format!("name it: --key-file PATH, or set {KEY_FILE_VARIABLE}")));
        };
        let secret = match self.key_file.take() {
            Some(known) => known,
            None => Secret::KeyFile(KeyFile::read(path)?),
        };
        Ok(self.key_file.insert(secret))
    }

    fn terminal(&self) -> Option<File> {
        if self.sources.may_ask { terminal::open() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;
    use crate::failure::Kind;

    fn passphrase_file(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    #[test]
    fn without_sources_nothing_opens_and_nothing_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = passphrase_file(folder.path(), "p", "correct horse");
        let passphrase = Secret::Passphrase(Passphrase::read(&path).unwrap());
        let key_file = Secret::KeyFile(KeyFile::new([1; 32]));
        for secret in [&passphrase, &key_file] {
            let head = *Sealing::new(secret).unwrap().head();
            let failure = Opener::default().open(&head, "device.key").unwrap_err();
            assert_eq!(failure.kind, Kind::Usage);
            assert!(failure.hint.unwrap().contains("-file PATH"));
        }
        let new = NewSources::default();
        assert!(Opener::default().secret_for_new(&new, true, "x").unwrap().is_none());
        assert!(Opener::default().sealing_for_new(&new, "x").is_err());
        let protection = Opener::default().protection_for_new(&new).unwrap();
        assert!(matches!(protection, Protection::Clear));
    }

    #[test]
    fn what_seals_is_the_new_source_and_else_what_opens() {
        let folder = tempfile::tempdir().unwrap();
        let old = passphrase_file(folder.path(), "old", "correct horse");
        let new = passphrase_file(folder.path(), "new", "battery staple\n");
        let key = folder.path().join("key");
        let sources = Sources { passphrase_file: Some(old), ..Sources::default() };
        let mut opener = Opener::new(sources);
        let mut given = |new: &NewSources| opener.secret_for_new(new, false, "x").unwrap().unwrap();
        let Secret::Passphrase(found) = given(&NewSources::default()) else { panic!() };
        assert_eq!(found.bytes(), b"correct horse");
        let named = NewSources { passphrase_file: Some(new), key_file: None };
        let Secret::Passphrase(found) = given(&named) else { panic!() };
        assert_eq!(found.bytes(), b"battery staple");
        let named = NewSources { passphrase_file: None, key_file: Some(key.clone()) };
        let Secret::KeyFile(found) = given(&named) else { panic!() };
        assert_eq!(found.bytes(), KeyFile::read(&key).unwrap().bytes());
    }

    #[test]
    fn a_short_passphrase_opens_and_does_not_seal() {
        let folder = tempfile::tempdir().unwrap();
        let short = passphrase_file(folder.path(), "p", "short");
        let sources = Sources { passphrase_file: Some(short.clone()), ..Sources::default() };
        let head =
            *Sealing::new(&Secret::Passphrase(Passphrase::read(&short).unwrap())).unwrap().head();
        let mut opener = Opener::new(sources);
        assert!(opener.open(&head, "x").is_ok());
        assert!(opener.secret_for_new(&NewSources::default(), false, "x").is_err());
    }
}
