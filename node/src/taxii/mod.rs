//! A client of TAXII 2.1 servers (OASIS, "TAXII Version 2.1", 2021): takes what a collection has had added since it
//! was pulled last ([`pull`]), and gives it what is new here since it was pushed to last ([`push`]).
//!
//! Each page that is pulled is on the disk before the place after it is kept, so that a pull which ends early goes on where it was,
//! and at worst takes a page again, which changes nothing.

mod http;
mod place;
mod push;

use axum::http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tearline_crdt::hash::sha256;

pub(crate) use self::http::Asker;
use self::http::{Answer, Server, refused};
use self::place::{Kept, Pages, Step, Turned, date};
pub(crate) use self::push::{Push, Pushed, push};
use crate::failure::Failure;
use crate::home::Home;
use crate::index::now_us;

/// What is pulled.
pub(crate) struct Pull<'a> {
    /// Of a server, or of one of its API roots.
    pub(crate) url: &'a str,
    /// The collection's id or title.
    pub(crate) collection: &'a str,
    /// Into which compartment: what the place is kept for.
    pub(crate) compartment: &'a str,
    /// Who asks.
    pub(crate) asker: Asker<'a>,
    /// Objects of a page.
    pub(crate) limit: u32,
    /// Whether to begin anew.
    pub(crate) anew: bool,
}

/// What a pull came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulled {
    /// Pages that were taken.
    pub(crate) pages: u64,
    /// How it ended.
    pub(crate) end: End,
    /// Whether the server said that something was added in the future.
    pub(crate) ahead: bool,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum End {
    /// All is here.
    #[default]
    Whole,
    /// The server repeats itself, or says that there is more and not where.
    Lost,
    /// There may be more: the next pull goes on.
    Enough,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    more: bool,
    #[serde(default)]
    next: Option<Value>,
    #[serde(borrow, default)]
    objects: Option<&'a RawValue>,
}

/// Pulls page by page; `take` has the objects of a page, a list in JSON, written and durable.
pub(crate) fn pull(
    home: &Home,
    pull: &Pull<'_>,
    take: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<Pulled, Failure> {
    let (server, path) = Server::of(pull.url, pull.asker)?;
    let Collection { path: collection, .. } = collection(&server, &path, pull.collection)?;
    let kept = Kept::of(home, &format!("{}{collection}", pull.url), pull.compartment)?;
    let place = if pull.anew { place::Place::default() } else { kept.read()? };
    let mut pages = Pages::from(place, now_us());
    let mut pulled = Pulled::default();
    loop {
        let target = format!("{collection}objects/?{}", pages.query(pull.limit));
        let answer = server.try_get(&target)?;
        let ended = matches!(
            answer.status,
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE
        );
        if pulled.pages == 0 && ended && pages.forget_next() {
            continue;
        }
        if !answer.status.is_success() {
            return Err(refused(&target, &answer));
        }
        let page: Page<'_> = serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::failed(format!("{target}: no page of TAXII: {error}")))?;
        let objects = page.objects.map_or("[]", RawValue::get);
        let last_us = answer.header(&ADDED_LAST).and_then(date);
        // Some write their places as numbers.
        let next = page.next.filter(|next| !next.is_null());
        let next = next.map(|next| next.as_str().map_or_else(|| next.to_string(), str::to_owned));
        let turned = Turned { digest: sha256(objects.as_bytes()), more: page.more, next, last_us };
        take(objects)?;
        pulled.pages += 1;
        let step = pages.turn(turned);
        kept.write(&pages.place)?;
        pulled.ahead = pages.ahead;
        pulled.end = match step {
            Step::On => continue,
            Step::Done => End::Whole,
            Step::Lost => End::Lost,
            Step::Enough => End::Enough,
        };
        return Ok(pulled);
    }
}

/// A collection of a server.
struct Collection {
    /// Of its API root.
    root: String,
    /// Its own.
    path: String,
    /// Whether objects may be added to it.
    writable: bool,
}

/// A collection, by its id or title.
fn collection(server: &Server, path: &str, named: &str) -> Result<Collection, Failure> {
    let root = root(server, path)?;
    let listed = document(&server.get(&format!("{root}collections/"))?)?;
    let all = listed.get("collections").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |one: &Value, name: &str| {
        one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let found: Vec<(String, bool)> = all
        .iter()
        .filter(|one| text(one, "id") == named || text(one, "title") == named)
        .map(|one| (text(one, "id"), one.get("can_write").and_then(Value::as_bool) == Some(true)))
        .filter(|(id, _)| is_name(id))
        .collect();
    match found.as_slice() {
        [(id, writable)] => {
            let path = format!("{root}collections/{id}/");
            Ok(Collection { root, path, writable: *writable })
        }
        [] => Err(Failure::not_found("collection", named)),
        _ => Err(Failure::usage(format!("several collections are called {named:?}; name an id"))),
    }
}

/// Whether a server's name for something may stand in a path.
fn is_name(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// The path of an API root: the one that is named, or the default one of a server.
fn root(server: &Server, path: &str) -> Result<String, Failure> {
    let path = if path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
    let found = document(&server.get(&path)?)?;
    if found.get("versions").is_some() {
        return Ok(path);
    }
    let roots = found.get("api_roots").and_then(Value::as_array);
    let only = roots.filter(|roots| roots.len() == 1).and_then(|roots| roots.first());
    let default = found.get("default").or(only).and_then(Value::as_str);
    let default = default.ok_or_else(|| {
        Failure::failed(format!("{path} names no default API root"))
            .hint("name the URL of one of its API roots")
    })?;
    // Where it stands is the server's business; which server is asked is not.
    let path = match default.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => default,
    };
    let absolute = path.starts_with('/') && path.ends_with('/');
    if absolute {
        Ok(path.to_owned())
    } else {
        Err(Failure::failed(format!("{default:?} is no API root")))
    }
}

fn document(answer: &Answer) -> Result<Value, Failure> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::failed(format!("the server does not answer in JSON: {error}")))
}

/// TAXII 2.1, section 3.3.
const ADDED_LAST: HeaderName = HeaderName::from_static("x-taxii-date-added-last");
