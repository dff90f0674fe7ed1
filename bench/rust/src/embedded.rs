//! The floor: the same object in this very process, by PyO3.

use pyo3::prelude::*;

use crate::{Act, Result};

fn root() -> PyResult<Py<PyAny>> {
    Python::attach(|py| {
        py.import("sys")?.getattr("path")?.call_method1("insert", (0, "."))?;
        Ok(py.import("bench.subject")?.call_method0("Root")?.unbind())
    })
}

/// `root.number`.
pub fn getattr() -> Result<Act> {
    let root = root()?;
    Ok(Box::new(move || {
        let number: i64 = Python::attach(|py| root.getattr(py, "number")?.extract(py))?;
        assert_eq!(number, 7);
        Ok(())
    }))
}

/// `root.noop(7)`.
pub fn call() -> Result<Act> {
    let root = root()?;
    Ok(Box::new(move || {
        let number: i64 = Python::attach(|py| root.call_method1(py, "noop", (7,))?.extract(py))?;
        assert_eq!(number, 7);
        Ok(())
    }))
}
