//! What is said about other records: by anybody who may write where they are, without editing them.

use super::identifier::{reference, relationship_type, time};
use super::schema::{Shape, view};
use super::vocabulary::{Confidence, OpinionValue, Probability, Term};

view! {
    /// A written report that refers to other records (STIX 2.1 §4.16).
    Report {
        /// What kinds of report it is.
        report_types: Vec<String> = Shape::List(&Shape::Text),
        /// When it was published.
        published: Option<String> = Shape::Ruled(time),
        /// The text.
        content: Option<String> = Shape::Text,
        /// What it refers to.
        object_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
    }
}

view! {
    /// A remark on other records (STIX 2.1 §4.14).
    Note {
        /// Summary.
        summary as "abstract": Option<String> = Shape::Text,
        /// The text.
        content: Option<String> = Shape::Text,
        /// Who wrote it.
        authors: Vec<String> = Shape::List(&Shape::Text),
        /// What it is about.
        object_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
    }
}

view! {
    /// Agreement or disagreement with a record (STIX 2.1 §4.15).
    Opinion {
        /// Why.
        explanation: Option<String> = Shape::Text,
        /// Who holds it.
        authors: Vec<String> = Shape::List(&Shape::Text),
        /// How far it agrees.
        opinion: Option<Term<OpinionValue>> = Shape::word::<OpinionValue>(),
        /// With what.
        object_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
    }
}

view! {
    /// A directed link between two records (STIX 2.1 §5.1).
    Relationship {
        /// What links them, such as travels-with or same-as.
        relationship_type: Option<String> = Shape::Ruled(relationship_type),
        /// From.
        source_ref: Option<String> = Shape::Ruled(reference),
        /// To.
        target_ref: Option<String> = Shape::Ruled(reference),
        /// Since when.
        start_time: Option<String> = Shape::Ruled(time),
        /// Until when.
        stop_time: Option<String> = Shape::Ruled(time),
    }
}

view! {
    /// A judgement with its probability and, apart from it, its confidence (ICD 203).
    Assessment {
        /// What is judged to be so.
        statement: Option<String> = Shape::Text,
        /// How likely it is.
        probability: Option<Term<Probability>> = Shape::word::<Probability>(),
        /// How firm the ground is.
        analytic_confidence: Option<Term<Confidence>> = Shape::word::<Confidence>(),
        /// What it rests on.
        basis: Option<String> = Shape::Text,
        /// What else could explain it.
        alternatives: Vec<String> = Shape::List(&Shape::Text),
        /// What it is about.
        object_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
        /// From when it holds.
        valid_from: Option<String> = Shape::Ruled(time),
        /// Until when it holds.
        valid_until: Option<String> = Shape::Ruled(time),
    }
}
