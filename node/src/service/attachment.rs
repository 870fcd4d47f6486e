//! Attachments: files that belong to records, attached, listed and fetched.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use serde_json::Value;

use tearline_crdt::attachment::{
    FILE_BYTES_MAX, Manifest, PER_RECORD_MAX, is_file_name, seal_file,
};
use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::entropy::Entropy as _;
use tearline_crdt::hash::sha256;
use tearline_crdt::id::RecordId;
use tearline_crdt::record::shelf::{Detail, Draft};
use tearline_crdt::seal::Key;
use tearline_mesh::replica::FileError;

use super::core::{Core, CoreHandle};
use super::explain::hex;
use super::names::class;
use super::overview::store_failure;
use super::{Answer, SystemEntropy, json};
use crate::control::attachment::{Attachment, Attachments, RecordAttach, RecordFetch};
use crate::failure::{Failure, Kind};
use crate::files::{read_whole, regular};

/// The file to attach.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read_whole(path, FILE_BYTES_MAX as usize)?.unwrap_or_default();
    if bytes.is_empty() { Err(Failure::usage("the file is empty")) } else { Ok(bytes) }
}

/// Fetches a file as far as it comes, and writes it out if it is here whole.
pub(super) fn fetch(core: &CoreHandle, fetch: RecordFetch) -> Result<Value, Failure> {
    let part = fetch.part;
    let (attachment, plain) = core.ask(move |core| core.fetch(&fetch.record, &fetch.name))?;
    if let Some(plain) = plain {
        let written = regular(OpenOptions::new().write(true).truncate(true), &part)
            .and_then(|mut file| file.write_all(&plain));
        written.map_err(|e| Failure::io(format_args!("cannot write {}", part.display()), &e))?;
    }
    json(&attachment)
}

impl Core {
    /// Attaches a file, as it is, to a record that this device may edit.
    pub(super) fn attach(&mut self, act: &RecordAttach, plain: &[u8]) -> Answer {
        let id = self.find_record(&act.record)?;
        let detail = self.visible(id)?;
        let there = Manifest::all(&detail.fields);
        if !is_file_name(&act.name) {
            return Err(Failure::usage(format!("{:?} cannot be a file's name", act.name))
                .hint("give it another with --name"));
        }
        if there.iter().any(|file| file.name == act.name) {
            return Err(Failure::usage(format!("the record has a file {:?} already", act.name))
                .hint("give this one another name with --name"));
        }
        if there.len() >= PER_RECORD_MAX {
            return Err(Failure::usage(format!("a record has at most {PER_RECORD_MAX} files"))
                .hint("attach it to a note about the record"));
        }
        let mut key = Key::default();
        SystemEntropy.fill(key.as_mut_slice());
        let (attachment, items) = seal_file(plain, &key);
        let manifest = Manifest {
            id: attachment,
            name: act.name.clone(),
            media_type: act.media_type.clone(),
            bytes: plain.len() as u64,
            sha256: sha256(plain),
            thumbnail: act.thumbnail.clone(),
            key,
        };
        if Manifest::read(&manifest.field(), &manifest.value()).is_none() {
            return Err(Failure::usage("the media type or the thumbnail is too long"));
        }
        let mut patch = Patch::default();
        patch.set(vec![Segment::Name(manifest.field())], manifest.value());
        let class = class(act.class.as_deref())?;
        let done =
            self.write(detail.compartment, class, vec![Draft::Edit { record: id, patch }])?;
        // Both are in the flush that the act waits for.
        let kept = self.replica.keep_file(&id, &attachment, items);
        kept.map_err(|error| store_failure(&error))?;
        Ok((json(&self.described_file(id, &manifest)?)?, Some(done.ticket)))
    }

    pub(super) fn attachments(&mut self, text: &str) -> Result<Value, Failure> {
        let id = self.find_record(text)?;
        let detail = self.visible(id)?;
        let files = Manifest::all(&detail.fields);
        let files = files.iter().map(|file| self.described_file(id, file));
        let attachments = files.collect::<Result<_, _>>()?;
        json(&Attachments { record: id.to_string(), attachments })
    }

    /// Asks for what lacks of a file, and returns it if nothing does.
    pub(super) fn fetch(
        &mut self,
        record: &str,
        name: &str,
    ) -> Result<(Attachment, Option<Vec<u8>>), Failure> {
        let id = self.find_record(record)?;
        let detail = self.visible(id)?;
        let manifest = named_file(&detail, name)?;
        let plain = self.replica.read_file(&id, &manifest).map_err(|error| file_failure(&error))?;
        if plain.is_none() {
            self.check_room()?;
            let now = self.now();
            let fetched = self.replica.fetch(now, detail.compartment, id, &manifest);
            fetched.map_err(|error| file_failure(&error))?;
            self.carry_out();
        }
        Ok((self.described_file(id, &manifest)?, plain))
    }

    fn described_file(&self, id: RecordId, manifest: &Manifest) -> Result<Attachment, Failure> {
        let file = self.replica.file(&id, manifest).map_err(|error| store_failure(&error))?;
        Ok(Attachment {
            attachment: manifest.id.to_string(),
            name: manifest.name.clone(),
            media_type: manifest.media_type.clone(),
            bytes: manifest.bytes,
            sha256: hex(&manifest.sha256),
            thumbnail: manifest.thumbnail.clone(),
            held_bytes: file.held_bytes,
            sealed_bytes: file.sealed_bytes,
            coming: file.is_coming,
        })
    }
}

/// A file of a record, by its name or the beginning of its id.
fn named_file(detail: &Detail, name: &str) -> Result<Manifest, Failure> {
    let files = Manifest::all(&detail.fields);
    let named = files.iter().filter(|file| file.name == name);
    let called = files.iter().filter(|file| super::names::is_prefix(name, &file.id.to_string()));
    let mut hits: Vec<&Manifest> = named.collect();
    if hits.is_empty() {
        hits = called.collect();
    }
    match hits.as_slice() {
        [file] => Ok((*file).clone()),
        [] => Err(Failure::not_found("attachment", name)
            .hint("`tearline record attachments RECORD` shows those there are")),
        _ => Err(Failure::usage(format!("{name:?} fits several files; name one by its id"))),
    }
}

fn file_failure(error: &FileError) -> Failure {
    match error {
        FileError::Store(error) => store_failure(error),
        FileError::TooMany => Failure::failed(error.to_string()),
        FileError::Broken => Failure::new(Kind::Integrity, error.to_string())
            .hint("whoever attached it has to attach it anew"),
    }
}
