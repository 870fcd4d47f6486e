//! What operators may do: one table of roles and rights, from which the portal's navigation, its routes and
//! its tests are made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Something that a role may let an operator do.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Right {
    /// See records: board, list, record, map, graph, timeline.
    Consult,
    /// Acknowledge, assign and put off what is on the board.
    Mark,
    /// Write new records, and notes about others.
    Report,
    /// Change records of this agency, and resolve concurrent values.
    Change,
    /// Recall, restrict, hold and erase records of this agency, and see what became of it.
    Withhold,
    /// Release records to other audiences.
    Release,
    /// Sign releases that others prepared.
    Countersign,
    /// Declare devices lost, and decide what of quarantined entries counts.
    Trust,
    /// Make bundles, and take them in.
    Carry,
    /// See peers, links and what is on its way.
    Mesh,
    /// See members, devices, grants and proposals.
    Sharing,
    /// Sign proposals for this agency.
    Approve,
    /// Read and verify the audit log.
    Audit,
    /// Make, change and remove operators.
    Administer,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Consult,
        Self::Mark,
        Self::Report,
        Self::Change,
        Self::Withhold,
        Self::Release,
        Self::Countersign,
        Self::Trust,
        Self::Carry,
        Self::Mesh,
        Self::Sharing,
        Self::Approve,
        Self::Audit,
        Self::Administer,
    ];
}

/// What an operator is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads and writes.
    Analyst,
    /// Keeps the watch: an analyst who sees the mesh and recalls what is wrong.
    WatchOfficer,
    /// Reports from the field.
    Field,
    /// Signs for the agency.
    Approver,
    /// Reads the audit log, and no record.
    Auditor,
    /// Answers for what is kept of whom.
    DataProtectionOfficer,
    /// Makes operators, and reads no record.
    Admin,
}

/// A row of the table.
struct Row {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "tests compare it with who the row is found by")
    )]
    role: Role,
    name: &'static str,
    rights: &'static [Right],
    second_factor: bool,
    countersigned: bool,
}

const fn row(role: Role, name: &'static str, rights: &'static [Right]) -> Row {
    Row { role, name, rights, second_factor: false, countersigned: false }
}

impl Row {
    const fn with_second_factor(self) -> Self {
        Self { second_factor: true, ..self }
    }

    const fn countersigned(self) -> Self {
        Self { countersigned: true, ..self }
    }
}

/// The table: the role, its name, what it may do, whether it signs in with two factors, and whether what it
/// releases waits for another's signature.
const TABLE: [Row; 8] = {
    use Right::{
        Administer, Approve, Audit, Carry, Change, Consult, Countersign, Mark, Mesh, Release,
        Report, Sharing, Trust, Withhold,
    };
    [
        row(Role::Viewer, "viewer", &[Consult]),
        row(Role::Analyst, "analyst", &[Consult, Mark, Report, Change, Release, Sharing])
            .countersigned(),
        row(
            Role::WatchOfficer,
            "watch-officer",
            &[
                Consult,
                Mark,
                Report,
                Change,
                Withhold,
                Release,
                Countersign,
                Trust,
                Carry,
                Mesh,
                Sharing,
            ],
        ),
        row(Role::Field, "field", &[Consult, Report, Change, Carry]),
        row(Role::Approver, "approver", &[Consult, Withhold, Countersign, Trust, Sharing, Approve])
            .with_second_factor(),
        row(Role::Auditor, "auditor", &[Audit]).with_second_factor(),
        row(
            Role::DataProtectionOfficer,
            "data-protection-officer",
            &[Consult, Withhold, Sharing, Audit],
        )
        .with_second_factor(),
        row(Role::Admin, "admin", &[Carry, Mesh, Sharing, Administer]).with_second_factor(),
    ]
};

impl Role {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Viewer,
        Self::Analyst,
        Self::WatchOfficer,
        Self::Field,
        Self::Approver,
        Self::Auditor,
        Self::DataProtectionOfficer,
        Self::Admin,
    ];

    const fn row(self) -> &'static Row {
        const ROWS: &[Row; 8] = &TABLE;
        let [viewer, analyst, watch, field, approver, auditor, protection, admin] = ROWS;
        match self {
            Self::Viewer => viewer,
            Self::Analyst => analyst,
            Self::WatchOfficer => watch,
            Self::Field => field,
            Self::Approver => approver,
            Self::Auditor => auditor,
            Self::DataProtectionOfficer => protection,
            Self::Admin => admin,
        }
    }

    /// Its name, as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether it lets an operator do something.
    #[must_use]
    pub fn may(self, right: Right) -> bool {
        self.row().rights.contains(&right)
    }

    /// Whether what it releases waits for the signature of another who may [`Right::Countersign`].
    #[must_use]
    pub const fn is_countersigned(self) -> bool {
        self.row().countersigned
    }

    /// Whether a passphrase alone does not do.
    #[must_use]
    pub const fn needs_second_factor(self) -> bool {
        self.row().second_factor
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no role.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "no such role; one of: viewer, analyst, watch-officer, field, approver, auditor, \
     data-protection-officer, admin"
)]
pub struct ParseRoleError;

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, ParseRoleError> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(ParseRoleError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_every_role() {
        for role in Role::ALL {
            assert_eq!(role.row().role, role);
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
            assert!(ParseRoleError.to_string().contains(role.name()));
        }
        assert_eq!("root".parse::<Role>(), Err(ParseRoleError));
    }

    #[test]
    fn duties_are_separate() {
        for role in Role::ALL {
            // Who makes operators could make himself one who reads.
            assert!(!(role.may(Right::Administer) && role.may(Right::Consult)), "{role}");
            // Nobody checks himself.
            assert!(!(role.may(Right::Audit) && role.may(Right::Change)), "{role}");
            let powerful = [Right::Approve, Right::Audit, Right::Administer];
            let powerful = powerful.into_iter().any(|right| role.may(right));
            assert!(!powerful || role.needs_second_factor(), "{role}");
        }
    }

    #[test]
    fn every_right_is_somebodys() {
        for right in Right::ALL {
            assert!(Role::ALL.into_iter().any(|role| role.may(right)), "{right:?}");
        }
    }
}
