//! Every route with every pass. What each may see is worked out here from the passes and the records alone,
//! and a route of the program that has no row fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde_json::json;
use tearline_tests::daemon::Daemon;
use tearline_tests::http::{self, Answer};

use super::{Client, Stage, TAXII, indicator, mint};
use crate::trust::{done, text};

/// A record: its compartment, its kind, the rank of its colour, and the word by which it is found in an answer.
const RECORDS: [(&str, &str, u8, &str); 4] = [
    ("shared", "vehicle", 1, "canaryone"),
    ("shared", "vehicle", 4, "canarytwo"),
    ("shared", "organisation", 2, "canarythree"),
    ("home", "vehicle", 1, "canaryfour"),
];
const COLOURS: [&str; 5] = ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"];
const PROBLEM: &str = "application/problem+json";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

/// What a pass covers.
struct Case {
    name: &'static str,
    rooms: &'static [&'static str],
    kinds: &'static [&'static str],
    colour_max: u8,
    takes_out: bool,
    brings_in: bool,
    finds: bool,
    shows: bool,
}

const CASES: [Case; 7] = [
    Case {
        name: "everything",
        rooms: &["shared", "home"],
        kinds: &[],
        colour_max: 4,
        takes_out: true,
        brings_in: true,
        finds: true,
        shows: true,
    },
    Case {
        name: "green",
        rooms: &["shared"],
        kinds: &[],
        colour_max: 1,
        takes_out: true,
        brings_in: false,
        finds: true,
        shows: true,
    },
    Case {
        name: "vehicles",
        rooms: &["shared"],
        kinds: &["vehicle"],
        colour_max: 4,
        takes_out: true,
        brings_in: false,
        finds: true,
        shows: true,
    },
    Case {
        name: "home",
        rooms: &["home"],
        kinds: &[],
        colour_max: 2,
        takes_out: true,
        brings_in: false,
        finds: true,
        shows: true,
    },
    Case {
        name: "bringer",
        rooms: &["shared"],
        kinds: &[],
        colour_max: 2,
        takes_out: false,
        brings_in: true,
        finds: false,
        shows: false,
    },
    Case {
        name: "narrowed",
        rooms: &["shared"],
        kinds: &["organisation"],
        colour_max: 4,
        takes_out: true,
        brings_in: false,
        finds: true,
        shows: true,
    },
    Case {
        name: "searcher",
        rooms: &["shared"],
        kinds: &[],
        colour_max: 2,
        takes_out: false,
        brings_in: false,
        finds: true,
        shows: false,
    },
];

impl Case {
    fn pass(&self, guard: &Daemon, everything: &str) -> io::Result<String> {
        if self.name == "everything" {
            return Ok(everything.to_owned());
        }
        if self.name == "narrowed" {
            let shared = done(guard.command(&["compartment", "show", "shared"])?);
            let narrow =
                ["pass", "narrow", "--kinds", "organisation", "--right", "read", "--compartments"];
            let arguments = [&narrow[..], &[text(&shared["compartment"]), everything]].concat();
            return Ok(text(&done(guard.command(&arguments)?)["token"]).to_owned());
        }
        let (rooms, kinds) = (self.rooms.join(","), self.kinds.join(","));
        let colour = COLOURS[usize::from(self.colour_max)];
        let mut arguments = vec!["--compartments", &rooms, "--label-max", colour];
        if !kinds.is_empty() {
            arguments.extend(["--kinds", &kinds]);
        }
        match self.name {
            "bringer" => arguments.extend(["--right", "write", "--operations", "import"]),
            "searcher" => arguments.extend(["--operations", "search"]),
            _ => {}
        }
        mint(guard, &arguments)
    }

    fn sees_room(&self, room: &str) -> bool {
        self.rooms.contains(&room) && (self.takes_out || self.brings_in)
    }

    /// The words of what it may take out of a compartment.
    fn words(&self, room: &str) -> BTreeSet<&'static str> {
        let all = self.covered().filter(|(of, ..)| *of == room && self.takes_out);
        all.map(|(.., word)| *word).collect()
    }

    /// The records that it covers, whatever may be done with them.
    fn covered(
        &self,
    ) -> impl Iterator<Item = &'static (&'static str, &'static str, u8, &'static str)> {
        RECORDS.iter().filter(|(of, kind, colour, _)| {
            self.rooms.contains(of)
                && (self.kinds.is_empty() || self.kinds.contains(kind))
                && *colour <= self.colour_max
        })
    }
}

/// What stands in the places of a path.
struct Places<'a> {
    room: &'a str,
    object: Option<&'a str>,
    status: bool,
}

