//! The one proxy of each id that lives: found again by its address, and not held. `unsafe`, as that is the C-API's.
#![allow(unsafe_code)] // A weak reference for each would be as large as the proxy itself.

use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;

use crate::addresses::NumberMap;
use crate::proxy::Proxy;

/// Proxies by their ids.
///
/// Whatever stands here has its memory: a proxy is taken out when it moves to another id, and as it dies, by its own destructor.
#[derive(Default)]
pub(crate) struct Living {
    by_id: NumberMap<usize>,
}

impl Living {
    /// The proxy of this id. One that is dying is none: what its last reference brings about may come here.
    pub(crate) fn find<'py>(&self, py: Python<'py>, id: u64) -> Option<Bound<'py, Proxy>> {
        let &address = self.by_id.get(&id)?;
        if !is_held(py, address) {
            return None;
        }
        // SAFETY: there is an object (see above), which is a proxy since nothing else is put here, and which somebody holds. The
        // interpreter is attached, so that this does not change before the new reference is counted.
        let proxy = unsafe { Bound::from_borrowed_ptr(py, address as *mut PyObject) };
        proxy.cast_into().ok()
    }

    /// This is the proxy of the id from now on.
    pub(crate) fn insert(&mut self, id: u64, proxy: &Bound<'_, Proxy>) {
        self.by_id.insert(id, proxy.as_ptr() as usize);
    }

    /// The proxy moves to another id.
    pub(crate) fn part_from(&mut self, id: u64, proxy: &Bound<'_, Proxy>) {
        if self.by_id.get(&id) == Some(&(proxy.as_ptr() as usize)) {
            self.by_id.remove(&id);
        }
    }

    /// A proxy of this id dies; but if another has taken its place meanwhile, that stays. Where the interpreter is gone nobody can tell,
    /// nor will anybody ask.
    pub(crate) fn dies(&mut self, py: Option<Python<'_>>, id: u64) {
        if let Some(&address) = self.by_id.get(&id)
            && !py.is_some_and(|py| is_held(py, address))
        {
            self.by_id.remove(&id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// Whether there is a reference to the object at this address, of those that stand in `Living`.
fn is_held(_: Python<'_>, address: usize) -> bool {
    // SAFETY: there is an object as long as its address stands there. From Python 3.14 on flags stand above the count, in 32 bits.
    let count = unsafe { ffi::Py_REFCNT(address as *mut PyObject) };
    count as u32 != 0
}
