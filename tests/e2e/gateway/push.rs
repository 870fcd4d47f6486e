//! What goes out to a TAXII server, over TLS: our own, as anybody's.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::{Stage, mint};
use crate::trust::{done, text};

/// A certificate for this machine, and its key.
pub(crate) fn certificate(folder: &Path, name: &str) -> io::Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    let (certificate, key) =
        (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.key_pair.serialize_pem())?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    Ok((certificate, key))
}

/// What customs has in its own compartment, by the names.
fn names(stage: &Stage) -> io::Result<Vec<String>> {
    let found = done(stage.customs.command(&[
        "record",
        "list",
        "--compartment",
        "td",
        "--kind",
        "organisation",
    ])?);
    let rows = found["records"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<_> = rows.iter().map(|row| text(&row["title"]).to_owned()).collect();
    names.sort();
    Ok(names)
}

/// What was pushed and is pulled is what it was; and a compartment is one by whatever it is called.
fn comes_back(stage: &Stage, url: &str, files: [&Path; 2], record: &str) -> io::Result<()> {
    let [ca, password] = files.map(|path| path.display().to_string());
    let by = ["--collection", "td", "--user", "x", "--password-file", &password, "--ca", &ca];
    let before = done(stage.guard.command(&["record", "show", record])?);
    let pull = |compartment: &str| -> io::Result<Value> {
        let from = ["taxii", "pull", url, "--compartment", compartment, "--label", "TLP:RED"];
        Ok(done(stage.guard.command(&[&from[..], &by].concat())?))
    };
    let said = pull("shared")?;
    // Of the server's other object this agency has none.
    assert_eq!((&said["created"], &said["unchanged"]), (&json!(1), &json!(1)), "{said}");
    assert_eq!(done(stage.guard.command(&["record", "show", record])?), before);
    let shown = done(stage.guard.command(&["compartment", "show", "shared"])?);
    let id = text(&shown["compartment"]);
    let said = pull(id)?;
    assert_eq!((&said["created"], &said["pages"]), (&json!(0), &json!(1)), "{said}");
    assert!(said["read"].as_u64().is_some_and(|read| read < 2), "it goes on where it was: {said}");
    let to = ["taxii", "push", url, "--purpose", "Security", "--compartment", id];
    let said = done(stage.guard.command(&[&to[..], &by].concat())?);
    assert_eq!(said["taken"], 0, "{said}");
    Ok(())
}

#[test]
fn what_is_refused_unread_is_sent_again() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path())?;
    let new = |name: &str| -> io::Result<()> {
        let set = format!("name={name}");
        let new = ["record", "new", "--kind", "organisation", "--set", &set];
        let label = ["--label", "TLP:GREEN", "--compartment", "shared"];
        stage.guard.command(&[&new[..], &label].concat()).map(|said| _ = done(said))
    };
    for n in 0..3 {
        new(&format!("Org {n}"))?;
    }
    let refuses = Arc::new(AtomicBool::new(true));
    let url = server(Arc::clone(&refuses))?;
    let to = ["taxii", "push", &url, "--collection", "c", "--compartment", "shared"];
    let push = || stage.guard.command(&[&to[..], &["--purpose", "Security"]].concat());
    let first = push()?;
    assert_eq!((first.code, &first.document["refused"]), (7, &json!(3)), "{}", first.document);
    refuses.store(false, Ordering::Relaxed);
    let second = push()?;
    assert_eq!((second.code, &second.document["taken"]), (0, &json!(3)), "{}", second.document);
    let third = push()?;
    assert_eq!((third.code, &third.document["taken"]), (0, &json!(0)), "{}", third.document);
    // One that the server itself refuses, among others that it takes, is not sent again.
    new("Org 4")?;
    new("Unwanted")?;
    let fourth = push()?;
    let counts = (&fourth.document["taken"], &fourth.document["refused"]);
    assert_eq!((fourth.code, counts), (7, (&json!(1), &json!(1))), "{}", fourth.document);
    let fifth = push()?;
    assert_eq!((fifth.code, &fifth.document["refused"]), (0, &json!(0)), "{}", fifth.document);
    Ok(())
}

