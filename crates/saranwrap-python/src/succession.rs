//! What a session is to whoever supervises its child: over, worn out, or to be replaced; and what is raised for what comes too late.
//! When a child is replaced, and by what, is told in `_restart.py`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use saranwrap::error::Error;
use saranwrap::op::Request;

use crate::ahead::lock;
use crate::names;
use crate::session::Session;

/// How long a child is left alone after a look at its memory, and after it could not be replaced though it was worn out.
const REST: Duration = Duration::from_millis(20);

/// Who replaces the child, and when it is worn out.
pub(crate) struct Supervision {
    /// Weak: it holds the session.
    supervisor: Py<PyWeakrefReference>,
    calls: Option<u64>,
    memory: Option<u64>,
    /// Since somebody heard that there were too many calls, and since somebody looked at the memory.
    tried: Rest,
    looked: Rest,
}

/// Something that is done once in a while.
#[derive(Default)]
struct Rest(Mutex<Option<Instant>>);

impl Rest {
    /// Whether it is time; for whoever asks now, and then for nobody for a while.
    fn is_over(&self) -> bool {
        let now = Instant::now();
        let mut since = lock(&self.0);
        let over = since.is_none_or(|since| now >= since + REST);
        if over {
            *since = Some(now);
        }
        over
    }
}

#[pymethods]
impl Session {
    /// From now on, until it ends, the child is supervised. It is worn out after so many calls, or with so much resident memory.
    fn supervise(&self, supervisor: &Bound<'_, PyAny>, calls: Option<u64>, memory: Option<u64>) -> PyResult<()> {
        let supervisor = PyWeakrefReference::new(supervisor)?.unbind();
        let (tried, looked) = Default::default();
        let _ = self.supervision.set(Supervision { supervisor, calls, memory, tried, looked });
        Ok(())
    }

    /// Who supervises the child, or None.
    #[getter]
    pub(crate) fn supervisor<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.supervision.get()?.supervisor.bind(py).upgrade()
    }

    /// How many calls of this side, and how many of the other, are not answered yet.
    fn under_way(&self) -> (usize, usize) {
        self.link.under_way()
    }

    /// Close the link if nothing is under way, and, where a number is given, no more objects of the child than that have proxies.
    /// Whether it is closed now.
    fn retire(&self, kept: Option<usize>) -> bool {
        let asked = self.link.stats().calls_asked;
        // Whoever gets another proxy after this look has to ask for it, and that is counted.
        kept.is_none_or(|kept| self.counts().1 <= kept) && self.link.retire(asked)
    }

    /// The child is gone: what it was given is given back.
    fn bury(&self) {
        let exports = self.exports().drain();
        drop(exports);
    }

    /// Go there and back with nothing to do, within `seconds`.
    #[pyo3(signature = (seconds=None))]
    fn ping(slf: &Bound<'_, Self>, seconds: Option<f64>) -> PyResult<()> {
        let deadline = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self::ping_until(slf, deadline.and_then(|wait| Instant::now().checked_add(wait)))
    }

    /// Note why the child is about to be killed, for its obituary.
    fn condemn(&self, why: String) {
        if let Some(child) = &self.child {
            child.condemn(why);
        }
    }
}

impl Session {
    pub(crate) fn is_supervised(&self) -> bool {
        self.supervision.get().is_some()
    }

    /// Whether nothing can be asked any more.
    pub(crate) fn is_over(&self) -> bool {
        self.link.error().is_some()
    }

    /// Whether the child has been used up. It says so once in a while only, as it may be that it cannot be replaced yet.
    pub(crate) fn is_worn(&self) -> bool {
        let Some(supervision) = self.supervision.get() else { return false };
        if supervision.calls.is_some_and(|calls| self.link.stats().calls_asked >= calls) {
            return supervision.tried.is_over();
        }
        let Some(most) = supervision.memory else { return false };
        supervision.looked.is_over() && self.child.as_ref().is_some_and(|child| child.memory() > most)
    }

    /// The exception for what is asked after the link has ended. Of a child that is replaced the object is stale.
    pub(crate) fn late(slf: &Bound<'_, Self>, error: &Error) -> PyErr {
        let py = slf.py();
        let stale = slf.get().supervisor(py).map(|supervisor| supervisor.call_method1("late", (slf,)));
        match stale {
            Some(Ok(stale)) if !stale.is_none() => PyErr::from_value(stale),
            Some(Err(failure)) => failure,
            _ => slf.get().explain(py, error),
        }
    }

    /// Name the act and the object in the exception for what came too late; every other one stays as it is.
    pub(crate) fn name_act(slf: &Bound<'_, Self>, error: PyErr, head: &Request) -> PyErr {
        let py = slf.py();
        if !slf.get().is_supervised() || !slf.get().is_over() {
            return error;
        }
        let named = names::STALE_PROXY.get(py).and_then(|class| match error.get_type(py).is(class) {
            true => error.value(py).call_method1("about", (head.op.name(), slf.get().live(py, head.target))).map(Some),
            false => Ok(None),
        });
        match named {
            Ok(Some(named)) => PyErr::from_value(named),
            Ok(None) => error,
            Err(failure) => failure,
        }
    }

    /// The child has died: whoever supervises it says in the exception what comes next.
    pub(crate) fn mourn(&self, death: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.supervisor(death.py()) {
            Some(supervisor) => supervisor.call_method1("mourn", (death,)).map(drop),
            None => Ok(()),
        }
    }
}
