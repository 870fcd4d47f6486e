//! A medium that takes no more: a bound on the length of files, which the system enforces as it does a
//! full disk; and a small disk of its own, which fills up beside a daemon that is running.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tearline_tests::daemon::{Daemon, Outcome};

use crate::trust::{done, text, until};

const DONE: i32 = 0;
const FAILED: i32 = 1;
const NOT_FOUND: i32 = 4;

/// The bound in blocks of 512 bytes: more than an empty store needs.
const FILE_BLOCKS_MAX: u32 = 4_096;
/// Records of [`TEXT_BYTES`] that are written at most: twice what the bound lets in.
const RECORDS_MAX: usize = 140;
const TEXT_BYTES: usize = 30 * 1024;

#[test]
fn a_daemon_whose_disk_is_full_says_so_and_still_answers() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut daemon = Daemon::init(folder.path(), "Border Guard", "NE")?;
    daemon.start_bounded(FILE_BLOCKS_MAX)?;
    daemon.ask("coalition.create", &json!({ "name": "Drill" }))?;
    let mut customs = Daemon::init(folder.path(), "Customs", "TD")?;
    customs.start()?;
    let invited = daemon.ask("peer.invite", &json!({ "expires_s": 3600 }))?;
    done(customs.command(&["join", text(&invited["invitation"])])?);
    until(|| Ok(daemon.ask("status", &json!({}))?["peers"][0]["state"] == "live"))?;
    let fields = json!({ "name": "Report", "content": "x".repeat(TEXT_BYTES) });
    let arguments = json!({ "kind": "report", "compartment": "home", "fields": fields });
    let refused = (0..RECORDS_MAX).find_map(|_| daemon.ask("record.new", &arguments).err());
    let refused = refused.ok_or(io::Error::other("the bound was not reached"))?.to_string();
    assert!(refused.contains("the store failed") && refused.contains("disk space"), "{refused}");

    let status = daemon.ask("status", &json!({}))?;
    assert!(status["store_failure"].is_string(), "{status}");
    assert!(status["device"].is_string(), "{status}");
    // Nothing flows, whatever was known of the peer before.
    let peer = &status["peers"][0];
    assert_eq!(peer["state"], "blocked", "{peer}");
    assert!(text(&peer["reason"]).contains("the store of this device failed"), "{peer}");
    let doctor = daemon.command(&["doctor"])?;
    assert_eq!(doctor.code, FAILED, "{}", doctor.document);
    let refused = daemon.command(&["record", "list"])?;
    assert_eq!(refused.code, FAILED, "full is not damaged: {}", refused.document);
    customs.stop()?;
    daemon.stop()
}

/// A disk of its own; gone with the value.
struct Disk(PathBuf);

impl Disk {
    const SIZE_BYTES: usize = 64 * 1024 * 1024;
    /// What leaves less than the reserve and more than the floor of [`RESERVE_MIB`].
    const MOST_BYTES: usize = 40_000_000;

    /// `None` where this user may not mount one.
    fn mount(at: &Path) -> io::Result<Option<Self>> {
        fs::create_dir(at)?;
        let size = format!("size={}", Self::SIZE_BYTES);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at);
        let mounted = mount.status().is_ok_and(|status| status.success());
        Ok(mounted.then(|| Self(at.to_owned())))
    }

    /// Fills so much of it, or all.
    fn fill(&self, name: &str, bytes: usize) -> io::Result<()> {
        match File::create(self.0.join(name))?.write_all(&vec![0; bytes]) {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(error),
            _ => Ok(()),
        }
    }

    fn free(&self, names: &[&str]) -> io::Result<()> {
        names.iter().try_for_each(|name| fs::remove_file(self.0.join(name)))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

const RESERVE_MIB: &str = "24";

#[test]
fn a_disk_that_fills_up_holds_up_content_alone_and_nothing_is_lost() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(disk) = Disk::mount(&folder.path().join("disk"))? else {
        eprintln!("SKIPPED: this user may not mount a disk");
        return Ok(());
    };
    let mut guard = Daemon::init(&disk.0, "Border Guard", "NE")?;
    let mut customs = Daemon::init(folder.path(), "Customs", "TD")?;
    done(guard.command(&["config", "set", "limits.disk_reserve_mib", RESERVE_MIB])?);
    guard.start()?;
    customs.start()?;
    done(guard.command(&["coalition", "create", "--name", "Drill", "--erasure-delay", "0h"])?);
    let invited = done(guard.command(&["peer", "invite"])?);
    done(customs.command(&["join", text(&invited["invitation"])])?);
    done(guard.command(&["compartment", "open", "--name", "all", "--rel", "NE,TD"])?);
    let write = |daemon: &Daemon, plate: &str| {
        let set = format!("plate={plate}");
        daemon.command(&[
            "record",
            "new",
            "--kind",
            "vehicle",
            "--compartment",
            "all",
            "--set",
            &set,
        ])
    };
    let shows = |daemon: &Daemon, record: &str| -> io::Result<i32> {
        Ok(daemon.command(&["record", "show", record])?.code)
    };
    let old = text(&done(write(&guard, "old")?)["record"]).to_owned();
    until(|| Ok(shows(&customs, &old)? == DONE))?;

    // Below the reserve: content waits where it is, and what takes content away does not.
    disk.fill("most", Disk::MOST_BYTES)?;
    let explained = |refused: &Outcome| refused.document.to_string().contains("the disk of");
    until(|| {
        let refused = write(&guard, "mine")?;
        Ok(refused.code == FAILED && explained(&refused))
    })?;
    let new = text(&done(write(&customs, "new")?)["record"]).to_owned();
    until(|| {
        let peers = done(guard.command(&["peer", "list"])?);
        let peer = &peers["peers"][0];
        Ok(peer["state"] == "blocked" && peer["reason"] == "disk full")
    })?;
    assert_eq!(shows(&guard, &new)?, NOT_FOUND);
    let out = folder.path().join("all.json");
    done(guard.command(&["export", "--format", "stix", "--out", &out.to_string_lossy()])?);
    done(guard.command(&["record", "erase", &old, "--basis", "Article 17"])?);
    until(|| Ok(shows(&customs, &old)? == NOT_FOUND))?;

    // Full: nothing is written, and what is there is shown, after a new start, too.
    disk.fill("rest", Disk::SIZE_BYTES)?;
    until(|| Ok(guard.command(&["compartment", "rotate", "all"])?.code == FAILED))?;
    guard.stop()?;
    let alone = guard.command(&["doctor"])?;
    assert!(alone.document.to_string().contains("kept in reserve"), "{}", alone.document);
    guard.start()?;
    done(guard.command(&["record", "list"])?);
    let doctor = guard.command(&["doctor"])?;
    assert!(doctor.code == FAILED && explained(&doctor), "{}", doctor.document);
    assert!(done(guard.command(&["status"])?)["store_failure"].is_null());

    // Room again: it goes on by itself.
    disk.free(&["most", "rest"])?;
    until(|| Ok(shows(&guard, &new)? == DONE))?;
    done(write(&guard, "mine")?);
    assert_eq!(shows(&guard, &old)?, NOT_FOUND);
    guard.stop()?;
    customs.stop()
}
