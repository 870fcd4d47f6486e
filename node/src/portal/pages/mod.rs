//! The pages: one module for each.

pub(super) mod access;
pub(super) mod audit;
pub(super) mod board;
pub(super) mod bundles;
pub(super) mod devices;
pub(super) mod files;
pub(super) mod help;
pub(super) mod inbox;
pub(super) mod mesh;
pub(super) mod operators;
pub(super) mod record;
pub(super) mod records;
pub(super) mod release;
pub(super) mod report;
pub(super) mod settings;
pub(super) mod sharing;
pub(super) mod views;
pub(super) mod withhold;
