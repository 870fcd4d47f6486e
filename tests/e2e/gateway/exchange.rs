//! What programs bring in and take out: once, in order, durable, and at other agencies too.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _};

use serde_json::{Value, json};
use tearline_tests::http;

use super::{API, Client, Stage, at, indicator};
use crate::trust::{done, text, until};

const WRITE: [&str; 6] = ["--compartments", "shared", "--right", "write", "--label-max", "RED"];

#[test]
fn what_is_posted_is_durable_and_paged_through_once() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path())?;
    let client = Client::new(&stage.guard, &WRITE)?;
    let shared = client.collection("shared")?;
    let first: Vec<Value> = (0..250).map(indicator).collect();
    let sent = client.post(&shared, &first.clone().into())?;
    assert_eq!((sent.status, &sent.json()["success_count"]), (202, &json!(250)), "{}", sent.body);
    let status = client.get(&format!("/taxii2/mesh/status/{}/", text(&sent.json()["id"])))?;
    assert_eq!(status.json(), sent.json());

    // The power fails right after the answer.
    stage.guard.kill()?;
    stage.guard.start_with(API)?;
    let client = Client { address: super::address(&stage.guard)?, ..client };
    let again = client.post(&shared, &first.into())?;
    assert_eq!(again.json()["success_count"], 250, "{}", again.body);
    let ids = client.objects(&shared, "limit=40")?;
    assert_eq!(ids, (0..250).map(|n| text(&indicator(n)["id"]).to_owned()).collect::<Vec<_>>());

    // Others write while somebody pages.
    let (mut seen, mut next, mut n) = (Vec::new(), String::new(), 1_000);
    loop {
        let answer = client.get(&at(&shared, &format!("manifest/?limit=60{next}")))?;
        let page = answer.json();
        let rows = page["objects"].as_array().cloned().unwrap_or_default();
        assert_eq!(answer.header("x-taxii-date-added-first"), text(&rows[0]["date_added"]));
        let last = rows.last().map(|row| text(&row["date_added"]).to_owned()).unwrap_or_default();
        assert_eq!(answer.header("x-taxii-date-added-last"), last);
        seen.extend(rows.iter().map(|row| text(&row["id"]).to_owned()));
        let Some(place) = page["next"].as_str() else {
            assert_eq!(page.get("more"), None);
            // After the last there is nothing, and then what is new.
            let later = format!("added_after={last}");
            assert!(client.objects(&shared, &later)?.is_empty());
            client.post(&shared, &json!([indicator(n)]))?;
            assert_eq!(client.objects(&shared, &later)?, [text(&indicator(n)["id"])]);
            break;
        };
        next = format!("&next={place}");
        if n < 1_003 {
            client.post(&shared, &json!([indicator(n)]))?;
            n += 1;
        }
    }
    assert_eq!(seen.len(), 253);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 253);
    filters(&client, &shared)
}

/// The filters of TAXII 2.1, section 3.4.
fn filters(client: &Client, shared: &str) -> io::Result<()> {
    let identity = json!({
        "type": "identity", "spec_version": "2.1", "id": "identity--00000000-0000-4000-8000-000000000001",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
        "name": "A smuggler", "identity_class": "individual", "x_note": { "kept": [1, null] },
    });
    client.post(shared, &json!([identity]))?;
    let mut changed = identity.clone();
    changed["modified"] = "2026-02-01T00:00:00.000Z".into();
    changed["name"] = "A known smuggler".into();
    client.post(shared, &json!([changed]))?;
    let id = text(&identity["id"]);
    let (one, other) = (text(&indicator(1)["id"]).to_owned(), text(&indicator(2)["id"]).to_owned());
    for (filters, count) in [
        ("match[type]=identity".to_owned(), 1),
        ("match[type]=identity,indicator&limit=1000".into(), 255),
        ("match[type]=malware".into(), 0),
        (format!("match[id]={one},{other},{id}"), 3),
        (format!("match[id]={one}&match[type]=identity"), 0),
        (format!("match[id]={id}&match[version]=2026-02-01T00:00:00.000Z"), 1),
        (format!("match[id]={id}&match[version]=2026-01-01T00:00:00.000Z"), 0),
        (format!("match[id]={id}&match[version]=all"), 1),
        ("match[spec_version]=2.0".into(), 0),
        ("match[spec_version]=2.1&match[type]=identity".into(), 1),
    ] {
        assert_eq!(client.objects(shared, &filters)?.len(), count, "{filters}");
    }
    let whole = client.get(&at(shared, &format!("objects/{id}/")))?.json();
    let mut object = whole["objects"][0].clone();
    // The mark of the label that holds here is added; all else is as it was sent.
    let marks = object.as_object_mut().and_then(|fields| fields.remove("object_marking_refs"));
    assert_eq!((object, marks.is_some()), (changed, true));
    let versions = client.get(&at(shared, &format!("objects/{id}/versions/")))?.json();
    assert_eq!(versions, json!({ "versions": ["2026-02-01T00:00:00.000Z"] }));
    Ok(())
}

