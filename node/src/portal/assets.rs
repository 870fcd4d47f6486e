//! What pages are drawn with and helped by: a style sheet and a script, embedded, and named by what is in them, so
//! that a browser keeps them until they change.

use std::sync::LazyLock;

use tearline_crdt::hash::sha256;

use super::call::{Call, Done};
use super::html::{self, Trouble};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("portal.js");
const ICON: &str = include_str!("icon.svg");

/// Their addresses.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) script: String,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: format!("/assets/{}.css", name_of(STYLE)),
    script: format!("/assets/{}.js", name_of(SCRIPT)),
});

pub(super) fn assets() -> &'static Assets {
    &ASSETS
}

/// The beginning of its hash.
fn name_of(text: &str) -> String {
    sha256(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn serve(call: &Call) -> Done {
    let asked = &call.path;
    if *asked == ASSETS.style {
        return Ok(html::asset("text/css; charset=utf-8", STYLE.as_bytes()));
    }
    if *asked == ASSETS.script {
        return Ok(html::asset("text/javascript; charset=utf-8", SCRIPT.as_bytes()));
    }
    Err(Trouble::not_found())
}

pub(super) fn icon(_: &Call) -> Done {
    Ok(html::asset("image/svg+xml", ICON.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_loads_is_small() {
        // As it is sent, which is not compressed: a peer is on the same machine.
        assert!(STYLE.len() + SCRIPT.len() + ICON.len() < 60_000);
    }
}
