//! The pages: one module for each.

pub(super) mod access;
pub(super) mod audit;
pub(super) mod board;
pub(super) mod help;
pub(super) mod mesh;
pub(super) mod operators;
pub(super) mod record;
pub(super) mod records;
pub(super) mod report;
pub(super) mod settings;
pub(super) mod sharing;
pub(super) mod views;
