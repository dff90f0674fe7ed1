//! What a child says on its standard output and error and beside them, for whoever listens and keeps nothing else of it alive;
//! and what it is to hear beside what it is asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use saranwrap::child::{self, Voice};
use saranwrap::{Destination, Says};

use crate::ahead::lock;
use crate::ending;
use crate::session::Session;

/// Listens to a child.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Listener {
    inner: child::Listener,
}

#[pymethods]
impl Listener {
    /// Wait for something that is to be told, and take it: (0 for notes, 1 for stdout, 2 for stderr; bytes). None when there will be
    /// nothing more.
    fn hear<'py>(&self, py: Python<'py>) -> Option<(usize, Bound<'py, PyBytes>)> {
        ending::go_on();
        let (voice, said) = py.detach(|| self.inner.hear())?;
        Some((voice as usize, PyBytes::new(py, &said)))
    }

    /// Wait until all is told that the child has said so far, at most that long.
    fn settle(&self, py: Python<'_>, seconds: f64) {
        let until = Instant::now() + Duration::try_from_secs_f64(seconds).unwrap_or_default();
        py.detach(|| self.inner.settle(until));
    }

    /// What is kept of stdout (1) or stderr (2), and how many bytes before that are lost; None where nothing is kept.
    fn kept<'py>(&self, py: Python<'py>, voice: usize) -> Option<(Bound<'py, PyBytes>, u64)> {
        let voice = if voice == 1 { Voice::Stdout } else { Voice::Stderr };
        let (said, lost) = py.detach(|| self.inner.kept(voice))?;
        Some((PyBytes::new(py, &said), lost))
    }
}

/// Whoever wants to listen to the child of a session; None in a child, and after a fork.
#[pyfunction]
pub(crate) fn listener(session: &Bound<'_, Session>) -> Option<Listener> {
    let session = session.get();
    let child = session.child.as_ref().filter(|_| !session.forked.load(Ordering::Relaxed));
    child.and_then(|child| child.listener()).map(|inner| Listener { inner })
}

/// A text for the child to hear ahead of whatever is asked of it next. It takes the place of one that has not gone.
#[pyfunction]
pub(crate) fn post(session: &Bound<'_, Session>, text: String) {
    let posted = &session.get().posted;
    *lock(&posted.text) = Some(text);
    posted.waits.store(true, Ordering::Release);
}

/// What waits to be told, and whether anything does: a flag is all that every request looks at.
#[derive(Default)]
pub(crate) struct Posted {
    text: Mutex<Option<String>>,
    waits: AtomicBool,
}

impl Posted {
    /// What is to be told now.
    pub(crate) fn take(&self) -> Vec<String> {
        if self.waits.load(Ordering::Relaxed) { self.take_text() } else { Vec::new() }
    }

    #[cold]
    fn take_text(&self) -> Vec<String> {
        // First, so that what is posted meanwhile is told the next time, if not now.
        self.waits.store(false, Ordering::Release);
        lock(&self.text).take().into_iter().collect()
    }
}

/// Where stdout and stderr go, as the package says it: -1 for to ours, -2 for to be told, else how many bytes are kept.
pub(crate) fn destinations([stdout, stderr]: [i64; 2]) -> Says {
    let destination = |number| match usize::try_from(number) {
        Ok(bytes) => Destination::Kept(bytes),
        Err(_) if number == -1 => Destination::Ours,
        Err(_) => Destination::Told,
    };
    Says { stdout: destination(stdout), stderr: destination(stderr) }
}
