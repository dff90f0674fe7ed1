//! What of the loans has changed on this side, in order to be told; and what the other side tells of them.

use std::ops::Range;

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use super::agreed::{Agreed, Compared};
use super::{Key, LOANS, memory, with};
use crate::addresses::AddressMap;
use crate::buffer::Buffer;

/// A container above this size is compared only when a message mentions it and when the call ends.
const EAGER_ITEMS: usize = 4096;

/// A change to tell: the loan's number and what its twin here holds now.
pub(crate) struct Change<'py> {
    pub(crate) number: u64,
    pub(crate) content: Content<'py>,
}

pub(crate) enum Content<'py> {
    Items(Vec<Item<'py>>),
    /// Few of so many items: those that stand at these places now, or are new at the end.
    Places(usize, Vec<(u64, Item<'py>)>),
    Bytes(Bound<'py, PyByteArray>),
    /// All bytes of an array.
    Array(Bound<'py, PyBytes>),
    /// The parts of the memory of an array that were written to.
    Memory(Bound<'py, Buffer>, Vec<Range<usize>>),
}

/// An item of a container that has changed.
pub(crate) enum Item<'py> {
    /// One that both sides knew: where it stood before. So its identity is kept on the other side.
    Known(u64),
    New(Bound<'py, PyAny>),
}

impl Item<'_> {
    /// The object: a known one is among these.
    pub(super) fn among(&self, before: &[Py<PyAny>], py: Python<'_>) -> Option<Py<PyAny>> {
        match self {
            Self::New(object) => Some(object.clone().unbind()),
            Self::Known(place) => before.get(usize::try_from(*place).ok()?).map(|object| object.clone_ref(py)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The conversation goes on after this message.
    Middle,
    /// The outermost call ends with this message.
    Last,
}

/// Whether this message is the last of its chain on this side.
pub(crate) fn turn(key: Key) -> Turn {
    if LOANS.with_borrow(|all| all.depth(key)) <= 1 { Turn::Last } else { Turn::Middle }
}

/// Every loan that has changed here since both sides agreed, oldest first. `last` looks at the big ones too.
pub(crate) fn changes<'py>(key: Key, turn: Turn, py: Python<'py>) -> Vec<Change<'py>> {
    let loans: Vec<(u64, Bound<'py, PyAny>)> = LOANS.with_borrow(|all| {
        let Some(loans) = all.get(&key) else { return Vec::new() };
        loans.by_number.iter().map(|(&number, loan)| (number, loan.object.bind(py).clone())).collect()
    });
    let mut changed: Vec<Change<'py>> = loans
        .into_iter()
        .filter(|(number, object)| {
            turn == Turn::Last || (size(object) <= EAGER_ITEMS && memory(key, *number, py).is_none())
        })
        .filter_map(|(number, object)| Some(Change { number, content: change(key, number, &object)? }))
        .collect();
    changed.sort_by_key(|change| change.number);
    changed
}

fn size(object: &Bound<'_, PyAny>) -> usize {
    object.len().unwrap_or(usize::MAX)
}

/// What a loan holds now, if that is something else.
fn change<'py>(key: Key, number: u64, object: &Bound<'py, PyAny>) -> Option<Content<'py>> {
    if let Some(memory) = memory(key, number, object.py()) {
        let parts = memory.get().changes();
        return (!parts.is_empty()).then_some(Content::Memory(memory, parts));
    }
    match compared(key, number, object)? {
        Compared::Same => None,
        Compared::Few(places) => {
            let len = LOANS.with_borrow(|all| Some(all.get(&key)?.by_number.get(&number)?.agreed.items().len()))?;
            let added = places.iter().filter(|&&(place, _)| place >= len as u64).count();
            Some(Content::Places(len + added, places))
        }
        Compared::Unlike => all_of_it(key, number, object),
    }
}

fn compared<'py>(key: Key, number: u64, object: &Bound<'py, PyAny>) -> Option<Compared<'py>> {
    LOANS.with_borrow(|all| Some(all.get(&key)?.by_number.get(&number)?.agreed.compared(object)))
}

fn all_of_it<'py>(key: Key, number: u64, object: &Bound<'py, PyAny>) -> Option<Content<'py>> {
    let py = object.py();
    let now = if is_array_here(key, number) { Agreed::whole(object) } else { Agreed::of(object) };
    let before: Vec<Py<PyAny>> = LOANS.with_borrow(|all| {
        let agreed = &all.get(&key)?.by_number.get(&number)?.agreed;
        agreed.differs(&now, py).then(|| agreed.items().iter().map(|item| item.clone_ref(py)).collect())
    })?;
    Some(match now {
        Agreed::List(items) | Agreed::Dict(items) | Agreed::Set(items) => {
            let before = before.iter().enumerate();
            let places: AddressMap<usize, u64> =
                before.map(|(place, item)| (item.as_ptr() as usize, place as u64)).collect();
            let known = |item: Py<PyAny>| match places.get(&(item.as_ptr() as usize)) {
                Some(&place) => Item::Known(place),
                None => Item::New(item.into_bound(py)),
            };
            Content::Items(items.into_iter().map(known).collect())
        }
        Agreed::Array(bytes) => Content::Array(bytes.into_bound(py)),
        _ => Content::Bytes(object.cast::<PyByteArray>().ok()?.clone()),
    })
}

/// Whether this is an array that is compared by its bytes.
fn is_array_here(key: Key, number: u64) -> bool {
    LOANS.with_borrow(|all| {
        let loan = all.get(&key).and_then(|loans| loans.by_number.get(&number));
        loan.is_some_and(|loan| matches!(loan.agreed, Agreed::Array(_)))
    })
}

/// Whether the twin holds what both sides agreed upon.
pub(crate) fn is_as_agreed(key: Key, number: u64, twin: &Bound<'_, PyAny>) -> bool {
    matches!(compared(key, number, twin), Some(Compared::Same))
}

/// What both sides last agreed a loan to hold.
pub(crate) fn agreed_items<'py>(key: Key, number: u64, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
    LOANS.with_borrow(|all| {
        let loan = all.get(&key).and_then(|loans| loans.by_number.get(&number));
        let items = loan.map_or(&[][..], |loan| loan.agreed.items());
        items.iter().map(|item| item.bind(py).clone()).collect()
    })
}

/// One of these.
pub(crate) fn agreed_item<'py>(key: Key, number: u64, place: u64, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
    LOANS.with_borrow(|all| {
        let items = all.get(&key)?.by_number.get(&number)?.agreed.items();
        Some(items.get(usize::try_from(place).ok()?)?.bind(py).clone())
    })
}

/// Both sides now hold these items at these places; false where a loan cannot have them there.
pub(crate) fn agree_on_places(key: Key, number: u64, changed: &[(u64, Item<'_>)], py: Python<'_>) -> bool {
    let replaced = with(key, |loans| {
        let agreed = &mut loans.by_number.get_mut(&number)?.agreed;
        agreed.takes(changed).then(|| agreed.put(changed, py))
    });
    replaced.is_some()
}
