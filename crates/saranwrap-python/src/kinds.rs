//! What an object's type alone says about how the object crosses: asked of the package once for each type.
//!
//! The types are kept until the link ends. That of an object that goes by reference is so anyway: it has a number.

use std::sync::Mutex;

use pyo3::exceptions::PyBaseException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyEllipsis, PyFloat, PyFrozenSet, PyInt, PyNone, PyNotImplemented, PyRange, PySlice,
    PyString, PyTraceback, PyTuple, PyType,
};
use saranwrap::link::Side;

use crate::addresses::AddressMap;
use crate::ahead::lock;
use crate::names;
use crate::session::Session;

/// How an object that is no plain value crosses, as `_values.route` answers it.
pub(crate) mod route {
    pub(crate) const REFERENCE: u8 = 0;
    pub(crate) const KNOWN: u8 = 1;
    pub(crate) const NAMED: u8 = 2;
    pub(crate) const PICKLE: u8 = 3;
    pub(crate) const VALUED: u8 = 4;
    pub(crate) const BY_VALUE: u8 = 5;
    /// Columnar data that nobody can change.
    pub(crate) const ARROW: u8 = 6;
    /// Columnar data that can be changed: by reference, and without pickle where a copy is asked for.
    pub(crate) const FRAME: u8 = 7;
}

#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// The class stands for a remote one.
    pub(crate) is_remote: bool,
    /// A standard value type.
    pub(crate) is_known: bool,
    /// Derived from an immutable built-in, the value of which goes along.
    pub(crate) has_value: bool,
    /// In a child: an object of this class goes by an id, and has all its attributes here.
    pub(crate) is_asked_here: bool,
    /// None where it takes more than the type to tell.
    route: Option<u8>,
}

#[derive(Default)]
pub(crate) struct Kinds(Mutex<AddressMap<usize, (Py<PyType>, Kind)>>);

impl Kinds {
    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A lock that is taken means that a call is under way, so the session is not garbage.
        let Ok(kinds) = self.0.try_lock() else { return Ok(()) };
        kinds.values().try_for_each(|(class, _)| visit.call(class))
    }

    pub(crate) fn clear(&self) {
        let kinds = std::mem::take(&mut *lock(&self.0));
        drop(kinds);
    }
}

/// What the type of `object` says.
pub(crate) fn kind(session: &Bound<'_, Session>, object: &Bound<'_, PyAny>) -> PyResult<Kind> {
    let class = object.get_type();
    let address = class.as_ptr() as usize;
    let kinds = &session.get().kinds.0;
    if let Some((_, kind)) = lock(kinds).get(&address) {
        return Ok(*kind);
    }
    let kind = ask(session, object, &class)?;
    let replaced = lock(kinds).insert(address, (class.unbind(), kind));
    drop(replaced);
    Ok(kind)
}

/// How `object`, which is no plain value, crosses to the other side.
pub(crate) fn route(session: &Bound<'_, Session>, object: &Bound<'_, PyAny>) -> PyResult<u8> {
    if let Some(route) = kind(session, object)?.route {
        return Ok(route);
    }
    // Most classes of the parent's that are not settled have no idea of equality of their own: they are no values.
    let py = object.py();
    if !session.get().has_wishes(py) && object.get_type().getattr(intern!(py, "__eq__"))?.is(names::IDENTITY.get(py)?) {
        return Ok(route::REFERENCE);
    }
    names::ROUTE.get(py)?.call1((session, object))?.extract()
}

fn ask(session: &Bound<'_, Session>, object: &Bound<'_, PyAny>, class: &Bound<'_, PyType>) -> PyResult<Kind> {
    let py = object.py();
    let is_remote = class.get_type().is_subclass(names::REMOTE_TYPE.get(py)?)?;
    let has_value = !names::BASE_OF.get(py)?.call1((class,))?.is_none();
    if is_remote {
        // It is not asked for more: its answers would come over the link.
        return Ok(Kind { is_remote, is_known: false, has_value, is_asked_here: false, route: None });
    }
    let is_known = names::IS_KNOWN.get(py)?.call1((class,))?.is_truthy()?;
    let route = names::ROUTE.get(py)?.call1((session, object))?.extract()?;
    // Of a parent's class that depends on what its methods are now, and on what the child has loaded. And a class that is to go
    // by value may be an abstract one, which others are registered with at any time.
    let open = matches!(route, route::REFERENCE | route::PICKLE) || session.get().has_wishes(py);
    let open = open && session.get().side() == Side::Parent;
    let is_asked_here = !is_known && !has_value && route == route::REFERENCE && is_asked_here(class)?;
    Ok(Kind { is_remote, is_known, has_value, is_asked_here, route: (!open).then_some(route) })
}

/// Whether objects of this class, where they go by reference, have nothing of their own on the other side.
fn is_asked_here(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let by_value = [
        py.get_type::<PyNone>(),
        py.get_type::<PyBool>(),
        py.get_type::<PyInt>(),
        py.get_type::<PyFloat>(),
        py.get_type::<PyComplex>(),
        py.get_type::<PyString>(),
        py.get_type::<PyBytes>(),
        py.get_type::<PyTuple>(),
        py.get_type::<PyFrozenSet>(),
        py.get_type::<PySlice>(),
        py.get_type::<PyRange>(),
        py.get_type::<PyEllipsis>(),
        py.get_type::<PyNotImplemented>(),
        py.get_type::<PyTraceback>(),
    ];
    Ok(!by_value.iter().any(|value| value.is(class))
        && !class.is_subclass_of::<PyType>()?
        && !class.is_subclass_of::<PyBaseException>()?
        && !names::IS_TWIN.get(py)?.call1((class,))?.is_truthy()?)
}