#[test]
fn programs_find_follow_and_bring_in_records() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let client = Client::new(&stage.guard, &WRITE)?;
    let records = format!("/api/compartments/{}/records", client.collection("shared")?);
    let uuid = |n: u32| format!("00000000-0000-4000-8000-{n:012x}");
    let vehicle = |n: u32, colour: &str| json!({ "kind": "vehicle", "id": uuid(n), "fields": { "plate": format!("NE {n}"), "colour": colour } });
    let bring = |records_sent: Vec<Value>| {
        let body = json!({ "records": records_sent }).to_string();
        client.send("POST", &records, &[("Content-Type", "application/json")], body.as_bytes())
    };
    let sent = bring((0..20).map(|n| vehicle(n, "red")).collect())?;
    assert_eq!(
        (sent.status, sent.json()),
        (200, json!({ "taken": 20, "refused": [] })),
        "{}",
        sent.body
    );
    let follow = |cursor: &str| -> io::Result<(Vec<Value>, String)> {
        let (mut all, mut cursor) = (Vec::new(), cursor.to_owned());
        loop {
            let since = if cursor.is_empty() { String::new() } else { format!("&since={cursor}") };
            let page = client.get(&format!("/api/records?q=kind:vehicle&limit=6{since}"))?.json();
            all.extend(page["records"].as_array().cloned().unwrap_or_default());
            cursor = text(&page["cursor"]).to_owned();
            if page["more"] != true {
                return Ok((all, cursor));
            }
        }
    };
    let (all, cursor) = follow("")?;
    assert_eq!(all.len(), 20);
    assert_eq!(follow(&cursor)?.0.len(), 0);
    // The same again is nothing new; another state is the same record, met again.
    let again = bring(vec![vehicle(3, "red"), vehicle(4, "blue")])?;
    assert_eq!(again.json()["taken"], 2, "{}", again.body);
    let (news, _) = follow(&cursor)?;
    assert_eq!((news.len(), &news[0]["fields"]["colour"]), (1, &json!("blue")));
    let id = text(&news[0]["record"]);
    assert!(all.iter().any(|one| one["record"] == id));
    assert_eq!(client.get(&format!("/api/records/{id}"))?.json()["fields"], news[0]["fields"]);
    // A record is seen for a purpose that its label allows; this pass was minted for another.
    let labelled =
        |n, label| json!({ "id": uuid(n), "kind": "vehicle", "label": label, "fields": {} });
    let purposes =
        ["TLP:GREEN purpose=SAR", "TLP:GREEN purpose=SAR,Security", "TLP:GREEN purpose=none"];
    let sent = bring((40..).zip(purposes).map(|(n, label)| labelled(n, label)).collect())?;
    assert_eq!(sent.json()["taken"], 3, "{}", sent.body);
    let (all, _) = follow("")?;
    let seen: Vec<&str> = all.iter().map(|one| text(&one["label"])).collect();
    let seen: Vec<&&str> = seen.iter().filter(|label| label.contains("purpose=")).collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].contains("SAR") && seen[0].contains("Security"), "{seen:?}");
    // What is no record is named, and the rest goes in.
    let mixed = bring(vec![
        json!({ "id": uuid(30), "kind": "ship", "fields": {} }),
        json!({ "id": "gate-7", "kind": "vehicle", "fields": {} }),
        json!({ "id": uuid(31), "kind": "vehicle", "label": "TLP:PINK", "fields": {} }),
        json!({ "id": uuid(32), "kind": "vehicle", "fields": { "released_from": "00" } }),
        vehicle(99, "green"),
    ])?;
    let body = mixed.json();
    let places: Vec<_> =
        body["refused"].as_array().into_iter().flatten().map(|one| &one["record"]).collect();
    assert_eq!(
        (&body["taken"], places),
        (&json!(1), vec![&json!(0), &json!(1), &json!(2), &json!(3)]),
        "{body}"
    );
    for (body, kind, status) in [
        ("{", "application/json", 422),
        ("{\"records\":7}", "application/json", 422),
        ("{\"records\":[],\"more\":1}", "application/json", 422),
        ("{\"records\":[]}", "text/plain", 415),
    ] {
        let answer = client.send("POST", &records, &[("Content-Type", kind)], body.as_bytes())?;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "application/problem+json"),
            "{body}"
        );
    }
    for wrong in ["since=x", "q=kind:", "limit=0", "colour=red"] {
        assert_eq!(client.get(&format!("/api/records?{wrong}"))?.status, 400, "{wrong}");
    }
    let described = client.get("/api/openapi.json")?.json();
    let paths = described["paths"].as_object().cloned().unwrap_or_default();
    for (method, path) in tearline_node::gateway::routes() {
        assert!(paths[path].get(method.to_lowercase()).is_some(), "{method} {path}");
    }
    let metrics = client.get("/metrics")?;
    let counted =
        "tearline_api_requests_total{method=\"GET\",path=\"/api/openapi.json\",status=\"200\"} 1";
    assert!(metrics.body.lines().any(|line| line == counted), "{}", metrics.body);
    Ok(())
}

