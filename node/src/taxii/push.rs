//! Gives a collection of another server what is new here, page by page: sections 5.5 (add objects), 5.7 (delete an
//! object) and 4.3 (status). The place after a page is kept once the server has said of all of it what became of it,
//! so that a push which ends early goes on where it was; to send an object again changes nothing.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::RETRY_AFTER;
use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::http::{Answer, Asker, Server, refused};
use super::place::{Kept, Place};
use super::{Collection, collection, document, is_name};
use crate::control::reply::Outgoing;
use crate::exchange::stix;
use crate::failure::Failure;
use crate::home::Home;

/// Where to something is pushed.
pub(crate) struct Push<'a> {
    /// Of a server, or of one of its API roots.
    pub(crate) url: &'a str,
    /// The collection's id or title.
    pub(crate) collection: &'a str,
    /// Out of what: the compartment, the ceiling and all else that chooses, for which the place is kept.
    pub(crate) source: &'a str,
    /// Who asks.
    pub(crate) asker: Asker<'a>,
    /// Whether to begin anew.
    pub(crate) anew: bool,
}

/// What a push came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pushed {
    /// Objects that the server took.
    pub(crate) taken: u64,
    /// Objects that it deleted, because they were recalled here.
    pub(crate) withdrawn: u64,
    /// Objects that it refused.
    pub(crate) refused: u64,
    /// Objects of which it does not say yet what becomes of them.
    pub(crate) pending: u64,
    /// Records that the ceiling or the purpose held back.
    pub(crate) withheld: u64,
    /// The first of those that it refused: the id, and why.
    pub(crate) problems: Vec<(String, String)>,
}

/// Pushes page by page; `give` has what came later than a time, in µs.
pub(crate) fn push(
    home: &Home,
    push: &Push<'_>,
    pushed: &mut Pushed,
    give: &mut dyn FnMut(u64) -> Result<Outgoing, Failure>,
) -> Result<(), Failure> {
    let (server, path) = Server::of(push.url, push.asker)?;
    let to = collection(&server, &path, push.collection)?;
    if !to.writable {
        return Err(Failure::denied(
            "the server lets nobody with this login add to the collection",
        ));
    }
    let kept = Kept::of(home, &format!("push {}{}", push.url, to.path), push.source)?;
    let mut after_us = if push.anew { 0 } else { kept.read()?.after_us };
    let body_bytes_max = body_bytes_max(&document(&server.get(&to.root)?)?);
    let mut target = Target { server: &server, to: &to, pushed, unheard: 0, heard: false };
    let mut held = false;
    loop {
        let page = give(after_us)?;
        if page.last_us <= after_us {
            return Ok(());
        }
        target.heard = false;
        for batch in batches(&page.objects, body_bytes_max) {
            target.add(batch)?;
        }
        for id in &page.recalled {
            target.delete(id)?;
        }
        target.pushed.withheld += page.withheld;
        if target.pushed.pending > 0 {
            // It is asked again from this page on.
            return Ok(());
        }
        after_us = page.last_us;
        // What refused all of a page, and of those after it, may not be the server: a proxy, or a filter before it.
        held = !target.heard && (held || target.unheard > 0);
        if !held {
            kept.write(&Place { after_us, ..Place::default() })?;
        }
        if !page.more {
            return Ok(());
        }
    }
}

/// Where to objects are sent, and what came of it.
struct Target<'a> {
    server: &'a Server,
    to: &'a Collection,
    pushed: &'a mut Pushed,
    /// Objects that were refused unread since the server last said something of any.
    unheard: u64,
    /// Whether it said something of one of this page.
    heard: bool,
}

