//! Records: what agencies share. A record is one Automerge document whose root map holds the
//! properties of one [`kind::Kind`]; its [`label::Label`] lives beside the document, in signed
//! statements, so that it can be joined and never silently overwritten.

pub mod day;
pub mod kind;
pub mod label;
pub mod vocabulary;
