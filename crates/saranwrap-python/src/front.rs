//! Calls on their way for which no thread waits, and who is told when they are answered. They are begun and ended in `flight`.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use saranwrap::error::Error;
use saranwrap::link::{self, Link};
use saranwrap::op::Op;

use crate::addresses::NumberMap;
use crate::ahead::lock;
use crate::fault::Fault;
use crate::loans::{Kept, Key};
use crate::session::Session;

/// One of those who pump a session: an event loop, a hub of greenlets, or the thread behind futures.
#[pyclass(frozen, weakref, module = "saranwrap._native")]
pub(crate) struct Front {
    /// What is on its way keeps the session, and a front does not: it lasts as long as its session does.
    session: Py<PyWeakrefReference>,
    pub(crate) link: Arc<Link>,
    pub(crate) front: link::Front,
    /// By the chain of the call: each has its own.
    flights: Mutex<NumberMap<Flight>>,
    /// From a call's id to its chain.
    chains: Mutex<NumberMap<u64>>,
    /// Greenlets that wait, by the id of the call.
    waiting: Mutex<NumberMap<Py<PyAny>>>,
}

/// A call on its way, with all that a thread that waited for it would have on its stack.
pub(crate) struct Flight {
    pub(crate) session: Py<Session>,
    pub(crate) id: u64,
    pub(crate) key: Key,
    pub(crate) kept: Kept,
    pub(crate) form: Form,
    /// The arguments of each step, as the other side counts them.
    pub(crate) given: Vec<Vec<Py<PyAny>>>,
    /// Whom the answer is for.
    pub(crate) token: Py<PyAny>,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    One(Op),
    /// Several ops in one request, of which the last one's result is wanted.
    Steps,
}

#[pymethods]
impl Front {
    #[new]
    fn new(session: &Bound<'_, Session>) -> PyResult<Self> {
        let link = Arc::clone(&session.get().link);
        let front = link.front().map_err(|error| Fault::from(error).into_py(session.py()))?;
        let session = PyWeakrefReference::new(session.as_any())?.unbind();
        Ok(Self {
            session,
            link,
            front,
            flights: Mutex::default(),
            chains: Mutex::default(),
            waiting: Mutex::default(),
        })
    }

    /// A descriptor that is readable when there is something to pump.
    fn fileno(&self) -> i32 {
        self.front.as_fd().as_raw_fd()
    }

    /// How many calls are on their way.
    fn __len__(&self) -> usize {
        lock(&self.chains).len()
    }

    /// Whether the link still carries calls.
    #[getter]
    fn alive(&self) -> bool {
        self.link.error().is_none()
    }

    /// Wake whoever waits for the descriptor.
    fn ring(&self) {
        self.front.ring();
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.session)?;
        if let Ok(flights) = self.flights.try_lock() {
            for flight in flights.values() {
                visit.call(&flight.session)?;
                visit.call(&flight.token)?;
                flight.given.iter().flatten().try_for_each(|argument| visit.call(argument))?;
            }
        }
        match self.waiting.try_lock() {
            Ok(waiting) => waiting.values().try_for_each(|greenlet| visit.call(greenlet)),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        let flights = std::mem::take(&mut *lock(&self.flights));
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        drop((flights, waiting));
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.link.withdraw(&self.front);
    }
}

impl Front {
    /// The session, as long as there is one.
    pub(crate) fn session<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Session>> {
        let session = self.session.bind(py).upgrade().and_then(|session| session.cast_into::<Session>().ok());
        session.ok_or_else(|| Fault::from(Error::closed("the link was closed")).into_py(py))
    }

    /// A call is on its way.
    pub(crate) fn note(&self, flight: Flight) {
        let (id, chain) = (flight.id, flight.key.1);
        lock(&self.chains).insert(id, chain);
        let replaced = lock(&self.flights).insert(chain, flight);
        drop(replaced);
    }

    /// The call with this id is over, or given up.
    pub(crate) fn remove(&self, id: u64) -> Option<Flight> {
        let chain = lock(&self.chains).remove(&id)?;
        lock(&self.flights).remove(&chain)
    }

    /// Every call that is on its way: the link has ended.
    pub(crate) fn remove_all(&self) -> Vec<Flight> {
        lock(&self.chains).clear();
        let mut flights: Vec<Flight> = std::mem::take(&mut *lock(&self.flights)).into_values().collect();
        flights.sort_by_key(|flight| flight.id);
        flights
    }

    /// What the call of this chain has lent, for the thread that is about to go on with the chain. None if it is no call of this front's.
    pub(crate) fn lend_out(&self, chain: u64) -> Option<Kept> {
        let mut flights = lock(&self.flights);
        flights.get_mut(&chain).map(|flight| flight.kept.take())
    }

    /// That thread is done. What cannot be put back any more is returned, to be dropped without the lock.
    pub(crate) fn put_back(&self, chain: u64, kept: Kept) -> Kept {
        match lock(&self.flights).get_mut(&chain) {
            Some(flight) => std::mem::replace(&mut flight.kept, kept),
            None => kept,
        }
    }

    /// A greenlet waits for the answer to this call.
    pub(crate) fn await_answer(&self, id: u64, greenlet: &Bound<'_, PyAny>) {
        let replaced = lock(&self.waiting).insert(id, greenlet.clone().unbind());
        drop(replaced);
    }

    /// Have the hub look, if any greenlet waits.
    pub(crate) fn ring_if_awaited(&self) {
        if !lock(&self.waiting).is_empty() {
            self.front.ring();
        }
    }

    /// It does no more.
    pub(crate) fn waits_no_more(&self, id: u64) {
        let greenlet = lock(&self.waiting).remove(&id);
        drop(greenlet);
    }

    /// The greenlet that waits for this call.
    pub(crate) fn waits_for(&self, id: u64) -> Option<Py<PyAny>> {
        lock(&self.waiting).remove(&id)
    }

    /// Every greenlet that waits: the link has ended.
    pub(crate) fn all_waiting(&self) -> Vec<Py<PyAny>> {
        std::mem::take(&mut *lock(&self.waiting)).into_values().collect()
    }
}
