//! How a session begins: what the two ends say to each other before anything is asked.

use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use saranwrap::child::{Carrier, Child, adopt_link};
use saranwrap::error::Kind;
use saranwrap::link::{Link, Side};
use saranwrap::message::Hello;
use saranwrap::wire::{Reader, Writer};

use crate::convert::{Decoder, Encoder, Mode};
use crate::deadlines::Limit;
use crate::fault::Fault;
use crate::loans::Scope;
use crate::names;
use crate::session::Session;
use crate::stopping;

/// A child that does not greet within this time is not going to.
const GREETING: Duration = Duration::from_secs(60);

/// What carries the frames, by its name.
pub(crate) fn carrier_named(name: &str) -> PyResult<Carrier> {
    match name {
        "ring" => Ok(Carrier::Ring),
        "stream" => Ok(Carrier::Stream),
        other => Err(PyValueError::new_err(format!("there is no transport {other:?}: say \"ring\" or \"stream\""))),
    }
}

/// Make the session with a child that was started just now.
pub(crate) fn greet(
    py: Python<'_>,
    child: Child,
    link: Arc<Link>,
    setup: &Bound<'_, PyTuple>,
    by_value: Py<PyTuple>,
    trust: bool,
) -> PyResult<Py<Session>> {
    let arena = Arc::clone(child.arena());
    let session = Session::build(py, (link, arena), Side::Parent, Some(child), by_value, trust)?;
    let home = names::HOME.get(py)?.call1((&session,))?.unbind();
    session.get().exports().set_root(home);
    // What may have to be raised when the interpreter ends, and imports nothing any more.
    for class in [&names::LINK_CLOSED, &names::CHILD_DIED, &names::SARANWRAP_ERROR] {
        class.get(py)?;
    }
    let mut extra = Writer::new();
    extra.text("setup");
    let key = (session.as_ptr() as usize, 0);
    // What is lent here must not be found by another session that has this one's address later.
    let scope = Scope::enter(key);
    Encoder::new(&session, &mut extra, key, Mode::Normal).value(setup.as_any()).map_err(|fault| fault.into_py(py))?;
    drop(scope);
    let hello = Hello::ours(extra.into_vec());
    let link = session.get().link.clone();
    let patience = Instant::now() + GREETING;
    let limit = Limit::here(py, None)?;
    let until = limit.map_or(patience, |limit| limit.at.min(patience));
    let answer = py.detach(move || link.hello(&hello, Some(until)));
    match (answer, limit) {
        (Ok(_), _) => Ok(session.unbind()),
        (Err(error), Some(limit)) if error.kind() == Kind::TimedOut && limit.is_over() => {
            let _ = session.get().child.as_ref().map(|child| child.kill());
            let story = format!("it did not greet in time (pid {}) and was killed", session.get().pid());
            Err(stopping::timeout(py, limit.seconds, "killed", "starting a child", &story))
        }
        (Err(error), _) => Err(session.get().explain(py, &error)),
    }
}

/// In a child: take over the link that the parent left, and return the session, the parent's setup, and where notes are written.
pub(crate) fn adopt(py: Python<'_>) -> PyResult<(Py<Session>, Py<PyAny>, i32)> {
    let adopted = adopt_link().map_err(|error| Fault::from(error).into_py(py))?;
    let session =
        Session::build(py, (adopted.link, adopted.arena), Side::Child, None, PyTuple::empty(py).unbind(), true)?;
    let link = session.get().link.clone();
    let hello = Hello::ours(Vec::new());
    let theirs = py
        .detach(move || link.hello(&hello, Some(Instant::now() + GREETING)))
        .map_err(|error| Fault::from(error).into_py(py))?;
    let key = (session.as_ptr() as usize, 0);
    let _scope = Scope::enter(key);
    let mut reader = Reader::new(&theirs.extra);
    reader.text("setup").map_err(|error| Fault::from(error).into_py(py))?;
    let setup = Decoder::new(&session, reader, key).value().map_err(|fault| fault.into_py(py))?;
    let setup = setup.unbind();
    // It stays open as long as this process lives, whoever uses it.
    Ok((session.unbind(), setup, adopted.notes.into_raw_fd()))
}
