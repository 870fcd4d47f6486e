//! What goes out to a TAXII server, over TLS: our own, as anybody's.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Stage, mint};
use crate::trust::{done, text};

/// A certificate for this machine, and its key.
fn certificate(folder: &Path, name: &str) -> io::Result<(PathBuf, PathBuf)> {
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
    assert_eq!(names(&stage)?, ["Green"]);
    let (_, said) = push(&certificate, &[])?;
    assert_eq!(counts(&said), [0, 0, 0, 0], "{said}");
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
