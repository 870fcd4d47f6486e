//! What every record may say, of whatever kind: the common properties of STIX 2.1 §3.2.

use super::identifier::{reference, time};
use super::schema::{Shape, view};

view! {
    /// The common properties of a record. `type`, `id`, `created` and `modified` follow from the
    /// record itself, so that a native record can leave them out; an import keeps its own.
    Common {
        /// STIX object type.
        stix_type as "type": Option<String> = Shape::Text,
        /// STIX identifier.
        id: Option<String> = Shape::Ruled(reference),
        /// STIX version; 2.1.
        spec_version: Option<String> = Shape::Text,
        /// When the object was first made.
        created: Option<String> = Shape::Ruled(time),
        /// When this version was made.
        modified: Option<String> = Shape::Ruled(time),
        /// The identity that made it.
        created_by_ref: Option<String> = Shape::Ruled(reference),
        /// Whether its maker withdrew it.
        revoked: Option<bool> = Shape::Flag,
        /// Name or title.
        name: Option<String> = Shape::Text,
        /// What else there is to say.
        description: Option<String> = Shape::Text,
        /// Free terms.
        labels: Vec<String> = Shape::List(&Shape::Text),
        /// Confidence of its maker in it, 0 to 100 (STIX 2.1 appendix A).
        confidence: Option<u64> = Shape::Count(100),
        /// Language of its texts (RFC 5646).
        lang: Option<String> = Shape::Text,
        /// Sources and ids elsewhere.
        external_references: Vec<ExternalReference> =
            Shape::List(&Shape::Group(ExternalReference::FIELDS)),
        /// STIX markings; the record's label is what counts.
        object_marking_refs: Vec<String> = Shape::List(&Shape::Ruled(reference)),
    }
}

view! {
    /// Something outside (STIX 2.1 §2.5).
    ExternalReference {
        /// Who is meant: a system, a journal, a register.
        source_name: Option<String> = Shape::Text,
        /// What it is.
        description: Option<String> = Shape::Text,
        /// Where it is.
        url: Option<String> = Shape::Text,
        /// Its id there.
        external_id: Option<String> = Shape::Text,
    }
}
