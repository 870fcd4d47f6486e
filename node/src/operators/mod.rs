//! Operators: the people of an agency who work at this peer. Who they are, what they may do ([`Role`]), how
//! they prove it, and how guessing is slowed down.
//!
//! The roster is one file in the home, sealed under a key of the device and written whole. A passphrase is
//! kept as Argon2id makes it of it, a one-time code as its hash. Nothing of it leaves the peer.

mod role;
mod totp;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tearline_crdt::hash::{Digest, sha256};
use tearline_crdt::record::vocabulary::{Purpose, Tlp, Vocabulary as _};
use tearline_crdt::seal::{self, Key};
use zeroize::Zeroizing;

pub use self::role::{ParseRoleError, Right, Role};
use crate::failure::{Failure, Kind};
use crate::files::{random, read_secret, replace_secret};
use crate::home::{Home, check_name};
use crate::protection::{Passphrase, Stretch};

/// Most operators of a peer.
pub const OPERATORS_MAX: usize = 500;
/// Shortest and longest passphrase, in characters and in bytes (NIST SP 800-63B-4 asks for 15 where it is
/// the only factor).
pub const PASSPHRASE_CHARS_MIN: usize = 15;
/// Longest passphrase.
pub const PASSPHRASE_BYTES_MAX: usize = 256;
/// Failed attempts in [`FAILURES_WITHIN_MS`] after which an operator is locked out (CJIS AC-7).
const FAILURES_MAX: usize = 5;
const FAILURES_WITHIN_MS: u64 = 15 * 60_000;
/// For how long.
const LOCKED_MS: u64 = 15 * 60_000;
/// Names whose failed attempts are remembered.
const ATTEMPTS_MAX: usize = 1_024;
/// How long the code of a new operator is good for, and that of the first.
const CODE_MS: u64 = 24 * 3_600_000;
const FIRST_CODE_MS: u64 = 15 * 60_000;
/// Bytes of a one-time code: 16 letters.
const CODE_BYTES: usize = 10;

/// The operators of a home.
#[derive(Debug)]
pub struct Operators {
    path: PathBuf,
    key: Key,
    roster: Mutex<Roster>,
    attempts: Mutex<BTreeMap<String, Vec<u64>>>,
    first: Mutex<Option<Code>>,
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Roster {
    version: u32,
    /// Rises with every change that ends sessions.
    generation: u64,
    accounts: BTreeMap<String, Account>,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Account {
    role: Role,
    label_max: Tlp,
    generation: u64,
    passphrase: Option<Stretched>,
    totp: Option<Totp>,
    code: Option<Code>,
    settings: Settings,
    last_login_ms: Option<u64>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, hidden)", self.role)
    }
}

/// What Argon2id made of a passphrase.
#[derive(Clone, Deserialize, Serialize)]
struct Stretched {
    salt: [u8; 16],
    hash: [u8; 32],
}

#[derive(Clone, Deserialize, Serialize)]
struct Totp {
    secret: [u8; totp::SECRET_BYTES],
    last_step: u64,
}

/// A one-time code.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Code {
    hash: Digest,
    until_ms: u64,
}

/// What an operator likes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Language of the portal: its code; empty where none was chosen.
    pub language: String,
    /// Colours of the portal; empty: as the system has them.
    pub theme: String,
    /// Minutes by which local time is ahead of UTC.
    pub utc_offset_min: i32,
    /// The purpose that the last session ended with.
    pub purpose: String,
    /// When the operator's last shift ended, in µs of the index; what came later is new.
    pub shift_us: u64,
    /// Whether single keys do nothing.
    pub keys_off: bool,
    /// Filters of the list of records that he comes back to.
    pub views: Vec<SavedView>,
}

/// Filters of the list of records, under a name.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SavedView {
    /// What it is called.
    pub name: String,
    /// The query of its address.
    pub query: String,
}

/// An operator, as others may know of him.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Operator {
    /// Name.
    pub name: String,
    /// Role.
    pub role: String,
    /// The highest colour that is shown to him.
    pub label_max: String,
    /// "active"; "invited": a code is out with which he signs in first; "expired": that code is too old.
    pub state: String,
    /// Whether he has a second factor.
    pub second_factor: bool,
    /// When he signed in last, in ms; null if never.
    pub last_login_ms: Option<u64>,
}