/// What a route answers: the status, and the words of the records that are in it. `None` for a route that has no
/// row here.
fn expected(
    route: (&str, &str),
    case: &Case,
    places: &Places<'_>,
) -> Option<(u16, BTreeSet<&'static str>)> {
    let none = BTreeSet::new();
    let (seen, words) = (case.sees_room(places.room), case.words(places.room));
    let one = places.object.and_then(|word| words.get(word).copied());
    Some(match (route.0, route.1.trim_start_matches("/taxii2/")) {
        ("GET", "" | "mesh/" | "mesh/collections/" | "/ogc/" | "/ogc/conformance") => (200, none),
        // What a pass is not for at all it is told, and gets no list without rows.
        ("GET", "/ogc/collections") => (if case.takes_out { 200 } else { 403 }, none),
        ("GET", "/api/records" | "/api/events") if !case.finds => (403, none),
        ("GET", "/api/records/{record}") if !case.shows => (403, none),
        ("GET", "mesh/status/{status}/") => {
            (if places.status && case.name == "everything" { 200 } else { 404 }, none)
        }
        ("GET", "/api/compartments" | "/api/openapi.json" | "/metrics") => (200, none),
        ("GET", "/api/records" | "/api/events") => {
            (200, case.covered().map(|(.., word)| *word).collect())
        }
        ("GET", "/api/records/{record}") => {
            let mut shown = case.covered().filter(|(.., word)| places.object == Some(*word));
            shown.next().map_or((404, none), |(.., word)| (200, [*word].into()))
        }
        _ if !seen => (404, none),
        ("POST", "/api/compartments/{collection}/records") => {
            (if case.brings_in { 200 } else { 403 }, none)
        }
        ("GET", "mesh/collections/{collection}/") => (200, none),
        ("POST", "mesh/collections/{collection}/objects/") => {
            (if case.brings_in { 202 } else { 403 }, none)
        }
        ("DELETE", "mesh/collections/{collection}/objects/{object}/") => {
            (if one.is_none() { 404 } else { 403 }, none)
        }
        ("GET", _) if !case.takes_out => (403, none),
        ("GET", "/ogc/collections/{collection}") => (200, none),
        (
            "GET",
            "mesh/collections/{collection}/manifest/"
            | "mesh/collections/{collection}/objects/"
            | "/ogc/collections/{collection}/items",
        ) => (200, words),
        (
            "GET",
            "/ogc/collections/{collection}/items/{feature}"
            | "mesh/collections/{collection}/objects/{object}/"
            | "mesh/collections/{collection}/objects/{object}/versions/",
        ) => one.map_or((404, BTreeSet::new()), |word| (200, [word].into())),
        _ => return None,
    })
}

