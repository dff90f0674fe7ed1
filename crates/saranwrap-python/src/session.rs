//! A session: one link and everything that both its ends remember of each other.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use saranwrap::arena::Arena;
use saranwrap::child::Child;
use saranwrap::error::{Error, Kind};
use saranwrap::link::{Link, Side};
use saranwrap::op::Op;

use crate::addresses::{AddressMap, NumberMap};
use crate::ahead::{Ahead, lock};
use crate::exports::Exports;
use crate::fault::{Fault, Result};
use crate::greeting;
use crate::host::PyHost;
use crate::kinds::Kinds;
use crate::living::Living;
use crate::loans::Key;
use crate::mirror::Mirror;
use crate::proxy::Proxy;
use crate::succession::Supervision;
use crate::texts::Texts;
use crate::voices::Posted;
use crate::waiter::Waiter;

/// Releases go alone when this many wait; else they ride on the next frame.
const MANY_RELEASES: usize = 1024;

/// How long a call that was given up has to end, in seconds: for a `finally` on a machine that has other things to do.
const GRACE: f64 = 1.0;

/// The conversation with one other process.
#[pyclass(frozen, weakref, module = "saranwrap._native")]
pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    pub(crate) ahead: Ahead,
    pub(crate) arena: Arc<Arena>,
    pub(crate) side: Side,
    /// The process at the other end; None in the child itself.
    pub(crate) child: Option<Arc<Child>>,
    exports: Mutex<Exports>,
    /// The live proxy of each id.
    imports: Mutex<Living>,
    mirrors: Mutex<NumberMap<Py<Mirror>>>,
    /// From a mirror's address back to its class number.
    mirror_ids: Mutex<AddressMap<usize, u64>>,
    queued: Mutex<Vec<(u64, u64)>>,
    /// What the types of objects say about how they cross.
    pub(crate) kinds: Kinds,
    /// Names that the other side asks for, and keys of its dicts.
    pub(crate) names: Texts,
    pub(crate) keys: Texts,
    /// Modules that the other side has loaded.
    pub(crate) heard: Mutex<HashSet<String>>,
    /// How many modules the other side has been told of.
    pub(crate) told: AtomicUsize,
    /// What the other side is to hear with the next request.
    pub(crate) posted: Posted,
    /// Classes and functions that crossed by name, by address: they may come back by it.
    named: Py<PyDict>,
    by_value: Py<PyTuple>,
    trust: bool,
    pub(crate) forked: AtomicBool,
    /// What a signal handler raised while a call was waiting.
    pub(crate) stashed: Mutex<Option<PyErr>>,
    pub(crate) supervision: OnceLock<Supervision>,
    started: Instant,
    /// The limit of each call, and how long a call that was given up has to end, in seconds.
    limits: OnceLock<(Option<f64>, f64)>,
    /// What the other side has said of itself in its Hello: pairs of texts.
    pub(crate) peer: OnceLock<Vec<(String, String)>>,
    /// Whether containers are given to the other side rather than lent: it is a Rust program, where nothing can become of them that
    /// would have to be told.
    pub(crate) gives_away: AtomicBool,
    /// Whether the other side, which said so, hears what was described ahead of a class along with the first object of it.
    pub(crate) foretells: AtomicBool,
}

#[pymethods]
impl Session {
    /// In the child: take over the link that the parent left, and return the session, the parent's setup, and the descriptor for notes.
    #[staticmethod]
    fn adopt(py: Python<'_>) -> PyResult<(Py<Self>, Py<PyAny>, i32)> {
        greeting::adopt(py)
    }

    /// Bound how long a thread looks for what it waits for before it sleeps.
    fn set_spin(&self, microseconds: f64) {
        let bound = Duration::try_from_secs_f64(microseconds / 1e6).unwrap_or(Duration::ZERO);
        self.link.set_spin(bound);
    }

    /// Bound how long each call may take, and how long one that was given up may take to end, both in seconds. Once.
    fn set_limits(&self, timeout: Option<f64>, grace: f64) {
        // Whoever comes second is not the one that made the child.
        let _ = self.limits.set((timeout, grace));
    }

