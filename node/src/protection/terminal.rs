//! Asking for a passphrase on the terminal, without showing what is typed.
//!
//! The terminal edits the line as always, but echoes nothing, and hands Ctrl-C over as the end of
//! the line instead of killing us: so the echo is back on however the question ends.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use super::Passphrase;
use super::passphrase::PASSPHRASE_BYTES_MAX;
use crate::failure::Failure;

/// The terminal of the person who started this command, if one is there.
pub(super) fn open() -> Option<File> {
    // A service may have a controlling terminal and nobody before it.
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        return None;
    }
    OpenOptions::new().read(true).write(true).open("/dev/tty").ok()
}

/// Asks for a passphrase.
pub(super) fn ask(terminal: &File, prompt: &str) -> Result<Passphrase, Failure> {
    let io = |e: io::Error| Failure::io("cannot read from the terminal", &e);
    let quiet = Quiet::begin(terminal).map_err(io)?;
    let mut terminal = terminal;
    terminal.write_all(prompt.as_bytes()).map_err(io)?;
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX));
    let mut byte = Zeroizing::new([0; 1]);
    while terminal.read(byte.as_mut_slice()).map_err(io)? == 1 {
        let [typed] = *byte;
        match typed {
            b'\n' => break,
            CTRL_C => {
                drop(quiet);
                let _ = terminal.write_all(b"\n");
                return Err(Failure::failed("interrupted"));
            }
            // Whatever is past the limit is dropped with the line: the terminal may hold more.
            _ if line.len() < PASSPHRASE_BYTES_MAX => line.push(typed),
            _ => {
                drop(quiet);
                return Err(Failure::usage(format!(
                    "a passphrase has {PASSPHRASE_BYTES_MAX} bytes at most"
                )));
            }
        }
    }
    drop(quiet);
    if line.is_empty() {
        return Err(Failure::usage("no passphrase was given"));
    }
    Ok(Passphrase::new(line))
}

/// Asks for a new passphrase, twice.
pub(super) fn ask_new(terminal: &File, what: &str) -> Result<Passphrase, Failure> {
    let first = ask(terminal, &format!("New passphrase for {what}: "))?;
    first.check_strength()?;
    let again = ask(terminal, "The same again: ")?;
    if first.bytes() != again.bytes() {
        return Err(Failure::usage("the two passphrases differ").hint("nothing was changed"));
    }
    Ok(first)
}

/// A terminal that does not echo, until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.local_modes.insert(LocalModes::ICANON | LocalModes::ECHONL);
        // What ends a line besides Enter.
        quiet.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        // What was typed before the question is no answer to it.
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

const CTRL_C: u8 = 3;

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;
    use std::thread;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// Both ends of a new terminal: the person's and the program's.
    fn pair() -> (File, File) {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())).to_owned();
        let mut options = OpenOptions::new();
        let program = options.read(true).write(true).open(path).unwrap();
        (File::from(person), program)
    }

    /// Types each line when asked for it; returns what the terminal showed and what was understood.
    fn typed(lines: &'static [&'static [u8]], new: bool) -> (String, Result<Vec<u8>, Failure>) {
        let (mut person, program) = pair();
        let typist = thread::spawn(move || {
            let mut shown = Vec::new();
            for line in lines {
                let mut byte = [0];
                while !shown.ends_with(b": ") {
                    person.read_exact(&mut byte).unwrap();
                    shown.push(byte[0]);
                }
                shown.push(b'|');
                person.write_all(line).unwrap();
            }
            let mut byte = [0];
            while byte != *b"$" {
                person.read_exact(&mut byte).unwrap();
                shown.push(byte[0]);
            }
            // The terminal is there as long as its other end is.
            (String::from_utf8(shown).unwrap(), person)
        });
        let asked = if new { ask_new(&program, "x") } else { ask(&program, "Passphrase: ") };
        (&program).write_all(b"$").unwrap();
        let modes = tcgetattr(&program).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ISIG), "the echo is back");
        let (shown, _person) = typist.join().unwrap();
        (shown, asked.map(|passphrase| passphrase.bytes().to_vec()))
    }

    #[test]
    fn what_is_typed_is_read_and_not_shown() {
        let (shown, asked) = typed(&[b"corrext\x7f\x7fct horse\n"], false);
        assert_eq!(asked.unwrap(), b"correct horse");
        assert_eq!(shown, "Passphrase: |\r\n$");
    }

    #[test]
    fn ctrl_c_and_nothing_end_the_question() {
        assert_eq!(typed(&[b"corr\x03"], false).1.unwrap_err().what, "interrupted");
        assert!(typed(&[b"\n"], false).1.is_err());
    }

    #[test]
    fn a_new_passphrase_is_asked_for_twice() {
        let same = typed(&[b"correct horse\n", b"correct horse\n"], true);
        assert_eq!(same.1.unwrap(), b"correct horse");
        let other = typed(&[b"correct horse\n", b"correct house\n"], true);
        assert!(other.1.unwrap_err().what.contains("differ"));
        assert!(typed(&[b"short\n"], true).1.is_err());
    }
}
