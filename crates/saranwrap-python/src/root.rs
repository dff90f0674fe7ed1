//! Where the object behind a proxy is. What was wrapped in a child that is restarted has one place after the other.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::ahead::lock;
use crate::mirror::Mirror;
use crate::names;
use crate::session::Session;

/// One object of one child.
pub(crate) struct Place {
    pub(crate) session: Py<Session>,
    pub(crate) id: u64,
    /// What is known of its class.
    pub(crate) mirror: Py<Mirror>,
}

impl Place {
    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.session)?;
        visit.call(&self.mirror)
    }
}

/// Where a proxy stands. Only those of a child that is restarted may have to move, and they alone pay for it.
pub(crate) enum Stand {
    Fixed(Place),
    Movable(Box<Movable>),
}

pub(crate) struct Movable {
    now: Mutex<Arc<Place>>,
    /// Set for what the user wrapped: it moves along when the child is replaced. All else becomes stale.
    root: OnceLock<Root>,
}

struct Root {
    /// Its method `current` replaces the child where that is due, and moves the roots.
    supervisor: Py<PyAny>,
    /// How often one call is made again in a new child after the child died of it, or during it.
    repeats: u32,
}

/// A place as it was when it was looked up. It holds what it names.
pub(crate) enum Spot<'a> {
    Fixed(&'a Place),
    Now(Arc<Place>),
}

impl Deref for Spot<'_> {
    type Target = Place;

    fn deref(&self) -> &Place {
        match self {
            Self::Fixed(place) => place,
            Self::Now(place) => place,
        }
    }
}

impl Stand {
    pub(crate) fn new(place: Place) -> Self {
        if place.session.get().is_supervised() {
            Self::Movable(Box::new(Movable { now: Mutex::new(Arc::new(place)), root: OnceLock::new() }))
        } else {
            Self::Fixed(place)
        }
    }

    /// The place of now, whether or not anything can still be asked there.
    pub(crate) fn spot(&self) -> Spot<'_> {
        match self {
            Self::Fixed(place) => Spot::Fixed(place),
            Self::Movable(movable) => Spot::Now(movable.now()),
        }
    }

    /// The place to ask at: a root's child is replaced first where that is due.
    pub(crate) fn ready(&self, py: Python<'_>) -> PyResult<Spot<'_>> {
        match self {
            Self::Fixed(place) => Ok(Spot::Fixed(place)),
            Self::Movable(movable) => movable.ready(py).map(Spot::Now),
        }
    }

    /// Do something where the object is.
    #[inline]
    pub(crate) fn there<T>(&self, py: Python<'_>, act: impl Fn(&Place) -> PyResult<T>) -> PyResult<T> {
        match self {
            Self::Fixed(place) => act(place),
            Self::Movable(movable) => movable.there(py, act),
        }
    }

    /// Whether a call is made again in a new child when the child died during it.
    pub(crate) fn repeats(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Movable(movable) => movable.root.get().is_some_and(|root| root.repeats > 0),
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Fixed(place) => place.visit(visit),
            Self::Movable(movable) => movable.visit(visit),
        }
    }
}

impl Movable {
    /// From now on this one moves along.
    pub(crate) fn take_root(&self, supervisor: Py<PyAny>, repeats: u32) {
        // A second one would be the same: a session has one supervisor.
        let _ = self.root.set(Root { supervisor, repeats });
    }

    pub(crate) fn move_to(&self, place: Arc<Place>) {
        let before = std::mem::replace(&mut *lock(&self.now), place);
        drop(before);
    }

    pub(crate) fn now(&self) -> Arc<Place> {
        Arc::clone(&lock(&self.now))
    }

    fn ready(&self, py: Python<'_>) -> PyResult<Arc<Place>> {
        let now = self.now();
        match self.root.get() {
            Some(root) if now.session.get().is_over() => {
                root.supervisor.call_method0(py, "current")?;
                Ok(self.now())
            }
            Some(root) if now.session.get().is_worn() => {
                root.supervisor.call_method0(py, "recycle")?;
                Ok(self.now())
            }
            _ => Ok(now),
        }
    }

    /// What came too late for the old child, so that nothing of it went, is done in the new one. What was under way is not,
    /// unless the user said that it may be done twice.
    fn there<T>(&self, py: Python<'_>, act: impl Fn(&Place) -> PyResult<T>) -> PyResult<T> {
        let mut repeats = self.root.get().map_or(0, |root| root.repeats);
        let mut place = self.ready(py)?;
        loop {
            let done = act(&place);
            let Err(error) = &done else { return done };
            if self.root.get().is_none() || !place.session.get().is_over() {
                return done;
            }
            if is(py, error, &names::CHILD_DIED)? && repeats > 0 {
                repeats -= 1;
            } else if !is(py, error, &names::STALE_PROXY)? {
                return done;
            }
            let next = self.ready(py)?;
            if Arc::ptr_eq(&next, &place) {
                return done;
            }
            place = next;
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(root) = self.root.get() {
            visit.call(&root.supervisor)?;
        }
        // The lock is held for an instant, and never while anything is collected.
        self.now.try_lock().map_or(Ok(()), |now| now.visit(visit))
    }
}

/// Whether an error is of exactly this class: a `TooManyRestarts` is a `ChildDied`, too.
fn is(py: Python<'_>, error: &PyErr, class: &'static names::Name) -> PyResult<bool> {
    Ok(error.get_type(py).is(class.get(py)?))
}
