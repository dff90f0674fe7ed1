//! The portable child: what an interpreter of Python is given so that it serves a link, without anything being installed for it.
//!
//! Rooms above this one know nothing of it, and what it hands out is a text to them.  Both faces start a child of Python from here:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use saranwrap::agent::{self, Native};
//! use saranwrap::{Child, Command};
//!
//! let until = Instant::now() + Duration::from_secs(60);
//! let command = Command {
//!     program: "python3".into(),
//!     args: agent::arguments(Native::None),
//!     preamble: Some(agent::preamble(until)),
//!     ..Command::default()
//! };
//! # if std::process::Command::new("python3").arg("-V").output().is_ok() {
//! let (_child, _link) = Child::spawn(&command)?;
//! # }
//! # Ok::<(), saranwrap::Error>(())
//! ```

use std::ffi::{OsStr, OsString};
use std::time::Instant;

use crate::child::Preamble;

/// The program of the portable child: one file, for every interpreter from Python 2.7 on.
pub const SOURCE: &str = include_str!("agent.py");

/// Reads the source and runs it; or, where it can be had, the native child.
const BOOT: &str = include_str!("boot.py");

/// Where an interpreter finds the native child, which is faster and knows more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Native<'a> {
    /// Nowhere: it becomes the portable one.
    None,
    /// Where its own packages are, if the package is installed there.
    Installed,
    /// In this directory.
    At(&'a OsStr),
}

/// The arguments of the interpreter, behind its own flags.  One that cannot load the native child becomes the portable one.
pub fn arguments(native: Native<'_>) -> Vec<OsString> {
    let place = match native {
        Native::None => OsStr::new(""),
        Native::Installed => OsStr::new("*"),
        Native::At(directory) => directory,
    };
    vec!["-c".into(), BOOT.into(), place.into(), SOURCE.len().to_string().into()]
}

/// What it reads before anything else; until then it has to have read it.
pub fn preamble(until: Instant) -> Preamble {
    Preamble { text: SOURCE.as_bytes().to_vec(), until }
}
