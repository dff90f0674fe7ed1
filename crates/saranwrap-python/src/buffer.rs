//! The buffer protocol, and nothing else: the only `unsafe` of this crate.

use std::ffi::c_int;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Whether instances of `class` offer a buffer.
#[allow(unsafe_code)]
pub(crate) fn offers(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: `class` is a live type object, held by the caller's `Bound`; PyType_GetSlot only reads one of its slots.
    !unsafe { ffi::PyType_GetSlot(class.as_type_ptr(), ffi::Py_bf_getbuffer) }.is_null()
}

/// Fill `view` from the local copy of a remote buffer.
///
/// # Safety
/// `view` must be what the interpreter handed to `bf_getbuffer`: valid for writing, and released by the interpreter.
#[allow(unsafe_code)]
pub(crate) unsafe fn lend(copy: &Bound<'_, PyAny>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("no view was given"));
    }
    // SAFETY: `view` is valid for writing (see above) and `copy` is a live object. The callee takes the references that it
    // needs, notes their owner in `view`, and on failure leaves an exception and no owner behind.
    match unsafe { ffi::PyObject_GetBuffer(copy.as_ptr(), view, flags) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(copy.py())),
    }
}
