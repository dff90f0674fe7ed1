//! Children that are Rust programs, this one or another: how one is started, and how it serves.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::child::{Carrier, Child, Command, GREETING, Says, adopt_link};
use crate::message::Hello;
use crate::remote::shared::{Limits, Shared};
use crate::remote::surroundings::surroundings;
use crate::remote::{Offer, Result, Session};
use crate::sys::{process, signals};

/// The environment variable that tells a program that it was started as a child, by the id of its parent.  A process that the child
/// starts inherits it, and has another parent.
const MARK: &str = "SARANWRAP_PARENT";

/// How to start a Rust program whose values are to be used.
///
/// ```no_run
/// use saranwrap::{Object, Program};
///
/// let child = Program::at("./counter-server").spawn()?;
/// let counter = child.root()?;
/// counter.call_method("add", (1,))?;
/// # Ok::<(), saranwrap::Fault>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is started before `spawn`"]
pub struct Program {
    command: Command,
    limits: Limits,
}

impl Program {
    /// This program once more.  What it offers when it finds itself a child it says with [`Offer::serve_if_child`], first in `main`.
    ///
    /// # Errors
    ///
    /// The system does not tell which file this program is.
    pub fn this() -> Result<Self> {
        let path = std::env::current_exe();
        Ok(Self::at(path.map_err(|error| crate::error::Error::os("could not find this program's own file", error))?))
    }

    /// Another program: a path, or a name that is looked up in PATH.
    pub fn at(program: impl Into<OsString>) -> Self {
        Self { command: Command { program: program.into(), ..Command::default() }, limits: Limits::default() }
    }

    /// Add an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.command.args.push(arg.into());
        self
    }

    surroundings!();

    /// Start it.
    ///
    /// # Errors
    ///
    /// [`Kind::Refused`](crate::Kind::Refused) when it cannot be started, [`Kind::Died`](crate::Kind::Died) when it ends before it has
    /// greeted, as a program does that does not serve.
    pub fn spawn(&self) -> Result<Session> {
        let mut command = self.command.clone();
        command.set_env(MARK.into(), std::process::id().to_string().into());
        let (child, link) = Child::spawn(&command)?;
        let arena = Arc::clone(child.arena());
        let shared = Shared::new(link, arena, Some(child), self.limits);
        shared.greet(Hello::ours(Vec::new()), GREETING)?;
        let again = self.clone();
        Ok(Session::begin(&shared, move || again.spawn()))
    }
}

/// Whether this process was started as a child.
pub fn is_child() -> bool {
    std::env::var(MARK).is_ok_and(|parent| parent == process::parent_id().to_string())
}

impl Offer {
    /// If this process was started as a child: serve until its parent is gone, and end.  Otherwise nothing happens.
    pub fn serve_if_child(self) {
        if !is_child() {
            return;
        }
        match self.serve() {
            Ok(()) => std::process::exit(0),
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        }
    }

    /// Serve until the parent is gone.
    ///
    /// # Errors
    ///
    /// [`Kind::Refused`](crate::Kind::Refused) when this process was not started as a child.
    pub fn serve(self) -> Result<()> {
        // A parent that gives a call up says so on the link and by this signal, which would end the process.
        signals::ignore_interrupts();
        let adopted = adopt_link()?;
        let shared = Shared::new(adopted.link, adopted.arena, None, Limits::default());
        shared.set_root(self.into_root());
        shared.link.hello(&Hello::ours(Vec::new()), Some(Instant::now() + GREETING))?;
        shared.serve()?;
        Ok(())
    }
}
