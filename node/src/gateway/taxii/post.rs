//! Objects that are brought in, and taken out again (sections 5.4 and 5.6).

use std::ops::ControlFlow;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tearline_crdt::entropy::Entropy as _;

use super::super::call::Call;
use super::super::media;
use super::super::problem::Problem;
use super::super::rooms::room;
use super::super::time;
use super::filter::Filter;
use super::status::{Outcome, Status};
use super::{answer, answer_with, check_accept};
use crate::exchange::{Draft, Item, stix};
use crate::index::now_us;
use crate::service::SystemEntropy;
use crate::service::edge::Room;

/// Most objects of one request: each that is no good takes room in the answer.
const OBJECTS_MAX: usize = 20_000;

/// Whether `POST .../objects/` may be asked.
pub(in super::super) fn may_add(call: &Call<'_>) -> Result<(), Problem> {
    target(call).map(|_| ())
}

/// The collection that objects are brought into.
fn target(call: &Call<'_>) -> Result<Room, Problem> {
    check_accept(call)?;
    if !media::is_taxii(&call.headers) {
        let detail = format!("send {}, and say so", media::TAXII);
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let room = room(call)?;
    if !room.writable {
        let detail = "the pass does not allow to bring objects into it";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(room)
}

/// `POST .../objects/`: what is answered is durable. To send the same again changes nothing.
pub(in super::super) fn add(call: &Call<'_>) -> Result<Response, Problem> {
    let room = target(call)?;
    let (mut outcomes, drafts) = read(&call.body)?;
    let requested = now_us();
    for refused in call.edge().take(&call.guest, room.id, drafts)? {
        let one = refused.place.parse::<usize>().ok().and_then(|n| outcomes.get_mut(n));
        if let Some(outcome) = one {
            outcome.fault = Some(refused.reason);
        }
    }
    let mut id = [0; 16];
    SystemEntropy.fill(&mut id);
    let status = Status { id: stix::uuid(id), requested, outcomes };
    let whole = status.shape();
    super::status::keep(call, status);
    answer_with(call, StatusCode::ACCEPTED, &whole)
}

/// `DELETE .../objects/{object}/`: a recall, which all holders of the record hear of.
pub(in super::super) fn delete(call: &Call<'_>) -> Result<Response, Problem> {
    check_accept(call)?;
    let filter = Filter::of(call)?;
    if !filter.versions.is_empty() || !filter.spec_versions.is_empty() {
        return Err(Problem::bad("an object is recalled as a whole, not some of its versions"));
    }
    let room = room(call)?;
    call.edge().recall(&call.guest, room.id, call.place("object").to_owned())?;
    answer(call, &json!({}))
}

/// Reads all objects before any is taken: of a body that breaks off nothing is.
fn read(body: &[u8]) -> Result<(Vec<Outcome>, Vec<Draft>), Problem> {
    let (mut outcomes, mut drafts) = (Vec::new(), Vec::new());
    let mut too_many = false;
    let read = stix::read_envelope(body, &mut |item| {
        too_many = outcomes.len() >= OBJECTS_MAX;
        if too_many {
            return ControlFlow::Break(());
        }
        match item {
            Item::Draft(mut draft) => {
                let text = |name: &str| draft.fields.get(name).and_then(Value::as_str);
                let version = text("modified").or_else(|| text("created"));
                outcomes.push(Outcome {
                    id: text("id").unwrap_or_default().to_owned(),
                    version: version.map_or_else(|| time::text(now_us()), str::to_owned),
                    fault: None,
                });
                draft.place = (outcomes.len() - 1).to_string();
                drafts.push(draft);
            }
            Item::Bad(problem) => outcomes.push(Outcome {
                id: problem.place,
                version: time::text(now_us()),
                fault: Some(problem.reason),
            }),
            Item::PassedOver => {}
        }
        ControlFlow::Continue(())
    });
    if too_many {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("more than {OBJECTS_MAX} objects; send them in parts"),
        ));
    }
    read.map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    if outcomes.is_empty() {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "there are no objects in it"));
    }
    Ok((outcomes, drafts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_envelope_or_refused_whole() {
        let good = r#"{"type":"indicator","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"}"#;
        let (outcomes, drafts) = read(format!("{{\"objects\":[{good},7]}}").as_bytes()).unwrap();
        assert_eq!((outcomes.len(), drafts.len()), (2, 1));
        assert!(outcomes[0].fault.is_none() && outcomes[1].fault.is_some());
        let deep = format!("{{\"objects\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for wrong in [
            "",
            "{",
            "[]",
            "{}",
            "null",
            &format!("[{good}]"),
            good,
            r#"{"objects":[]}"#,
            r#"{"objects":{}}"#,
            r#"{"type":"report","objects":[{}]}"#,
            &format!("{{\"objects\":[{good}"),
            &format!("{{\"objects\":[{good}]}} x"),
            &format!("{{\"objects\":[{good}],\"objects\":[]}}"),
            "\u{feff}",
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(read(deep.as_bytes()).is_ok_and(|(_, drafts)| drafts.is_empty()));
        let many = format!("{{\"objects\":[{}7]}}", "7,".repeat(OBJECTS_MAX));
        assert!(read(many.as_bytes()).is_err());
    }
}
