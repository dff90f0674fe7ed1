//! What can happen to a link, and whose fault it was.  What remote code raised is data and lives elsewhere.

use std::fmt;
use std::sync::Arc;

/// The result of everything that can break a link.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an [`Error`] is, for callers who branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The other process ended, or ended the conversation.
    Died,
    /// We closed the link ourselves.
    Closed,
    /// Not allowed: another protocol version, a child that could not start, a message over the limit.
    Refused,
    /// The other side sent bytes that break the protocol.
    Garbled,
    /// A deadline passed.
    TimedOut,
    /// [`Host::interrupted`](crate::Host::interrupted) ended the wait.
    Interrupted,
    /// The operating system refused something.
    Os,
}

/// What went wrong: the act, its object and the cause.
///
/// It can be cloned because a broken link repeats the same error to everybody who asks again.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    what: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a deeper cause.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// The operating system refused `what`.
    pub fn os(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::new(Kind::Os, what).because(source.into())
    }

    /// The other side broke the protocol.
    pub fn garbled(what: impl Into<String>) -> Self {
        Self::new(Kind::Garbled, what)
    }

    /// The other process ended.
    pub fn died(what: impl Into<String>) -> Self {
        Self::new(Kind::Died, what)
    }

    /// We closed the link.
    pub fn closed(what: impl Into<String>) -> Self {
        Self::new(Kind::Closed, what)
    }

    /// Something is not allowed.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(Kind::Refused, what)
    }

    /// The same error with the cause below it.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The act and its object, without the cause.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_ends_with_the_cause() {
        let error = Error::os("could not open `x`", std::io::Error::from_raw_os_error(2));
        assert_eq!(error.to_string(), "could not open `x`: No such file or directory (os error 2)");
        assert_eq!(error.kind(), Kind::Os);
        assert_eq!(error.clone().what(), "could not open `x`");
    }
}
