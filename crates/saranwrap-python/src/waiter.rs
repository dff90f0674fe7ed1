//! Something to wait on for the end of a child, which keeps nothing else alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use saranwrap::child::Child;

/// Waits for the end of a child.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Waiter {
    child: Option<Arc<Child>>,
}

#[pymethods]
impl Waiter {
    /// Return when the child has ended, or after so many seconds; whether it has ended.
    #[pyo3(signature = (seconds=None))]
    fn wait(&self, py: Python<'_>, seconds: Option<f64>) -> bool {
        let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let deadline = wait.and_then(|wait| Instant::now().checked_add(wait));
        self.child.as_ref().is_none_or(|child| py.detach(|| child.wait(deadline)).is_some())
    }
}

impl Waiter {
    pub(crate) fn of(child: Option<Arc<Child>>) -> Self {
        Self { child }
    }
}
