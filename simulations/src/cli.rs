//! x
use std::ffi::OsString;
use std::process::ExitCode;
/// x
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.into_iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let scenario = crate::library::named(&args[1]).unwrap();
    let seed = args[2].parse().unwrap();
    let peers = args.get(3).map(|p| p.parse().unwrap());
    let plan = crate::Plan::of(&scenario, seed, crate::plan::Changes { peers, length: None });
    let outcome = crate::run(&plan, None).unwrap();
    println!("{:?} {} events {} peers {:?} agreed {:?} store {:?} hash {}", outcome.violation, outcome.events, outcome.peers, outcome.written, outcome.agreed_after.map(crate::quantity::short), outcome.store_bytes, outcome.trace_hash);
    for g in &outcome.goals { println!("{} {} {}", g.goal, g.measured, g.reached); }
    ExitCode::SUCCESS
}
