//! How a child serves beyond its main loop: from within an event loop that is the language's, with answers that come later; and who is
//! told when a call is given up.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use pyo3::prelude::*;
use saranwrap::error::Error;
use saranwrap::sys::fd::Bell;

use crate::fault::Fault;
use crate::host::PyHost;
use crate::loans::Scope;
use crate::names;
use crate::session::Session;

/// Serves a session from within an event loop: by turns of that, and with answers that come later.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Server {
    session: Py<Session>,
    bell: Arc<Bell>,
}

#[pymethods]
impl Server {
    /// The current thread is the one that the loop runs in.
    #[new]
    fn new(session: &Bound<'_, Session>) -> PyResult<Self> {
        let py = session.py();
        let link = session.get().link();
        let fail = |error: Error| Fault::from(error).into_py(py);
        let bell = Bell::new().map_err(|error| fail(Error::os("could not make an eventfd", error)))?;
        let bell = Arc::new(bell);
        link.enlist().map_err(fail)?;
        link.set_pumper(Some(Arc::clone(&bell)));
        Ok(Self { session: session.clone().unbind(), bell })
    }

    /// The descriptors to watch: when one is readable, a turn is due.
    fn filenos(&self) -> (i32, i32) {
        (self.session.get().link().fd().as_raw_fd(), self.bell.as_fd().as_raw_fd())
    }

    /// Move bytes and serve what has come. The descriptor to watch until it is writable, as long as something is left to send.
    fn turn(slf: &Bound<'_, Self>) -> PyResult<Option<i32>> {
        let this = slf.get();
        let session = this.session.bind(slf.py());
        let link = session.get().link();
        this.bell.clear();
        let done = link.pump().and_then(|()| link.serve_ready(&PyHost::new(session)));
        done.map_err(|error| session.get().explain(slf.py(), &error))?;
        Ok(link.write_fd().map(|fd| fd.as_raw_fd()))
    }

    /// Calls that are to be answered later and were cancelled since the last time.
    fn take_cancelled(&self) -> Vec<u64> {
        self.session.get().link().take_cancelled()
    }

    /// Whether the call that this thread serves was made from within another one of the same chain that this thread is in, so
    /// that the loop cannot turn before it is answered.
    fn entangled(&self) -> bool {
        self.session.get().link().is_nested()
    }

    /// `act(argument)` in the chain of a call that is to be answered later.
    fn step<'py>(
        slf: &Bound<'py, Self>,
        call: u64,
        act: &Bound<'py, PyAny>,
        argument: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let session = slf.get().session.bind(slf.py());
        let stepped = session.get().link().within(call, || {
            let _scope = Scope::enter(session.get().key());
            act.call1((argument,))
        });
        stepped.map_err(|error| session.get().explain(slf.py(), &error))?
    }

    /// Answer a call with its value.
    fn answer(slf: &Bound<'_, Self>, call: u64, value: Bound<'_, PyAny>) -> PyResult<()> {
        Self::end(slf, call, Ok(value))
    }

    /// Answer a call with what it raised.
    fn answer_raised(slf: &Bound<'_, Self>, call: u64, error: Bound<'_, PyAny>) -> PyResult<()> {
        Self::end(slf, call, Err(PyErr::from_value(error)))
    }
}

impl Server {
    fn end<'py>(slf: &Bound<'py, Self>, call: u64, result: PyResult<Bound<'py, PyAny>>) -> PyResult<()> {
        let session = slf.get().session.bind(slf.py());
        let link = session.get().link();
        let host = PyHost::new(session);
        let written = link.within(call, || {
            let key = session.get().key();
            let _scope = Scope::enter(key);
            host.answer_later(result, key)
        });
        let answered = written.and_then(|written| {
            let (outcome, body) = written?;
            link.answer(&host, call, outcome, body)
        });
        answered.map_err(|error| session.get().explain(slf.py(), &error))
    }
}

/// In a child, in the handler of a signal: whether the call that this thread serves is to be interrupted. In the other threads whose
/// calls are, `raise_in` raises. Each is told once.
#[pyfunction]
#[pyo3(signature = (session, raise_in))]
pub(crate) fn interrupts(session: &Bound<'_, Session>, raise_in: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let py = session.py();
    // What fails here fails again where somebody waits.
    let _ = session.get().link().decline_cancelled(&PyHost::new(session));
    let Some(raise_in) = raise_in else { return Ok(session.get().link().interrupts().0) };
    let stopped = names::STOPPED.get(py)?;
    // What raises is C code, so that this thread keeps the interpreter: no other one can come to the end of its call, and begin the next
    // one, between the look and the exception. The collector of cycles would run code of others in between.
    let collects = names::GC_IS_ENABLED.get(py)?.call0()?.is_truthy()?;
    names::GC_DISABLE.get(py)?.call0()?;
    let (here, others) = session.get().link().interrupts();
    let raised = others.into_iter().try_for_each(|thread| raise_in.call1((thread, stopped)).map(drop));
    if collects {
        names::GC_ENABLE.get(py)?.call0()?;
    }
    raised.map(|()| here)
}

/// Several threads are going to serve. To be said before the first of them does.
#[pyfunction]
pub(crate) fn expect_company(session: &Bound<'_, Session>) {
    session.get().link().expect_company();
}

/// Send this signal to the current thread, which has a handler for it, when a call that is being served is cancelled.
#[pyfunction]
pub(crate) fn sound_alarm_here(session: &Bound<'_, Session>, signal: i32) {
    session.get().link().sound_alarm_here(signal);
}
