//! What both sides hold of a loan, and how what it holds now compares with that. Nothing here runs Python code, but for what numpy
//! tells of an array.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PySet};

use super::change::Item;
use crate::buffer::Buffer;
use crate::names;

/// So many items of a container may be other ones, or new at its end, for a change to say no more than these.
const FEW: usize = 8;

/// An array that comes in the body of a message has fewer bytes; it is compared whole.
const SMALL_ARRAY: usize = (32 << 10) - 1;

/// What a container held when both sides last agreed about it.
pub(crate) enum Agreed {
    List(Vec<Py<PyAny>>),
    /// Keys and values alternate.
    Dict(Vec<Py<PyAny>>),
    Set(Vec<Py<PyAny>>),
    Bytes(Py<PyBytes>),
    /// The bytes of an array: of a small one, or of one that has no block to compare it with.
    Array(Py<PyBytes>),
    /// The memory of an array: what it showed at first is still in the block that it came in.
    Memory(Py<Buffer>),
    /// Given by value for its identity only: it goes home as itself.
    Opaque,
}

/// What a container holds now, beside what was agreed upon.
pub(super) enum Compared<'py> {
    Same,
    /// At these places stands something else, or something new behind the last; all others are as they were.
    Few(Vec<(u64, Item<'py>)>),
    /// Another content, as far as can be told without a copy.
    Unlike,
}

impl Agreed {
    /// What an object holds. Large arrays are left out.
    pub(super) fn of(object: &Bound<'_, PyAny>) -> Self {
        let py = object.py();
        if let Ok(list) = object.cast_exact::<PyList>() {
            Self::List(list.iter().map(Bound::unbind).collect())
        } else if let Ok(dict) = object.cast_exact::<PyDict>() {
            let mut items = Vec::with_capacity(2 * dict.len());
            for (key, value) in dict {
                items.extend([key.unbind(), value.unbind()]);
            }
            Self::Dict(items)
        } else if let Ok(set) = object.cast_exact::<PySet>() {
            Self::Set(set.iter().map(Bound::unbind).collect())
        } else if let Ok(bytes) = object.cast_exact::<PyByteArray>() {
            Self::Bytes(PyBytes::new(py, &bytes.to_vec()).unbind())
        } else if let Some(bytes) = array_bytes(object, SMALL_ARRAY) {
            Self::Array(bytes.unbind())
        } else {
            Self::Opaque
        }
    }

    /// What an object holds, arrays of any size included.
    pub(super) fn whole(object: &Bound<'_, PyAny>) -> Self {
        match array_bytes(object, usize::MAX) {
            Some(bytes) => Self::Array(bytes.unbind()),
            None => Self::of(object),
        }
    }

    /// Nobody compares anything with it any more.
    pub(super) fn let_go(self, py: Python<'_>) {
        if let Self::List(items) | Self::Dict(items) | Self::Set(items) = self {
            items.into_iter().for_each(|item| drop(item.into_bound(py)));
        }
    }

    pub(super) fn items(&self) -> &[Py<PyAny>] {
        match self {
            Self::List(items) | Self::Dict(items) | Self::Set(items) => items,
            _ => &[],
        }
    }

    pub(super) fn items_mut(&mut self) -> &mut [Py<PyAny>] {
        match self {
            Self::List(items) | Self::Dict(items) | Self::Set(items) => items,
            _ => &mut [],
        }
    }

    pub(super) fn compared<'py>(&self, object: &Bound<'py, PyAny>) -> Compared<'py> {
        match self {
            Self::List(old) => match object.cast_exact::<PyList>() {
                Ok(list) => beside(old, list.len(), list.iter(), |_| false),
                Err(_) => Compared::Unlike,
            },
            Self::Dict(old) => match object.cast_exact::<PyDict>() {
                Ok(dict) => beside(old, 2 * dict.len(), dict.iter().flat_map(<[_; 2]>::from), is_key),
                Err(_) => Compared::Unlike,
            },
            Self::Set(old) => match object.cast_exact::<PySet>() {
                Ok(set) if set.len() == old.len() => beside(old, old.len(), set.iter(), |_| true),
                _ => Compared::Unlike,
            },
            Self::Bytes(_) | Self::Array(_) | Self::Memory(_) => Compared::Unlike,
            Self::Opaque => Compared::Same,
        }
    }

    pub(super) fn differs(&self, now: &Self, py: Python<'_>) -> bool {
        match (self, now) {
            (Self::List(old), Self::List(new))
            | (Self::Dict(old), Self::Dict(new))
            | (Self::Set(old), Self::Set(new)) => !same_items(old, new),
            (Self::Bytes(old), Self::Bytes(new)) | (Self::Array(old), Self::Array(new)) => {
                old.bind(py).as_bytes() != new.bind(py).as_bytes()
            }
            _ => false,
        }
    }

    /// Whether a list or dict can have these items at these places: an old one stood somewhere, and a new place is the next one. The
    /// keys of a dict stay.
    pub(super) fn takes(&self, changed: &[(u64, Item<'_>)]) -> bool {
        let (items, has_keys) = match self {
            Self::List(items) => (items, false),
            Self::Dict(items) => (items, true),
            _ => return false,
        };
        let before = items.len() as u64;
        let mut len = before;
        for &(place, ref item) in changed {
            let lost = matches!(item, Item::Known(old) if *old >= before);
            let adds = place == len;
            if lost || place > len || (has_keys && !adds && is_key(place)) {
                return false;
            }
            len += u64::from(adds);
        }
        !has_keys || len.is_multiple_of(2)
    }

    /// Put in what `takes` has found to fit. What stood there is returned: its destructors are foreign code.
    pub(super) fn put(&mut self, changed: &[(u64, Item<'_>)], py: Python<'_>) -> Vec<Py<PyAny>> {
        let (Self::List(items) | Self::Dict(items)) = self else { return Vec::new() };
        // All are found before any is replaced: two may have changed places.
        let new: Vec<Option<Py<PyAny>>> = changed.iter().map(|(_, item)| item.among(items, py)).collect();
        let mut replaced = Vec::with_capacity(changed.len());
        for (&(place, _), new) in changed.iter().zip(new) {
            match (items.get_mut(place as usize), new) {
                (Some(old), Some(new)) => replaced.push(std::mem::replace(old, new)),
                (None, Some(new)) => items.push(new),
                (_, None) => {}
            }
        }
        replaced
    }
}

/// Whether a key stands at this place of a dict's items.
pub(crate) fn is_key(place: u64) -> bool {
    place.is_multiple_of(2)
}

/// The items of now beside the old ones, some of which are `fixed`: there is no telling that these are others.
fn beside<'py>(
    old: &[Py<PyAny>],
    len: usize,
    now: impl Iterator<Item = Bound<'py, PyAny>>,
    fixed: impl Fn(u64) -> bool,
) -> Compared<'py> {
    if !(old.len()..=old.len() + FEW).contains(&len) {
        return Compared::Unlike;
    }
    let mut few = Vec::new();
    for (place, now) in now.enumerate() {
        let before = old.get(place);
        if before.is_some_and(|before| before.as_ptr() == now.as_ptr()) {
            continue;
        }
        if few.len() == FEW || (before.is_some() && fixed(place as u64)) {
            return Compared::Unlike;
        }
        let known = old.iter().position(|old| old.as_ptr() == now.as_ptr());
        few.push((place as u64, known.map_or(Item::New(now), |place| Item::Known(place as u64))));
    }
    if few.is_empty() { Compared::Same } else { Compared::Few(few) }
}

fn same_items(old: &[Py<PyAny>], new: &[Py<PyAny>]) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(a, b)| a.as_ptr() == b.as_ptr())
}