    /// How long each call may take at most, in seconds.
    #[getter]
    pub(crate) fn timeout(&self) -> Option<f64> {
        self.limits.get().and_then(|limits| limits.0)
    }

    /// Ask for an op and wait for the answer.
    fn request<'py>(
        slf: &Bound<'py, Self>,
        op: u64,
        target: u64,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let op = Op::from_code(op).map_err(|error| Fault::from(error).into_py(slf.py()))?;
        let args: Vec<Bound<'py, PyAny>> = args.iter().collect();
        let args: Vec<&Bound<'py, PyAny>> = args.iter().collect();
        Self::ask(slf, op, target, &args)
    }

    /// Call the object with this id.
    #[pyo3(name = "call", signature = (target, args, kwargs))]
    fn call_id<'py>(
        slf: &Bound<'py, Self>,
        target: u64,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::call(slf, target, args, kwargs)
    }

    /// The child's main loop: serve until the parent is gone.
    fn serve(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().link.serve(&PyHost::new(slf)).map_err(|error| slf.get().explain(slf.py(), &error))
    }

    /// End the conversation. The child ends with it.
    fn close(&self) {
        self.ahead.stir();
        self.link.close();
    }

    /// Kill the child at once, or send it another signal.
    #[pyo3(signature = (signal=9))]
    fn kill(&self, py: Python<'_>, signal: i32) -> PyResult<()> {
        self.ahead.stir();
        let sent = self.child.as_ref().map_or(Ok(()), |child| child.signal(signal));
        sent.map_err(|error| Fault::from(error).into_py(py))
    }

    /// Wait until the child has ended, at most `seconds`; whether it has.
    #[pyo3(signature = (seconds=None))]
    fn wait(&self, py: Python<'_>, seconds: Option<f64>) -> bool {
        let deadline = seconds.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
        let Some(child) = &self.child else { return true };
        let ended = py.detach(|| child.wait(deadline)).is_some();
        // The link is to know of a death before anybody closes it; whatever it finds, it keeps for the next call.
        let _ = self.link.pump();
        ended
    }

    /// How the child ended: the `ChildDied` that says so, or None while it lives.
    fn obituary<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(_) = self.child.as_ref().and_then(|child| child.exit()) else { return Ok(None) };
        Ok(Some(self.death(py)?.into_value(py).into_bound(py).into_any()))
    }

    /// Something to wait on for the child's end that does not keep the session alive.
    fn waiter(&self) -> Waiter {
        Waiter::of(self.child.clone())
    }

    /// After a fork, in the new process: the link belongs to the other one.
    fn forget(&self) {
        self.forked.store(true, Ordering::Relaxed);
        self.ahead.stir();
        self.link.forget();
        if let Some(child) = &self.child {
            child.forget();
        }
    }

    #[getter]
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().map_or_else(std::process::id, |child| child.pid())
    }

    #[getter]
    fn is_parent(&self) -> bool {
        self.side == Side::Parent
    }

    #[getter]
    fn trust(&self) -> bool {
        self.trust
    }

    #[getter]
    fn named<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.named.bind(py).clone()
    }

    #[getter]
    fn by_value<'py>(&self, py: Python<'py>) -> Bound<'py, PyTuple> {
        self.by_value.bind(py).clone()
    }

    /// Whether the link still carries calls.
    #[getter]
    fn alive(&self) -> bool {
        self.link.error().is_none()
    }

    /// Whether this side closed the link.
    #[getter]
    fn closed(&self) -> bool {
        self.link.error().is_some_and(|error| error.kind() == Kind::Closed)
    }

    /// The object that this side gave out under an id.
    #[pyo3(name = "exported")]
    fn exported_object<'py>(&self, py: Python<'py>, id: u64) -> PyResult<Bound<'py, PyAny>> {
        self.exported(py, id).map_err(|fault| fault.into_py(py))
    }

    /// Whether this thread is in a call over this session.
    #[getter]
    fn serving(&self) -> bool {
        self.link.chain().is_some() && self.alive()
    }

    /// In the child: whether the parent gave up the call that this thread serves.
    fn cancelled(&self) -> bool {
        self.link.cancelled()
    }

    /// Whether the other side has loaded the module.
    fn has_loaded(&self, module: &str) -> bool {
        lock(&self.heard).contains(module)
    }

    /// The number of a class, under which descriptions name it.
    #[pyo3(name = "class_number")]
    fn class_number(&self, class: &Bound<'_, PyAny>) -> u64 {
        self.exports().pin(class)
    }

    /// The local class for a class number.
    #[pyo3(name = "mirror")]
    fn mirror_of<'py>(slf: &Bound<'py, Self>, class: u64) -> PyResult<Bound<'py, PyAny>> {
        let mirror = crate::classes::mirror(slf, class).map_err(|fault| fault.into_py(slf.py()))?;
        Ok(mirror.get().class.bind(slf.py()).clone())
    }

    /// Note the local class that stands for a class number.
    #[pyo3(name = "register")]
    fn register_class(
        &self,
        class: u64,
        local: &Bound<'_, PyAny>,
        answer: &Bound<'_, PyAny>,
        derived: bool,
    ) -> PyResult<()> {
        self.register(class, local, answer, derived).map(drop)
    }

    /// (objects this side gave out, proxies it holds)
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.exports().len(), lock(&self.imports).len())
    }

    /// (blocks of the arena that the other side has, bytes of those, blocks of the other side that are in use here)
    fn blocks(&self) -> (usize, u64, usize) {
        let usage = self.arena.usage();
        (usage.blocks_out, usage.bytes_out, usage.blocks_in)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        // A lock that is taken means that a call is under way, so the session is not garbage.
        if let Ok(mirrors) = self.mirrors.try_lock() {
            for mirror in mirrors.values() {
                visit.call(mirror)?;
            }
        }
        if let Ok(exports) = self.exports.try_lock() {
            for object in exports.objects() {
                visit.call(object)?;
            }
        }
        self.kinds.visit(&visit)?;
        visit.call(&self.named)?;
        visit.call(&self.by_value)
    }

    fn __clear__(&self) {
        let mirrors = std::mem::take(&mut *lock(&self.mirrors));
        let exports = lock(&self.exports).drain();
        drop((mirrors, exports));
        self.kinds.clear();
    }
}

