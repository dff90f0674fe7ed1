//! What is known here of a remote class: the local class that stands for it, which of its attributes are called, and which lead on.

use std::sync::Mutex;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::addresses::AddressMap;
use crate::ahead::lock;

/// Names beyond these are asked for in a trip of their own. The user's code has them all, so there are not many.
const MAX_NAMES: usize = 4096;

/// What an attribute was when its class was last asked for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Something to call on the other side: to ask for it can be left to the call.
    pub(crate) method: bool,
    /// An object of the other side, which may be asked for attributes of its own.
    pub(crate) leads: bool,
}

/// The local class for a class of the other side.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Mirror {
    pub(crate) class: Py<PyAny>,
    /// What `__class__` of an instance answers.
    pub(crate) answer: Py<PyAny>,
    /// Derived here from a remote class: some of the methods are local.
    pub(crate) derived: bool,
    attributes: Mutex<AddressMap<usize, (Py<PyString>, Known)>>,
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
        Self { class, answer, derived, attributes: Mutex::default() }
    }

    /// What this attribute of an instance was when it was last asked for. A name is known by its address: those in code are interned.
    pub(crate) fn known(&self, name: &Bound<'_, PyString>) -> Option<Known> {
        lock(&self.attributes).get(&(name.as_ptr() as usize)).map(|(_, known)| *known)
    }

    /// This is what an instance has under this name.
    pub(crate) fn learn(&self, name: &Bound<'_, PyString>, known: Known) {
        let Ok(text) = name.to_str() else { return };
        let name = PyString::intern(name.py(), text);
        let address = name.as_ptr() as usize;
        let mut attributes = lock(&self.attributes);
        if attributes.len() < MAX_NAMES || attributes.contains_key(&address) {
            // What is replaced is the same text once more: no code runs as it is dropped.
            attributes.insert(address, (name.unbind(), known));
        }
    }
}