#[test]
fn what_a_pass_may_not_see_is_not_there_on_any_route() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let guard = &stage.guard;
    let mut features = BTreeMap::new();
    for (room, kind, colour, word) in RECORDS {
        let field = if kind == "vehicle" { "make" } else { "name" };
        let label = format!("TLP:{}", COLOURS[usize::from(colour)]);
        let new = json!({
            "kind": kind, "compartment": room, "label": label,
            "fields": { field: word, "latitude": 13.1, "longitude": 14.5 },
        });
        features.insert(word, text(&guard.ask("record.new", &new)?["record"]).to_owned());
    }
    let all = ["--compartments", "shared,home", "--right", "write", "--label-max", "RED"];
    let everything = Client::new(guard, &all)?;
    let mut collections = BTreeMap::from([("elsewhere", UNKNOWN.to_owned())]);
    let mut ids = BTreeMap::new();
    for room in ["shared", "home"] {
        let collection = everything.collection(room)?;
        for object in everything.get(&super::at(&collection, "objects/"))?.json()["objects"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let word = RECORDS.iter().find(|(.., word)| object.to_string().contains(word));
            ids.insert(word.map_or("", |(.., word)| *word), text(&object["id"]).to_owned());
        }
        collections.insert(room, collection);
    }
    assert_eq!(ids.len(), RECORDS.len());
    let sent = everything.post(&collections["home"], &json!([{ "type": "nothing" }]))?;
    assert_eq!(sent.status, 202, "{}", sent.body);
    let status = text(&sent.json()["id"]).to_owned();

    let mut missing: BTreeSet<String> = BTreeSet::new();
    let mut asked = 0;
    for case in &CASES {
        let client = Client { token: case.pass(guard, &everything.token)?, ..everything.clone() };
        for (method, path) in tearline_node::gateway::routes() {
            let changes = method != "GET";
            for (room, collection) in &collections {
                for (word, id) in ids
                    .iter()
                    .map(|(word, id)| (Some(*word), id.as_str()))
                    .chain([(None, "indicator--x")])
                {
                    for known in [true, false] {
                        if changes && case.name == "everything" {
                            continue;
                        }
                        let target = path
                            .replace("{collection}", collection)
                            .replace("{object}", id)
                            .replace("{record}", word.map_or(UNKNOWN, |word| &features[word]))
                            .replace("{feature}", word.map_or(UNKNOWN, |word| &features[word]))
                            .replace("{status}", if known { &status } else { UNKNOWN });
                        let places = Places { room, object: word, status: known };
                        let Some((code, words)) = expected((method, path), case, &places) else {
                            return Err(io::Error::other(format!(
                                "{method} {path} has no row here"
                            )));
                        };
                        let answer = if path == "/api/events" {
                            client.events(path, &[])?
                        } else if path.starts_with("/api/") && method == "POST" {
                            let red = json!({ "kind": "vehicle", "label": "TLP:RED", "fields": {}, "id": UNKNOWN });
                            let body = json!({ "records": [red] }).to_string();
                            client.send(
                                method,
                                &target,
                                &[("Content-Type", "application/json")],
                                body.as_bytes(),
                            )?
                        } else if method == "POST" {
                            client.post(collection, &json!([red(7)]))?
                        } else {
                            client.send(method, &target, &[], b"")?
                        };
                        let what = format!(
                            "{method} {target} with the pass {:?}: {}",
                            case.name, answer.body
                        );
                        assert_eq!(answer.status, code, "{what}");
                        leaks_nothing(&answer, &words, &ids, &what);
                        if code == 404 {
                            missing.insert(answer.body);
                        }
                        asked += 1;
                        if !path.contains("{status}") {
                            break;
                        }
                    }
                    if !["{object}", "{feature}", "{record}"]
                        .iter()
                        .any(|place| path.contains(place))
                    {
                        break;
                    }
                }
                if !path.contains("{collection}") {
                    break;
                }
            }
        }
        let listed = client.get("/taxii2/mesh/collections/")?.body;
        let compartments = client.get("/api/compartments")?.body;
        let located = client.get("/ogc/collections")?.body;
        for (room, collection) in &collections {
            let seen = case.sees_room(room);
            assert_eq!(compartments.contains(collection), seen, "{compartments}");
            assert_eq!(listed.contains(collection), seen, "{} {listed}", case.name);
            assert_eq!(
                located.contains(collection),
                seen && case.takes_out,
                "{} {located}",
                case.name
            );
        }
    }
    assert!(asked > 200, "{asked}");
    assert_eq!(missing.len(), 1, "absent and hidden are one answer: {missing:?}");
    // Of what was refused nothing is left.
    let left: usize = ["shared", "home"]
        .iter()
        .map(|room| everything.objects(&collections[room], "").map_or(0, |all| all.len()))
        .sum();
    assert_eq!(left, RECORDS.len());
    without_a_pass(&stage, &everything)
}

/// No pass, and passes that do not hold: one answer on every path, also on those that are none.
fn without_a_pass(stage: &Stage, everything: &Client) -> io::Result<()> {
    let all = ["--compartments", "shared", "--right", "write"];
    let revoked = mint(&stage.guard, &all)?;
    done(stage.guard.command(&["pass", "revoke", &revoked])?);
    let elsewhere = mint(&stage.customs, &all)?;
    let later = mint(&stage.guard, &[&all[..], &["--from", "1h"]].concat())?;
    let tokens =
        [String::new(), "x".into(), revoked, elsewhere, later, format!("{}A", everything.token)];
    let mut answers = BTreeSet::new();
    for (n, token) in tokens.iter().enumerate() {
        let bearer = format!("Bearer {token}");
        let headers: &[(&str, &str)] = if n == 0 { &[] } else { &[("Authorization", &bearer)] };
        for (method, path) in
            tearline_node::gateway::routes().chain([("GET", "/no/such/path"), ("PUT", "/taxii2/")])
        {
            // Strangers are answered so often and no more.
            let answer = loop {
                let answer = http::request(&everything.address, method, path, headers, b"")?;
                if answer.status != 429 {
                    break answer;
                }
            };
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.body);
            assert!(answer.header("www-authenticate").starts_with("Basic "));
            answers.insert(answer.body);
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    Ok(())
}

/// Of the records those are in an answer that may be, and of the others neither a word nor an id.
fn leaks_nothing(
    answer: &Answer,
    words: &BTreeSet<&str>,
    ids: &BTreeMap<&str, String>,
    what: &str,
) {
    for (word, id) in ids {
        let is_in = answer.body.contains(word) || answer.body.contains(id.as_str());
        // Versions name nothing but times.
        let may_be_in = words.contains(word) && !what.contains("/versions/");
        assert_eq!(is_in, may_be_in, "{word}: {what}");
    }
    if answer.status >= 400 {
        let taxii = what.contains(" /taxii2/");
        assert_eq!(answer.header("content-type"), if taxii { TAXII } else { PROBLEM }, "{what}");
        assert_eq!(answer.json()["status"], answer.status, "{what}");
    }
}

/// An indicator that is marked red.
fn red(n: usize) -> serde_json::Value {
    let mut indicator = indicator(n);
    indicator["object_marking_refs"] =
        json!(["marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"]);
    indicator
}
