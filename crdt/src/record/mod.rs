//! Records: what agencies share. A record is one Automerge document whose root map holds the
//! properties of one [`kind::Kind`]; its [`label::Label`] lives beside the document, in signed
//! statements, so that it can be joined and never silently overwritten.
//!
//! The root map has the shape of a STIX 2.1 object: a property that STIX has keeps its STIX name,
//! ours are in snake case. [`typed::Typed`] structs are views of it, [`schema`] says how they are
//! declared, and [`validate::validate`] says what a native record may hold.

pub mod annotation;
pub mod common;
pub mod day;
pub mod edge;
pub mod event;
pub mod genesis;
pub mod identifier;
pub mod kind;
pub mod label;
pub mod mrz;
pub mod pattern;
pub mod rebase;
pub mod receipt;
pub mod schema;
pub mod shelf;
pub mod subject;
pub mod typed;
pub mod validate;
pub mod vocabulary;
pub mod work;
pub mod writing;

#[cfg(test)]
mod tests;
