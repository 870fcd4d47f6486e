//! No core dumps: the memory of this process holds keys, and must not be left behind in a file.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::failure::Failure;

/// Forbids core dumps, by the limit (also for the processes that this one starts), and by the
/// process's own flag, which holds where the kernel pipes dumps to a program and ignores the limit,
/// and keeps other processes of the same user from reading this one's memory.
pub(crate) fn forbid() -> Result<(), Failure> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|e| Failure::io("cannot forbid core dumps", &e.into()))
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn both_the_limit_and_the_flag_forbid_them() {
        forbid().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
