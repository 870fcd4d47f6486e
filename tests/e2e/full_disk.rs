//! A medium that takes no more: here a bound on the length of files, which the system enforces as it
//! does a full disk.

use std::io;

use serde_json::json;
use tearline_tests::daemon::Daemon;

const FAILED: i32 = 1;

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
    let fields = json!({ "name": "Report", "content": "x".repeat(TEXT_BYTES) });
    let arguments = json!({ "kind": "report", "compartment": "home", "fields": fields });
    let refused = (0..RECORDS_MAX).find_map(|_| daemon.ask("record.new", &arguments).err());
    let refused = refused.ok_or(io::Error::other("the bound was not reached"))?.to_string();
    assert!(refused.contains("the store failed") && refused.contains("disk space"), "{refused}");

    let status = daemon.ask("status", &json!({}))?;
    assert!(status["store_failure"].is_string(), "{status}");
    assert!(status["device"].is_string(), "{status}");
    let doctor = daemon.command(&["doctor"])?;
    assert_eq!(doctor.code, FAILED, "{}", doctor.document);
    let refused = daemon.command(&["record", "list"])?;
    assert_eq!(refused.code, FAILED, "full is not damaged: {}", refused.document);
    daemon.stop()
}
