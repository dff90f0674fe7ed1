//! Zygotes as the package sees them: the parent's handle of one, and what one does all day.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use saranwrap::child::Command;
use saranwrap::error::{Error, Kind};
use saranwrap::sys::{fd, fork, inherit, process};
use saranwrap::zygote::{self, Asked, Birth, Births};

use crate::ahead::lock;
use crate::convert::note_loaded;
use crate::fault::Fault;
use crate::forking;
use crate::greeting::{carrier_named, greet};
use crate::session::Session;
use crate::voices::destinations;

/// A process that stands ready to be forked into children.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Zygote {
    inner: Arc<zygote::Zygote>,
}

#[pymethods]
impl Zygote {
    /// Start a program that becomes a zygote. This does not wait until it is one.
    #[staticmethod]
    fn start(
        py: Python<'_>,
        program: OsString,
        args: Vec<OsString>,
        env: Option<Vec<(OsString, OsString)>>,
    ) -> PyResult<Self> {
        let command = Command { program, args, env, ..Command::default() };
        let inner = py.detach(|| zygote::Zygote::start(&command)).map_err(|error| Fault::from(error).into_py(py))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Wait until it is ready; raises `Refused` when it says why it cannot fork.
    fn ready(&self, py: Python<'_>) -> PyResult<()> {
        let stashed: Mutex<Option<PyErr>> = Mutex::default();
        let mut interrupted = || {
            Python::attach(|py| py.check_signals()).map_err(|error| {
                *lock(&stashed) = Some(error);
                Error::new(Kind::Interrupted, "a signal ended the wait for a zygote")
            })
        };
        let waited = py.detach(|| self.inner.ready(&mut interrupted));
        let raised = lock(&stashed).take();
        waited.map_err(|error| raised.unwrap_or_else(|| Fault::from(error).into_py(py)))
    }

    #[allow(clippy::too_many_arguments, reason = "each is one thing a process is started with")]
    /// Fork it into a child and greet that; the arguments are those of `Session.spawn`. None where `inherited` is given and is not
    /// what `attributes` says now.
    fn fork(
        &self,
        py: Python<'_>,
        cwd: Option<PathBuf>,
        setup: &Bound<'_, PyTuple>,
        by_value: Py<PyTuple>,
        trust: bool,
        carrier: &str,
        says: [i64; 2],
        inherited: Option<&str>,
    ) -> PyResult<Option<Py<Session>>> {
        let (carrier, says) = (carrier_named(carrier)?, destinations(says));
        let forked = py.detach(|| self.inner.fork(carrier, cwd.as_deref(), says, inherited));
        match forked.map_err(|error| Fault::from(error).into_py(py))? {
            Some((child, link)) => greet(py, child, link, setup, by_value, trust).map(Some),
            None => Ok(None),
        }
    }

    /// End it. Its children go on.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.inner.close());
    }

    /// After a fork, in the new process: it belongs to the other one.
    fn forget(&self) {
        self.inner.forget();
    }

    #[getter]
    fn pid(&self) -> u32 {
        self.inner.pid()
    }

    /// The processes that stand ready to be its next children.
    fn spares(&self, py: Python<'_>) -> Vec<u32> {
        py.detach(|| self.inner.spares())
    }

    /// Whether it has not ended yet.
    #[getter]
    fn alive(&self) -> bool {
        self.inner.is_alive()
    }
}

