//! The stand-in: its attribute slots, its life, and the two wrappers that override how an argument crosses.
//! The other special methods belong to the class of each remote type (`_members.py`), since a slot here would be a lie there.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyAttributeError, PyBaseException};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};
use saranwrap::link::Side;
use saranwrap::op::Op;

use crate::callsite;
use crate::mirror::{Known, Mirror};
use crate::names;
use crate::path::Path;
use crate::root::{Place, Stand};
use crate::session::Session;

thread_local! {
    /// The AttributeError on its way from `__getattribute__` to `__getattr__`, see there; and whose it is, which has to last until then.
    static MISSING: RefCell<Option<(PyErr, Py<PyAny>)>> = const { RefCell::new(None) };
}

/// PyO3 calls `__getattr__` after an AttributeError of `__getattribute__`, and without it would raise one of its own. The remote one
/// is the right one: it is kept until then.
pub(crate) fn keep_missing(of: &Bound<'_, PyAny>, error: &PyErr) {
    if error.is_instance_of::<PyAttributeError>(of.py()) {
        let before = MISSING.replace(Some((error.clone_ref(of.py()), of.clone().unbind())));
        drop(before);
    }
}

/// The one that was kept.
pub(crate) fn take_missing() -> Option<PyErr> {
    MISSING.take().map(|(error, _held)| error)
}

/// The base of every proxy. It has no public attribute of its own: all belong to the object behind it.
#[pyclass(frozen, subclass, weakref, name = "ProxyBase", module = "saranwrap._native")]
pub(crate) struct Proxy {
    pub(crate) stand: Stand,
    /// How often the other side gave this id out to us; all of it goes back when the proxy dies.
    pub(crate) count: AtomicU64,
    /// For the bare proxy inside a stand-in that has a value of its own: that stand-in. They hold each other, as the one must
    /// not die before the other; the collector of cycles frees both.
    valued: Mutex<Option<Py<PyAny>>>,
    /// When the object was last known to be in a container; see `ahead`.
    held_at: AtomicU64,
}

#[pymethods]
impl Proxy {
    #[new]
    pub(crate) fn new(session: Py<Session>, id: u64, mirror: Py<Mirror>) -> Self {
        let count = AtomicU64::new(1);
        let stand = Stand::new(Place { session, id, mirror });
        Self { stand, count, valued: Mutex::new(None), held_at: AtomicU64::new(0) }
    }

    fn __getattribute__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        // Held for the length of the call; see `special::ask`.
        let slf = &slf.clone();
        Self::attribute(slf, name).inspect_err(|error| keep_missing(slf, error))
    }

    fn __getattr__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        take_missing().map_or_else(|| Self::attribute(&slf.clone(), name), Err)
    }

    fn __setattr__(slf: &Bound<'_, Self>, name: Bound<'_, PyAny>, value: Bound<'_, PyAny>) -> PyResult<()> {
        let slf = &slf.clone();
        let proxy = slf.get();
        if proxy.derived() {
            return names::SUPER_SET.get(slf.py())?.call1((slf, name, value)).map(drop);
        }
        proxy.stand.there(slf.py(), |place| {
            Session::ask(place.session.bind(slf.py()), Op::SetAttr, place.id, &[&name, &value]).map(drop)
        })
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: Bound<'_, PyAny>) -> PyResult<()> {
        let slf = &slf.clone();
        let proxy = slf.get();
        if proxy.derived() {
            return names::SUPER_SET.get(slf.py())?.call1((slf, name)).map(drop);
        }
        proxy.stand.there(slf.py(), |place| {
            Session::ask(place.session.bind(slf.py()), Op::DelAttr, place.id, &[&name]).map(drop)
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.stand.visit(&visit)?;
        match self.valued.try_lock() {
            Ok(valued) => visit.call(&*valued),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        let valued = self.lock_valued().take();
        drop(valued);
    }
}

impl Drop for Proxy {
    /// Queue the id; it rides on the next frame. Nothing is sent from a destructor.
    fn drop(&mut self) {
        let (count, held_at) = (self.count.load(Ordering::Relaxed), self.held_at.load(Ordering::Relaxed));
        let place = self.stand.spot();
        place.session.get().give_back(place.id, count, held_at);
    }
}

impl Proxy {
    fn attribute<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let proxy = slf.get();
        if let Some(answered) = Self::unlike_others(slf, name) {
            return answered;
        }
        if proxy.derived() {
            let found = names::LOCAL_LOOKUP.get(py)?.call1((slf, slf.get_type(), name))?;
            let found = found.cast_into::<PyTuple>()?;
            if found.len() == 1 {
                return found.get_item(0);
            }
        }
        proxy.stand.there(py, |place| {
            let session = place.session.bind(py);
            let mirror = place.mirror.get();
            let known = mirror.known(name);
            if let Some(route) = callsite::route(name, known) {
                return Path::of(slf, route);
            }
            let value = Session::ask(session, Op::GetAttr, place.id, &[name.as_any()])?;
            // Only a parent asks for a path.
            let leads = session.get().side() == Side::Parent && is_object_there(session, &value);
            let now = Known { method: is_callable_there(session, &value)?, leads };
            if known != Some(now) {
                mirror.learn(name, now);
            }
            // What was fetched is an object of this child alone; the call by name is one of the root, and may be made again.
            if now.method
                && proxy.stand.repeats()
                && let Some(route) = callsite::route(name, Some(Known { leads: false, ..now }))
            {
                return Path::of(slf, route);
            }
            Ok(value)
        })
    }

    /// What does not belong to the object behind the proxy, or means something else here.
    fn unlike_others<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> Option<PyResult<Bound<'py, PyAny>>> {
        let py = slf.py();
        let proxy = slf.get();
        match name.to_str().unwrap_or_default() {
            "__class__" => Some(Ok(proxy.stand.spot().mirror.get().answer.bind(py).clone())),
            // Copying and pickling, here, must not end in unpickling a child's bytes: see `_copies.reduce`.
            "__reduce_ex__" | "__copy__" | "__deepcopy__"
                if proxy.stand.spot().session.get().side() == Side::Parent =>
            {
                Some(names::REDUCE.get(py).and_then(|reduce| reduce.call1((slf, name))))
            }
            // All that give out addresses, which mean nothing to another process: what they lead to comes here first.
            "__arrow_c_stream__"
            | "__arrow_c_array__"
            | "__arrow_c_schema__"
            | "__arrow_c_device_stream__"
            | "__arrow_c_device_array__"
            | "_export_to_c" => Some(Self::columns(slf, name)),
            _ => None,
        }
    }

    /// A method by which the object offers its columns, if it has it.
    fn columns<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().stand.there(py, |place| {
            if place.mirror.get().known(name).is_none() {
                Session::ask(place.session.bind(py), Op::GetAttr, place.id, &[name.as_any()])?;
                place.mirror.get().learn(name, Known { method: true, leads: false });
            }
            Ok(())
        })?;
        names::ARROW_OFFERED.get(py)?.call1((slf, name))
    }

    pub(crate) fn given_again(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// The object is in a container as long as the session's pulse is this.
    pub(crate) fn hold(&self, pulse: u64) {
        self.held_at.store(pulse, Ordering::Relaxed);
    }

    pub(crate) fn derived(&self) -> bool {
        self.stand.spot().mirror.get().derived
    }

    pub(crate) fn valued<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.lock_valued().as_ref().map(|valued| valued.bind(py).clone())
    }

    pub(crate) fn set_valued(&self, valued: &Bound<'_, PyAny>) {
        let before = self.lock_valued().replace(valued.clone().unbind());
        drop(before);
    }

    fn lock_valued(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        self.valued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all that is asked of what was got is asked there.
fn is_object_there<'py>(session: &Bound<'py, Session>, value: &Bound<'py, PyAny>) -> bool {
    value.cast::<Proxy>().is_ok_and(|proxy| {
        let proxy = proxy.get();
        !proxy.derived() && proxy.stand.spot().session.is(session)
    })
}

