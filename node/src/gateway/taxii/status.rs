//! What became of objects that were sent (section 4.3). A request is answered once all is done, so that
//! every status is complete; it is kept in memory for a while, for the pass that sent them.

use std::collections::VecDeque;
use std::sync::PoisonError;

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::super::call::Call;
use super::super::problem::Problem;
use super::super::time;
use super::{answer, check_accept};

/// What became of one request.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) id: String,
    pub(super) requested: u64,
    pub(super) outcomes: Vec<Outcome>,
}

/// What became of one object.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) id: String,
    pub(super) version: String,
    /// Why it was not taken.
    pub(super) fault: Option<String>,
}

/// The statuses that are kept, the oldest first.
#[derive(Debug, Default)]
pub(in super::super) struct Statuses {
    kept: VecDeque<([u8; 64], Status)>,
    bytes: usize,
}

/// Most statuses that are kept, and most bytes of them all: their texts are the sender's.
const KEPT_MAX: usize = 1_024;
const BYTES_MAX: usize = 16 * 1024 * 1024;

impl Statuses {
    fn keep(&mut self, pass: [u8; 64], status: Status) {
        self.bytes += status.bytes();
        self.kept.push_back((pass, status));
        while self.kept.len() > KEPT_MAX || self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.kept.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    fn find(&self, pass: [u8; 64], id: &str) -> Option<&Status> {
        let found = self.kept.iter().find(|(of, status)| *of == pass && status.id == id);
        found.map(|(_, status)| status)
    }
}

/// Keeps a status for who asks for it later.
pub(super) fn keep(call: &Call<'_>, status: Status) {
    let mut statuses = call.state.statuses.lock().unwrap_or_else(PoisonError::into_inner);
    statuses.keep(call.guest.block(), status);
}

/// `GET .../status/{status}/`
pub(in super::super) fn get(call: &Call<'_>) -> Result<Response, Problem> {
    check_accept(call)?;
    let found = {
        let statuses = call.state.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.find(call.guest.block(), call.place("status")).map(Status::shape)
    };
    answer(call, &found.ok_or_else(Problem::not_found)?)
}

impl Status {
    /// What it takes in memory.
    fn bytes(&self) -> usize {
        let texts = |one: &Outcome| {
            one.id.capacity()
                + one.version.capacity()
                + one.fault.as_ref().map_or(0, String::capacity)
        };
        self.outcomes.iter().map(|one| size_of::<Outcome>() + texts(one)).sum()
    }

    pub(super) fn shape(&self) -> Value {
        let detail = |one: &Outcome| {
            let mut detail = json!({ "id": one.id, "version": one.version });
            if let (Some(fault), Some(members)) = (&one.fault, detail.as_object_mut()) {
                members.insert("message".into(), fault.clone().into());
            }
            detail
        };
        let of = |good: bool| -> Vec<Value> {
            let these = self.outcomes.iter().filter(|one| one.fault.is_none() == good);
            these.map(detail).collect()
        };
        let (successes, failures) = (of(true), of(false));
        let mut whole = Map::new();
        whole.insert("id".into(), self.id.clone().into());
        whole.insert("status".into(), "complete".into());
        whole.insert("request_timestamp".into(), time::text(self.requested).into());
        whole.insert("total_count".into(), self.outcomes.len().into());
        whole.insert("success_count".into(), successes.len().into());
        whole.insert("failure_count".into(), failures.len().into());
        whole.insert("pending_count".into(), 0.into());
        for (name, list) in [("successes", successes), ("failures", failures)] {
            // A list without items is left out (section 1.6.5).
            if !list.is_empty() {
                whole.insert(name.into(), list.into());
            }
        }
        Value::Object(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(id: &str, outcomes: usize) -> Status {
        let one = Outcome { id: "x--1".into(), version: "v".into(), fault: Some("?".repeat(1024)) };
        Status { id: id.into(), requested: 0, outcomes: vec![one; outcomes] }
    }

    #[test]
    fn a_status_is_its_pass_s_alone_and_they_have_a_bound() {
        let mut statuses = Statuses::default();
        statuses.keep([1; 64], status("a", BYTES_MAX / 2_500));
        assert!(statuses.find([1; 64], "a").is_some());
        assert!(statuses.find([2; 64], "a").is_none());
        statuses.keep([2; 64], status("b", BYTES_MAX / 1_500));
        assert!(statuses.find([1; 64], "a").is_none() && statuses.find([2; 64], "b").is_some());
        statuses.keep([2; 64], status("c", BYTES_MAX / 1_000));
        assert!(statuses.find([2; 64], "c").is_none(), "larger than all may be");
        for n in 0..=KEPT_MAX {
            statuses.keep([3; 64], status(&n.to_string(), 1));
        }
        assert!(statuses.kept.len() <= KEPT_MAX);
        let counted: usize = statuses.kept.iter().map(|(_, kept)| kept.bytes()).sum();
        assert_eq!(statuses.bytes, counted);
    }

    #[test]
    fn counts_add_up() {
        let mut status = status("a", 2);
        status.outcomes[0].fault = None;
        status.outcomes[1].fault = Some("no".into());
        let shape = status.shape();
        assert_eq!((&shape["total_count"], &shape["success_count"]), (&json!(2), &json!(1)));
        assert_eq!(shape["failures"][0]["message"], "no");
        assert!(shape.get("pendings").is_none());
    }
}