/// Somebody who signed in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedIn {
    /// Who.
    pub name: String,
    /// As what.
    pub role: Role,
    /// The highest colour that is shown to him.
    pub label_max: Tlp,
    /// Ends this session when it is no more the account's.
    pub generation: u64,
    /// What he likes.
    pub settings: Settings,
    /// Whether a second factor is still to be set up before anything else.
    pub enrols: bool,
}

/// Why somebody is not signed in. It says no more than a stranger may know.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Name, passphrase or code is wrong: which, is not said.
    #[error("the name, the passphrase or the code is wrong")]
    Wrong,
    /// Too many attempts.
    #[error("too many attempts failed; try again in {minutes} minutes")]
    Locked {
        /// For how long.
        minutes: u64,
    },
    /// The new passphrase is too short or too long.
    #[error(
        "a passphrase has {PASSPHRASE_CHARS_MIN} characters at least and {PASSPHRASE_BYTES_MAX} bytes at \
         most, and is not the name"
    )]
    Weak,
    /// The peer failed.
    #[error("{0}")]
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A second factor that is being set up.
#[derive(Clone)]
pub struct Enrolment(Zeroizing<[u8; totp::SECRET_BYTES]>);

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment(hidden)")
    }
}

impl Enrolment {
    /// A new one.
    pub fn begin() -> Result<Self, Failure> {
        let mut secret = Zeroizing::new([0; totp::SECRET_BYTES]);
        random(secret.as_mut_slice())?;
        Ok(Self(secret))
    }

    /// The secret as it is typed.
    #[must_use]
    pub fn text(&self) -> String {
        totp::base32(self.0.as_slice())
    }

    /// The secret as an authenticator scans it
    /// (<https://github.com/google/google-authenticator/wiki/Key-Uri-Format>).
    #[must_use]
    pub fn uri(&self, peer: &str, name: &str) -> String {
        let escape = |text: &str| -> String {
            form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
        };
        let (peer, name) = (escape(peer), escape(name));
        format!("otpauth://totp/{peer}:{name}?secret={}&issuer={peer}", self.text())
    }
}

impl Operators {
    /// The operators of a home.
    pub fn open(home: &Home, device_seed: &[u8; 32]) -> Result<Self, Failure> {
        let path = home.root().join("operators");
        let key = seal::derive(device_seed, &[], &[b"tearline/1/operators-key"]);
        let roster = read(&path, &key)?;
        Ok(Self {
            path,
            key,
            roster: Mutex::new(roster),
            attempts: Mutex::default(),
            first: Mutex::default(),
        })
    }

    /// All of them, by name.
    pub fn list(&self, now_ms: u64) -> Vec<Operator> {
        let roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        let accounts = roster.accounts.iter();
        accounts.map(|(name, account)| account.shown(name, now_ms)).collect()
    }

