//! Attributes one after the other, as a value or in order to be called: what a proxy gives for `p.a` in `p.a.b` and in `p.a.b(x)`, and
//! for `p.m` in `p.m(x)`, so that all the steps are one trip.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::callsite::Route;
use crate::mirror::Known;
use crate::proxy::{Proxy, keep_missing, take_missing};
use crate::root::Place;
use crate::session::Session;

/// Attributes of what is behind `proxy`, to be fetched by the last step. It lives on the interpreter's stack between instructions,
/// where nothing but the next step can reach it.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Path {
    proxy: Py<Proxy>,
    names: Py<PyTuple>,
    calls: bool,
    /// How many of the names have been asked for.
    taken: AtomicUsize,
}

#[pymethods]
impl Path {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // Held for the length of the call; see `special::ask`.
        let (slf, py) = (slf.clone(), slf.py());
        let path = slf.get();
        let names = path.names.bind(py);
        if !path.calls || path.taken.load(Ordering::Relaxed) < names.len() {
            return path.fetch(py)?.call(args, kwargs);
        }
        path.proxy.get().stand.there(py, |place| {
            let (called, value) = Session::call_attribute(place.session.bind(py), place.id, names, args, kwargs)?;
            path.learn(place, called, py);
            Ok(value)
        })
    }

    fn __getattribute__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let slf = &slf.clone();
        Self::attribute(slf, name).inspect_err(|error| keep_missing(slf, error))
    }

    fn __getattr__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        take_missing().map_or_else(|| slf.get().fetch(slf.py())?.getattr(name), Err)
    }
}

impl Path {
    /// What a proxy gives for the first name.
    pub(crate) fn of<'py>(proxy: &Bound<'py, Proxy>, route: Route) -> PyResult<Bound<'py, PyAny>> {
        let Route { names, calls } = route;
        let path = Self { proxy: proxy.clone().unbind(), names, calls, taken: AtomicUsize::new(1) };
        Ok(Bound::new(proxy.py(), path)?.into_any())
    }

    fn attribute<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let (path, py) = (slf.get(), slf.py());
        let names = path.names.bind(py);
        let taken = path.taken.load(Ordering::Relaxed);
        if !names.get_item(taken).is_ok_and(|next| next.is(name)) {
            // For what finds it all the same, such as a monitor of calls.
            return path.fetch(py)?.getattr(name);
        }
        path.taken.store(taken + 1, Ordering::Relaxed);
        if path.calls || taken + 1 < names.len() { Ok(slf.clone().into_any()) } else { path.fetch(py) }
    }

    /// What this side calls itself is fetched the next time, before anything is sent that it is called with.
    fn learn(&self, place: &Place, called: bool, py: Python<'_>) {
        let names = self.names.bind(py);
        let Ok(name) = names.get_item(0).and_then(|name| Ok(name.cast_into::<PyString>()?)) else { return };
        let mirror = place.mirror.get();
        // Of a longer path the classes in between are not known.
        if names.len() == 1 && mirror.known(&name).is_none_or(|known| known.method != called) {
            mirror.learn(&name, Known { method: called, leads: false });
        }
    }

    /// What the names lead to that have been asked for.
    fn fetch<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let names = self.names.bind(py).get_slice(0, self.taken.load(Ordering::Relaxed));
        let follow = |place: &Place| Session::follow(place.session.bind(py), place.id, &names);
        self.proxy.get().stand.there(py, follow)
    }
}
