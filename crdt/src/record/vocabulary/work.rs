//! Alerts, requests, tasks and hits, and the states they go through.

use super::vocabulary;

vocabulary! {
    /// How somebody under an alert is checked (Regulation (EU) 2018/1862, article 36).
    CheckKind: "a kind of check" {
        /// The subject must not notice.
        Discreet = 0 "discreet",
        /// The subject is interviewed as well.
        Inquiry = 1 "inquiry",
        /// The subject, vehicle and luggage are searched, where national law allows.
        Specific = 2 "specific",
    }
}

vocabulary! {
    /// What whoever finds the subject is to do (after the alert categories of Regulations (EU)
    /// 2018/1860, 2018/1861 and 2018/1862).
    ActionToTake: "an action to take" {
        /// Stop and arrest.
        Arrest = 0 "arrest",
        /// Refuse entry or stay.
        RefuseEntry = 1 "refuse-entry",
        /// See to the return that was ordered.
        Return = 2 "return",
        /// Place under protection.
        Protect = 3 "protect",
        /// Establish the whereabouts, with the subject's knowledge.
        Locate = 4 "locate",
        /// Check, in the way that the kind of check says.
        Check = 5 "check",
        /// Seize the object, or keep it as evidence.
        Seize = 6 "seize",
        /// Report what is seen, and do nothing else.
        Report = 7 "report",
        /// Do not approach; call for support.
        DoNotApproach = 8 "do-not-approach",
        /// Verify the identity, because it is misused.
        VerifyIdentity = 9 "verify-identity",
    }
}

vocabulary! {
    /// Where an alert or incident is in triage.
    AlertState: "an alert state" {
        New = 0 "new",
        Triaged = 1 "triaged",
        Assigned = 2 "assigned",
        Investigating = 3 "investigating",
        Resolved = 4 "resolved",
        Escalated = 5 "escalated",
        Withdrawn = 6 "withdrawn",
    }
}

vocabulary! {
    /// INTERPOL notices by colour, and the special notice of INTERPOL and the UN Security Council.
    NoticeColour: "an INTERPOL notice" {
        /// Locate and arrest.
        Red = 0 "red",
        /// Missing person.
        Yellow = 1 "yellow",
        /// Collect information.
        Blue = 2 "blue",
        /// Unidentified body.
        Black = 3 "black",
        /// Warning of a person's criminal activities.
        Green = 4 "green",
        /// Imminent threat.
        Orange = 5 "orange",
        /// Modus operandi.
        Purple = 6 "purple",
        /// Assets.
        Silver = 7 "silver",
        /// Under UN Security Council sanctions.
        UnSpecial = 8 "un-special",
    }
}

vocabulary! {
    /// Where a request for information is.
    RequestState: "a request state" {
        Draft = 0 "draft",
        Submitted = 1 "submitted",
        Acknowledged = 2 "acknowledged",
        Clarification = 3 "clarification",
        Accepted = 4 "accepted",
        Refused = 5 "refused",
        Forwarded = 6 "forwarded",
        InProgress = 7 "in-progress",
        Partial = 8 "partial",
        Answered = 9 "answered",
        Satisfied = 10 "satisfied",
        Unsatisfied = 11 "unsatisfied",
        Closed = 12 "closed",
        Withdrawn = 13 "withdrawn",
        Expired = 14 "expired",
    }
}

vocabulary! {
    /// How fast a request must be answered (Directive (EU) 2023/977, article 5(1)).
    RequestUrgency: "a request urgency" {
        /// Urgent, directly accessible: eight hours.
        Urgent = 0 "urgent",
        /// Urgent, not directly accessible: three calendar days.
        UrgentIndirect = 1 "urgent-indirect",
        /// Everything else: seven calendar days.
        Normal = 2 "normal",
    }
}

impl RequestUrgency {
    /// Hours within which the directive wants an answer.
    #[must_use]
    pub const fn answer_within_hours(self) -> u16 {
        match self {
            Self::Urgent => 8,
            Self::UrgentIndirect => 3 * 24,
            Self::Normal => 7 * 24,
        }
    }
}

vocabulary! {
    /// Why a request was refused (Directive (EU) 2023/977, article 6).
    RefusalReason: "a reason to refuse" {
        /// Neither the contact point nor the competent authorities have it.
        NotAvailable = 0 "not-available",
        /// A judicial authorisation was needed and refused.
        JudicialAuthorisationRefused = 1 "judicial-authorisation-refused",
        /// Personal data outside what may be exchanged.
        PersonalData = 2 "personal-data",
        /// It would harm essential security interests, an investigation or somebody's safety.
        SecurityOrInvestigation = 3 "security-or-investigation",
        /// The offence carries at most one year of imprisonment.
        MinorOffence = 4 "minor-offence",
        /// The matter is political.
        Political = 5 "political",
        /// The information is inaccurate, incomplete or out of date.
        Inaccurate = 6 "inaccurate",
    }
}

vocabulary! {
    /// Where a task is.
    TaskState: "a task state" {
        Requested = 0 "requested",
        Accepted = 1 "accepted",
        Declined = 2 "declined",
        EnRoute = 3 "en-route",
        OnScene = 4 "on-scene",
        Done = 5 "done",
    }
}

vocabulary! {
    /// Where a case is.
    CaseState: "a case state" {
        Open = 0 "open",
        Active = 1 "active",
        Suspended = 2 "suspended",
        Closed = 3 "closed",
    }
}

vocabulary! {
    /// Where a hit is, from the first candidate to its outcome (after the SIRENE procedure).
    HitState: "a hit state" {
        Candidate = 0 "candidate",
        FirstLine = 1 "first-line",
        SecondLine = 2 "second-line",
        Reported = 3 "reported",
        Confirmed = 4 "confirmed",
        FalsePositive = 5 "false-positive",
        ActionImpossible = 6 "action-impossible",
    }
}