/// All bytes of an array that has no more than that, in the order in which they cross; None for anything else.
fn array_bytes<'py>(object: &Bound<'py, PyAny>, most: usize) -> Option<Bound<'py, PyBytes>> {
    let bytes = names::ARRAY_BYTES.get(object.py()).and_then(|bytes| bytes.call1((object, most))).ok()?;
    bytes.cast_into::<PyBytes>().ok()
}

/// What a mutable built-in held at one moment, to tell later whether it still does.
pub(crate) struct Snapshot {
    object: Py<PyAny>,
    held: Agreed,
}

impl Snapshot {
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> Self {
        Self { object: object.clone().unbind(), held: Agreed::whole(object) }
    }

    pub(crate) fn is_current(&self, py: Python<'_>) -> bool {
        !self.held.differs(&Agreed::whole(self.object.bind(py)), py)
    }

    pub(crate) fn object<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.object.bind(py)
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)?;
        match &self.held {
            Agreed::List(items) | Agreed::Dict(items) | Agreed::Set(items) => {
                items.iter().try_for_each(|item| visit.call(item))
            }
            Agreed::Bytes(bytes) | Agreed::Array(bytes) => visit.call(bytes),
            Agreed::Memory(memory) => visit.call(memory),
            Agreed::Opaque => Ok(()),
        }
    }
}
