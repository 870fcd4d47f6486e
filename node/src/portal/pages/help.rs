//! Help and about, and what pages are drawn with.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::Frame;
use super::super::html;
use crate::operators::{Right, Role};

const STYLE: &str = include_str!("../style.css");
const ICON: &str = include_str!("../icon.svg");

pub(in super::super) fn style(_: &Call) -> Done {
    Ok(html::asset("text/css; charset=utf-8", STYLE.as_bytes()))
}

pub(in super::super) fn icon(_: &Call) -> Done {
    Ok(html::asset("image/svg+xml", ICON.as_bytes()))
}

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    f: Frame,
    rights: Vec<&'static str>,
    roles: Vec<RoleRow>,
}

struct RoleRow {
    name: &'static str,
    second_factor: bool,
    may: Vec<bool>,
}

pub(in super::super) fn help(call: &Call) -> Done {
    let f = Frame::new(call, call.language.words().help);
    let rights = Right::ALL.iter().map(|right| f.w.right(*right)).collect();
    let roles = Role::ALL.iter().map(|role| RoleRow {
        name: f.w.role(*role),
        second_factor: role.needs_second_factor(),
        may: Right::ALL.iter().map(|right| role.may(*right)).collect(),
    });
    let roles = roles.collect();
    Ok(html::page(StatusCode::OK, &Help { f, rights, roles }))
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
