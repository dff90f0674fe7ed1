//! A method that is called at once: what a proxy gives for `p.m` in `p.m(x)`, so that the two steps are one trip.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use saranwrap::op::Op;

use crate::proxy::Proxy;
use crate::root::Place;
use crate::session::Session;

/// Attribute `name` of what is behind `proxy`, to be fetched by the call. It lives on the interpreter's stack between two
/// instructions, where nothing but the call can reach it.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct MethodCall {
    proxy: Py<Proxy>,
    name: Py<PyString>,
}

#[pymethods]
impl MethodCall {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // Held for the length of the call; see `special::ask`.
        let (slf, py) = (slf.clone(), slf.py());
        let call = slf.get();
        call.proxy.get().stand.there(py, |place| {
            Session::call_attribute(place.session.bind(py), place.id, call.name.bind(py), args, kwargs)
        })
    }

    /// For what finds it all the same, such as a monitor of calls.
    fn __getattribute__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let (slf, py) = (slf.clone(), slf.py());
        let call = slf.get();
        let ask =
            |place: &Place| Session::ask(place.session.bind(py), Op::GetAttr, place.id, &[call.name.bind(py).as_any()]);
        call.proxy.get().stand.there(py, ask)?.getattr(name)
    }
}

impl MethodCall {
    pub(crate) fn of<'py>(proxy: &Bound<'py, Proxy>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let call = Self { proxy: proxy.clone().unbind(), name: name.clone().unbind() };
        Ok(Bound::new(proxy.py(), call)?.into_any())
    }
}