#[test]
fn a_stream_brings_what_is_new_and_ends_with_its_pass() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let client = Client::new(&stage.guard, &WRITE)?;
    let shared = client.collection("shared")?;
    client.post(&shared, &(0..150).map(indicator).collect::<Vec<_>>().into())?;
    let target = "/api/events?q=kind:indicator";
    let backlog = client.events(target, &[])?.body;
    let ids: Vec<&str> = backlog.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(
        (ids.len(), backlog.lines().filter(|line| line.starts_with("data: ")).count()),
        (150, 150)
    );
    // Who comes back goes on where it was, and hears what comes while it listens.
    let bearer = format!("Bearer {}", client.token);
    let headers = [("Authorization", bearer.as_str()), ("Last-Event-ID", ids[147])];
    let (status, reader) = http::open(&client.address, target, &headers)?;
    assert_eq!(status, 200);
    let mut heard = Vec::new();
    for line in reader.lines() {
        let line = line?;
        if let Some(data) = line.strip_prefix("data: ") {
            let record: Value = serde_json::from_str(data)?;
            heard.push(text(&record["title"]).to_owned());
        }
        match heard.len() {
            2 if line.starts_with(':') => drop(client.post(&shared, &json!([indicator(500)]))?),
            3 if line.starts_with("data") => {
                drop(stage.guard.command(&["pass", "revoke", &client.token])?);
            }
            _ => {}
        }
    }
    // The revocation ended it.
    assert_eq!(heard, ["indicator 148", "indicator 149", "indicator 500"]);
    assert_eq!(client.get(&format!("{target}&limit=1"))?.status, 401);
    Ok(())
}

