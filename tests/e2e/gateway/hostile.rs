//! Requests that nobody sends in good faith: the right status, a problem body, and nothing stored.

use std::io;

use serde_json::json;
use tearline_tests::http::{self, Answer};

use super::{Client, Stage, TAXII, at, indicator};

#[test]
fn what_is_hostile_is_refused_and_leaves_nothing() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let client = Client::new(&stage.guard, &["--compartments", "shared", "--right", "write"])?;
    let shared = client.collection("shared")?;
    let objects = at(&shared, "objects/");
    bodies(&client, &objects)?;
    heads(&client, &objects)?;
    targets(&client)?;
    raw(&client)?;
    assert!(client.objects(&shared, "")?.is_empty(), "something was stored");
    let good = client.post(&shared, &json!([indicator(1)]))?;
    assert_eq!((good.status, client.objects(&shared, "")?.len()), (202, 1));
    Ok(())
}

fn problem(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    let body = answer.json();
    assert_eq!((&body["status"], answer.header("content-type")), (&json!(status), TAXII), "{what}");
    assert!(body["title"].is_string() && body["detail"].is_string(), "{what}: {body}");
}

fn bodies(client: &Client, objects: &str) -> io::Result<()> {
    let good = indicator(1).to_string();
    let bodies = [
        (String::new(), 422),
        ("{".into(), 422),
        ("null".into(), 422),
        ("{\"objects\":[]}".into(), 422),
        (format!("[{good}]"), 422),
        (good.clone(), 422),
        (format!("{{\"objects\":[{good}"), 422),
        (format!("{{\"objects\":[{good}]}}}}"), 422),
        (format!("{{\"objects\":[{good}],\"objects\":[]}}"), 422),
        (format!("{{\"type\":\"report\",\"objects\":[{good}]}}"), 422),
        (format!("{{\"objects\":[{good}],\"more\":{}}}", "[".repeat(200_000)), 422),
        (format!("{{\"objects\":[{}7]}}", "7,".repeat(20_000)), 413),
        (format!("{{\"objects\":[{good}],\"x\":\"{}\"}}", "x".repeat(16 * 1024 * 1024)), 413),
    ];
    for (body, status) in bodies {
        let answer = client.send("POST", objects, &[("Content-Type", TAXII)], body.as_bytes())?;
        problem(&answer, status, &body.chars().take(60).collect::<String>());
    }
    // Objects that are none are named one by one, and none of them is taken.
    let deep = format!(
        "{{\"type\":\"x-a\",\"id\":\"x-a--00000000-0000-4000-8000-000000000000\",\"a\":{}1{}}}",
        "[".repeat(300),
        "]".repeat(300)
    );
    let odd = ["7", "null", "{}", "{\"type\":\"indicator\",\"id\":\"../../etc/passwd\"}", &deep];
    let answer = client.send(
        "POST",
        objects,
        &[("Content-Type", TAXII)],
        format!("{{\"objects\":[{}]}}", odd.join(",")).as_bytes(),
    )?;
    let body = answer.json();
    assert_eq!((answer.status, &body["failure_count"]), (202, &json!(odd.len())), "{body}");
    Ok(())
}

fn heads(client: &Client, objects: &str) -> io::Result<()> {
    let good = json!({ "objects": [indicator(1)] }).to_string();
    let sent = ("Content-Type", TAXII);
    for (headers, status) in [
        (&[("Content-Type", "application/json")][..], 415),
        (&[("Content-Type", "application/taxii+json;version=2.0")], 415),
        (&[("Content-Type", "text/plain")], 415),
        (&[], 415),
        (&[sent, ("Content-Encoding", "gzip")], 415),
        (&[sent, ("Accept", "text/html")], 406),
        (&[sent, ("Accept", "application/taxii+json;version=2.0")], 406),
        (&[sent, ("Host", "evil.example")], 421),
        (&[sent, ("Origin", "https://evil.example")], 403),
        (&[sent, ("Origin", "null")], 403),
        (&[sent, ("Sec-Fetch-Site", "cross-site")], 403),
        (&[sent, ("Authorization", "Bearer x")], 400),
    ] {
        let answer = client.send("POST", objects, headers, good.as_bytes())?;
        problem(&answer, status, &format!("{headers:?}"));
    }
    Ok(())
}

fn targets(client: &Client) -> io::Result<()> {
    for (target, status) in [
        ("/taxii2", 404),
        ("/taxii2/mesh/../../etc/passwd", 404),
        ("/taxii2/mesh/collections/..%2F..%2Fetc%2Fpasswd/", 404),
        ("/taxii2/mesh/collections/%00/", 404),
        ("/taxii2/mesh/collections/%ff%fe/", 400),
        ("//taxii2/", 404),
        ("/taxii2/%2e%2e/", 404),
    ] {
        let answer = client.get(target)?;
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
    }
    let (shared, answer) =
        (client.collection("shared")?, client.send("PUT", "/taxii2/", &[], b"")?);
    problem(&answer, 405, "PUT");
    for wrong in [
        "limit=0",
        "limit=x",
        "limit=1&limit=2",
        "next=x",
        "added_after=x",
        "match[version]=x",
        "match[id]=",
    ] {
        problem(&client.get(&at(&shared, &format!("objects/?{wrong}")))?, 400, wrong);
    }
    problem(
        &client.get(&at(&shared, &format!("objects/?x={}", "y".repeat(9_000))))?,
        400,
        "a long query",
    );
    Ok(())
}

/// What is hardly HTTP: answered with a fault of the client's, or not at all.
fn raw(client: &Client) -> io::Result<()> {
    let long = format!(
        "GET /taxii2/ HTTP/1.1\r\nConnection: close\r\nHost: {}\r\nX: {}\r\n\r\n",
        client.address,
        "x".repeat(100_000)
    );
    let many = format!(
        "GET /taxii2/ HTTP/1.1\r\nConnection: close\r\nHost: {}\r\n{}\r\n",
        client.address,
        "X: y\r\n".repeat(200)
    );
    let smuggled = format!(
        "POST /taxii2/ HTTP/1.1\r\nConnection: close\r\nHost: {}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        client.address
    );
    for bytes in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        &long,
        &many,
        &smuggled,
    ] {
        if let Ok(answer) = http::exchange(&client.address, bytes.as_bytes()) {
            assert!((400..500).contains(&answer.status), "{bytes:?}: {}", answer.status);
        }
    }
    Ok(())
}
