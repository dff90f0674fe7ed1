//! The two ways in which work on the boundary fails, and the one place where an engine error becomes a Python exception.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use saranwrap::error::{Error, Kind};

use crate::names;

/// Bytes that break the protocol end the link; a Python exception is data for whoever asked.
#[derive(Debug)]
pub(crate) enum Fault {
    Link(Error),
    Python(PyErr),
}

pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Link(error)
    }
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl<'a, 'py> From<pyo3::CastError<'a, 'py>> for Fault {
    fn from(error: pyo3::CastError<'a, 'py>) -> Self {
        Self::Python(error.into())
    }
}

impl From<pyo3::CastIntoError<'_>> for Fault {
    fn from(error: pyo3::CastIntoError<'_>) -> Self {
        Self::Python(error.into())
    }
}

impl From<std::convert::Infallible> for Fault {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl Fault {
    /// The exception to raise when nothing more is known than the error itself.
    pub(crate) fn into_py(self, py: Python<'_>) -> PyErr {
        match self {
            Self::Python(error) => error,
            Self::Link(error) => exception(py, &error, &error.to_string()),
        }
    }
}

/// The Python exception for a link error; `message` may say more than the error does.
pub(crate) fn exception(py: Python<'_>, error: &Error, message: &str) -> PyErr {
    let class = match error.kind() {
        Kind::Died => &names::CHILD_DIED,
        Kind::Closed => &names::LINK_CLOSED,
        Kind::Refused => &names::REFUSED,
        Kind::TimedOut => &names::CALL_TIMEOUT,
        Kind::Garbled => &names::PROTOCOL_ERROR,
        _ => &names::SARANWRAP_ERROR,
    };
    named(py, class, message)
}

/// An exception of one of the package's own classes.
pub(crate) fn named(py: Python<'_>, class: &'static names::Name, message: &str) -> PyErr {
    match class.get(py).and_then(|class| class.call1((message,))) {
        Ok(instance) => PyErr::from_value(instance),
        Err(error) => {
            // Made here and now. One that is made when it is looked at lets go of the interpreter for that, and an interpreter that
            // is about to end, where no class can be looked up any more, cannot be had back.
            let made = py.get_type::<PyRuntimeError>().call1((message,));
            let fallback = made.map_or_else(|worse| worse, PyErr::from_value);
            fallback.set_cause(py, Some(error));
            fallback
        }
    }
}
