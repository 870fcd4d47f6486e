//! A client of TAXII servers: pulls from our own, as from anybody's.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use serde_json::{Value, json};

use super::{Client, Stage, address, indicator};
use crate::trust::done;

/// Pulls once; what it says.
fn pull(
    stage: &Stage,
    folder: &std::path::Path,
    url: &str,
    more: &[&str],
) -> io::Result<(i32, Value)> {
    let password = folder.join("password").display().to_string();
    let all =
        ["taxii", "pull", url, "--collection", "shared", "--compartment", "td", "--user", "x"];
    let rest = ["--password-file", &password, "--limit", "40"];
    let said = stage.customs.command(&[&all[..], &rest[..], more].concat())?;
    Ok((said.code, said.document))
}

#[test]
fn what_was_added_is_pulled_once() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let client = Client::new(&stage.guard, &["--compartments", "shared", "--right", "write"])?;
    let shared = client.collection("shared")?;
    let password = folder.path().join("password");
    std::fs::write(&password, format!("{}\n", client.token))?;
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600))?;
    // A compartment of the other agency alone.
    done(stage.customs.command(&["record", "new", "--kind", "vehicle", "--set", "plate=NE 1"])?);
    client.post(&shared, &(0..100).map(indicator).collect::<Vec<_>>().into())?;
    let url = format!("http://{}/taxii2/", address(&stage.guard)?);

    let counts =
        |said: &Value| ["pages", "read", "created"].map(|name| said[name].as_u64().unwrap_or(99));
    let (code, said) = pull(&stage, folder.path(), &url, &[])?;
    assert_eq!((code, counts(&said)), (0, [3, 100, 100]), "{said}");
    // The last is asked for once more, as others may have been added at its date.
    let (_, said) = pull(&stage, folder.path(), &url, &[])?;
    assert_eq!(counts(&said), [1, 1, 0], "{said}");
    client.post(&shared, &json!([indicator(200), indicator(201)]))?;
    let (_, said) = pull(&stage, folder.path(), &url, &[])?;
    assert_eq!(counts(&said), [1, 3, 2], "{said}");
    let (_, said) = pull(&stage, folder.path(), &url, &["--anew"])?;
    assert_eq!(counts(&said), [3, 102, 0], "{said}");

    let (code, said) = pull(&stage, folder.path(), "http://192.0.2.1/taxii2/", &[])?;
    assert_eq!(code, 2, "{said}");
    std::fs::write(&password, "x\n")?;
    let (code, said) = pull(&stage, folder.path(), &url, &[])?;
    assert_eq!(code, 5, "{said}");
    from_a_bad_server(&stage, folder.path())
}

/// A server that repeats its one page for ever, whatever it is asked, and whose clock is wrong.
fn from_a_bad_server(stage: &Stage, folder: &std::path::Path) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/mesh/", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream?);
            let mut asked = String::new();
            reader.read_line(&mut asked)?;
            let mut line = asked.clone();
            while !line.trim().is_empty() {
                line.clear();
                reader.read_line(&mut line)?;
            }
            let body = if asked.contains("/objects/") {
                json!({ "more": true, "next": "1", "objects": [indicator(900)] })
            } else if asked.contains("/collections/") {
                json!({ "collections": [{ "id": "c", "title": "shared", "can_read": true, "can_write": false }] })
            } else {
                json!({ "title": "Bad", "versions": ["application/taxii+json;version=2.1"] })
            };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-TAXII-Date-Added-Last: 2999-01-01T00:00:00Z\r\n\
                 Connection: close\r\n\r\n",
                body.len()
            );
            reader.get_mut().write_all(format!("{head}{body}").as_bytes())?;
        }
        Ok::<_, io::Error>(())
    });
    let (code, said) = pull(stage, folder, &url, &[])?;
    assert_eq!((code, &said["whole"], &said["created"]), (7, &json!(false), &json!(1)), "{said}");
    assert_eq!(said["dates_ahead"], true, "{said}");
    Ok(())
}
