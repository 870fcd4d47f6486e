//! An honest edit on top of a lost device's is readable again, on every peer, without anybody's act.

use std::io;

use serde_json::{Value, json};
use tearline_tests::daemon::Daemon;

use crate::trust::{Pair, done, enrolled, pair, sighting, text, until};

#[test]
fn an_honest_edit_on_top_of_a_lost_devices_is_written_anew() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, mut customs } = pair(folder.path())?;
    customs.kill()?;
    done(customs.command(&["config", "set", "records.reauthor_after", "1s"])?);
    customs.start()?;
    let kilo = enrolled(folder.path(), &guard, "KILO", &[])?;

    // The unit begins a case; it, or who has it by then, renames it; another agency adds to that.
    let new = ["record", "new", "--kind", "case", "--compartment", "all", "--set", "name=barge"];
    let case = text(&done(kilo.command(&new)?)["record"]).to_owned();
    let name = |peer: &Daemon| {
        Ok::<Value, io::Error>(peer.command(&["record", "show", &case])?.document["fields"].take())
    };
    // What has come by then is kept.
    until(|| Ok(name(&guard)?["name"] == "barge"))?;
    done(kilo.command(&["record", "edit", &case, "--set", "name=forged"])?);
    until(|| Ok(name(&customs)?["name"] == "forged"))?;
    done(customs.command(&["record", "edit", &case, "--set", "description=at the pier"])?);
    until(|| Ok(name(&guard)?["description"] == "at the pier"))?;

    let history = |peer: &Daemon| {
        let history = peer.command(&["record", "history", &case])?.document["entries"].take();
        Ok::<Vec<Value>, io::Error>(history.as_array().cloned().unwrap_or_default())
    };
    let is_forged = |one: &Value| one["what"] == "change" && one["fields"] == json!(["name"]);
    let forged = history(&guard)?.into_iter().find(is_forged);
    let since = forged.map(|one| text(&one["at"]).to_owned()).unwrap_or_default();
    done(guard.command(&["device", "lost", "KILO", "--since", &since])?);
    for peer in [&guard, &customs] {
        until(|| {
            // Anything that happens is the occasion to look.
            sighting(&customs, "meanwhile")?;
            let fields = name(peer)?;
            Ok(fields["name"] == "barge" && fields["description"] == "at the pier")
        })?;
        let said: Vec<Value> = history(peer)?;
        let of = |what: &str, verdict: &str| {
            let is = |one: &&Value| {
                one["what"] == what && text(&one["verdict"]).split(':').next() == Some(verdict)
            };
            said.iter().filter(is).count()
        };
        assert_eq!(of("reauthor", "counts"), 1, "{said:?}");
        assert_eq!(of("change", "replaced"), 1, "{said:?}");
        assert_eq!(of("change", "quarantined"), 1, "{said:?}");
        let why = done(peer.command(&["why", &case])?);
        assert!(why["because"].to_string().contains("were written anew"), "{why}");
    }
    Ok(())
}
