//! An inviter that is killed while somebody joins by its invitation. The applicant is told what is
//! known, its daemon goes on by itself, and to say it again changes nothing.

use std::io;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tearline_tests::daemon::{self, Daemon};

use crate::trust::{DONE, Pair, WAITS, done, pair, text, until};

const INCOMPLETE: i32 = 7;
/// How long the inviter lives once the join began, in ms: from not at all to long enough.
const LIVES_MS: [u64; 5] = [0, 30, 80, 160, 320];

#[test]
fn a_join_whose_inviter_is_killed_ends_truthfully_and_comes_to_its_end_by_itself() -> io::Result<()>
{
    let folder = tempfile::tempdir()?;
    let mut guard = Daemon::init(folder.path(), "Border Guard", "NE")?;
    guard.start()?;
    guard.ask("coalition.create", &json!({ "name": "Drill" }))?;
    for (n, life_ms) in LIVES_MS.into_iter().enumerate() {
        let mut guest = Daemon::init(folder.path(), &format!("Guest {n}"), "TD")?;
        guest.start()?;
        let invited = guard.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
        let invitation = text(&invited["invitation"]).to_owned();
        let join = |home: &std::path::Path, invitation: &str, wait: &str| {
            daemon::command(home, &["join", invitation, "--wait", wait])
        };
        if life_ms == 0 {
            guard.kill()?;
        }
        let (told, hears) = sync_channel(1);
        let (home, line) = (guest.home().to_owned(), invitation.clone());
        let joining = thread::spawn(move || {
            let _ = told.send(join(&home, &line, "2s"));
        });
        let early = hears.recv_timeout(Duration::from_millis(life_ms)).ok();
        if life_ms > 0 {
            guard.kill()?;
        }
        let outcome = match early {
            Some(outcome) => outcome?,
            None => hears.recv().map_err(io::Error::other)??,
        };
        joining.join().map_err(|_| io::Error::other("the join panicked"))?;
        assert!([DONE, INCOMPLETE].contains(&outcome.code), "{life_ms}: {}", outcome.document);
        assert!(life_ms > 0 || outcome.code == INCOMPLETE, "{}", outcome.document);
        if outcome.code == INCOMPLETE {
            let said = outcome.document.to_string();
            assert!(said.contains("has not answered yet") && said.contains("goes on"), "{said}");
        }

        guard.start()?;
        until(|| Ok(done(guest.command(&["status"])?)["coalition"]["name"] == "Drill"))?;
        until(|| {
            let again = done(join(guest.home(), &invitation, "60s")?);
            assert_eq!(again["name"], "Drill", "{again}");
            Ok(again["already"] == true)
        })?;
        guest.stop()?;
    }
    guard.stop()
}

#[test]
fn who_waits_for_signatures_is_told_so_and_comes_in_by_itself() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Pair { guard, customs } = pair(folder.path())?;
    let mut guest = Daemon::init(folder.path(), "Guest", "CM")?;
    guest.start()?;
    let invitation = text(&done(guard.command(&["peer", "invite"])?)["invitation"]).to_owned();
    let joined = guest.command(&["join", &invitation])?;
    assert_eq!(joined.code, WAITS, "{}", joined.document);
    assert!(joined.document.to_string().contains("coalition approve"), "{}", joined.document);
    guest.kill()?;
    guest.start()?;
    let status = done(guest.command(&["status"])?);
    assert_eq!(status["joining"][0]["awaits_signatures"], true, "{status}");
    let mut proposal = String::new();
    until(|| {
        let listed = done(customs.command(&["coalition", "proposals"])?)["proposals"].take();
        proposal = text(&listed[0]["proposal"]).to_owned();
        Ok(!proposal.is_empty())
    })?;
    done(customs.command(&["coalition", "approve", &proposal])?);
    until(|| Ok(done(guest.command(&["status"])?)["coalition"]["name"] == "Drill"))?;
    assert_eq!(done(guest.command(&["status"])?)["joining"], json!([]));
    Ok(())
}
