//! The shipped binary as a whole: real daemons, real sockets, real disks, and SIGKILL.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod acts;
mod attachments;
mod backup;
mod bundles;
mod byzantine;
mod control;
mod damage;
mod field;
mod first_steps;
mod fork;
mod formats;
mod full_disk;
mod gateway;
mod gossip;
mod heard;
mod hostile;
mod imports;
mod imports_again;
mod join;
mod kill_rounds;
mod load;
mod lost;
mod maps;
mod namespaces;
mod nat;
mod passes;
mod pause;
mod portal;
mod readmission;
mod reauthor;
mod rebuild;
mod relay;
mod roots;
mod screens;
mod simulated;
mod sources;
mod thin;
mod trust;
mod whereabouts;
