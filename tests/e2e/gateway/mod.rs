//! The gateway, over real HTTP against real daemons: what a pass may not see is not there on any route,
//! what is taken is durable and reaches others, and what is hostile is refused and leaves nothing.

mod exchange;
mod hostile;
mod limits;
mod matrix;
mod pull;
pub(crate) mod push;

use std::io::{self, BufRead as _};
use std::path::Path;

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;
use tearline_tests::http::{self, Answer};

use crate::trust::{done, text};

const TAXII: &str = "application/taxii+json;version=2.1";
const API: &[&str] = &["--api", "127.0.0.1:0"];

/// Two agencies with a compartment of both, `shared`; the first serves its API.
struct Stage {
    guard: Daemon,
    customs: Daemon,
}

impl Stage {
    fn new(folder: &Path) -> io::Result<Self> {
        let mut guard = Daemon::init(folder, "Border Guard", "NE")?;
        let mut customs = Daemon::init(folder, "Customs", "TD")?;
        guard.start_with(API)?;
        customs.start_with(API)?;
        done(guard.command(&["coalition", "create", "--name", "Drill"])?);
        let invited = done(guard.command(&["peer", "invite"])?);
        done(customs.command(&["join", text(&invited["invitation"])])?);
        done(guard.command(&["compartment", "open", "--name", "shared", "--rel", "TD"])?);
        Ok(Self { guard, customs })
    }
}

/// Where a daemon serves its API: a host and a port.
fn address(daemon: &Daemon) -> io::Result<String> {
    let status = daemon.ask("status", &json!({}))?;
    Ok(text(&status["api"]).trim_start_matches("http://").to_owned())
}

fn mint(daemon: &Daemon, arguments: &[&str]) -> io::Result<String> {
    let whose = ["pass", "mint", "--holder", "a program", "--purpose", "Security"];
    Ok(text(&done(daemon.command(&[&whose[..], arguments].concat())?)["token"]).to_owned())
}

/// A program with a pass.
#[derive(Clone, Debug)]
struct Client {
    address: String,
    token: String,
}

impl Client {
    fn new(daemon: &Daemon, pass: &[&str]) -> io::Result<Self> {
        Ok(Self { address: address(daemon)?, token: mint(daemon, pass)? })
    }

    /// Asks. A machine that is too busy to check the pass says so; then again.
    fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend(headers);
        loop {
            let answer = http::request(&self.address, method, target, &all, body)?;
            if !matches!(answer.status, 429 | 503) {
                return Ok(answer);
            }
        }
    }

    fn get(&self, target: &str) -> io::Result<Answer> {
        self.send("GET", target, &[], b"")
    }

    fn post(&self, collection: &str, objects: &Value) -> io::Result<Answer> {
        let body = json!({ "objects": objects }).to_string();
        self.send("POST", &at(collection, "objects/"), &[("Content-Type", TAXII)], body.as_bytes())
    }

    /// What a stream of events begins with, until nothing is new.
    fn events(&self, target: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
        let bearer = format!("Bearer {}", self.token);
        let all = [&[("Authorization", bearer.as_str())], headers].concat();
        loop {
            let (status, reader) = http::open(&self.address, target, &all)?;
            if matches!(status, 429 | 503) {
                continue;
            }
            if status != 200 {
                return self.send("GET", target, headers, b"");
            }
            let mut body = String::new();
            for line in reader.lines() {
                let line = line?;
                if line.starts_with(':') {
                    break;
                }
                body += &(line + "\n");
            }
            return Ok(Answer { status, headers: Vec::new(), body });
        }
    }

    /// The id of a collection of this title.
    fn collection(&self, title: &str) -> io::Result<String> {
        let listed = self.get("/taxii2/mesh/collections/")?.json();
        let all = listed["collections"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|one| one["title"] == title);
        Ok(text(&found.cloned().unwrap_or_default()["id"]).to_owned())
    }

    /// The ids of a collection's objects, page by page.
    fn objects(&self, collection: &str, filters: &str) -> io::Result<Vec<String>> {
        let (mut ids, mut next) = (Vec::new(), String::new());
        loop {
            let answer = self.get(&at(collection, &format!("objects/?{filters}{next}")))?;
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, TAXII),
                "{}",
                answer.body
            );
            let page = answer.json();
            let objects = page["objects"].as_array().cloned().unwrap_or_default();
            ids.extend(objects.iter().map(|one| text(&one["id"]).to_owned()));
            match page["next"].as_str() {
                Some(place) => next = format!("&next={place}"),
                None => return Ok(ids),
            }
        }
    }
}

fn at(collection: &str, rest: &str) -> String {
    format!("/taxii2/mesh/collections/{collection}/{rest}")
}

/// An indicator of this number.
fn indicator(n: usize) -> Value {
    json!({
        "type": "indicator", "spec_version": "2.1",
        "id": format!("indicator--00000000-0000-4000-8000-{n:012x}"),
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
        "pattern": "[domain-name:value = 'example.com']", "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z", "name": format!("indicator {n}"),
    })
}
