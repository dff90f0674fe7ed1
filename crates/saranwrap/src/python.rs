//! Children that are Python interpreters: how one is started from Rust, and what it asks of its parent beyond the objects.

mod home;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::agent::{self, Native};
use crate::child::{Carrier, Child, Command, GREETING, Says};
use crate::error::Kind;
use crate::message::Hello;
use crate::remote::shared::{Limits, Shared};
use crate::remote::surroundings::surroundings;
use crate::remote::{Encoder, Fault, IntoRemote, Own, Proxy, Result, Session};
use crate::wire::Writer;
use home::Home;

/// How to start an interpreter.
///
/// ```no_run
/// use saranwrap::{Object, Python};
///
/// let child = Python::new().interpreter("python3").spawn()?;
/// let time = child.wrap_module("time")?;
/// let t = time.call_method("gmtime", (0,))?;
/// let year: i32 = t.getattr("tm_year")?.extract()?;
/// assert_eq!(year, 1970);
/// # Ok::<(), saranwrap::Fault>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is started before `spawn`"]
pub struct Python {
    command: Command,
    path: Vec<PathBuf>,
    argv: Vec<String>,
    spin: Option<Duration>,
    limits: Limits,
    portable: bool,
}

impl Default for Python {
    fn default() -> Self {
        Self::new()
    }
}

impl Python {
    /// The `python3` that is found in PATH, with our environment, in our directory.
    ///
    /// Nothing need be installed for it.  Where the package `saranwrap` is, in a CPython from 3.11 on, that serves, which is faster.
    pub fn new() -> Self {
        Self {
            command: Command { program: "python3".into(), ..Command::default() },
            path: Vec::new(),
            argv: vec![String::new()],
            spin: None,
            limits: Limits::default(),
            portable: false,
        }
    }

    /// Another interpreter: a path, or a name that is looked up in PATH.
    pub fn interpreter(mut self, program: impl Into<OsString>) -> Self {
        self.command.program = program.into();
        self
    }

    /// Add an argument of the interpreter's own, such as `-O`.
    pub fn flag(mut self, flag: impl Into<OsString>) -> Self {
        self.command.args.push(flag.into());
        self
    }

    surroundings!();

    /// Add a directory to import from, ahead of the interpreter's own.
    pub fn path(mut self, directory: impl Into<PathBuf>) -> Self {
        self.path.push(directory.into());
        self
    }

    /// What `sys.argv` is there.
    pub fn argv<S: Into<String>>(mut self, argv: impl IntoIterator<Item = S>) -> Self {
        self.argv = argv.into_iter().map(Into::into).collect();
        self
    }

    /// How long either process may look for what it waits for before it sleeps; without this, each finds out what is worth it.
    pub fn spin(mut self, bound: Duration) -> Self {
        self.spin = Some(bound);
        self
    }

    /// Have the portable child serve, also where there is a faster one.
    pub fn portable(mut self) -> Self {
        self.portable = true;
        self
    }

    /// Start it.
    ///
    /// # Errors
    ///
    /// [`Kind::Refused`] when it cannot be started or speaks another version of the protocol; [`Kind::Died`] when it ends before it has
    /// greeted, with what it said last.
    pub fn spawn(&self) -> Result<Session> {
        let mut command = self.command.clone();
        command.args.extend(agent::arguments(if self.portable { Native::None } else { Native::Installed }));
        command.preamble = Some(agent::preamble(Instant::now() + GREETING));
        let (child, link) = Child::spawn(&command)?;
        if let Some(bound) = self.spin {
            link.set_spin(bound);
        }
        let arena = std::sync::Arc::clone(child.arena());
        let shared = Shared::new(link, arena, Some(child), self.limits);
        shared.set_root(Own::new(Home::default()));
        let hello = Hello::ours(self.setup(&shared)?);
        shared.greet(hello, GREETING)?;
        let again = self.clone();
        Ok(Session::begin(&shared, move || again.spawn()))
    }

    /// What the child is told first, as an entry of a Hello: `sys.path`, `sys.argv`, how long to look, what changes in its environment,
    /// how it serves, which of its streams it leaves alone, and which names the other side has.
    fn setup(&self, shared: &std::sync::Arc<Shared>) -> Result<Vec<u8>> {
        let mut extra = Writer::new();
        extra.text("setup");
        let mut out = Encoder::new(shared, &mut extra);
        out.tuple(7);
        self.path.clone().into_remote(&mut out)?;
        self.argv.clone().into_remote(&mut out)?;
        self.spin.map(|bound| bound.as_secs_f64() * 1e6).into_remote(&mut out)?;
        out.none();
        out.text("serial");
        // What it prints goes to the descriptors that it has: there is no stream here to write to instead.
        out.tuple(2);
        out.text("stdout");
        out.text("stderr");
        // No version of the language is spoken here.
        out.none();
        Ok(extra.into_vec())
    }
}

impl Session {
    /// The functions and classes that need no import.
    pub fn builtins(&self) -> Result<Proxy> {
        self.wrap_module("builtins")
    }
}

impl Fault {
    /// Whether the child has ended.
    pub fn is_death(&self) -> bool {
        self.kind() == Some(Kind::Died)
    }
}
