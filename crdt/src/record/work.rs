//! What agencies do together: alerts, hits, cases, requests, tasks, messages.

use super::identifier::{country, geohash, reference, time};
use super::schema::{Shape, view};
use super::vocabulary::{
    ActionToTake, AlertState, CaseState, CheckKind, HitState, NoticeColour, Precedence, Purpose,
    RefusalReason, RequestState, RequestUrgency, TaskState, Term,
};

view! {
    /// Look out for this, and do that.
    Alert {
        /// Whom or what to look out for.
        subject_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// Plate of the vehicle to look out for: with it the alert needs no other record.
        plate: Option<String> = Shape::Text,
        /// Where it was last seen or is expected: a cell of the geohash.
        place: Option<String> = Shape::Ruled(geohash),
        /// What to do.
        action_to_take: Option<Term<ActionToTake>> = Shape::word::<ActionToTake>(),
        /// How to check.
        check_kind: Option<Term<CheckKind>> = Shape::word::<CheckKind>(),
        /// INTERPOL notice that it follows.
        notice: Option<Term<NoticeColour>> = Shape::word::<NoticeColour>(),
        /// Why.
        reason: Option<String> = Shape::Text,
        /// Where to look out.
        area_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// In which countries.
        countries: Vec<String> = Shape::List(&Shape::Ruled(country)),
        /// Warnings to whoever meets the subject.
        warnings: Vec<String> = Shape::List(&Shape::Text),
        /// From when it holds.
        valid_from: Option<String> = Shape::Ruled(time),
        /// Until when it holds.
        valid_until: Option<String> = Shape::Ruled(time),
        /// Where it is in triage.
        state: Option<Term<AlertState>> = Shape::word::<AlertState>(),
        /// Whom to tell.
        contact: Option<String> = Shape::Text,
    }
}

view! {
    /// A match to be confirmed, from candidate to outcome.
    Hit {
        /// What was matched.
        alert_ref: Option<String> = Shape::Ruled(reference),
        /// Who or what was met.
        candidate_ref: Option<String> = Shape::Ruled(reference),
        /// Where it is.
        state: Option<Term<HitState>> = Shape::word::<HitState>(),
        /// How well it matches, 0 to 1.
        score: Option<f64> = Shape::Number(0.0, 1.0),
        /// Why it matches.
        explanation: Option<String> = Shape::Text,
        /// When it was found.
        time: Option<String> = Shape::Ruled(time),
        /// Where it was found.
        location_ref: Option<String> = Shape::Ruled(reference),
        /// Which unit found it.
        unit_ref: Option<String> = Shape::Ruled(reference),
        /// Companions, vehicle and documents.
        accompanying_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// Route and destination.
        destination: Option<String> = Shape::Text,
        /// What was done.
        measures_taken: Vec<String> = Shape::List(&Shape::Text),
        /// Who decided on the outcome.
        decided_by: Option<String> = Shape::Text,
    }
}

view! {
    /// A file that several units work on.
    Case {
        /// Where it is.
        state: Option<Term<CaseState>> = Shape::word::<CaseState>(),
        /// Agency in the lead.
        lead_agency: Option<String> = Shape::Text,
        /// Agencies that take part.
        agencies: Vec<String> = Shape::List(&Shape::Text),
        /// What belongs to it.
        object_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// What it is for.
        purpose: Option<Term<Purpose>> = Shape::word::<Purpose>(),
        /// When it was opened.
        opened: Option<String> = Shape::Ruled(time),
        /// When it was closed.
        closed: Option<String> = Shape::Ruled(time),
        /// Who in it is responsible.
        assignees: Vec<String> = Shape::List(&Shape::Text),
    }
}

view! {
    /// A request for information (Directive (EU) 2023/977, articles 4 to 6).
    Request {
        /// Where it is.
        state: Option<Term<RequestState>> = Shape::word::<RequestState>(),
        /// How fast it must be answered.
        urgency: Option<Term<RequestUrgency>> = Shape::word::<RequestUrgency>(),
        /// Why it is urgent.
        urgency_reason: Option<String> = Shape::Text,
        /// What is asked.
        questions: Vec<String> = Shape::List(&Shape::Text),
        /// Who asks.
        requester: Option<String> = Shape::Text,
        /// Whom it goes to; none: everybody who sees it.
        addressees: Vec<String> = Shape::List(&Shape::Text),
        /// For what it is asked.
        purpose: Option<Term<Purpose>> = Shape::word::<Purpose>(),
        /// Under which law.
        legal_basis: Option<String> = Shape::Text,
        /// Why it is necessary.
        necessity: Option<String> = Shape::Text,
        /// What the persons have to do with the purpose.
        persons_link: Option<String> = Shape::Text,
        /// Whom or what it is about.
        subject_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// Whether the answer may be used as evidence.
        evidence_use: Option<bool> = Shape::Flag,
        /// When the answer is due.
        due: Option<String> = Shape::Ruled(time),
        /// Why it was refused.
        refusal: Option<Term<RefusalReason>> = Shape::word::<RefusalReason>(),
        /// What answers it.
        answer_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// The answer in words.
        answer: Option<String> = Shape::Text,
    }
}

view! {
    /// A tasking.
    Task {
        /// Where it is.
        state: Option<Term<TaskState>> = Shape::word::<TaskState>(),
        /// What to do.
        instructions: Option<String> = Shape::Text,
        /// Who is to do it.
        unit_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// Where.
        location_ref: Option<String> = Shape::Ruled(reference),
        /// Why: alert, incident or request.
        cause_ref: Option<String> = Shape::Ruled(reference),
        /// Not before.
        start_time: Option<String> = Shape::Ruled(time),
        /// Not after.
        due: Option<String> = Shape::Ruled(time),
        /// What came of it.
        outcome: Option<String> = Shape::Text,
        /// What came of it, as records.
        outcome_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
    }
}

view! {
    /// A message between desks.
    Message {
        /// The text.
        content: Option<String> = Shape::Text,
        /// Who sends it.
        from: Option<String> = Shape::Text,
        /// Whom it is for; none: everybody who sees it.
        to: Vec<String> = Shape::List(&Shape::Text),
        /// How urgent it is.
        precedence: Option<Term<Precedence>> = Shape::word::<Precedence>(),
        /// What it answers.
        in_reply_to_ref: Option<String> = Shape::Ruled(reference),
        /// What it is about.
        object_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// When it was sent.
        sent: Option<String> = Shape::Ruled(time),
    }
}
