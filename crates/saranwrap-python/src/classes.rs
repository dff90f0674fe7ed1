//! From a class number to the local class that stands for it, and from an id to its one proxy.
//! How a remote class is described and built is told in `_mirrors.py`: a metaclass cannot be written in Rust.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use saranwrap::error::Error;
use saranwrap::op::Op;

use crate::buffer::BufferProxy;
use crate::fault::{Fault, Result};
use crate::iterator::IteratorProxy;
use crate::mirror::Mirror;
use crate::names;
use crate::proxy::Proxy;
use crate::session::Session;

/// The mirror of a class, described by the other side the first time it is met.
pub(crate) fn mirror<'py>(session: &Bound<'py, Session>, class: u64) -> Result<Bound<'py, Mirror>> {
    if let Some(mirror) = known(session, class) {
        return Ok(mirror);
    }
    let description = Session::ask(session, Op::Describe, class, &[])?;
    learn(session, class, &description)
}

/// The other side has described a class before it was asked.
pub(crate) fn foretold(session: &Bound<'_, Session>, class: u64, description: &Bound<'_, PyAny>) -> Result<()> {
    match known(session, class) {
        Some(_) => Ok(()),
        None => learn(session, class, description).map(drop),
    }
}

fn known<'py>(session: &Bound<'py, Session>, class: u64) -> Option<Bound<'py, Mirror>> {
    session.get().mirrors().get(&class).map(|mirror| mirror.bind(session.py()).clone())
}

fn learn<'py>(
    session: &Bound<'py, Session>,
    class: u64,
    description: &Bound<'py, PyAny>,
) -> Result<Bound<'py, Mirror>> {
    let py = session.py();
    let made =
        names::MAKE_MIRROR.get(py)?.call1((session, class, description)).map_err(|error| senseless(py, error))?;
    // Another thread may have met the same class while we asked; its mirror stays the only one.
    if let Some(mirror) = known(session, class) {
        return Ok(mirror);
    }
    let (made, answer): (Bound<'_, PyAny>, Bound<'_, PyAny>) = made.extract()?;
    Ok(session.get().register(class, &made, &answer, false)?)
}

/// A description that no class can be made of is the other side's fault.
fn senseless(py: Python<'_>, error: PyErr) -> Fault {
    let of_values = error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyValueError>(py);
    if of_values {
        Error::garbled(format!("the description of a class makes no sense: {error}")).into()
    } else {
        error.into()
    }
}

/// A class handed to the user: from now on it keeps its session alive, as a proxy does.
pub(crate) fn class<'py>(session: &Bound<'py, Session>, id: u64) -> Result<Bound<'py, PyAny>> {
    let py = session.py();
    let class = mirror(session, id)?.get().class.bind(py).clone();
    if class.get_type().is_subclass(names::REMOTE_TYPE.get(py)?)? {
        let setattr = py.get_type::<PyType>().getattr("__setattr__")?;
        setattr.call1((&class, "_saran_hold_", session))?;
    }
    Ok(class)
}

/// The one proxy for an id.
pub(crate) fn proxy<'py>(session: &Bound<'py, Session>, id: u64, class: u64) -> Result<Bound<'py, PyAny>> {
    match given_again(session, id) {
        Some(live) => Ok(live),
        None => make(session, id, &mirror(session, class)?),
    }
}

/// The live proxy for an id, if there is one; it counts that the id was given out once more.
fn given_again<'py>(session: &Bound<'py, Session>, id: u64) -> Option<Bound<'py, PyAny>> {
    let live = session.get().live(session.py(), id)?;
    live.get().given_again();
    Some(live.into_any())
}

/// A bare proxy, whatever the class: what keeps a remote exception alive.
pub(crate) fn handle<'py>(session: &Bound<'py, Session>, id: u64) -> Result<Bound<'py, PyAny>> {
    if let Some(live) = given_again(session, id) {
        return Ok(live);
    }
    static BARE: PyOnceLock<Py<Mirror>> = PyOnceLock::new();
    let py = session.py();
    let bare = BARE.get_or_try_init(py, || {
        let base = names::OBJECT_PROXY.get(py)?.clone().unbind();
        Py::new(py, Mirror::new(base.clone_ref(py), base, false))
    });
    make(session, id, bare?.bind(py))
}

/// The one stand-in for an instance of a subclass of an immutable built-in: a real instance of such a subclass here.
pub(crate) fn valued<'py>(
    session: &Bound<'py, Session>,
    id: u64,
    class: u64,
    value: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyAny>> {
    let py = session.py();
    let mirror = mirror(session, class)?;
    let handle = handle(session, id)?;
    let proxy = handle.cast::<Proxy>()?.get();
    if let Some(known) = proxy.valued(py) {
        return Ok(known);
    }
    let made = names::MAKE_VALUED.get(py)?.call1((&handle, &mirror.get().class, value))?;
    proxy.set_valued(&made);
    Ok(made)
}

fn make<'py>(session: &Bound<'py, Session>, id: u64, mirror: &Bound<'py, Mirror>) -> Result<Bound<'py, PyAny>> {
    static NEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static NEW_BUFFER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static NEW_ITERATOR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = session.py();
    let class = mirror.get().class.bind(py);
    // A class that is local on both sides (an enum, say) cannot carry a proxy; a bare one stands in.
    let class = match class.cast::<PyType>() {
        Ok(class) if class.is_subclass_of::<Proxy>()? => class.clone().into_any(),
        _ => names::OBJECT_PROXY.get(py)?.clone(),
    };
    let new = if class.cast::<PyType>()?.is_subclass_of::<BufferProxy>()? {
        NEW_BUFFER.get_or_try_init(py, || py.get_type::<BufferProxy>().getattr("__new__").map(Bound::unbind))?
    } else if class.cast::<PyType>()?.is_subclass_of::<IteratorProxy>()? {
        NEW_ITERATOR.get_or_try_init(py, || py.get_type::<IteratorProxy>().getattr("__new__").map(Bound::unbind))?
    } else {
        NEW.get_or_try_init(py, || py.get_type::<Proxy>().getattr("__new__").map(Bound::unbind))?
    };
    let made = new.bind(py).call1((class, session, id, mirror))?;
    // While it was made, collection may have run foreign code that met the same id: the first proxy wins, and the
    // second gives its count back as it is dropped.
    if let Some(live) = session.get().live(py, id) {
        return Ok(live.into_any());
    }
    session.get().remember(id, made.cast()?);
    Ok(made)
}
