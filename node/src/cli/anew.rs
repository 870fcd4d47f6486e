//! What `doctor` does when it is told to: begin anew, and destroy what was left behind by that. Acts on
//! the home folder alone.

use clap::Args;
use serde_json::{Value, json};

use super::context::Context;
use super::output::Outcome;
use super::render::facts;
use crate::anew::Condition;
use crate::failure::Failure;

#[derive(Args, Debug)]
pub(super) struct Anew {
    /// Move a damaged store aside and begin with an empty one, which the peers refill
    ///
    /// The store is read through first: one that is whole is left as it is. What was never sent to a
    /// peer is then in the old store alone. The device begins a new incarnation, so that it forks
    /// none of its logs, and comes back with an invitation of any member: `tearline peer invite`
    /// there, `tearline join` here.
    #[arg(long, group = "anew")]
    rebuild: bool,
    /// Begin a new incarnation on the store that is here: after the home was put back from a copy, or
    /// to be readmitted
    ///
    /// Passes that this device minted end with the old incarnation.
    #[arg(long, group = "anew")]
    new_life: bool,
    /// Destroy the stores that --rebuild moved aside: first their keys, then their files
    #[arg(long, group = "anew")]
    destroy_old_stores: bool,
    /// Do not ask
    #[arg(long, requires = "anew")]
    yes: bool,
}

impl Anew {
    /// Does what was asked for, if anything was.
    pub(super) fn run(&self, context: &Context) -> Option<Result<Outcome, Failure>> {
        if self.rebuild {
            Some(self.rebuild(context))
        } else if self.new_life {
            Some(new_life(context))
        } else if self.destroy_old_stores {
            Some(self.destroy(context))
        } else {
            None
        }
    }

    fn rebuild(&self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        home.check_root()?;
        let lock = home.lock()?;
        let mut opener = context.opener();
        match home.examine_store(&lock, &mut opener)? {
            Condition::Whole(checked) => {
                let text = format!(
                    "nothing to rebuild: the store has {} values, each as it was written\n",
                    checked.values
                );
                let data = json!({ "rebuilt": false, "old_store": Value::Null });
                return Ok(Outcome::new(data, text).hint(format!(
                    "after the home was put back from a copy, or to be readmitted: {}",
                    home.command("doctor --new-life")
                )));
            }
            Condition::Damaged(error) => {
                context.confirm(&format!("{error}. {LOSS}"), self.yes)?;
            }
            Condition::Empty | Condition::HalfMoved => {}
        }
        let aside = home.rebuild(&lock, &mut opener)?;
        let shown = aside.as_ref().map_or("there was none".into(), |at| at.display().to_string());
        let data = json!({ "rebuilt": true, "old_store": aside });
        Ok(Outcome::new(data, facts([("old store", shown)]))
            .hint(format!("start the daemon: {}", home.command("run")))
            .hint(format!("then come back in: {}", home.command("join INVITATION"))))
    }

    fn destroy(&self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        home.check_root()?;
        let folders = home.old_stores()?;
        let shown: Vec<String> = folders.iter().map(|at| at.display().to_string()).collect();
        if !folders.is_empty() {
            let what = format!("what no peer has of {} is lost for good", shown.join(", "));
            context.confirm(&what, self.yes)?;
        }
        folders.iter().try_for_each(|folder| home.destroy_old_store(folder))?;
        let lines = shown.iter().map(|folder| ("destroyed", folder.clone()));
        let text = if shown.is_empty() { "there is none\n".into() } else { facts(lines) };
        Ok(Outcome::new(json!({ "destroyed": shown }), text))
    }
}

fn new_life(context: &Context) -> Result<Outcome, Failure> {
    let home = &context.home;
    home.check_root()?;
    let lock = home.lock()?;
    let life = home.begin_new_life(&lock, &mut context.opener())?;
    let life = format!("{life:016x}");
    let data = json!({ "incarnation": life });
    Ok(Outcome::new(data, facts([("incarnation", life)]))
        .hint(format!("start the daemon: {}", home.command("run"))))
}

/// What a rebuild costs.
const LOSS: &str = "The store is moved aside, and the peers refill an empty one. Lost with the old one \
    is what no peer has, and what this peer noted for itself: names of devices, addresses of peers, \
    invitations, passes";