    /// Whether somebody has this name.
    pub fn has(&self, name: &str) -> bool {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner).accounts.contains_key(name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner).accounts.is_empty()
    }

    /// Adds an operator; returns the code with which he signs in first.
    pub fn add(
        &self,
        name: &str,
        role: Role,
        label_max: Tlp,
        now_ms: u64,
    ) -> Result<(Operator, Zeroizing<String>), Failure> {
        check_name("an operator's name", name)?;
        let (code, text) = Code::draw(now_ms.saturating_add(CODE_MS))?;
        self.change(|roster| {
            if roster.accounts.contains_key(name) {
                return Err(Failure::failed(format!("there is an operator {name:?} already"))
                    .hint("`tearline operator reset` gives a new code, `role` another role"));
            }
            if roster.accounts.len() >= OPERATORS_MAX {
                return Err(Failure::failed(format!(
                    "there are {OPERATORS_MAX} operators already"
                ))
                .hint("remove those who work here no more"));
            }
            roster.generation += 1;
            let account = Account {
                role,
                label_max,
                generation: roster.generation,
                passphrase: None,
                totp: None,
                code: Some(code),
                settings: Settings::default(),
                last_login_ms: None,
            };
            let shown = account.shown(name, now_ms);
            roster.accounts.insert(name.to_owned(), account);
            Ok((shown, text))
        })
    }

    /// Gives an operator another role or ceiling. His sessions end.
    pub fn set_role(
        &self,
        name: &str,
        role: Option<Role>,
        label_max: Option<Tlp>,
        now_ms: u64,
    ) -> Result<Operator, Failure> {
        self.change_account(name, |account| {
            account.role = role.unwrap_or(account.role);
            account.label_max = label_max.unwrap_or(account.label_max);
            Ok(account.shown(name, now_ms))
        })
    }

    /// Forgets an operator's passphrase and second factor; returns the code with which he sets new ones. His
    /// sessions end, and he is no more locked out.
    pub fn reset(&self, name: &str, now_ms: u64) -> Result<(Operator, Zeroizing<String>), Failure> {
        let (code, text) = Code::draw(now_ms.saturating_add(CODE_MS))?;
        let shown = self.change_account(name, |account| {
            (account.passphrase, account.totp, account.code) = (None, None, Some(code));
            Ok(account.shown(name, now_ms))
        })?;
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok((shown, text))
    }

    /// Removes an operator. His sessions end.
    pub fn remove(&self, name: &str, now_ms: u64) -> Result<Operator, Failure> {
        self.change(|roster| {
            let account = roster.accounts.remove(name).ok_or_else(|| unknown(name))?;
            Ok(account.shown(name, now_ms))
        })
    }

    /// A code with which the first operator makes himself an administrator, if there is no operator yet.
    pub fn begin(&self, now_ms: u64) -> Result<Option<Zeroizing<String>>, Failure> {
        if !self.is_empty() {
            return Ok(None);
        }
        let (code, text) = Code::draw(now_ms.saturating_add(FIRST_CODE_MS))?;
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
        Ok(Some(text))
    }

    /// The code of [`Operators::begin`] is good no more, as there is an operator now. Whether it was until then.
    pub fn end_first(&self, now_ms: u64) -> bool {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.is_some_and(|first| first.until_ms > now_ms)
    }

    /// Signs an operator in who has a one-time code, with the passphrase that he chooses.
    pub fn set_up(
        &self,
        name: &str,
        code: &str,
        passphrase: &str,
        now_ms: u64,
    ) -> Result<SignedIn, Refusal> {
        self.check_attempts(name, now_ms)?;
        if !is_strong(name, passphrase) {
            return Err(Refusal::Weak);
        }
        let stretched = Stretched::of(passphrase)?;
        let own = self.begin_first(name, code, now_ms)?;
        let code = own.as_ref().map_or(code, |own| own.as_str());
        // Who has no code changes nothing, and has nothing written.
        let invites =
            |account: &Account| account.code.as_ref().is_some_and(|known| known.fits(code, now_ms));
        let is_invited = {
            let roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
            roster.accounts.get(name).is_some_and(invites)
        };
        if !is_invited {
            self.note_failure(name, now_ms);
            return Err(Refusal::Wrong);
        }
        let done = self.change(|roster| {
            roster.generation += 1;
            let invited = |account: &&mut Account| invites(account);
            let Some(account) = roster.accounts.get_mut(name).filter(invited) else {
                return Ok(None);
            };
            account.generation = roster.generation;
            account.passphrase = Some(stretched);
            account.code = None;
            account.last_login_ms = Some(now_ms);
            Ok(Some(account.signed_in(name)))
        })?;
        if done.is_none() {
            self.note_failure(name, now_ms);
        }
        done.ok_or(Refusal::Wrong)
    }

    /// Makes the first operator an administrator, if this is the code for that; returns his own code.
    fn begin_first(
        &self,
        name: &str,
        code: &str,
        now_ms: u64,
    ) -> Result<Option<Zeroizing<String>>, Failure> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_empty() || !first.as_ref().is_some_and(|first| first.fits(code, now_ms)) {
            return Ok(None);
        }
        let (_, own) = self.add(name, Role::Admin, Tlp::Red, now_ms)?;
        *first = None;
        Ok(Some(own))
    }

    /// Signs an operator in. It takes as long whether there is one of that name or not.
    pub fn sign_in(
        &self,
        name: &str,
        passphrase: &str,
        code: &str,
        now_ms: u64,
    ) -> Result<SignedIn, Refusal> {
        self.check_attempts(name, now_ms)?;
        let account = {
            let roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
            roster.accounts.get(name).cloned()
        };
        let known = account.as_ref().and_then(|account| account.passphrase.clone());
        let fits = known.clone().unwrap_or_else(Stretched::none).fits(passphrase)?;
        let Some(account) = account.filter(|_| known.is_some() && fits) else {
            self.note_failure(name, now_ms);
            return Err(Refusal::Wrong);
        };
        let checked = account.generation;
        let last = account.totp.as_ref().map_or(0, |totp| totp.last_step);
        let step = account
            .totp
            .as_ref()
            .map(|known| totp::step_of(&known.secret, code, now_ms / 1_000, last));
        if step == Some(None) {
            self.note_failure(name, now_ms);
            return Err(Refusal::Wrong);
        }
        let signed_in = self.update(name, |account| {
            // It was reset meanwhile, or is another by now.
            if account.generation != checked {
                return None;
            }
            // Of two who show one code at once one is too late.
            if let (Some(totp), Some(Some(step))) = (&mut account.totp, step) {
                if totp.last_step >= step {
                    return None;
                }
                totp.last_step = step;
            }
            account.last_login_ms = Some(now_ms);
            Some(account.signed_in(name))
        })?;
        signed_in.flatten().ok_or(Refusal::Wrong)
    }

    /// Sets up a second factor, if the code is one of it.
    pub fn enrol(
        &self,
        name: &str,
        enrolment: &Enrolment,
        code: &str,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        self.check_attempts(name, now_ms)?;
        let secret = *enrolment.0;
        let Some(last_step) = totp::step_of(&secret, code, now_ms / 1_000, 0) else {
            self.note_failure(name, now_ms);
            return Err(Refusal::Wrong);
        };
        let done = self.update(name, |account| {
            account.totp = Some(Totp { secret, last_step });
        })?;
        done.ok_or(Refusal::Wrong)
    }

    /// Whether a session's account is still what it was when that began.
    pub fn holds(&self, name: &str, generation: u64) -> bool {
        let roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        roster.accounts.get(name).is_some_and(|account| account.generation == generation)
    }

    /// Keeps what an operator likes.
    pub fn keep_settings(&self, name: &str, settings: &Settings) -> Result<(), Failure> {
        self.update(name, |account| account.settings = settings.clone()).map(drop)
    }

    fn check_attempts(&self, name: &str, now_ms: u64) -> Result<(), Refusal> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(failed) = attempts.get(name) else { return Ok(()) };
        // Those that are remembered were close to the last.
        let until = failed.last().map_or(0, |last| last + LOCKED_MS);
        if failed.len() < FAILURES_MAX || until <= now_ms {
            return Ok(());
        }
        Err(Refusal::Locked { minutes: (until - now_ms).div_ceil(60_000) })
    }

    fn note_failure(&self, name: &str, now_ms: u64) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &u64| *at + FAILURES_WITHIN_MS > now_ms;
        if attempts.len() >= ATTEMPTS_MAX && !attempts.contains_key(name) {
            attempts.retain(|_, failed| failed.last().is_some_and(recent));
            if attempts.len() >= ATTEMPTS_MAX {
                // Whoever tries many names pushes out none that somebody has.
                let roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
                let other = attempts.keys().find(|known| !roster.accounts.contains_key(*known));
                let Some(other) = other.cloned() else { return };
                attempts.remove(&other);
            }
        }
        let failed = attempts.entry(name.to_owned()).or_default();
        failed.retain(recent);
        failed.push(now_ms);
    }

    /// Changes the roster, and keeps it as it is when that fails.
    fn change<T>(&self, act: impl FnOnce(&mut Roster) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = roster.clone();
        let value = act(&mut changed)?;
        self.write(&changed)?;
        *roster = changed;
        Ok(value)
    }

    /// Changes an account so that its sessions end.
    fn change_account<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Account) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.change(|roster| {
            roster.generation += 1;
            let generation = roster.generation;
            let account = roster.accounts.get_mut(name).ok_or_else(|| unknown(name))?;
            account.generation = generation;
            act(account)
        })
    }

    /// Changes an account whose sessions go on; `None` if there is none.
    fn update<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Account) -> T,
    ) -> Result<Option<T>, Failure> {
        self.change(|roster| Ok(roster.accounts.get_mut(name).map(act)))
    }

    fn write(&self, roster: &Roster) -> Result<(), Failure> {
        let mut nonce = [0; 12];
        random(&mut nonce)?;
        let roster = Roster { version: VERSION, ..roster.clone() };
        let text = serde_json::to_vec(&roster).map(Zeroizing::new);
        let text = text.map_err(|error| Failure::bug(error.to_string()))?;
        let sealed = seal::seal(&self.key, &nonce, TAG, &text);
        replace_secret(&self.path, &[&nonce[..], &sealed].concat())
    }
}

