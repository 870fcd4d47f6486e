//! All routes there are.

use axum::response::Response;

use super::call::Call;
use super::problem::Problem;
use super::{events, media, metrics, ogc, openapi, records, taxii};
use crate::pass::Operation;

/// A route.
pub(super) struct Route {
    /// How it is asked for.
    pub(super) method: &'static str,
    /// Where, with names in braces for what stands there.
    pub(super) path: &'static str,
    /// What a pass must allow for it, wherever: else it is 403, and no list without rows.
    pub(super) needs: Option<Operation>,
    /// What it does. It may wait for the core, and runs where that is no harm.
    pub(super) run: Run,
    /// What it is for.
    pub(super) summary: &'static str,
    /// The parameters of the query that it knows.
    pub(super) parameters: &'static [&'static str],
    /// The body that it takes.
    pub(super) body: Option<Taken>,
    /// The media type of its answers.
    pub(super) answers: &'static str,
}

type Run = fn(&Call<'_>) -> Result<Response, Problem>;

/// A body that a route takes.
pub(super) struct Taken {
    /// Its media type.
    pub(super) media_type: &'static str,
    /// Whether the asker may bring something in: asked before any of the body is read, of a call without it.
    pub(super) may: fn(&Call<'_>) -> Result<(), Problem>,
}

/// What a path is part of: which media type its problems have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Area {
    /// TAXII 2.1.
    Taxii,
    /// All else.
    Other,
}

impl Area {
    /// Of a path, of a route or of none.
    pub(super) fn of(path: &str) -> Self {
        if path.starts_with("/taxii2/") { Self::Taxii } else { Self::Other }
    }
}

impl Route {
    const fn get(
        path: &'static str,
        answers: &'static str,
        run: Run,
        summary: &'static str,
    ) -> Self {
        let (method, needs) = ("GET", None);
        Self { method, path, needs, run, summary, parameters: &[], body: None, answers }
    }

    const fn needing(self, operation: Operation) -> Self {
        Self { needs: Some(operation), ..self }
    }

    const fn with(self, parameters: &'static [&'static str]) -> Self {
        Self { parameters, ..self }
    }
}

const fn taxii(path: &'static str, run: Run, summary: &'static str) -> Route {
    Route::get(path, media::TAXII, run, summary)
}

/// TAXII 2.1, section 3.4.
const FILTERS: &[&str] = &[
    "added_after",
    "limit",
    "next",
    "match[id]",
    "match[type]",
    "match[version]",
    "match[spec_version]",
];

/// The table.
pub(super) const ROUTES: &[Route] = &[
    taxii("/taxii2/", taxii::discovery, "Which API roots there are"),
    taxii("/taxii2/mesh/", taxii::api_root, "What the API root is"),
    taxii(
        "/taxii2/mesh/status/{status}/",
        taxii::status::get,
        "What became of objects that were sent",
    ),
    taxii("/taxii2/mesh/collections/", taxii::collections, "The collections that the pass may see"),
    taxii("/taxii2/mesh/collections/{collection}/", taxii::collection, "One collection"),
    taxii(
        "/taxii2/mesh/collections/{collection}/manifest/",
        taxii::page::manifest,
        "What a collection holds, without the objects",
    )
    .with(FILTERS),
    taxii(
        "/taxii2/mesh/collections/{collection}/objects/",
        taxii::page::objects,
        "Objects of a collection",
    )
    .with(FILTERS),
    Route {
        method: "POST",
        path: "/taxii2/mesh/collections/{collection}/objects/",
        needs: None,
        run: taxii::post::add,
        summary: "Bring objects into a collection",
        parameters: &[],
        body: Some(Taken { media_type: media::TAXII, may: taxii::post::may_add }),
        answers: media::TAXII,
    },
    taxii(
        "/taxii2/mesh/collections/{collection}/objects/{object}/",
        taxii::page::object,
        "One object",
    )
    .with(FILTERS),
    Route {
        method: "DELETE",
        path: "/taxii2/mesh/collections/{collection}/objects/{object}/",
        needs: None,
        run: taxii::post::delete,
        summary: "Recall an object",
        parameters: &[],
        body: None,
        answers: media::TAXII,
    },
    taxii(
        "/taxii2/mesh/collections/{collection}/objects/{object}/versions/",
        taxii::page::versions,
        "The versions of an object",
    )
    .with(FILTERS),
    Route::get("/ogc/", media::JSON, ogc::landing, "Where to begin with located records"),
    Route::get(
        "/ogc/conformance",
        media::JSON,
        ogc::conformance,
        "What of OGC API Features is spoken",
    ),
    Route::get(
        "/ogc/collections",
        media::JSON,
        ogc::collections,
        "The collections that the pass may read",
    )
    .needing(Operation::Export),
    Route::get("/ogc/collections/{collection}", media::JSON, ogc::collection, "One collection"),
    Route::get(
        "/ogc/collections/{collection}/items",
        media::GEOJSON,
        ogc::items,
        "Located records",
    )
    .with(&["bbox", "datetime", "limit", "next"]),
    Route::get(
        "/ogc/collections/{collection}/items/{feature}",
        media::GEOJSON,
        ogc::item,
        "One located record",
    ),
    Route::get(
        "/api/compartments",
        media::JSON,
        records::compartments,
        "The compartments that the pass may see",
    ),
    Route {
        method: "POST",
        path: "/api/compartments/{collection}/records",
        needs: None,
        run: records::add,
        summary: "Bring records into a compartment",
        parameters: &[],
        body: Some(Taken { media_type: media::JSON, may: records::may_add }),
        answers: media::JSON,
    },
    Route::get(
        "/api/records",
        media::JSON,
        records::list,
        "Find records, and follow what is new and what changes",
    )
    .with(&["q", "since", "limit"])
    .needing(Operation::Search),
    Route::get("/api/events", media::EVENTS, events::stream, "Records as they come and change")
        .with(&["q", "since"])
        .needing(Operation::Search),
    Route::get("/api/records/{record}", media::JSON, records::show, "One record")
        .needing(Operation::Read),
    Route::get("/api/openapi.json", media::JSON, openapi::document, "This description"),
    Route::get("/metrics", media::TEXT, metrics::text, "How the gateway is used"),
];
