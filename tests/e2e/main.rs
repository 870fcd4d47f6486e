//! The shipped binary as a whole: real daemons, real sockets, real disks, and SIGKILL.

mod kill_rounds;
