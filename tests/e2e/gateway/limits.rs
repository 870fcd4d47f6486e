//! What one pass may take of the gateway: others find room beside it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::sync_channel;
use std::thread;

use serde_json::{Value, json};

use super::{Client, Stage, TAXII, at, indicator};

const WRITE: [&str; 4] = ["--compartments", "shared", "--right", "write"];

/// Requests that a pass may have under way, and some more.
const CALLS_MAX: usize = 32;
const MORE: usize = 8;

/// Sends the head of a request whose body does not come.
fn head_alone(client: &Client, collection: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(&client.address)?;
    let (target, token) = (at(collection, "objects/"), &client.token);
    let head = format!(
        "POST {target} HTTP/1.1\r\nConnection: close\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: {TAXII}\r\n\
         Content-Length: 1000000\r\n\r\n",
        client.address
    );
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}

#[test]
fn one_pass_does_not_keep_others_out() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let writer = Client::new(&stage.guard, &WRITE)?;
    let shared = writer.collection("shared")?;

    // Who may not write is refused before any of the body comes.
    let reader = Client::new(&stage.guard, &["--compartments", "shared"])?;
    for _ in 0..4 {
        let mut stream = head_alone(&reader, &shared)?;
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer)?;
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 403");
    }

    // Another pass holds as much as it can: one place for a body, and what waits for it. All else is refused at
    // once, whichever it is.
    let slow = Client::new(&stage.guard, &WRITE)?;
    let (answered, answers) = sync_channel(CALLS_MAX + MORE);
    for _ in 0..CALLS_MAX + MORE {
        let (mut stream, answered) = (head_alone(&slow, &shared)?, answered.clone());
        thread::spawn(move || {
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            answered.send(String::from_utf8_lossy(&answer).into_owned())
        });
    }
    drop(answered);
    let refused = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 429"));
    let refused: Vec<String> = refused.take(MORE).collect();
    assert_eq!(refused.len(), MORE);
    for answer in refused {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let (head, body) = (head.to_lowercase(), body.parse::<Value>().unwrap_or_default());
        assert!(head.contains("\r\nretry-after: 1"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-type: {TAXII}")), "{head}");
        assert_eq!(body["status"], 429);
        assert!(body["detail"].to_string().contains("32 requests of this pass"), "{body}");
    }

    let sent = writer.post(&shared, &json!([indicator(1)]))?;
    assert_eq!((sent.status, &sent.json()["success_count"]), (202, &json!(1)), "{}", sent.body);
    assert_eq!(writer.objects(&shared, "")?.len(), 1);
    Ok(())
}

/// Connections that the gateway has seats for, and some more.
const SEATS_MAX: usize = 128;

#[test]
fn connections_that_send_half_of_a_request_keep_nobody_out() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let client = Client::new(&stage.guard, &WRITE)?;
    let mut halves = Vec::new();
    for _ in 0..SEATS_MAX + MORE {
        let mut stream = TcpStream::connect(&client.address)?;
        stream.write_all(b"GET /taxii2/ HTTP/1.1\r\nHost:")?;
        halves.push(stream);
    }
    assert_eq!(client.get("/taxii2/")?.status, 200);
    // Those that waited longest have lost their seats.
    let first = halves.first_mut().ok_or_else(|| io::Error::other("none"))?;
    assert!(matches!(first.read(&mut [0; 1]), Ok(0) | Err(_)));
    Ok(())
}
