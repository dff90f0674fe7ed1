//! How a session begins: what the two ends say to each other before anything is asked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use saranwrap::agent::{self, Native};
use saranwrap::child::{Carrier, Child, Command, GREETING, adopt_link};
use saranwrap::error::{Error, Kind};
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
use crate::voices::destinations;

/// What a parent says in its Hello that hears descriptions of classes along with their objects; with a 1.
const FORETOLD: &str = "foretold";

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
    extra.text(FORETOLD);
    extra.u64(1);
    extra.text("setup");
    let key = (session.as_ptr() as usize, 0);
    // What is lent here must not be found by another session that has this one's address later.
    let scope = Scope::enter(key);
    Encoder::new(&session, &mut extra, key, Mode::Normal).value(setup.as_any()).map_err(|fault| fault.into_py(py))?;
    drop(scope);
    let hello = Hello::ours(extra.into_vec());
    let link = session.get().link.clone();
    let limit = Limit::here(py, None)?;
    let until = patience(limit);
    let answer = py.detach(move || link.hello(&hello, Some(until)));
    match (answer, limit) {
        (Ok(theirs), _) => {
            let told = told_of_itself(&theirs.extra);
            // Each child of Python says of which kind it is.
            let is_python = told.iter().any(|(key, _)| key == "child");
            session.get().gives_away.store(!is_python, Ordering::Relaxed);
            let _ = session.get().peer.set(told);
            Ok(session.unbind())
        }
        (Err(error), Some(limit)) if error.kind() == Kind::TimedOut && limit.is_over() => {
            let _ = session.get().child.as_ref().map(|child| child.kill());
            let story = format!("it did not greet in time (pid {}) and was killed", session.get().pid());
            Err(stopping::timeout(py, limit.seconds, "killed", "starting a child", &story))
        }
        (Err(error), _) => Err(session.get().explain(py, &error)),
    }
}

/// Until when a child has to have greeted that is started now.
fn patience(limit: Option<Limit>) -> Instant {
    let patience = Instant::now() + GREETING;
    limit.map_or(patience, |limit| limit.at.min(patience))
}

/// The texts that a Hello has beside what the engine reads. They are a stranger's word, to be shown and compared; the first thing in it
/// that is no text ends them.
fn told_of_itself(extra: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader::new(extra);
    let mut told = Vec::new();
    while let (false, Ok(key)) = (reader.at_end(), reader.text("key")) {
        let Ok(value) = reader.text("value") else { break };
        told.push((key.to_owned(), value.to_owned()));
    }
    told
}

/// Read what a parent says up to its setup; whether it hears descriptions ahead.
fn has_foretold(reader: &mut Reader<'_>) -> Result<bool, Error> {
    let said = reader.text("setup")? == FORETOLD;
    if said {
        reader.u64(FORETOLD)?;
        reader.text("setup")?;
    }
    Ok(said)
}

/// What this side says of itself: that it is the native child, and in which interpreter it lives.
fn of_ourselves() -> Vec<u8> {
    let version = Python::version_str();
    let mut extra = Writer::new();
    for (key, value) in [
        ("child", "native"),
        ("implementation", "cpython"),
        ("python", version.split_whitespace().next().unwrap_or(version)),
    ] {
        extra.text(key);
        extra.text(value);
    }
    extra.into_vec()
}

#[pymethods]
impl Session {
    /// Start a child process and greet it; `setup` is plain data for the child's start. With `boots`, the program is an interpreter
    /// that is given what it needs: the native child, if it can load it from this directory, else the portable one.
    #[staticmethod]
    #[pyo3(signature = (program, args, env, cwd, setup, by_value, trust, carrier, says, boots=None))]
    #[allow(clippy::too_many_arguments, reason = "each is one thing a process is started with")]
    fn spawn(
        py: Python<'_>,
        program: OsString,
        args: Vec<OsString>,
        env: Option<Vec<(OsString, OsString)>>,
        cwd: Option<PathBuf>,
        setup: &Bound<'_, PyTuple>,
        by_value: Py<PyTuple>,
        trust: bool,
        carrier: &str,
        says: [i64; 2],
        boots: Option<OsString>,
    ) -> PyResult<Py<Self>> {
        let carrier = carrier_named(carrier)?;
        let mut command = Command { program, args, env, cwd, carrier, says: destinations(says), preamble: None };
        if let Some(package) = boots {
            let native = if package.is_empty() { Native::None } else { Native::At(&package) };
            command.args.extend(agent::arguments(native));
            command.preamble = Some(agent::preamble(patience(Limit::here(py, None)?)));
        }
        let (child, link) = py.detach(|| Child::spawn(&command)).map_err(|error| Fault::from(error).into_py(py))?;
        greet(py, child, link, setup, by_value, trust)
    }

    /// What the other side has said of itself when it greeted: which child it is, and of which interpreter.
    #[getter]
    fn peer(&self) -> BTreeMap<String, String> {
        self.peer.get().cloned().unwrap_or_default().into_iter().collect()
    }

    /// The newest protocol of pickle that the other side knows, as far as this one does.
    #[getter]
    fn pickle_protocol(&self) -> u8 {
        let peer = self.peer.get().map_or(&[][..], Vec::as_slice);
        let told = peer.iter().find(|(key, _)| key == "pickle").and_then(|(_, value)| value.parse().ok());
        told.map_or(5, |protocol: u8| protocol.clamp(2, 5))
    }
}

/// In a child: take over the link that the parent left, and return the session, the parent's setup, and where notes are written.
pub(crate) fn adopt(py: Python<'_>) -> PyResult<(Py<Session>, Py<PyAny>, i32)> {
    let adopted = adopt_link().map_err(|error| Fault::from(error).into_py(py))?;
    let session =
        Session::build(py, (adopted.link, adopted.arena), Side::Child, None, PyTuple::empty(py).unbind(), true)?;
    let link = session.get().link.clone();
    let hello = Hello::ours(of_ourselves());
    let theirs = py
        .detach(move || link.hello(&hello, Some(Instant::now() + GREETING)))
        .map_err(|error| Fault::from(error).into_py(py))?;
    let key = (session.as_ptr() as usize, 0);
    let _scope = Scope::enter(key);
    let mut reader = Reader::new(&theirs.extra);
    let foretold = has_foretold(&mut reader).map_err(|error| Fault::from(error).into_py(py))?;
    session.get().foretells.store(foretold, Ordering::Relaxed);
    let setup = Decoder::new(&session, reader, key).value().map_err(|fault| fault.into_py(py))?;
    let setup = setup.unbind();
    // It stays open as long as this process lives, whoever uses it.
    Ok((session.unbind(), setup, adopted.notes.into_raw_fd()))
}