impl Account {
    fn shown(&self, name: &str, now_ms: u64) -> Operator {
        let state = match (&self.passphrase, &self.code) {
            (Some(_), _) => "active",
            (None, Some(code)) if now_ms < code.until_ms => "invited",
            (None, _) => "expired",
        };
        Operator {
            name: name.to_owned(),
            role: self.role.name().into(),
            label_max: self.label_max.word().into(),
            state: state.into(),
            second_factor: self.totp.is_some(),
            last_login_ms: self.last_login_ms,
        }
    }

    fn signed_in(&self, name: &str) -> SignedIn {
        SignedIn {
            name: name.to_owned(),
            role: self.role,
            label_max: self.label_max,
            generation: self.generation,
            settings: self.settings.clone(),
            enrols: self.role.needs_second_factor() && self.totp.is_none(),
        }
    }
}

impl Settings {
    /// The purpose that was chosen last; none in particular if none was.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        Purpose::from_word(&self.purpose).unwrap_or(Purpose::NonSpecified)
    }
}

impl Stretched {
    fn of(passphrase: &str) -> Result<Self, Failure> {
        let mut salt = [0; 16];
        random(&mut salt)?;
        let hash = *stretch(passphrase, &salt)?;
        Ok(Self { salt, hash })
    }

    /// That of nobody: no passphrase fits.
    const fn none() -> Self {
        Self { salt: [0; 16], hash: [0; 32] }
    }

