//! What is known here of a remote class: the local class that stands for it, and which of its attributes are called.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::addresses::AddressMap;
use crate::ahead::lock;

/// Names beyond these are asked for in two trips. The user's code has them all, so there are not many.
const MAX_METHODS: usize = 4096;

/// The local class for a class of the other side.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Mirror {
    pub(crate) class: Py<PyAny>,
    /// What `__class__` of an instance answers.
    pub(crate) answer: Py<PyAny>,
    /// Derived here from a remote class: some of the methods are local.
    pub(crate) derived: bool,
    methods: Methods,
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
        Self { class, answer, derived, methods: Methods::default() }
    }

    /// Whether this attribute of an instance was something to call when it was last asked for.
    pub(crate) fn is_method(&self, name: &Bound<'_, PyString>) -> bool {
        self.methods.contains(name)
    }

    /// An instance has this attribute, to be called on the other side: to ask for it can be left to the call.
    pub(crate) fn learn(&self, name: &Bound<'_, PyString>) {
        self.methods.insert(name);
    }
}

/// A set of names. A name is known by its address: those in code are interned.
#[derive(Default)]
struct Methods {
    /// Some bit for each of them: most names that are not among them are told by this alone.
    bits: AtomicU64,
    names: Mutex<AddressMap<usize, Py<PyString>>>,
}

impl Methods {
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
        if names.len() < MAX_METHODS {
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