impl Target<'_> {
    /// Sends objects; in halves where the server finds them too many together, or one of them makes it refuse all.
    fn add(&mut self, objects: &[Value]) -> Result<(), Failure> {
        let target = format!("{}objects/", self.to.path);
        let answer = self.send(Method::POST, &target, envelope(objects))?;
        let whole = matches!(
            answer.status,
            StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
        );
        if !whole {
            if !answer.status.is_success() {
                return Err(refused(&target, &answer));
            }
            (self.unheard, self.heard) = (0, true);
            return self.settle(objects, document(&answer)?);
        }
        if let [one] = objects {
            let why = format!("the server answers {}", answer.status);
            self.pushed.refuse(id(one), why);
            self.unheard += 1;
            return if self.unheard < UNHEARD_MAX {
                Ok(())
            } else {
                Err(refused(&target, &answer))
            };
        }
        let (first, second) = objects.split_at(objects.len() / 2);
        self.add(first)?;
        self.add(second)
    }

    /// Waits for a while until the server says what became of all objects.
    fn settle(&mut self, objects: &[Value], mut status: Value) -> Result<(), Failure> {
        let name = status.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let target = format!("{}status/{name}/", self.to.root);
        let mut waits = STATUS_WAITS.iter();
        let is_open =
            |status: &Value| status.get("status").and_then(Value::as_str) == Some("pending");
        while is_open(&status) && is_name(&name) {
            let Some(wait) = waits.next() else { break };
            self.server.pause(*wait);
            status = document(&self.server.get(&target)?)?;
        }
        let count = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
        let failures =
            status.get("failures").and_then(Value::as_array).cloned().unwrap_or_default();
        let sent = objects.len() as u64;
        let failed = count("failure_count").max(failures.len() as u64).min(sent);
        let pending = if is_open(&status) { sent - failed } else { 0 };
        self.pushed.pending += pending;
        self.pushed.taken += sent - failed - pending;
        self.pushed.refused += failed;
        for failure in failures.iter().take(objects.len()) {
            let why =
                failure.get("message").and_then(Value::as_str).unwrap_or("it does not say why");
            self.pushed.note(id(failure), why.to_owned());
        }
        Ok(())
    }

    /// Has an object deleted that was recalled. One that is not there was never taken, or is gone.
    fn delete(&mut self, id: &str) -> Result<(), Failure> {
        let Some((stix_type, uuid)) = id.split_once("--") else { return Ok(()) };
        if !stix::is_type(stix_type) || !stix::is_uuid(uuid) {
            return Ok(());
        }
        let target = format!("{}objects/{id}/", self.to.path);
        let answer = self.send(Method::DELETE, &target, Bytes::new())?;
        match answer.status {
            StatusCode::NOT_FOUND | StatusCode::GONE => {}
            status if status.is_success() => self.pushed.withdrawn += 1,
            status => {
                let why = format!("recalled here, and the server answers {status} to its deletion");
                self.pushed.refuse(id.to_owned(), why);
            }
        }
        Ok(())
    }

    /// Sends something; later, a few times, where the server asks for that.
    fn send(&self, method: Method, target: &str, body: Bytes) -> Result<Answer, Failure> {
        let mut waits = BUSY_WAITS.iter();
        loop {
            let answer = self.server.send(method.clone(), target, body.clone())?;
            let busy = matches!(
                answer.status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            );
            let (true, Some(wait)) = (busy, waits.next()) else { return Ok(answer) };
            let asked = answer.header(&RETRY_AFTER).and_then(|s| s.trim().parse().ok());
            let asked = Duration::from_secs(asked.unwrap_or(0));
            if asked > BUSY_WAIT_MAX {
                return Ok(answer);
            }
            self.server.pause(asked.max(*wait));
        }
    }
}

impl Pushed {
    fn refuse(&mut self, id: String, why: String) {
        self.refused += 1;
        self.note(id, why);
    }

    fn note(&mut self, id: String, why: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push((id, why.chars().take(REASON_CHARS_MAX).collect()));
        }
    }
}

fn id(object: &Value) -> String {
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
    id.chars().take(REASON_CHARS_MAX).collect()
}

/// The largest body that a server takes, as its API root says (section 4.2).
fn body_bytes_max(root: &Value) -> usize {
    let said = root.get("max_content_length").and_then(Value::as_u64);
    said.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX)
}

fn envelope(objects: &[Value]) -> Bytes {
    Bytes::from(serde_json::json!({ "objects": objects }).to_string())
}

/// Objects in as few bodies as they fit into; one that does not fit has one of its own, which the server will refuse.
fn batches(objects: &[Value], body_bytes_max: usize) -> impl Iterator<Item = &[Value]> {
    let mut rest = objects;
    std::iter::from_fn(move || {
        let mut bytes = ENVELOPE_BYTES;
        let fits = |object: &&Value| {
            bytes += object.to_string().len() + 1;
            bytes <= body_bytes_max
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (batch, later) = rest.split_at(count);
        rest = later;
        (!batch.is_empty()).then_some(batch)
    })
}

/// `{"objects":[]}`
const ENVELOPE_BYTES: usize = 14;
/// Largest body that is sent.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long to wait before each time that a status is asked for: a minute in all.
const STATUS_WAITS: [Duration; 8] = [
    Duration::from_millis(200),
    Duration::from_millis(800),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(7),
    Duration::from_secs(15),
    Duration::from_secs(15),
    Duration::from_secs(15),
];
/// How long to wait, at least, before a busy server is asked again, and the longest wait that it can ask for.
const BUSY_WAITS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];
const BUSY_WAIT_MAX: Duration = Duration::from_secs(60);
/// Objects one after the other that are refused unread, after which nothing more is asked of the server.
const UNHEARD_MAX: u64 = 32;
/// Problems that are kept, and letters of one: they are the server's.
const PROBLEMS_MAX: usize = 100;
const REASON_CHARS_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_are_as_large_as_the_server_takes() {
        let objects: Vec<Value> = (0..5).map(|n| json!({ "id": n })).collect();
        let counts =
            |bytes_max| -> Vec<usize> { batches(&objects, bytes_max).map(<[_]>::len).collect() };
        let two = envelope(&objects[..2]).len() + 1;
        assert_eq!(counts(two), [2, 2, 1]);
        assert_eq!(counts(usize::MAX), [5]);
        assert_eq!(counts(0), [1; 5]);
        assert_eq!(batches(&[], 100).count(), 0);
        assert_eq!(body_bytes_max(&json!({ "max_content_length": 100 })), 100);
        for said in [json!({}), json!({ "max_content_length": u64::MAX })] {
            assert_eq!(body_bytes_max(&said), BODY_BYTES_MAX);
        }
    }
}
