//! What a user does with a pipeline: open it, send what was recorded, and get what the steps came to.

use std::sync::atomic::Ordering;

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::asking::raised;
use crate::batch::send;
use crate::fault::named;
use crate::names;
use crate::promise::{Failure, Outcome, Phase, Pipeline, Promise, refusal};
use crate::proxy::Proxy;
use crate::session::Session;

#[pymethods]
impl Pipeline {
    /// The recorder, or one for each proxy where there are several.
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let pipeline = slf.get();
        let before = std::mem::replace(&mut pipeline.lock().phase, Phase::Open);
        if before != Phase::Fresh {
            pipeline.lock().phase = before;
            return Err(refusal(py, "is recorded in one block only: open another pipeline"));
        }
        let recorders = pipeline.proxies(py).iter().map(|proxy| Promise::recorder(slf, proxy.unbind()));
        let recorders = recorders.collect::<PyResult<Vec<_>>>()?;
        match recorders.as_slice() {
            [recorder] => Ok(recorder.clone().into_any()),
            several => Ok(PyTuple::new(py, several)?.into_any()),
        }
    }

    /// Send what was recorded; after an exception drop it.
    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !error.is_none() {
            return slf.get().drop_steps(error);
        }
        let sent = send_all(slf);
        slf.get().lock().phase = Phase::Ended;
        sent.and_then(|()| slf.get().surface(slf.py()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.traverse(&visit)
    }

    fn __clear__(&self) {
        let steps = std::mem::take(&mut self.lock().steps);
        drop(steps);
    }
}

impl Pipeline {
    /// The block is left by an exception: what was not sent never will be, and what failed unseen is noted on it.
    fn drop_steps(&self, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let (steps, unheld) = {
            let mut state = self.lock();
            state.phase = Phase::Dropped;
            (std::mem::take(&mut state.steps), std::mem::take(&mut state.unheld))
        };
        drop(steps);
        note(error, &unheld, error.py())
    }

    /// Raise what a step raised that nobody holds: the first of them as it is, the others as notes on it.
    fn surface(&self, py: Python<'_>) -> PyResult<()> {
        let unheld = std::mem::take(&mut self.lock().unheld);
        let Some(((failure, words), others)) = unheld.split_first() else { return Ok(()) };
        let failure = failure.get();
        let error = failure.error.bind(py);
        error.call_method1("add_note", (format!("raised by a step of a pipeline: {words}"),))?;
        note(error, others, py)?;
        Err(failure.again(py)?)
    }
}

/// Say on `error` what else failed, which nobody holds.
fn note(error: &Bound<'_, PyAny>, unheld: &[(Py<Failure>, String)], py: Python<'_>) -> PyResult<()> {
    for (failure, words) in unheld {
        let other = failure.get().error.bind(py);
        failure.get().seen.store(true, Ordering::Relaxed);
        if !other.is(error) {
            let kind = other.get_type().name()?;
            let text = other.str().map(|text| text.to_string()).unwrap_or_default();
            error
                .call_method1("add_note", (format!("another step of the pipeline, {words}, raised {kind}: {text}"),))?;
        }
    }
    Ok(())
}

impl Failure {
    /// The exception in order to be raised, with the traceback that it came with.
    fn again(&self, py: Python<'_>) -> PyResult<PyErr> {
        self.seen.store(true, Ordering::Relaxed);
        let error = self.error.bind(py);
        error.setattr("__traceback__", self.traceback.as_ref().map(|traceback| traceback.bind(py)))?;
        raised(error.clone())
    }
}

/// Send what a callback records meanwhile, too.
fn send_all(pipeline: &Bound<'_, Pipeline>) -> PyResult<()> {
    pipeline.get().check_thread(pipeline.py())?;
    while !pipeline.get().lock().steps.is_empty() {
        send(pipeline)?;
    }
    Ok(())
}

/// Record what is done with proxies and send it in one round trip: `with saranwrap.pipeline(p) as q: r = q.a.b(1)[2]`.
///
/// What stands behind `as` is a recorder for each proxy. What is done with it, and with what comes of that, is written down and
/// gives promises (an idea of E and of Cap'n Proto): attributes, items, calls, operators and comparisons, also set and deleted.
/// At the end of the block all of it is sent at once and performed in order. `result(r)` then gives the value, or raises what
/// was raised there.
///
/// A step that depends on one that raised is not performed, and raises the same exception. The others are performed. What was
/// raised by a step that nobody holds is raised at the end of the block: the first one, with notes about the others. When an
/// exception leaves the block, nothing more is sent.
///
/// Args:
///     p, more: proxies of one child. The pipeline belongs to the thread that opened it.
///
/// Raises:
///     TypeError: something is no proxy.
///     Refused: the proxies belong to different children.
///     NotTransparent: a promise was used where a value is needed. `result` gives it.
#[pyfunction]
#[pyo3(signature = (p, /, *more))]
pub(crate) fn pipeline<'py>(p: &Bound<'py, PyAny>, more: &Bound<'py, PyTuple>) -> PyResult<Pipeline> {
    let py = p.py();
    let session = owner(p)?;
    for other in more {
        if !owner(&other)?.is(&session) {
            let message = "cannot record one pipeline for proxies of different children: open one for each";
            return Err(named(py, &names::REFUSED, message));
        }
    }
    let proxies: Vec<_> = std::iter::once(p.clone()).chain(more.iter()).collect();
    Ok(Pipeline::open(session, PyTuple::new(py, proxies)?.unbind()))
}

/// The session of what stands for something remote.
fn owner(p: &Bound<'_, PyAny>) -> PyResult<Py<Session>> {
    match p.cast::<Proxy>() {
        Ok(proxy) => Ok(proxy.get().stand.ready(p.py())?.session.clone_ref(p.py())),
        Err(_) => Ok(names::LOCATE.get(p.py())?.call1((p,))?.extract::<(Py<Session>, u64)>()?.0),
    }
}

/// What the step behind a promise came to: its value or proxy, as the plain expression would have given it; what has been
/// recorded so far is sent for it. What the step raised is raised, each time. What is no promise is returned as it is.
#[pyfunction]
pub(crate) fn result<'py>(promise: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = promise.py();
    let Ok(promise) = promise.cast_exact::<Promise>() else { return Ok(promise.clone()) };
    let pipeline = promise.get().pipeline.bind(py);
    if promise.get().outcome().is_none() {
        let phase = pipeline.get().lock().phase;
        if phase == Phase::Dropped {
            return Err(refusal(py, "was never sent: the block of its pipeline was left by an exception"));
        }
        pipeline.get().check_thread(py)?;
        if promise.get().place() >= pipeline.get().lock().first {
            send(pipeline)?;
        }
    }
    match promise.get().outcome() {
        Some(Outcome::Value(value)) => Ok(value.bind(py).clone()),
        Some(Outcome::Failed(failure)) => Err(failure.get().again(py)?),
        None => Err(refusal(py, "is on its way just now, so nothing has come of it yet")),
    }
}

/// Send what a pipeline has recorded so far; `recorder` is what its block was given, or any promise of it. What was raised by
/// a step that nobody holds is raised now instead of at the end of the block.
#[pyfunction]
pub(crate) fn flush(recorder: &Bound<'_, PyAny>) -> PyResult<()> {
    let Ok(promise) = recorder.cast_exact::<Promise>() else {
        let kind = recorder.get_type().name()?;
        return Err(PyTypeError::new_err(format!("expected what a pipeline records with, not a {kind:?} object")));
    };
    let pipeline = promise.get().pipeline.bind(recorder.py());
    send_all(pipeline)?;
    pipeline.get().surface(recorder.py())
}
