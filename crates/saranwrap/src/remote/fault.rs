//! What an operation may come to other than a value: what the other side raised, the end of the link, or a value of another kind.

use std::fmt;

use super::raised::Raised;
use crate::error::{Error, Kind};

/// The result of whatever is asked of the other side.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// Why there is no value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Fault {
    /// The code there raised an exception.
    Raised(Box<Raised>),
    /// Something happened to the link: see [`Kind`] for what, and whose fault it was.
    Link(Error),
    /// A value is not of the kind that was asked for, or cannot be sent.  The text says what was wanted and what was found.
    Mismatch(String),
}

impl Fault {
    /// A value is not what was asked for.
    pub fn mismatch(what: impl Into<String>) -> Self {
        Self::Mismatch(what.into())
    }

    /// An exception to be raised on the other side, of the class with this name, with this text: `Fault::raise("ValueError", "no")`.
    pub fn raise(class: &str, text: impl Into<String>) -> Self {
        Self::Raised(Box::new(Raised::new(class, text)))
    }

    /// The exception, if it was one.
    pub fn raised(&self) -> Option<&Raised> {
        if let Self::Raised(raised) = self { Some(raised) } else { None }
    }

    /// Whether it was an exception of this class, or of one derived from it: see [`Raised::is_instance`].
    pub fn is_instance(&self, class: &str) -> bool {
        self.raised().is_some_and(|raised| raised.is_instance(class))
    }

    /// What happened to the link, if that was it.
    pub fn kind(&self) -> Option<Kind> {
        if let Self::Link(error) = self { Some(error.kind()) } else { None }
    }

    /// Whatever a function of the user's failed with, as a fault: itself if it is one, else an exception with its text.
    pub(crate) fn of(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(fault) => *fault,
            Err(other) => Self::raise("RuntimeError", other.to_string()),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Link(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raised(raised) => raised.fmt(f),
            Self::Link(error) => error.fmt(f),
            Self::Mismatch(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Link(error) => error.source(),
            Self::Raised(raised) => Some(&**raised),
            Self::Mismatch(_) => None,
        }
    }
}