impl Drop for Session {
    /// The last proxy is gone: the child may end.
    fn drop(&mut self) {
        if !self.forked.load(Ordering::Relaxed) {
            self.link.close();
        }
    }
}

impl Session {
    pub(crate) fn build<'py>(
        py: Python<'py>,
        (link, arena): (Arc<Link>, Arc<Arena>),
        side: Side,
        child: Option<Child>,
        by_value: Py<PyTuple>,
        trust: bool,
    ) -> PyResult<Bound<'py, Self>> {
        let session = Self {
            link,
            ahead: Ahead::default(),
            arena,
            side,
            child: child.map(Arc::new),
            exports: Mutex::default(),
            imports: Mutex::default(),
            mirrors: Mutex::default(),
            mirror_ids: Mutex::default(),
            queued: Mutex::default(),
            kinds: Kinds::default(),
            names: Texts::default(),
            keys: Texts::default(),
            heard: Mutex::default(),
            told: AtomicUsize::new(0),
            posted: Posted::default(),
            named: PyDict::new(py).unbind(),
            by_value,
            trust,
            forked: AtomicBool::new(false),
            stashed: Mutex::default(),
            supervision: OnceLock::new(),
            started: Instant::now(),
            limits: OnceLock::new(),
            peer: OnceLock::new(),
            gives_away: AtomicBool::new(false),
            foretells: AtomicBool::new(false),
        };
        Bound::new(py, session)
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    pub(crate) fn trusts(&self) -> bool {
        self.trust
    }

    /// How long a call that was given up has to end.
    pub(crate) fn grace(&self) -> Duration {
        let grace = self.limits.get().map_or(GRACE, |limits| limits.1);
        Duration::try_from_secs_f64(grace).unwrap_or(Duration::ZERO)
    }

    pub(crate) fn uptime(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Which conversation the current thread is in.
    pub(crate) fn key(&self) -> Key {
        (std::ptr::from_ref(self) as usize, self.link.chain().unwrap_or(0))
    }

    pub(crate) fn exports(&self) -> MutexGuard<'_, Exports> {
        lock(&self.exports)
    }

    pub(crate) fn mirrors(&self) -> MutexGuard<'_, NumberMap<Py<Mirror>>> {
        lock(&self.mirrors)
    }

    /// The class number that a local class stands for.
    pub(crate) fn mirrored(&self, class: &Bound<'_, PyAny>) -> Option<u64> {
        lock(&self.mirror_ids).get(&(class.as_ptr() as usize)).copied()
    }

    /// Whether the user said which classes go by value.
    pub(crate) fn has_wishes(&self, py: Python<'_>) -> bool {
        !self.by_value.bind(py).is_empty()
    }

    /// Whether an object has crossed by its name.
    pub(crate) fn was_named(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.named.bind(object.py()).contains(object.as_ptr() as usize)
    }

    /// Whether a class is just the stand-in of a remote one, and not derived here.
    pub(crate) fn stands_for(&self, class: &Bound<'_, PyType>) -> bool {
        let Some(id) = self.mirrored(class) else { return false };
        lock(&self.mirrors).get(&id).is_some_and(|mirror| !mirror.get().derived)
    }

    pub(crate) fn register<'py>(
        &self,
        id: u64,
        class: &Bound<'py, PyAny>,
        answer: &Bound<'py, PyAny>,
        derived: bool,
    ) -> PyResult<Bound<'py, Mirror>> {
        let mirror = Mirror::new(class.clone().unbind(), answer.clone().unbind(), derived);
        let mirror = Bound::new(class.py(), mirror)?;
        lock(&self.mirror_ids).insert(class.as_ptr() as usize, id);
        let replaced = lock(&self.mirrors).insert(id, mirror.clone().unbind());
        drop(replaced);
        Ok(mirror)
    }

    /// The object with this id. An unknown id is an error, never the root.
    pub(crate) fn exported<'py>(&self, py: Python<'py>, id: u64) -> Result<Bound<'py, PyAny>> {
        self.ahead.used(id);
        let object = self.exports().find(py, id);
        object
            .map(|object| object.into_bound(py))
            .ok_or_else(|| Error::garbled(format!("no object here has the id {id}")).into())
    }

    pub(crate) fn live<'py>(&self, py: Python<'py>, id: u64) -> Option<Bound<'py, Proxy>> {
        lock(&self.imports).find(py, id)
    }

    pub(crate) fn remember(&self, id: u64, proxy: &Bound<'_, Proxy>) {
        lock(&self.imports).insert(id, proxy);
    }

    /// The proxy stands for something else from now on.
    pub(crate) fn part_from(&self, id: u64, proxy: &Bound<'_, Proxy>) {
        lock(&self.imports).part_from(id, proxy);
    }

    /// A proxy dies. Called from its destructor: only queues what it was given, if it has that still.
    pub(crate) fn give_back(&self, id: u64, count: u64, held_at: u64) {
        // A proxy may outlive the interpreter.
        if Python::try_attach(|py| lock(&self.imports).dies(Some(py), id)).is_none() {
            lock(&self.imports).dies(None, id);
        }
        // Another one may have taken its place.
        if count == 0 || self.forked.load(Ordering::Relaxed) {
            return;
        }
        let many = {
            let mut queued = lock(&self.queued);
            queued.push((id, count));
            queued.len() >= MANY_RELEASES
        };
        self.ahead.given_back(held_at);
        // While something is read ahead they wait for the next frame: what the reader has taken must be known before an object ends.
        if many && !self.ahead.is_reading() {
            let releases = self.take_queued();
            if !self.link.send_releases(&releases) {
                lock(&self.queued).extend(releases);
            }
        }
    }

    pub(crate) fn take_queued(&self) -> Vec<(u64, u64)> {
        self.ahead.sent_back();
        let mut queued = std::mem::take(&mut *lock(&self.queued));
        queued.extend(self.arena.take_given_back());
        queued
    }
}
