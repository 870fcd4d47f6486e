//! What operators hand to this peer and take from it: files of records, bundles; and what they decide about devices
//! and quarantined entries. As everywhere, what is of a record that an operator may not see is, to him, not there.

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use tearline_crdt::attachment::FILE_BYTES_MAX;

use super::Tearline;
use super::desk::typed;
use super::sight::Viewer;
use crate::control::Request;
use crate::control::attachment::{Attachment, Attachments, RecordAttach};
use crate::control::bundle::{BundleExport, BundleFile, BundleMade, BundleTaken, Since};
use crate::control::trust::{Declared, DeviceLost, Lost, Named, Quarantine, QuarantinedInFull};
use crate::failure::Failure;
use crate::files::read_whole;
use crate::picture::{Format, thumbnail};

/// Largest bundle that is made or taken at the portal; the command line takes larger ones.
pub(crate) const BUNDLE_BYTES_MAX: u64 = 32 * 1024 * 1024;

impl Tearline {
    /// Attaches a picture to a record, without what it tells of its making.
    pub(crate) fn attach_for(
        &self,
        viewer: Viewer,
        record: String,
        name: String,
        plain: &[u8],
    ) -> Result<Attachment, Failure> {
        if plain.is_empty() || plain.len() as u64 > FILE_BYTES_MAX {
            return Err(Failure::usage(format!(
                "a file has 1 to {} MiB",
                FILE_BYTES_MAX / 1024 / 1024
            )));
        }
        let format = Format::of(plain).ok_or_else(|| {
            Failure::usage("it is no JPEG or PNG picture").hint(
                "what another file tells of its making cannot be taken out: `tearline record attach \
                 --as-is` attaches it with all of that",
            )
        })?;
        let picture =
            format.strip(plain).map_err(|malformed| Failure::usage(malformed.to_string()))?;
        let small = thumbnail(format, &picture);
        let act = RecordAttach {
            record,
            file: std::path::PathBuf::new(),
            name,
            media_type: format.media_type().into(),
            thumbnail: small.map(|small| STANDARD.encode(small)).unwrap_or_default(),
            class: None,
        };
        let plain = picture.bytes;
        let value = self.answer(move |core| {
            core.stands()?;
            let record = core.seen_by(viewer, &act.record)?;
            core.attach(&RecordAttach { record, ..act }, &plain)
        })?;
        typed(value)
    }

    /// The files of a record.
    pub(crate) fn files_for(&self, viewer: Viewer, record: String) -> Result<Attachments, Failure> {
        let value = self.core.ask(move |core| {
            let id = core.seen_by(viewer, &record)?;
            core.attachments(&id)
        })?;
        typed(value)
    }

    /// A file of a record, if it is here whole; otherwise peers are asked for it.
    pub(crate) fn file_for(
        &self,
        viewer: Viewer,
        record: String,
        name: String,
    ) -> Result<(Attachment, Option<Vec<u8>>), Failure> {
        self.core.ask(move |core| {
            let id = core.seen_by(viewer, &record)?;
            core.fetch(&id, &name)
        })
    }

    /// Makes a bundle for devices, and returns it.
    pub(crate) fn bundle_out(
        &self,
        to: Vec<String>,
        since: Since,
    ) -> Result<(BundleMade, Vec<u8>), Failure> {
        let part = self.home.scratch_file()?;
        let whole = self.home.scratch_file()?;
        let export = BundleExport {
            to,
            since,
            bytes_max: BUNDLE_BYTES_MAX,
            part: part.path().to_owned(),
            out: whole.path().to_owned(),
        };
        let made =
            self.carry_out(Request::BundleExport(export), &mut |_| ControlFlow::Continue(()))?;
        let bytes = read_whole(whole.path(), BUNDLE_BYTES_MAX as usize)?;
        let _ = fs::remove_file(whole.path());
        Ok((typed(made)?, bytes.unwrap_or_default()))
    }

    /// Takes a bundle in.
    pub(crate) fn bundle_in(&self, bytes: &[u8]) -> Result<BundleTaken, Failure> {
        let mut scratch = self.home.scratch_file()?;
        let failure = |e| Failure::io("cannot set the bundle aside", &e);
        scratch.file.write_all(bytes).and_then(|()| scratch.file.flush()).map_err(failure)?;
        let file = BundleFile { file: scratch.path().to_owned(), map: None };
        typed(self.carry_out(Request::BundleImport(file), &mut |_| ControlFlow::Continue(()))?)
    }

    /// Ends the standing of a lost device, or says what that would do. Of what it could read those records are
    /// listed that the operator may see.
    pub(crate) fn device_lost_for(
        &self,
        viewer: Viewer,
        lost: DeviceLost,
    ) -> Result<Lost, Failure> {
        let mut lost: Lost = typed(self.device_lost(lost)?)?;
        for exposed in &mut lost.exposed {
            exposed.records.retain(|record| viewer.may_see_label(&record.label));
            exposed.count = exposed.records.len() as u64;
        }
        Ok(lost)
    }

    /// What does not count, as far as the operator may see it.
    pub(crate) fn quarantine_for(&self, viewer: Viewer) -> Result<Quarantine, Failure> {
        typed(self.core.ask(move |core| core.quarantine_where(&|row| viewer.may_consult(row)))?)
    }

    /// An entry that does not count, if the operator may see it.
    pub(crate) fn quarantined_for(
        &self,
        viewer: Viewer,
        entry: String,
    ) -> Result<QuarantinedInFull, Failure> {
        let asked = move |core: &mut super::core::Core| {
            core.quarantine_show_where(&entry, &|row| viewer.may_consult(row))
        };
        typed(self.core.ask(asked)?)
    }

    /// Lets an entry count that the operator may see.
    pub(crate) fn adopt_for(&self, viewer: Viewer, entry: Named) -> Result<Declared, Failure> {
        let value = self.answer(move |core| {
            core.stands()?;
            core.quarantine_show_where(&entry.id, &|row| viewer.may_consult(row))?;
            core.adopt(&entry.id)
        })?;
        typed(value)
    }
}
