//! A request that was let in, with its parts read.

use std::sync::{Arc, PoisonError};

use axum::response::Response;
use serde::de::DeserializeOwned;

use super::State;
use super::form::Form;
use super::html::Trouble;
use super::language::Language;
use super::multipart::Upload;
use super::session::{Session, Token};
use crate::audit::{Event, Note, Outcome};
use crate::control::Request;
use crate::operators::{Right, Settings};
use crate::service::books::{event_of, now_ms};
use crate::service::desk::typed;

/// A request to one of the routes.
pub(super) struct Call {
    pub(super) state: Arc<State>,
    /// Of whom it is; `None` on routes that are open.
    pub(super) session: Option<Session>,
    /// The cookie that it came with, or that the answer gives.
    pub(super) token: Token,
    pub(super) language: Language,
    pub(super) method: &'static str,
    /// The route's path, as in the table.
    pub(super) route: &'static str,
    /// The path that was asked for.
    pub(super) path: String,
    pub(super) query: Form,
    pub(super) form: Form,
    /// The files that came with the form.
    pub(super) files: Vec<Upload>,
    /// Whether the page's script asks, and not somebody.
    pub(super) live: bool,
    /// What stands in the path's places, by their names.
    pub(super) places: Vec<(String, String)>,
}

/// What a route comes to.
pub(super) type Done = Result<Response, Trouble>;

impl Call {
    /// Whose request it is. Whoever is not signed in was not routed to where this is asked.
    pub(super) fn session(&self) -> Result<&Session, Trouble> {
        self.session.as_ref().ok_or_else(|| Trouble::new(axum::http::StatusCode::UNAUTHORIZED))
    }

    /// What stands in a place of the path.
    pub(super) fn place(&self, name: &str) -> &str {
        let found = self.places.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn may(&self, right: Right) -> bool {
        self.session.as_ref().is_some_and(|session| session.role.may(right))
    }

    /// Asks the core for this operator, writes that down first, and gives the answer in its type.
    pub(super) fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Trouble> {
        let viewer = self.session()?.viewer();
        if let Some((event, records)) = event_of(&request) {
            // An id that is none is not to fill the log.
            let records = records.into_iter().filter(|id| id.len() <= ID_DIGITS_MAX).collect();
            self.note(event, records, "", Outcome::Asked)?;
        }
        Ok(typed(self.state.service.call_for(viewer, request)?)?)
    }

    /// Asks the core for what is no record: how the peer is, who is a member.
    pub(super) fn ask_peer<T: DeserializeOwned>(&self, request: Request) -> Result<T, Trouble> {
        Ok(typed(self.state.service.answer_unnoted(request)?)?)
    }

    /// Writes down what the operator does; until it is on the disk nothing is answered.
    pub(super) fn note(
        &self,
        event: Event,
        records: Vec<String>,
        detail: &str,
        outcome: Outcome,
    ) -> Result<(), Trouble> {
        use tearline_crdt::record::vocabulary::Vocabulary as _;
        let session = self.session()?;
        self.state.books.audit.append(Note {
            event,
            operator: session.name.clone(),
            role: session.role.name().into(),
            purpose: session.purpose.word().into(),
            act: format!("{} {}", self.method, self.route),
            records,
            detail: detail.into(),
            outcome,
        })?;
        Ok(())
    }

    /// Writes down that something of a record is disclosed, or shown for that.
    pub(super) fn note_record(&self, record: &str, detail: &str) -> Result<(), Trouble> {
        self.note(Event::Disclosure, vec![record.to_owned()], detail, Outcome::Asked)
    }

    /// Keeps what the operator likes.
    pub(super) fn keep_settings(&self, settings: &Settings) -> Result<(), Trouble> {
        let session = self.session()?;
        self.state.books.operators.keep_settings(&session.name, settings)?;
        self.change_session(|session| session.settings = settings.clone());
        Ok(())
    }

    pub(super) fn change_session(&self, act: impl FnOnce(&mut Session)) {
        let sessions = self.state.sessions.lock();
        sessions.unwrap_or_else(PoisonError::into_inner).change(&self.token, act);
    }

    #[expect(clippy::unused_self, reason = "a request has one time, wherever it is asked")]
    pub(super) fn now_ms(&self) -> u64 {
        now_ms()
    }
}

/// Digits of a record's id.
const ID_DIGITS_MAX: usize = 32;
