//! All routes of the portal: one table, with the right that each takes.

use super::call::{Call, Done};
use super::html::Trouble;
use super::pages::{
    access, audit, board, bundles, devices, files, help, inbox, mesh, operators, record, records,
    release, report, settings, sharing, views, withhold,
};
use super::{Access, assets, live};
use crate::operators::Right;
use crate::service::hands::BUNDLE_BYTES_MAX;
use tearline_crdt::attachment::FILE_BYTES_MAX;

/// A route.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) run: fn(&Call) -> Done,
    /// Whether it stretches a passphrase, which has its own turns.
    pub(super) stretches: bool,
    /// Whether a browser without a cookie is given one.
    pub(super) gives_cookie: bool,
    /// Most bytes of a form with files; 0 where it has none.
    pub(super) upload_bytes_max: usize,
}

const fn get(path: &'static str, access: Access, run: fn(&Call) -> Done) -> Route {
    Route {
        method: "GET",
        path,
        access,
        run,
        stretches: false,
        gives_cookie: false,
        upload_bytes_max: 0,
    }
}

const fn post(path: &'static str, access: Access, run: fn(&Call) -> Done) -> Route {
    Route {
        method: "POST",
        path,
        access,
        run,
        stretches: false,
        gives_cookie: false,
        upload_bytes_max: 0,
    }
}

impl Route {
    const fn stretching(self) -> Self {
        Self { stretches: true, ..self }
    }

    /// A form with a file of at most so many bytes, and room for its fields.
    const fn with_file(self, bytes_max: usize) -> Self {
        Self { upload_bytes_max: bytes_max + FIELDS_BYTES_MAX, ..self }
    }

    const fn giving_cookie(self) -> Self {
        Self { gives_cookie: true, ..self }
    }
}

/// Bytes of the fields beside a file, and of what is around them.
const FIELDS_BYTES_MAX: usize = 64 * 1024;

const fn holder(right: Right) -> Access {
    Access::Holder(right)
}

/// What is asked for and is not there. Strangers are sent to sign in, as from everywhere.
pub(super) static NO_ROUTE: Route = get("", Access::Member, |_| Err(Trouble::not_found()));

/// The table.
pub(super) static ROUTES: &[Route] = &[
    get("/assets/{name}", Access::Open, assets::serve),
    get("/favicon.svg", Access::Open, assets::icon),
    get("/events", Access::Member, live::stream),
    get("/login", Access::Open, access::login).giving_cookie(),
    post("/login", Access::Open, access::sign_in).stretching(),
    get("/setup", Access::Open, access::setup).giving_cookie(),
    post("/setup", Access::Open, access::set_up).stretching(),
    get("/enrol", Access::Member, access::enrol),
    post("/enrol", Access::Member, access::confirm),
    post("/logout", Access::Member, access::sign_out),
    post("/purpose", Access::Member, access::purpose),
    get("/", Access::Member, board::home),
    get("/board", holder(Right::Consult), board::show),
    post("/board/mark", holder(Right::Mark), board::mark),
    post("/board/shift", holder(Right::Consult), board::shift),
    get("/records", holder(Right::Consult), records::list),
    post("/records/views", holder(Right::Consult), records::keep_view),
    get("/map", holder(Right::Consult), views::map),
    get("/timeline", holder(Right::Consult), views::timeline),
    get("/record/{record}", holder(Right::Consult), record::show),
    get("/record/{record}/why", holder(Right::Consult), record::why),
    post("/record/{record}/edit", holder(Right::Change), record::edit),
    post("/record/{record}/resolve", holder(Right::Change), record::resolve),
    post("/record/{record}/note", holder(Right::Report), record::note),
    get("/record/{record}/withhold", holder(Right::Withhold), withhold::show),
    post("/record/{record}/say", holder(Right::Withhold), withhold::say),
    get("/record/{record}/release", holder(Right::Release), release::form),
    post("/record/{record}/release", holder(Right::Release), release::act),
    post("/record/{record}/attach", holder(Right::Change), files::attach)
        .with_file(FILE_BYTES_MAX as usize),
    post("/record/{record}/fetch", holder(Right::Consult), files::fetch),
    get("/record/{record}/file/{file}", holder(Right::Consult), files::take),
    get("/releases", holder(Right::Countersign), release::list),
    post("/releases/decide", holder(Right::Countersign), release::decide),
    get("/new", holder(Right::Report), report::choose),
    get("/new/{kind}", holder(Right::Report), report::form),
    post("/new/{kind}", holder(Right::Report), report::write),
    get("/devices", holder(Right::Trust), devices::list),
    get("/device/{device}", holder(Right::Trust), devices::show),
    post("/device/{device}", holder(Right::Trust), devices::lost),
    get("/inbox", holder(Right::Trust), inbox::list),
    get("/inbox/{entry}", holder(Right::Trust), inbox::show),
    post("/inbox/{entry}/adopt", holder(Right::Trust), inbox::adopt),
    get("/bundles", holder(Right::Carry), bundles::show),
    post("/bundles/export", holder(Right::Carry), bundles::export),
    post("/bundles/import", holder(Right::Carry), bundles::import)
        .with_file(BUNDLE_BYTES_MAX as usize),
    post("/new/{kind}/draft", holder(Right::Report), report::draft),
    get("/mesh", holder(Right::Mesh), mesh::show),
    get("/sharing", holder(Right::Sharing), sharing::show),
    post("/sharing/approve", holder(Right::Approve), sharing::approve),
    get("/audit", holder(Right::Audit), audit::show),
    post("/audit/verify", holder(Right::Audit), audit::verify),
    get("/operators", holder(Right::Administer), operators::list),
    post("/operators/add", holder(Right::Administer), operators::add),
    post("/operators/change", holder(Right::Administer), operators::change),
    get("/settings", Access::Member, settings::show),
    post("/settings", Access::Member, settings::save),
    get("/help", Access::Member, help::help),
    get("/about", Access::Member, help::about),
];
