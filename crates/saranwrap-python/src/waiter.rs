//! Something to wait on for the end of a child, which keeps nothing else alive.

use std::sync::Arc;

use pyo3::prelude::*;
use saranwrap::child::Child;

/// Waits for the end of a child.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Waiter {
    child: Option<Arc<Child>>,
}

#[pymethods]
impl Waiter {
    /// Return when the child has ended.
    fn wait(&self, py: Python<'_>) {
        if let Some(child) = &self.child {
            py.detach(|| child.wait(None));
        }
    }
}

impl Waiter {
    pub(crate) fn of(child: Option<Arc<Child>>) -> Self {
        Self { child }
    }
}
