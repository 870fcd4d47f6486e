//! Sessions: who is signed in. A session is a random word in a cookie; what is kept of it here is its hash. It
//! ends when nothing was asked for a while, after a shift, when its operator signs out or is changed, and with
//! the daemon.

use std::collections::BTreeMap;

use tearline_crdt::hash::{Digest, sha256};
use tearline_crdt::record::vocabulary::{Purpose, Tlp};
use zeroize::Zeroizing;

use super::language::Language;
use crate::failure::Failure;
use crate::files::random;
use crate::operators::{Enrolment, Right, Role, Settings, SignedIn};
use crate::service::sight::Viewer;

/// How long a session lasts without a request (CJIS AC-11 asks for 30 minutes at most), and altogether: a
/// shift.
pub(super) const IDLE_MS: u64 = 30 * 60_000;
pub(super) const ABSOLUTE_MS: u64 = 12 * 3_600_000;
/// Most sessions, of all and of one operator.
const SESSIONS_MAX: usize = 256;
const SESSIONS_OF_ONE_MAX: usize = 8;
/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// What is in the cookie: 64 hexadecimal digits.
#[derive(Clone)]
pub(super) struct Token(Zeroizing<String>);

/// Somebody at a browser.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) label_max: Tlp,
    pub(super) purpose: Purpose,
    pub(super) settings: Settings,
    pub(super) generation: u64,
    /// A second factor that is being set up, before which nothing else is done.
    pub(super) enrols: Option<Enrolment>,
    began_ms: u64,
    seen_ms: u64,
}

/// The sessions there are, by the hash of their tokens.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<Digest, Session>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Token {
    pub(super) fn draw() -> Result<Self, Failure> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        random(bytes.as_mut_slice())?;
        Ok(Self(Zeroizing::new(hex(bytes.as_slice()))))
    }

    /// The token of a cookie's value, if it has the form of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == 2 * TOKEN_BYTES && digits).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What every form carries that is sent with this cookie: whoever cannot read our pages does not know
    /// it, and who knows it does not know the token.
    pub(super) fn form_token(&self) -> String {
        hex(&sha256(&[b"tearline/1/form-token\0", self.0.as_bytes()].concat()))
    }

    fn hash(&self) -> Digest {
        sha256(&[b"tearline/1/session-token\0", self.0.as_bytes()].concat())
    }
}

impl Session {
    pub(super) fn new(signed_in: SignedIn, purpose: Purpose, now_ms: u64) -> Result<Self, Failure> {
        let enrols = signed_in.enrols.then(Enrolment::begin).transpose()?;
        Ok(Self {
            name: signed_in.name,
            role: signed_in.role,
            label_max: signed_in.label_max,
            purpose,
            settings: signed_in.settings,
            generation: signed_in.generation,
            enrols,
            began_ms: now_ms,
            seen_ms: now_ms,
        })
    }

    /// What records it is shown.
    pub(super) fn viewer(&self) -> Viewer {
        let withholds = self.role.may(Right::Withhold);
        Viewer { purpose: self.purpose, label_max: self.label_max, withholds }
    }

    pub(super) fn language(&self) -> Option<Language> {
        Language::parse(&self.settings.language)
    }

    fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.seen_ms.saturating_add(IDLE_MS)
            || now_ms >= self.began_ms.saturating_add(ABSOLUTE_MS)
    }
}

impl Sessions {
    /// Begins a session under a new token.
    pub(super) fn begin(&mut self, session: Session) -> Result<Token, Failure> {
        let now_ms = session.seen_ms;
        self.0.retain(|_, other| !other.is_over(now_ms));
        while self.0.values().filter(|other| other.name == session.name).count()
            >= SESSIONS_OF_ONE_MAX
        {
            self.drop_oldest(|other| other.name == session.name);
        }
        while self.0.len() >= SESSIONS_MAX {
            self.drop_oldest(|_| true);
        }
        let token = Token::draw()?;
        self.0.insert(token.hash(), session);
        Ok(token)
    }

    fn drop_oldest(&mut self, among: impl Fn(&Session) -> bool) {
        let sessions = self.0.iter().filter(|(_, session)| among(session));
        let oldest = sessions.min_by_key(|(_, session)| session.seen_ms).map(|(hash, _)| *hash);
        if let Some(hash) = oldest {
            self.0.remove(&hash);
        }
    }

    /// The session of a token, which goes on by that if somebody asked.
    pub(super) fn look(&mut self, token: &Token, now_ms: u64, goes_on: bool) -> Option<Session> {
        let hash = token.hash();
        let session = self.0.get_mut(&hash)?;
        if session.is_over(now_ms) {
            self.0.remove(&hash);
            return None;
        }
        if goes_on {
            session.seen_ms = now_ms;
        }
        Some(session.clone())
    }

    /// Changes a session.
    pub(super) fn change(&mut self, token: &Token, act: impl FnOnce(&mut Session)) {
        if let Some(session) = self.0.get_mut(&token.hash()) {
            act(session);
        }
    }

    pub(super) fn end(&mut self, token: &Token) {
        self.0.remove(&token.hash());
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(name: &str, now_ms: u64) -> Session {
        Session {
            name: name.into(),
            role: Role::Viewer,
            label_max: Tlp::Red,
            purpose: Purpose::Security,
            settings: Settings::default(),
            generation: 1,
            enrols: None,
            began_ms: now_ms,
            seen_ms: now_ms,
        }
    }

    #[test]
    fn a_session_ends_when_nothing_is_asked_and_after_a_shift() {
        let mut sessions = Sessions::default();
        let token = sessions.begin(session("A", 0)).unwrap();
        assert!(sessions.look(&token, IDLE_MS - 1, true).is_some());
        assert!(sessions.look(&token, 2 * IDLE_MS - 1, true).is_none());
        assert!(sessions.look(&token, 0, true).is_none(), "it does not come back");
        let token = sessions.begin(session("A", 0)).unwrap();
        assert!(sessions.look(&token, IDLE_MS - 1, false).is_some());
        assert!(sessions.look(&token, IDLE_MS, false).is_none(), "a tab alone keeps none");
        let token = sessions.begin(session("A", 0)).unwrap();
        let mut now = 0;
        while now + IDLE_MS / 2 < ABSOLUTE_MS {
            now += IDLE_MS / 2;
            assert!(sessions.look(&token, now, true).is_some());
        }
        assert!(sessions.look(&token, ABSOLUTE_MS, true).is_none());
    }

    #[test]
    fn sessions_have_a_bound_and_the_oldest_goes() {
        let mut sessions = Sessions::default();
        let first = sessions.begin(session("A", 0)).unwrap();
        for n in 1..=SESSIONS_OF_ONE_MAX as u64 {
            sessions.begin(session("A", n)).unwrap();
        }
        assert!(sessions.look(&first, 9, true).is_none());
        for n in 0..2 * SESSIONS_MAX {
            sessions.begin(session(&n.to_string(), 10)).unwrap();
        }
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
    }

    #[test]
    fn a_token_is_64_digits_and_gives_itself_not_away() {
        let token = Token::draw().unwrap();
        assert_eq!(Token::parse(token.text()).unwrap().text(), token.text());
        assert_ne!(token.form_token(), token.text());
        assert_eq!(format!("{token:?}"), "Token(hidden)");
        for text in ["", "ab", &"g".repeat(64), &"A".repeat(64), &"a".repeat(65)] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }
}
