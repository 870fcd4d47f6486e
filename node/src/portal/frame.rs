//! What all pages have around what they show.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use tearline_crdt::record::vocabulary::{Purpose, Tlp, Vocabulary as _};
use tearline_crdt::time::WallTime;

use super::assets::{Assets, assets};
use super::call::Call;
use super::html::{self, Trouble};
use super::language::Language;
use super::words::Words;
use crate::operators::Right;

/// The frame of a page.
pub(super) struct Frame {
    pub(super) w: &'static Words,
    pub(super) language: Language,
    pub(super) theme: String,
    pub(super) title: String,
    pub(super) peer: String,
    pub(super) user: Option<User>,
    pub(super) nav: Vec<Item>,
    pub(super) csrf: String,
    pub(super) notice: &'static str,
    /// The colour that a print of it bears.
    pub(super) label: String,
    pub(super) now: Moment,
    pub(super) assets: &'static Assets,
    /// Whether news come, and single keys do something.
    pub(super) live: bool,
    pub(super) keys: bool,
    utc_offset_min: i32,
}

/// Who is signed in.
pub(super) struct User {
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) purposes: Vec<Choice>,
    pub(super) consults: bool,
}

/// A place to go.
pub(super) struct Item {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
    pub(super) current: bool,
}

/// One of several values.
#[derive(Clone)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) text: String,
    pub(super) chosen: bool,
}

impl Choice {
    pub(super) fn new(value: &str, text: &str, chosen: &str) -> Self {
        Self { value: value.into(), text: text.into(), chosen: value == chosen }
    }
}

/// A time in UTC, and as clocks on the wall show it.
#[derive(Clone, Default)]
pub(super) struct Moment {
    pub(super) iso: String,
    pub(super) utc: String,
    /// Empty where it is the same.
    pub(super) local: String,
}

/// The places there are, what they take, and what they are called.
type Place = (&'static str, Option<Right>, fn(&'static Words) -> &'static str);
const PLACES: [Place; 15] = [
    ("/board", Some(Right::Consult), |w| w.board),
    ("/records", Some(Right::Consult), |w| w.records),
    ("/map", Some(Right::Consult), |w| w.map),
    ("/timeline", Some(Right::Consult), |w| w.timeline),
    ("/new", Some(Right::Report), |w| w.new_report),
    ("/releases", Some(Right::Countersign), |w| w.releases),
    ("/devices", Some(Right::Trust), |w| w.devices),
    ("/inbox", Some(Right::Trust), |w| w.inbox),
    ("/bundles", Some(Right::Carry), |w| w.bundles),
    ("/mesh", Some(Right::Mesh), |w| w.mesh),
    ("/sharing", Some(Right::Sharing), |w| w.sharing),
    ("/audit", Some(Right::Audit), |w| w.audit),
    ("/operators", Some(Right::Administer), |w| w.operators),
    ("/settings", None, |w| w.settings),
    ("/help", None, |w| w.help),
];

impl Frame {
    pub(super) fn new(call: &Call, title: impl Into<String>) -> Self {
        let w = call.language.words();
        let session = call.session.as_ref().filter(|session| session.enrols.is_none());
        let user = session.map(|session| User {
            name: session.name.clone(),
            role: w.role(session.role),
            purposes: purposes(w, session.purpose),
            consults: session.role.may(Right::Consult),
        });
        let settings = session.map(|session| session.settings.clone()).unwrap_or_default();
        let may = |right: &Option<Right>| right.is_none_or(|right| call.may(right));
        let places = PLACES.iter().filter(|(_, right, _)| session.is_some() && may(right));
        let nav = places.map(|(path, _, text)| Item {
            path,
            text: text(w),
            current: call.path.starts_with(path)
                || *path == "/records" && call.path.starts_with("/record/")
                || *path == "/devices" && call.path.starts_with("/device/"),
        });
        let mut frame = Self {
            w,
            language: call.language,
            theme: settings.theme,
            title: title.into(),
            peer: call.state.peer.clone(),
            user,
            nav: nav.collect(),
            csrf: call.token.form_token(),
            notice: w.notice(call.query.text("done")),
            label: session.map(|session| tlp(session.label_max.word())).unwrap_or_default(),
            now: Moment::default(),
            assets: assets(),
            live: session.is_some_and(|session| session.role.may(Right::Consult)),
            keys: session.is_some() && !settings.keys_off,
            utc_offset_min: settings.utc_offset_min,
        };
        frame.now = frame.moment_ms(call.now_ms());
        frame
    }

    /// A page whose print bears the colour of what it shows.
    pub(super) fn labelled(mut self, label: &str) -> Self {
        self.label = label.to_owned();
        self
    }

    pub(super) fn moment_ms(&self, ms: u64) -> Moment {
        let shift = i64::from(self.utc_offset_min) * 60_000;
        let short = |ms: u64| {
            let text = WallTime(ms).to_string();
            text.get(..16).unwrap_or_default().replace('T', " ")
        };
        let local = if shift == 0 {
            String::new()
        } else {
            short(ms.saturating_add_signed(shift)).get(11..).unwrap_or_default().to_owned()
        };
        Moment { iso: WallTime(ms).to_string(), utc: format!("{}Z", short(ms)), local }
    }

