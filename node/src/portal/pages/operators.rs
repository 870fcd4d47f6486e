//! Operators, for those who administer them.

use askama::Template;
use axum::http::StatusCode;
use tearline_crdt::record::vocabulary::{Tlp, Vocabulary as _};

use super::super::call::{Call, Done};
use super::super::frame::{Choice, Frame, Moment, tlp};
use super::super::html::{self, Trouble};
use super::records::colours;
use crate::audit::{Event, Outcome};
use crate::operators::{Operator, Role};
use crate::service::books::{colour, role};

#[derive(Template)]
#[template(path = "operators.html")]
struct OperatorsPage {
    f: Frame,
    rows: Vec<Row>,
    roles: Vec<Choice>,
    colours: Vec<Choice>,
    /// Whose code it is, and the code: shown once.
    code: Option<(String, String)>,
}

struct Row {
    name: String,
    roles: Vec<Choice>,
    colours: Vec<Choice>,
    role: &'static str,
    label_max: String,
    state: &'static str,
    second_factor: bool,
    last_login: Option<Moment>,
    own: bool,
}

pub(in super::super) fn list(call: &Call) -> Done {
    page(call, None)
}

fn page(call: &Call, code: Option<(String, String)>) -> Done {
    let f = Frame::new(call, call.language.words().operators);
    let own = call.session()?.name.clone();
    let listed = call.state.books.operators.list(call.now_ms());
    let rows = listed.into_iter().map(|one| row(&f, one, &own)).collect();
    let page = OperatorsPage {
        roles: roles(&f, Role::Viewer.name()),
        colours: colours(Tlp::Red, Tlp::Red.word()),
        rows,
        code,
        f,
    };
    Ok(html::page(StatusCode::OK, &page))
}

fn roles(f: &Frame, chosen: &str) -> Vec<Choice> {
    Role::ALL.iter().map(|role| Choice::new(role.name(), f.w.role(*role), chosen)).collect()
}

fn row(f: &Frame, one: Operator, own: &str) -> Row {
    let role: Role = one.role.parse().unwrap_or(Role::Viewer);
    Row {
        roles: roles(f, &one.role),
        colours: colours(Tlp::Red, &one.label_max),
        role: f.w.role(role),
        label_max: tlp(&one.label_max),
        state: match one.state.as_str() {
            "active" => f.w.active,
            "invited" => f.w.invited,
            _ => f.w.expired,
        },
        second_factor: one.second_factor,
        last_login: one.last_login_ms.map(|ms| f.moment_ms(ms)),
        own: one.name == own,
        name: one.name,
    }
}

pub(in super::super) fn add(call: &Call) -> Done {
    let form = &call.form;
    let (name, as_what) = (form.text("name"), form.text("role"));
    call.note(
        Event::Administration,
        Vec::new(),
        &format!("add {name} as {as_what}"),
        Outcome::Asked,
    )?;
    let operators = &call.state.books.operators;
    let label_max = colour(form.text("label_max"))?;
    let (operator, code) = operators.add(name, role(as_what)?, label_max, call.now_ms())?;
    page(call, Some((operator.name, code.to_string())))
}

pub(in super::super) fn change(call: &Call) -> Done {
    let form = &call.form;
    let (name, act) = (form.text("name"), form.text("act"));
    let operators = &call.state.books.operators;
    // Who took his own rights away could not give them back.
    if name == call.session()?.name {
        let detail = call.language.words().not_yourself.to_owned();
        return Err(Trouble { detail, ..Trouble::new(StatusCode::CONFLICT) });
    }
    call.note(Event::Administration, Vec::new(), &format!("{act} {name}"), Outcome::Asked)?;
    match act {
        "role" => {
            let (role, label_max) = (role(form.text("role"))?, colour(form.text("label_max"))?);
            operators.set_role(name, Some(role), Some(label_max), call.now_ms())?;
        }
        "reset" => {
            let (operator, code) = operators.reset(name, call.now_ms())?;
            return page(call, Some((operator.name, code.to_string())));
        }
        "remove" if form.text("sure") == "yes" => {
            operators.remove(name, call.now_ms())?;
        }
        "remove" => {
            let detail = call.language.words().say_sure.to_owned();
            return Err(Trouble { detail, ..Trouble::new(StatusCode::BAD_REQUEST) });
        }
        _ => return Err(Trouble::new(StatusCode::BAD_REQUEST)),
    }
    Ok(html::redirect("/operators?done=operator"))
}