    fn fits(&self, passphrase: &str) -> Result<bool, Failure> {
        // One that is too long costs as much as any.
        let fits = passphrase.len() <= PASSPHRASE_BYTES_MAX;
        let hash = stretch(if fits { passphrase } else { "" }, &self.salt)?;
        Ok(fits && same(hash.as_slice(), &self.hash))
    }
}

impl Code {
    fn draw(until_ms: u64) -> Result<(Self, Zeroizing<String>), Failure> {
        let mut bytes = Zeroizing::new([0; CODE_BYTES]);
        random(bytes.as_mut_slice())?;
        let letters = Zeroizing::new(totp::base32(bytes.as_slice()));
        let mut text = Zeroizing::new(String::new());
        for (n, letter) in letters.chars().enumerate() {
            if n > 0 && n % 4 == 0 {
                text.push('-');
            }
            text.push(letter);
        }
        Ok((Self { hash: Self::hash(&letters), until_ms }, text))
    }

    fn fits(&self, text: &str, now_ms: u64) -> bool {
        now_ms < self.until_ms && same(&Self::hash(text), &self.hash)
    }

    /// Of what was typed, in whatever case and groups.
    fn hash(text: &str) -> Digest {
        let letters = text.chars().filter(char::is_ascii_alphanumeric).take(64);
        let letters: Zeroizing<String> =
            Zeroizing::new(letters.map(|letter| letter.to_ascii_uppercase()).collect());
        sha256(letters.as_bytes())
    }
}

fn stretch(passphrase: &str, salt: &[u8; 16]) -> Result<Key, Failure> {
    let passphrase = Passphrase::new(passphrase.as_bytes().to_vec());
    Stretch::RECOMMENDED
        .apply(&passphrase, salt)
        .map_err(|error| Failure::failed(error.to_string()))
}

fn is_strong(name: &str, passphrase: &str) -> bool {
    passphrase.chars().count() >= PASSPHRASE_CHARS_MIN
        && passphrase.len() <= PASSPHRASE_BYTES_MAX
        && !passphrase.eq_ignore_ascii_case(name)
}

/// Compares in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn unknown(name: &str) -> Failure {
    Failure::new(Kind::NotFound, format!("no operator is called {name:?}"))
        .hint("`tearline operator list` shows all")
}

fn read(path: &std::path::Path, key: &Key) -> Result<Roster, Failure> {
    let Some(bytes) = read_secret(path, FILE_BYTES_MAX)? else { return Ok(Roster::default()) };
    let broken = || {
        Failure::new(Kind::Integrity, format!("{} does not open", path.display())).hint(
            "it was altered, or is of another device; move it away, and begin with new operators",
        )
    };
    let (nonce, sealed) = bytes.split_first_chunk().ok_or_else(broken)?;
    let plain = seal::open(key, nonce, TAG, sealed).map(Zeroizing::new).map_err(|_| broken())?;
    let roster: Roster = serde_json::from_slice(&plain).map_err(|_| broken())?;
    if roster.version == VERSION { Ok(roster) } else { Err(broken()) }
}

const VERSION: u32 = 1;
const TAG: &[u8] = b"tearline/1/operators";
/// Largest file: 500 accounts of a few hundred bytes, and 20 views of a KiB each.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests;