    /// A time that an answer gave.
    pub(super) fn moment(&self, text: &str) -> Moment {
        match WallTime::parse(text) {
            Some(time) => self.moment_ms(time.0),
            None => Moment { utc: text.to_owned(), ..Moment::default() },
        }
    }

    /// How long ago something was, in the largest whole unit.
    pub(super) fn ago(&self, then_ms: u64, now_ms: u64) -> String {
        let s = now_ms.saturating_sub(then_ms) / 1_000;
        let (n, forms) = match s {
            0..60 => (s, &self.w.seconds),
            60..3_600 => (s / 60, &self.w.minutes),
            3_600..86_400 => (s / 3_600, &self.w.hours),
            _ => (s / 86_400, &self.w.days),
        };
        self.w.ago.replace('#', &forms.of(self.language, n))
    }
}

fn purposes(w: &'static Words, chosen: Purpose) -> Vec<Choice> {
    let choice =
        |purpose: &Purpose| Choice::new(purpose.word(), w.purpose_of(*purpose), chosen.word());
    Purpose::ALL.iter().map(choice).collect()
}

/// A colour as it is shown.
pub(super) fn tlp(word: &str) -> String {
    format!("TLP:{word}")
}

/// A label's colour, as a class of the style sheet and as text, and what else it says.
pub(super) struct Badge {
    pub(super) class: &'static str,
    pub(super) text: String,
    pub(super) rest: String,
}

impl Badge {
    pub(super) fn of(label: &str) -> Self {
        use tearline_crdt::record::label::Label;
        let read: Option<Label> = label.parse().ok().filter(|label: &Label| !label.unknown);
        let class = match read.as_ref().map(|label| label.tlp) {
            Some(Tlp::Clear) => "clear",
            Some(Tlp::Green) => "green",
            Some(Tlp::Amber) => "amber",
            Some(Tlp::AmberStrict) => "amber strict",
            Some(Tlp::Red) | None => "red",
        };
        let text = read.map_or("TLP:?".into(), |label| tlp(label.tlp.word()));
        let rest = label.strip_prefix(&text).unwrap_or_default().trim().to_owned();
        Self { class, text, rest }
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    f: Frame,
    heading: &'static str,
    text: &'static str,
    trouble: &'a Trouble,
    /// Where the form is sent again, with what was typed; empty if nothing was.
    action: &'a str,
    typed: Vec<Typed<'a>>,
    signs_in: bool,
}

/// A field of a form that was refused.
struct Typed<'a> {
    name: &'a str,
    label: String,
    value: &'a str,
    hidden: bool,
    long: bool,
}

/// Fields that are not shown again.
const SECRETS: [&str; 5] = ["csrf", "passphrase", "again", "code", "act"];
/// What is longer stands in several lines.
const LINE_BYTES_MAX: usize = 80;

fn typed(call: &Call) -> Vec<Typed<'_>> {
    let told = |name: &str| !SECRETS.contains(&name) || name == "act";
    let open = |path: &str| matches!(path, "/login" | "/setup" | "/enrol");
    if call.method != "POST"
        || open(call.route)
        || !call.form.names().any(|name| !SECRETS.contains(&name))
    {
        return Vec::new();
    }
    let fields = call.form.fields().filter(|(name, _)| told(name));
    let fields = fields.map(|(name, value)| Typed {
        name,
        label: label(name.strip_prefix("set.").unwrap_or(name)),
        hidden: matches!(name, "act" | "sure" | "record" | "stamp" | "proposal" | "take" | "field"),
        long: value.len() > LINE_BYTES_MAX || value.contains('\n'),
        value,
    });
    fields.collect()
}

/// A property's name for people: the properties are STIX's, and are called so in every language.
pub(super) fn label(name: &str) -> String {
    let (name, unit) = match name.strip_suffix("_m_s") {
        Some(name) => (name, " (m/s)"),
        None => (name, ""),
    };
    // What refers to another record is called by what that is.
    let name = name.strip_suffix("_refs").or_else(|| name.strip_suffix("_ref")).unwrap_or(name);
    let text = name.replace('_', " ") + unit;
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The page of what is not shown, and why.
pub(super) fn trouble(call: &Call, trouble: &Trouble) -> Response {
    let w = call.language.words();
    let (heading, text) = match trouble.status {
        StatusCode::NOT_FOUND => (w.not_found, w.not_found_text),
        _ if trouble.by_mesh => (w.refused, w.refused_text),
        StatusCode::FORBIDDEN => (w.forbidden, w.forbidden_text),
        StatusCode::UNAUTHORIZED => (w.signed_out, w.signed_out_text),
        StatusCode::BAD_REQUEST => (w.bad_request, w.bad_request_text),
        StatusCode::CONFLICT => (w.not_done, w.not_done_text),
        _ => (w.failed, w.failed_text),
    };
    let page = TroublePage {
        f: Frame::new(call, heading),
        heading,
        text,
        trouble,
        action: &call.path,
        typed: typed(call),
        signs_in: trouble.status == StatusCode::UNAUTHORIZED,
    };
    html::page(trouble.status, &page)
}
