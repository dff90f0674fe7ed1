//! What to start, and starting it: a program with its surroundings. What becomes of it is not known here.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;

use super::gifts::Preamble;
use super::voices::{Destination, Says};

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carrier {
    /// Memory that both processes see; a socket where the kernel gives none.
    #[default]
    Ring,
    /// A socket.
    Stream,
}

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// The program; looked up in PATH when it has no slash.
    pub program: OsString,
    /// Its arguments, without the program's own name.
    pub args: Vec<OsString>,
    /// Its whole environment; `None` inherits ours.
    pub env: Option<Vec<(OsString, OsString)>>,
    /// Where it starts; `None` inherits ours.
    pub cwd: Option<PathBuf>,
    /// What carries the frames.
    pub carrier: Carrier,
    /// Where what it says goes.
    pub says: Says,
    /// What it reads from its link before anything else; `None` if it knows how to be a child.
    pub preamble: Option<Preamble>,
}

impl Command {
    /// Start it with this as its standard input.
    pub(super) fn start(&self, stdin: OwnedFd) -> std::io::Result<std::process::Child> {
        let mut builder = std::process::Command::new(&self.program);
        builder.args(&self.args).stdin(Stdio::from(stdin)).stderr(Stdio::piped());
        if self.says.stdout != Destination::Ours {
            builder.stdout(Stdio::piped());
        }
        if let Some(env) = &self.env {
            builder.env_clear().envs(env.iter().map(|(key, value)| (OsStr::new(key), value)));
        }
        if let Some(cwd) = &self.cwd {
            builder.current_dir(cwd);
        }
        builder.spawn()
    }

    /// Set a variable of its environment, which is ours otherwise.
    pub(crate) fn set_env(&mut self, name: OsString, value: OsString) {
        let env = self.env.get_or_insert_with(|| std::env::vars_os().collect());
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.to_string_lossy())?;
        self.args.iter().try_for_each(|arg| match arg.to_string_lossy() {
            // A program that was written out tells nobody which one it is.
            text if text.contains('\n') => f.write_str(" ..."),
            text => write!(f, " {text}"),
        })
    }
}
