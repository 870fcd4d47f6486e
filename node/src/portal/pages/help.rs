//! Help and about, and what pages are drawn with.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::Frame;
use super::super::html;
use crate::operators::{Right, Role};

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    f: Frame,
    roles: Vec<RoleColumn>,
    rights: Vec<RightRow>,
}

struct RoleColumn {
    name: &'static str,
}

/// A right, and which of the roles have it.
struct RightRow {
    text: &'static str,
    may: Vec<bool>,
}

pub(in super::super) fn help(call: &Call) -> Done {
    let f = Frame::new(call, call.language.words().help);
    let row = |text, has: &dyn Fn(Role) -> bool| RightRow {
        text,
        may: Role::ALL.into_iter().map(has).collect(),
    };
    let rights = Right::ALL.iter();
    let mut rights: Vec<RightRow> =
        rights.map(|right| row(f.w.right(*right), &|role| role.may(*right))).collect();
    rights.push(row(f.w.countersigned, &Role::is_countersigned));
    rights.push(row(f.w.second_factor, &Role::needs_second_factor));
    let roles = Role::ALL.iter().map(|role| RoleColumn { name: f.w.role(*role) }).collect();
    Ok(html::page(StatusCode::OK, &Help { f, roles, rights }))
}

#[derive(Template)]
#[template(path = "about.html")]
struct About {
    f: Frame,
    version: &'static str,
}

pub(in super::super) fn about(call: &Call) -> Done {
    let f = Frame::new(call, call.language.words().about);
    Ok(html::page(StatusCode::OK, &About { f, version: env!("CARGO_PKG_VERSION") }))
}