/// In a process that was started as a zygote: call `load`, which returns what is wrong, or None; then fork for the parent, and fork
/// spares ahead, which call `rehearse` first. This returns in each child, and never in the zygote itself.
#[pyfunction]
pub(crate) fn await_birth(load: &Bound<'_, PyAny>, rehearse: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = load.py();
    let fault = |error: Error| Fault::from(error).into_py(py);
    let births = Births::take_over().map_err(fault)?;
    let following = births.follow_parent().map_err(fault)?;
    let flaw: Option<String> = load.call0()?.extract()?;
    following.end();
    note_loaded(py)?;
    forking::fill_gaps(py);
    let mut births = Some(births);
    while let Some(waiting) = &mut births {
        match waiting.next_asked().map_err(fault)? {
            Asked::Ready(answer) => answer.give(cannot(flaw.as_deref()).as_deref()),
            Asked::Interrupted => py.check_signals()?,
            Asked::End => process::leave(),
            Asked::Birth(birth) if waiting.is_spare() => be_born(py, birth, &mut births)?,
            Asked::Birth(birth) => {
                give_birth(py, birth, flaw.as_deref(), &mut births)?;
                births.iter_mut().for_each(Births::note_birth);
            }
            Asked::Spare => prepare_spare(rehearse, &mut births)?,
        }
    }
    Ok(())
}

/// Why there can be no child now.
fn cannot(flaw: Option<&str>) -> Option<String> {
    if let Some(flaw) = flaw {
        return Some(flaw.to_owned());
    }
    let threads = fork::be_single().err()?;
    let names = threads.join(", ");
    Some(format!("a zygote cannot be forked while other threads run in it: {names}"))
}

/// Fork. In the new process `births` is `None` afterwards, and what was the zygote's is closed.
fn give_birth(py: Python<'_>, mut birth: Birth, flaw: Option<&str>, births: &mut Option<Births>) -> PyResult<()> {
    if let Some(why) = cannot(flaw) {
        birth.refuse(&why);
        return Ok(());
    }
    let prepared = births.as_ref().map_or(Ok(()), |births| birth.prepare(births));
    if let Err(error) = prepared {
        birth.refuse(&error.to_string());
        return Ok(());
    }
    let mut birth = Some(birth);
    let mut begun = Ok(());
    let forked = forking::fork(py, || {
        process::note_fork();
        births.take();
        begun = birth.take().map_or(Ok(()), Birth::begin);
    });
    match (forked, birth) {
        (Err(error), Some(birth)) => birth.refuse(&format!("a zygote could not be forked: {error}")),
        (Ok(Some(_)), _) => {}
        _ => return begun.map_err(|error| Fault::from(error).into_py(py)),
    }
    zygote::leave_directory();
    Ok(())
}

/// In a spare: become the child. `births` is `None` afterwards, unless that was refused.
fn be_born(py: Python<'_>, mut birth: Birth, births: &mut Option<Births>) -> PyResult<()> {
    let Some(Err(error)) = births.as_ref().map(|births| birth.prepare(births)) else {
        births.take();
        return birth.begin().map_err(|error| Fault::from(error).into_py(py));
    };
    birth.refuse(&error.to_string());
    births.iter().for_each(Births::do_without_spare);
    Ok(())
}

/// Fork the child of the next request ahead, which reads that itself. Where that cannot be, the zygote goes on without.
fn prepare_spare(rehearse: &Bound<'_, PyAny>, births: &mut Option<Births>) -> PyResult<()> {
    let py = rehearse.py();
    let Some(waiting) = births else { return Ok(()) };
    let leash = fd::socketpair().ok().filter(|_| cannot(None).is_none());
    let Some((ours, theirs)) = leash else {
        waiting.do_without_spare();
        return Ok(());
    };
    match forking::fork(py, process::note_fork) {
        Ok(None) => {
            drop(ours);
            waiting.be_spare(theirs);
            if !waiting.is_asked() {
                // What fails in a rehearsal fails again when it counts.
                let _ = rehearse.call0();
            }
        }
        Ok(Some(_)) => waiting.leave_to_spare(ours),
        Err(_) => waiting.do_without_spare(),
    }
    Ok(())
}

/// The environment that a process started now would have.
#[pyfunction]
pub(crate) fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// What else such a process would have from this thread, as a text to compare.
#[pyfunction]
pub(crate) fn attributes(py: Python<'_>) -> String {
    py.detach(inherit::attributes)
}
