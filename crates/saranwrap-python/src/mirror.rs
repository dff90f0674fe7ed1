//! What is known here of a remote class: the local class that stands for it, which of its attributes are called, and which lead on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::addresses::AddressMap;
use crate::ahead::lock;

/// Names beyond these are asked for in a trip of their own. The user's code has them all, so there are not many.
const MAX_NAMES: usize = 4096;

/// The local class for a class of the other side.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Mirror {
    pub(crate) class: Py<PyAny>,
    /// What `__class__` of an instance answers.
    pub(crate) answer: Py<PyAny>,
    /// Derived here from a remote class: some of the methods are local.
    pub(crate) derived: bool,
    methods: Names,
    leading: Names,
}

#[pymethods]
impl Mirror {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.class)?;
        visit.call(&self.answer)
    }
}

impl Mirror {
    pub(crate) fn new(class: Py<PyAny>, answer: Py<PyAny>, derived: bool) -> Self {
        Self { class, answer, derived, methods: Names::default(), leading: Names::default() }
    }

    /// Whether this attribute of an instance was something to call when it was last asked for.
    pub(crate) fn is_method(&self, name: &Bound<'_, PyString>) -> bool {
        self.methods.contains(name)
    }

    /// An instance has this attribute, to be called on the other side: to ask for it can be left to the call.
    pub(crate) fn learn(&self, name: &Bound<'_, PyString>) {
        self.methods.insert(name);
    }

    /// Whether this attribute of an instance was an object of the other side when it was last asked for.
    pub(crate) fn leads_on(&self, name: &Bound<'_, PyString>) -> bool {
        self.leading.contains(name)
    }

    /// This attribute of an instance is an object of the other side, which may be asked for attributes of its own.
    pub(crate) fn learn_lead(&self, name: &Bound<'_, PyString>) {
        self.leading.insert(name);
    }
}

/// A set of names. A name is known by its address: those in code are interned.
#[derive(Default)]
struct Names {
    /// Some bit for each of them: most names that are not among them are told by this alone.
    bits: AtomicU64,
    names: Mutex<AddressMap<usize, Py<PyString>>>,
}

impl Names {
    fn contains(&self, name: &Bound<'_, PyString>) -> bool {
        let address = name.as_ptr() as usize;
        self.bits.load(Ordering::Relaxed) & bit(address) != 0 && lock(&self.names).contains_key(&address)
    }

    fn insert(&self, name: &Bound<'_, PyString>) {
        if self.contains(name) {
            return;
        }
        let Ok(text) = name.to_str() else { return };
        let name = PyString::intern(name.py(), text);
        let address = name.as_ptr() as usize;
        let mut names = lock(&self.names);
        if names.len() < MAX_NAMES {
            // What is replaced is the same text once more: no code runs as it is dropped.
            names.insert(address, name.unbind());
            self.bits.fetch_or(bit(address), Ordering::Relaxed);
        }
    }
}

/// Objects lie at multiples of 16.
fn bit(address: usize) -> u64 {
    1 << (address >> 4 & 63)
}