/// Whether a call of what was got means no more than to call it there.
fn is_callable_there<'py>(session: &Bound<'py, Session>, value: &Bound<'py, PyAny>) -> PyResult<bool> {
    if value.is_instance_of::<Proxy>() {
        return Ok(value.is_callable() && is_object_there(session, value));
    }
    match value.cast::<PyType>() {
        Ok(class) => Ok(class.get_type().is_subclass(names::REMOTE_TYPE.get(value.py())?)?
            && !class.is_subclass_of::<PyBaseException>()?
            && session.get().stands_for(class)),
        Err(_) => Ok(false),
    }
}

/// `val(x)`: this argument by value.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Val {
    pub(crate) object: Py<PyAny>,
}

#[pymethods]
impl Val {
    #[new]
    fn new(object: Py<PyAny>) -> Self {
        Self { object }
    }
}

/// `ref(x)`: this argument by reference.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Ref {
    pub(crate) object: Py<PyAny>,
}

#[pymethods]
impl Ref {
    #[new]
    fn new(object: Py<PyAny>) -> Self {
        Self { object }
    }
}

/// The session, the id and whether the class was derived here, of a proxy whose object is about to be asked for something.
#[pyfunction]
pub(crate) fn identity<'py>(proxy: &Bound<'py, Proxy>) -> PyResult<(Bound<'py, Session>, u64, bool)> {
    let place = proxy.get().stand.ready(proxy.py())?;
    Ok((place.session.bind(proxy.py()).clone(), place.id, place.mirror.get().derived))
}

/// The session of a proxy as it is, though its child may have died.
#[pyfunction]
pub(crate) fn whereabouts<'py>(proxy: &Bound<'py, Proxy>) -> Bound<'py, Session> {
    proxy.get().stand.spot().session.bind(proxy.py()).clone()
}

/// Call the object behind `proxy`, by its id.
#[pyfunction]
#[pyo3(signature = (proxy, args, kwargs))]
pub(crate) fn call<'py>(
    proxy: &Bound<'py, Proxy>,
    args: Bound<'py, PyTuple>,
    kwargs: Bound<'py, pyo3::types::PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = proxy.py();
    proxy.get().stand.there(py, |place| Session::call(place.session.bind(py), place.id, &args, Some(&kwargs)))
}

/// This proxy is of what was wrapped: it moves along when `supervisor` replaces the child.
#[pyfunction]
pub(crate) fn take_root(proxy: &Bound<'_, Proxy>, supervisor: Py<PyAny>, repeats: u32) {
    if let Stand::Movable(movable) = &proxy.get().stand {
        movable.take_root(supervisor, repeats);
    }
}

/// `proxy` takes over the place of `successor`, which must not be used any more.
#[pyfunction]
pub(crate) fn move_root(proxy: &Bound<'_, Proxy>, successor: &Bound<'_, Proxy>) -> PyResult<()> {
    let (Stand::Movable(old), Stand::Movable(new)) = (&proxy.get().stand, &successor.get().stand) else {
        return Ok(());
    };
    let (before, place) = (old.now(), new.now());
    before.session.get().part_from(before.id, proxy);
    place.session.get().remember(place.id, proxy);
    proxy.get().count.store(successor.get().count.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    old.move_to(place);
    Ok(())
}
