//! The buffer protocol: the proxies that offer a buffer, and the only `unsafe` of this crate.

use std::ffi::c_int;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::mirror::Mirror;
use crate::names;
use crate::proxy::Proxy;
use crate::session::Session;

/// A proxy of an object that offers a buffer. What it lends is a copy, read-only: writing goes through the proxy's own items.
#[pyclass(frozen, subclass, extends = Proxy, name = "BufferBase", module = "saranwrap._native")]
pub(crate) struct BufferProxy {
    /// Nothing: a class that adds a field is the one that its subclasses take their layout, and `__new__`, from.
    _layout: u8,
}

#[pymethods]
impl BufferProxy {
    #[new]
    fn new(session: Py<Session>, id: u64, mirror: Py<Mirror>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Proxy::new(session, id, mirror)).add_subclass(Self { _layout: 0 })
    }

    /// # Safety
    /// Called by the interpreter only, as `bf_getbuffer`.
    #[allow(unsafe_code)]
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let copy = names::BUFFER_COPY.get(slf.py())?.call1((slf,))?;
        // SAFETY: the interpreter hands `view` to this slot, and releases it through the owner that the copy notes in it.
        unsafe { lend(&copy, view, flags) }
    }
}

/// Whether instances of a class offer a buffer.
#[pyfunction]
#[allow(unsafe_code)]
pub(crate) fn offers_buffer(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: `class` is a live type object, held by the caller's `Bound`; PyType_GetSlot only reads one of its slots.
    !unsafe { ffi::PyType_GetSlot(class.as_type_ptr(), ffi::Py_bf_getbuffer) }.is_null()
}

/// Fill `view` from the local copy of a remote buffer.
///
/// # Safety
/// `view` must be what the interpreter handed to `bf_getbuffer`: valid for writing, and released by the interpreter.
#[allow(unsafe_code)]
unsafe fn lend(copy: &Bound<'_, PyAny>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
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
