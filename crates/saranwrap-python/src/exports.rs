//! What this side has given out: the engine's table of Python objects, and the way back from an object to its id.
//!
//! No Python code runs in here, so the lock around it may be held with the interpreter attached.

use pyo3::prelude::*;
use pyo3::types::PyType;
use saranwrap::table::Table;

use crate::addresses::AddressMap;
use crate::fault::Fault;

#[derive(Default)]
pub(crate) struct Exports {
    table: Table<Py<PyAny>>,
    /// By address. An entry lives exactly as long as the table holds the object, so the address cannot be reused.
    ids: AddressMap<usize, u64>,
    /// Classes that objects were described by. They stay until the link ends: a reply may name them at any time.
    pinned: AddressMap<u64, ()>,
}

impl Exports {
    /// The id of `object`, given out once more.
    pub(crate) fn give(&mut self, object: &Bound<'_, PyAny>) -> u64 {
        let address = object.as_ptr() as usize;
        if let Some(&id) = self.ids.get(&address) {
            self.table.again(id);
            return id;
        }
        let id = self.table.insert(object.clone().unbind());
        self.ids.insert(address, id);
        id
    }

    /// The object with the id None: what the other side may ask for without having been given anything.
    pub(crate) fn set_root(&mut self, root: Py<PyAny>) {
        let before = self.table.set_root(root);
        drop(before);
    }

    /// The id of a class, which from now on stays in the table.
    pub(crate) fn pin(&mut self, class: &Bound<'_, PyAny>) -> u64 {
        let address = class.as_ptr() as usize;
        match self.ids.get(&address) {
            Some(&id) if self.pinned.contains_key(&id) => id,
            _ => {
                let id = self.give(class);
                self.pinned.insert(id, ());
                id
            }
        }
    }

    /// Whether the other side knows this class by its number.
    pub(crate) fn has_pinned(&self, class: &Bound<'_, PyType>) -> bool {
        let id = self.ids.get(&(class.as_ptr() as usize));
        id.is_some_and(|id| self.pinned.contains_key(id))
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.table.find(id).is_some()
    }

    pub(crate) fn find(&self, py: Python<'_>, id: u64) -> Option<Py<PyAny>> {
        self.table.find(id).map(|object| object.clone_ref(py))
    }

    /// Take ids back. The objects that nobody holds any more are returned: their destructors are foreign code.
    pub(crate) fn take_back(&mut self, releases: &[(u64, u64)]) -> Result<Vec<Py<PyAny>>, Fault> {
        let mut dropped = Vec::new();
        for &(id, count) in releases {
            if let Some(object) = self.table.release(id, count)? {
                self.ids.remove(&(object.as_ptr() as usize));
                dropped.push(object);
            }
        }
        Ok(dropped)
    }

    /// How many objects are given out, classes that merely describe others not counted.
    pub(crate) fn len(&self) -> usize {
        self.table.len().saturating_sub(self.pinned.len())
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.table.next_id()
    }

    pub(crate) fn drain(&mut self) -> Vec<Py<PyAny>> {
        self.ids.clear();
        self.pinned.clear();
        self.table.drain()
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.ids.values().filter_map(|&id| self.table.find(id))
    }
}
