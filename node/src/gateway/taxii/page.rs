//! Objects, manifests and versions, page by page (sections 5.3 to 5.8).

use std::collections::BTreeSet;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::{Map, Value, json};
use tearline_crdt::id::CompartmentId;

use super::super::call::Call;
use super::super::media;
use super::super::problem::Problem;
use super::super::rooms::readable_room;
use super::super::time;
use super::filter::{Filter, Version};
use super::{answer, check_accept};
use crate::pass::Operation;
use crate::service::edge::{Walk, object as stix_object};

/// `GET .../objects/`
pub(in super::super) fn objects(call: &Call<'_>) -> Result<Response, Problem> {
    let (filter, compartment) = begin(call)?;
    let page = list(call, &filter, compartment)?;
    page.answer(call, &filter, "objects", |one| Value::Object(one.object))
}

/// `GET .../manifest/`
pub(in super::super) fn manifest(call: &Call<'_>) -> Result<Response, Problem> {
    let (filter, compartment) = begin(call)?;
    let page = list(call, &filter, compartment)?;
    page.answer(call, &filter, "objects", |one| {
        json!({
            "id": one.object.get("id"),
            "date_added": time::text(one.stamp_us),
            "version": one.version(),
            "media_type": media::STIX,
        })
    })
}

/// `GET .../objects/{object}/`
pub(in super::super) fn object(call: &Call<'_>) -> Result<Response, Problem> {
    let (filter, compartment) = begin(call)?;
    let page = one_object(call, &filter, compartment)?;
    page.answer(call, &filter, "objects", |one| Value::Object(one.object))
}

/// `GET .../objects/{object}/versions/`
pub(in super::super) fn versions(call: &Call<'_>) -> Result<Response, Problem> {
    let (mut filter, compartment) = begin(call)?;
    filter.versions = [Version::All].into();
    let page = one_object(call, &filter, compartment)?;
    page.answer(call, &filter, "versions", |one| one.version().into())
}

/// A page of objects.
struct Page {
    found: Vec<Found>,
    more: bool,
}

struct Found {
    stamp_us: u64,
    object: Map<String, Value>,
}

fn begin(call: &Call<'_>) -> Result<(Filter, CompartmentId), Problem> {
    check_accept(call)?;
    Ok((Filter::of(call)?, readable_room(call)?.id))
}

/// A page of a collection.
fn list(call: &Call<'_>, filter: &Filter, compartment: CompartmentId) -> Result<Page, Problem> {
    let mut query = filter.query();
    query.compartment = Some(compartment);
    let records = if filter.ids.is_empty() {
        None
    } else {
        Some(call.edge().called(compartment, filter.ids.clone())?)
    };
    let walk = Walk {
        query,
        records,
        after_us: filter.after_us,
        limit: filter.limit,
        recalled: false,
        located: false,
        as_stix: true,
    };
    let walked =
        call.edge().walk(&call.guest.to(Operation::Export), &walk, &mut |row, detail| {
            let one = Found { stamp_us: row.stamp_us, object: stix_object(detail) };
            one.is_wanted(filter).then_some(one)
        })?;
    let found = walked.kept.into_iter().map(|(_, one)| one).collect();
    Ok(Page { found, more: walked.more })
}

/// A page of what goes by one id: as many versions as agencies that brought it in.
fn one_object(
    call: &Call<'_>,
    filter: &Filter,
    compartment: CompartmentId,
) -> Result<Page, Problem> {
    let id = call.place("object").to_owned();
    let all = Filter {
        ids: [id].into(),
        types: BTreeSet::new(),
        versions: BTreeSet::new(),
        after_us: 0,
        limit: SOURCES_MAX,
        ..filter.clone()
    };
    let mut found = list(call, &all, compartment)?.found;
    if found.is_empty() {
        return Err(Problem::not_found());
    }
    let times: BTreeSet<u64> = found.iter().map(Found::version_us).collect();
    let wanted = |one: &Found| {
        let is = |version: &Version| match version {
            Version::All => true,
            Version::First => times.first() == Some(&one.version_us()),
            Version::Last => times.last() == Some(&one.version_us()),
            Version::At(us) => *us == one.version_us(),
        };
        filter.versions.iter().any(is) || filter.versions.is_empty() && is(&Version::Last)
    };
    found.retain(|one| wanted(one) && one.stamp_us > filter.after_us);
    let more = found.len() > filter.limit;
    found.truncate(filter.limit);
    Ok(Page { found, more })
}

impl Found {
    fn text(&self, name: &str) -> Option<&str> {
        self.object.get(name).and_then(Value::as_str)
    }

    /// When this version of it was made; of what does not say, when it was added (section 3.4, versions of
    /// objects without `modified`).
    fn version(&self) -> String {
        let said = self.text("modified").or_else(|| self.text("created"));
        said.map_or_else(|| time::text(self.stamp_us), str::to_owned)
    }

    fn version_us(&self) -> u64 {
        time::parse(&self.version()).unwrap_or(self.stamp_us)
    }

    /// STIX 2.1, section 3.2; an object of 2.0 does not say so.
    fn spec_version(&self) -> &str {
        let before = if self.object.contains_key("created") { "2.0" } else { "2.1" };
        self.text("spec_version").unwrap_or(before)
    }

    fn is_wanted(&self, filter: &Filter) -> bool {
        let among = |wanted: &BTreeSet<String>, is: &str| wanted.is_empty() || wanted.contains(is);
        among(&filter.ids, self.text("id").unwrap_or_default())
            && among(&filter.types, self.text("type").unwrap_or_default())
            && among(&filter.spec_versions, self.spec_version())
            && filter.wants_version(Some(self.version_us()))
    }
}

impl Page {
    fn answer(
        self,
        call: &Call<'_>,
        filter: &Filter,
        name: &'static str,
        shape: impl Fn(Found) -> Value,
    ) -> Result<Response, Problem> {
        let added = |one: &Found| one.stamp_us;
        let (first, last) = (self.found.first().map(added), self.found.last().map(added));
        let items: Vec<Value> = self.found.into_iter().map(shape).collect();
        let mut whole = Map::new();
        if let (true, Some(last_us)) = (self.more, last) {
            whole.insert("more".into(), true.into());
            whole.insert("next".into(), filter.next(last_us).into());
        }
        // A list without items is left out (section 1.6.5).
        if !items.is_empty() {
            whole.insert(name.into(), items.into());
        }
        let mut response = answer(call, &Value::Object(whole))?;
        for (name, stamp_us) in [(ADDED_FIRST, first), (ADDED_LAST, last)] {
            let value = stamp_us.and_then(|us| HeaderValue::from_str(&time::text(us)).ok());
            if let Some(value) = value {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

/// Section 3.3, HTTP headers.
const ADDED_FIRST: HeaderName = HeaderName::from_static("x-taxii-date-added-first");
const ADDED_LAST: HeaderName = HeaderName::from_static("x-taxii-date-added-last");
/// Most records that go by one id: one of each agency.
const SOURCES_MAX: usize = 1_000;
