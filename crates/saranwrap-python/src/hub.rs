//! Threads in which greenlets take turns: whether the current one is such, and what a greenlet waits with. How that is done with gevent
//! and eventlet is known in the package.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use saranwrap::link::{Side, set_strand};

use crate::front::Front;
use crate::names;
use crate::session::Session;

/// How long a greenlet looks for its answer before it lets others run.
pub(crate) const SPIN: Duration = Duration::from_micros(20);

/// Whether any thread of this process may have a hub. Without one this is all that a call asks for.
static USED: AtomicBool = AtomicBool::new(false);

/// A greenlet that may wait.
pub(crate) struct Waiting<'py> {
    pub(crate) front: Bound<'py, Front>,
    pub(crate) greenlet: Bound<'py, PyAny>,
    number: u64,
    switch: Bound<'py, PyAny>,
}

/// From now on calls ask whether their thread has a hub.
#[pyfunction]
pub(crate) fn use_hubs() {
    USED.store(true, Ordering::Relaxed);
}

/// A call is about to sleep: if a world of greenlets was imported since the last time, the next one asks for its hub.
pub(crate) fn notice(py: Python<'_>) {
    if USED.load(Ordering::Relaxed) {
        return;
    }
    let modules = names::SYS_MODULES.get(py).and_then(|modules| Ok(modules.cast::<PyDict>()?.clone()));
    let imported = |name| modules.as_ref().is_ok_and(|modules| modules.contains(name).unwrap_or_default());
    if imported("gevent._hub_local") || imported("eventlet.hubs") {
        use_hubs();
    }
}

/// What the current greenlet waits with for the answers of a session. None where a call may block, which is nearly everywhere.
pub(crate) fn waiter<'py>(session: &Bound<'py, Session>) -> PyResult<Option<Waiting<'py>>> {
    // A child serves its parent in the calls that wait, which have to be where they are.
    if !USED.load(Ordering::Relaxed) || session.get().side() == Side::Child {
        return Ok(None);
    }
    enter(session.py())?;
    let found = names::COOPERATE.get(session.py())?.call1((session,))?;
    let Ok(found) = found.cast_into::<PyTuple>() else { return Ok(None) };
    let (front, greenlet, switch): (Bound<'py, Front>, Bound<'py, PyAny>, Bound<'py, PyAny>) = found.extract()?;
    let number = greenlet.as_ptr() as u64;
    Ok(Some(Waiting { front, greenlet, number, switch }))
}

/// Note which greenlet the current thread is in, if it may be in one: its calls are nested in its own, and not in those of others.
pub(crate) fn enter(py: Python<'_>) -> PyResult<()> {
    if USED.load(Ordering::Relaxed) {
        let strand: u64 = names::STRAND.get(py)?.call0()?.extract()?;
        set_strand(strand);
    }
    Ok(())
}

impl Waiting<'_> {
    /// Let others run until this greenlet is told of its answer, the time is over, or something is raised in it.
    pub(crate) fn wait(&self, left: Option<Duration>) -> PyResult<()> {
        let waited = self.switch.call1((left.map(|left| left.as_secs_f64()),));
        // Others have run here meanwhile.
        set_strand(self.number);
        waited.map(drop)
    }
}