#[test]
fn located_records_are_features() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let client = Client::new(&stage.guard, &WRITE)?;
    for n in 0..30 {
        let (place, day) = (f64::from(n) - 15.0, n + 1);
        let fields = json!({
            "name": format!("post {n}"), "latitude": place / 2.0, "longitude": place,
            "first_seen": format!("2026-01-{day:02}T12:00:00Z"),
        });
        stage.guard.ask(
            "record.new",
            &json!({ "kind": "location", "compartment": "shared", "fields": fields }),
        )?;
    }
    stage.guard.ask(
        "record.new",
        &json!({ "kind": "person", "compartment": "shared", "fields": { "name": "Doe" } }),
    )?;
    let landing = client.get("/ogc/")?.json();
    let here = format!("http://{}", client.address);
    let link = |document: &Value, rel: &str| {
        let links = document["links"].as_array().cloned().unwrap_or_default();
        let found = links.into_iter().find(|link| link["rel"] == rel);
        found.map(|link| text(&link["href"]).trim_start_matches(&here).to_owned())
    };
    let data = link(&landing, "data").unwrap_or_default();
    let collections = client.get(&data)?.json();
    let items = link(&collections["collections"][0], "items").unwrap_or_default();
    for (filters, count) in [
        ("", 30),
        ("?limit=7", 30),
        ("?bbox=-5,-90,5,90", 11),
        ("?limit=3&bbox=-5,-90,5,90", 11),
        ("?bbox=10,-90,-10,90", 11),
        ("?datetime=2026-01-05T12:00:00Z", 1),
        ("?datetime=2026-01-05/2026-01-09", 4),
        ("?datetime=../2026-01-05", 4),
        ("?bbox=100,0,101,1", 0),
    ] {
        let (mut names, mut next) = (BTreeSet::new(), Some(format!("{items}{filters}")));
        while let Some(target) = next {
            let answer = client.get(&target)?;
            let is = (answer.status, answer.header("content-type"));
            assert_eq!(is, (200, "application/geo+json"), "{}", answer.body);
            // What it links to stands in the head, too.
            assert!(
                answer.header("link").ends_with("application/geo+json\""),
                "{:?}",
                answer.headers
            );
            let page = answer.json();
            let features = page["features"].as_array().cloned().unwrap_or_default();
            assert_eq!(page["numberReturned"], features.len());
            names.extend(features.iter().map(|one| one["properties"]["name"].to_string()));
            next = link(&page, "next");
        }
        assert_eq!(names.len(), count, "{filters}");
    }
    let page = client.get(&format!("{items}?limit=1"))?.json();
    let feature = format!("{items}/{}", text(&page["features"][0]["id"]));
    assert_eq!(client.get(&feature)?.json()["geometry"], page["features"][0]["geometry"]);
    for wrong in ["bbox=1,2,3", "bbox=0,9,0,8", "datetime=soon", "limit=0", "next=x", "colour=red"]
    {
        let answer = client.get(&format!("{items}?{wrong}"))?;
        let is = (answer.status, answer.header("content-type"));
        assert_eq!(is, (400, "application/problem+json"), "{wrong}");
    }
    Ok(())
}

#[test]
fn what_is_posted_here_is_read_there_once_they_meet_and_a_recall_takes_it_out() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let (guard, customs) = (&stage.guard, &stage.customs);
    let here = Client::new(guard, &WRITE)?;
    let shared = here.collection("shared")?;
    until(|| Ok(done(customs.command(&["compartment", "list"])?).to_string().contains("shared")))?;
    let there = Client::new(customs, &WRITE)?;
    assert_eq!(there.collection("shared")?, shared, "a collection has one id at all peers");

    let device = done(guard.command(&["status"])?)["device"].clone();
    customs.ask("peer.pause", &json!({ "peer": device }))?;
    let sent = here.post(&shared, &json!([indicator(1), indicator(2)]))?;
    assert_eq!(sent.json()["success_count"], 2, "{}", sent.body);
    assert!(there.objects(&shared, "")?.is_empty());
    customs.ask("peer.resume", &json!({ "peer": device }))?;
    until(|| Ok(there.objects(&shared, "")?.len() == 2))?;
    // The first record opens a compartment of the agency's own.
    done(customs.command(&["record", "new", "--kind", "vehicle", "--set", "plate=TD 1"])?);
    // A pass there that does not cover them: no object, no row, no count, and of one by its name nothing.
    for pass in [&["--compartments", "td"][..], &["--compartments", "shared", "--kinds", "vehicle"]]
    {
        let narrow = Client::new(customs, pass)?;
        let name = text(&indicator(1)["id"]).to_owned();
        for path in [
            "objects/",
            "manifest/",
            &format!("objects/{name}/"),
            &format!("objects/{name}/versions/"),
        ] {
            let answer = narrow.get(&at(&shared, path))?;
            let empty = answer.status == 404 || answer.json().get("objects").is_none();
            assert!(
                empty && !answer.body.contains("indicator"),
                "{pass:?} {path}: {}",
                answer.body
            );
        }
        let found = narrow.get("/api/records?q=kind:object")?;
        assert!(!found.body.contains("indicator"), "{pass:?}: {}", found.body);
    }

    // Who brought it in takes it out; nobody else does.
    let one = at(&shared, &format!("objects/{}/", text(&indicator(1)["id"])));
    assert_eq!(there.send("DELETE", &one, &[], b"")?.status, 403);
    assert_eq!(here.send("DELETE", &one, &[], b"")?.status, 200);
    assert_eq!(here.send("DELETE", &one, &[], b"")?.status, 404);
    assert_eq!(here.get(&one)?.status, 404);
    assert_eq!(here.objects(&shared, "")?.len(), 1);
    until(|| Ok(there.get(&one)?.status == 404))?;
    assert_eq!(there.objects(&shared, "")?, [text(&indicator(2)["id"])]);
    Ok(())
}
