//! What an operator likes: language, colours, time.

use askama::Template;
use axum::http::StatusCode;

use super::super::call::{Call, Done};
use super::super::frame::{Choice, Frame};
use super::super::html::{self, Trouble};
use super::super::language::Language;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    f: Frame,
    languages: Vec<Choice>,
    themes: Vec<Choice>,
    offsets: Vec<Choice>,
    keys: Vec<Choice>,
}

/// The colours there are; the first is as the system has them.
const THEMES: [&str; 4] = ["", "light", "dark", "contrast"];
/// Offsets from UTC that are offered, in minutes: every whole hour, and the halves that are in use.
const OFFSETS_MIN: [i32; 31] = [
    -720, -660, -600, -540, -480, -420, -360, -300, -240, -210, -180, -120, -60, 0, 60, 120, 180,
    210, 240, 270, 300, 330, 345, 360, 420, 480, 540, 570, 600, 660, 720,
];

pub(in super::super) fn show(call: &Call) -> Done {
    let settings = &call.session()?.settings;
    let f = Frame::new(call, call.language.words().settings);
    let themes = [f.w.theme_system, f.w.theme_light, f.w.theme_dark, f.w.theme_contrast];
    let languages = Language::ALL.iter();
    let page = SettingsPage {
        languages: languages
            .map(|one| Choice::new(one.code(), one.name(), call.language.code()))
            .collect(),
        themes: THEMES
            .iter()
            .zip(themes)
            .map(|(theme, text)| Choice::new(theme, text, &settings.theme))
            .collect(),
        keys: {
            let chosen = if settings.keys_off { "off" } else { "on" };
            vec![Choice::new("on", f.w.yes, chosen), Choice::new("off", f.w.no, chosen)]
        },
        offsets: OFFSETS_MIN
            .iter()
            .map(|min| {
                let chosen = settings.utc_offset_min.to_string();
                Choice::new(&min.to_string(), &offset(*min), &chosen)
            })
            .collect(),
        f,
    };
    Ok(html::page(StatusCode::OK, &page))
}

fn offset(min: i32) -> String {
    let sign = if min < 0 { '−' } else { '+' };
    format!("UTC{sign}{:02}:{:02}", min.abs() / 60, min.abs() % 60)
}

pub(in super::super) fn save(call: &Call) -> Done {
    let form = &call.form;
    let mut settings = call.session()?.settings.clone();
    let language = Language::parse(form.text("language"));
    let theme = THEMES.iter().find(|theme| **theme == form.text("theme"));
    let offset = form.text("offset").parse().ok().filter(|min| OFFSETS_MIN.contains(min));
    let (Some(language), Some(theme), Some(offset)) = (language, theme, offset) else {
        return Err(Trouble::new(StatusCode::BAD_REQUEST));
    };
    settings.language = language.code().into();
    settings.theme = (*theme).into();
    settings.utc_offset_min = offset;
    settings.keys_off = form.text("keys") == "off";
    call.keep_settings(&settings)?;
    Ok(html::redirect("/settings?done=settings"))
}
