//! `operator`: the people who work at the portal.

use clap::Subcommand;

use super::context::Context;
use super::output::Outcome;
use super::render::{Table, facts, time};
use crate::control::desk::{OperatorAdd, OperatorCode, OperatorNamed, OperatorRole, Operators};
use crate::control::{Empty, Request};
use crate::failure::Failure;
use crate::operators::{Operator as Shown, Role};
use tearline_crdt::time::WallTime;

/// Add, change and remove the people who work at this peer's portal
#[derive(Debug, Subcommand)]
pub(super) enum Operator {
    /// Add an operator; prints the one-time code with which he sets his passphrase
    #[command(after_help = "\
Example:
  tearline operator add 'Amina Issa' --role watch-officer
  tearline operator add Moussa --role viewer --label-max AMBER

The code is good for a day. Roles: viewer, analyst, watch-officer, field, approver, auditor,
data-protection-officer, admin; docs/portal.md has the table of what each may do.")]
    Add {
        /// Name
        name: String,
        /// Role
        #[arg(long)]
        role: String,
        /// The highest TLP colour that is shown
        #[arg(long, value_name = "COLOUR")]
        label_max: Option<String>,
    },
    /// List the operators
    #[command(after_help = "\
Example:
  tearline operator list")]
    List,
    /// Give an operator another role or ceiling; ends his sessions
    #[command(after_help = "\
Example:
  tearline operator role Moussa analyst
  tearline operator role Moussa --label-max GREEN")]
    Role {
        /// Name
        name: String,
        /// The new role
        #[arg(required_unless_present = "label_max")]
        role: Option<String>,
        /// The highest TLP colour that is shown
        #[arg(long, value_name = "COLOUR")]
        label_max: Option<String>,
    },
    /// Forget an operator's passphrase and second factor; prints a code for new ones
    #[command(after_help = "\
Example:
  tearline operator reset Moussa

His sessions end, and he is no more locked out.")]
    Reset {
        /// Name
        name: String,
    },
    /// Remove an operator; ends his sessions
    #[command(after_help = "\
Example:
  tearline operator remove Moussa")]
    Remove {
        /// Name
        name: String,
    },
}

impl Operator {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "operator.add",
            Self::List => "operator.list",
            Self::Role { .. } => "operator.role",
            Self::Reset { .. } => "operator.reset",
            Self::Remove { .. } => "operator.remove",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Add { name, role, label_max } => {
                let add = OperatorAdd { name, role, label_max };
                code(context, Request::OperatorAdd(add))
            }
            Self::List => {
                let answer = context.ask::<Operators>(Request::OperatorList(Empty {}))?;
                let mut table =
                    Table::new(&["name", "role", "up to", "state", "second factor", "signed in"]);
                for one in &answer.typed.operators {
                    table.row([
                        one.name.clone(),
                        one.role.clone(),
                        format!("TLP:{}", one.label_max),
                        one.state.clone(),
                        if one.second_factor { "yes" } else { "no" }.to_owned(),
                        login(one),
                    ]);
                }
                Ok(Outcome::new(answer.data, table.text("no operators")))
            }
            Self::Role { name, role, label_max } => {
                let change = OperatorRole { name, role, label_max };
                one(context, Request::OperatorRole(change))
            }
            Self::Reset { name } => code(context, Request::OperatorReset(OperatorNamed { name })),
            Self::Remove { name } => one(context, Request::OperatorRemove(OperatorNamed { name })),
        }
    }
}

fn code(context: &Context, request: Request) -> Result<Outcome, Failure> {
    let answer = context.ask::<OperatorCode>(request)?;
    let OperatorCode { operator, code, ended_first } = &answer.typed;
    let (is_admin, ended_first) = (operator.role == Role::Admin.name(), *ended_first);
    let text = facts([
        ("operator", operator.name.clone()),
        ("role", operator.role.clone()),
        ("code", code.clone()),
    ]);
    let outcome = Outcome::new(answer.data, text).hint(
        "give him the code: with it he sets his passphrase at the portal, under \"first sign-in\", within a day",
    );
    if !ended_first {
        return Ok(outcome);
    }
    let ended = "the code that the daemon showed at its start, for the first operator, is good no more: there is an \
                 operator now";
    let outcome = outcome.warn(std::iter::once(ended.to_owned()));
    Ok(if is_admin {
        outcome
    } else {
        outcome.hint("add an administrator, too: tearline operator add NAME --role admin")
    })
}

fn one(context: &Context, request: Request) -> Result<Outcome, Failure> {
    let answer = context.ask::<Shown>(request)?;
    let one = &answer.typed;
    let text = facts([
        ("operator", one.name.clone()),
        ("role", one.role.clone()),
        ("up to", format!("TLP:{}", one.label_max)),
        ("signed in", login(one)),
    ]);
    Ok(Outcome::new(answer.data, text))
}

fn login(operator: &Shown) -> String {
    operator.last_login_ms.map_or("never".into(), |ms| time(&WallTime(ms).to_string()))
}