/// A server behind a proxy that may refuse whatever is posted.
fn server(refuses: Arc<AtomicBool>) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/mesh/", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream?);
            let (mut asked, mut length) = (String::new(), 0);
            reader.read_line(&mut asked)?;
            let mut line = asked.clone();
            while !line.trim().is_empty() {
                line.clear();
                reader.read_line(&mut line)?;
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
            }
            let mut sent = vec![0; length];
            reader.read_exact(&mut sent)?;
            let unwanted = String::from_utf8_lossy(&sent).contains("Unwanted");
            let refused =
                asked.starts_with("POST") && (unwanted || refuses.load(Ordering::Relaxed));
            let body = if asked.starts_with("POST") {
                let sent: Value = serde_json::from_slice(&sent)?;
                let count = sent["objects"].as_array().map_or(0, Vec::len);
                json!({ "id": "s", "status": "complete", "success_count": count, "failure_count": 0 })
            } else if asked.contains("/collections/") {
                json!({ "collections": [{ "id": "c", "title": "c", "can_read": true, "can_write": true }] })
            } else {
                json!({ "title": "A server", "versions": ["application/taxii+json;version=2.1"] })
            };
            let (status, body) =
                if refused { ("400 Bad Request", json!({})) } else { ("200 OK", body) };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            reader.get_mut().write_all(format!("{head}{body}").as_bytes())?;
        }
        Ok::<_, io::Error>(())
    });
    Ok(url)
}

#[test]
fn what_a_ceiling_and_a_purpose_let_out_is_pushed_once_and_withdrawn() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path())?;
    let (certificate, key) = certificate(folder.path(), "own")?;
    let shown = |path: &Path| path.display().to_string();
    let served =
        ["--api", "127.0.0.1:0", "--tls-cert", &shown(&certificate), "--tls-key", &shown(&key)];
    stage.customs.stop()?;
    stage.customs.start_with(&served)?;
    // The first record opens a compartment of the agency's own.
    done(stage.customs.command(&["record", "new", "--kind", "vehicle", "--set", "plate=TD 1"])?);
    let pass = mint(&stage.customs, &["--compartments", "td", "--right", "write"])?;
    let password = folder.path().join("password");
    fs::write(&password, pass)?;
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600))?;
    let status = stage.customs.ask("status", &json!({}))?;
    let url = format!("{}/taxii2/", text(&status["api"]));
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");

    let new = |name: &str, label: &str| -> io::Result<String> {
        let set = format!("name={name}");
        let whole = ["record", "new", "--kind", "organisation", "--set", &set, "--label", label];
        let whole = [&whole[..], &["--compartment", "shared"]].concat();
        Ok(text(&done(stage.guard.command(&whole)?)["record"]).to_owned())
    };
    let green = new("Green", "TLP:GREEN")?;
    new("Amber", "TLP:AMBER")?;
    new("Red", "TLP:RED")?;
    new("Bound", "TLP:GREEN purpose=BorderOperation")?;
    let push = |authorities: &Path, more: &[&str]| -> io::Result<(i32, Value)> {
        let (ca, password) = (shown(authorities), shown(&password));
        let to = ["taxii", "push", &url, "--collection", "td", "--compartment", "shared"];
        let by = ["--user", "x", "--password-file", &password, "--ca", &ca];
        let what = ["--purpose", "Security", "--limit", "2"];
        let said = stage.guard.command(&[&to[..], &by, &what, more].concat())?;
        Ok((said.code, said.document))
    };
    let counts = |said: &Value| {
        ["taken", "withdrawn", "refused", "pending"].map(|name| said[name].as_u64().unwrap_or(99))
    };
    let (code, said) = push(&certificate, &[])?;
    assert_eq!((code, counts(&said)), (0, [1, 0, 0, 0]), "{said}");
    assert_eq!(said["withheld"], 3, "above the ceiling, or not for the purpose: {said}");
    assert_eq!(names(&stage)?, ["Green"]);
    let (_, said) = push(&certificate, &[])?;
    assert_eq!((counts(&said), &said["withheld"]), ([0, 0, 0, 0], &json!(0)), "{said}");
    comes_back(&stage, &url, [&certificate, &password], &green)?;
    // Another ceiling is another push.
    let (_, said) = push(&certificate, &["--label-max", "AMBER"])?;
    assert_eq!(counts(&said), [2, 0, 0, 0], "{said}");
    assert_eq!(names(&stage)?, ["Amber", "Green"]);
    done(stage.guard.command(&["record", "recall", &green])?);
    let (code, said) = push(&certificate, &[])?;
    assert_eq!((code, counts(&said)), (0, [0, 1, 0, 0]), "{said}");

    // Nobody is told anything whom no authority vouches for.
    let (other, _) = self::certificate(folder.path(), "other")?;
    let (code, said) = push(&other, &[])?;
    assert_eq!(code, 5, "{said}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604))?;
    stage.customs.stop()?;
    let open = stage.customs.command(&[&["run"][..], &served].concat())?;
    assert_ne!(open.code, 0, "a key that everybody can read");
    Ok(())
}
