//! What one pass may take of the gateway: others find room beside it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use super::{Client, Stage, TAXII, at, indicator};

const WRITE: [&str; 4] = ["--compartments", "shared", "--right", "write"];

/// Requests that a pass may have under way.
const CALLS_MAX: usize = 32;

/// Sends the head of a request whose body does not come.
fn head_alone(client: &Client, collection: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(&client.address)?;
    let (target, token) = (at(collection, "objects/"), &client.token);
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: {TAXII}\r\n\
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

    // Another pass holds as much as it can: one place for a body, and all the rest waits for it.
    let slow = Client::new(&stage.guard, &WRITE)?;
    let held: Vec<TcpStream> =
        (0..CALLS_MAX).map(|_| head_alone(&slow, &shared)).collect::<io::Result<_>>()?;
    let bearer = format!("Bearer {}", slow.token);
    let refused = loop {
        let headers = [("Authorization", bearer.as_str())];
        let answer = tearline_tests::http::request(
            &slow.address,
            "GET",
            "/taxii2/mesh/collections/",
            &headers,
            b"",
        )?;
        // Until all are in, there is room for one more.
        if answer.body.contains("32 requests of this pass") {
            break answer;
        }
    };
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert_eq!((&refused.json()["status"], refused.header("content-type")), (&json!(429), TAXII));

    let sent = writer.post(&shared, &json!([indicator(1)]))?;
    assert_eq!((sent.status, &sent.json()["success_count"]), (202, &json!(1)), "{}", sent.body);
    assert_eq!(writer.objects(&shared, "")?.len(), 1);
    drop(held);
    Ok(())
}
