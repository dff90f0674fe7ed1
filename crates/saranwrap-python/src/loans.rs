//! Copy-restore: the mutable built-ins that a chain of calls lent to the other side, and what changed in them.
//!
//! A list, dict, set or bytearray among the arguments is copied into the child under a loan number. Whenever the
//! conversation of that chain turns (call, callback, reply), the side that speaks says what it changed, and the other
//! side puts it into its own twin. When the outermost call ends the loans end with it. Loans belong to one chain, and a
//! chain is served by one thread at a time on each side, so they live in a thread-local and need no lock.

mod part;

use std::cell::RefCell;
use std::ops::Range;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PySet, PyTuple};

use crate::addresses::{AddressMap, NumberMap};
use crate::buffer::Buffer;
use crate::chains::Chains;
pub(crate) use crate::chains::Key;
use crate::names;
pub(crate) use part::{Replaced, part};

/// A container above this size is compared only when a message mentions it and when the call ends.
const EAGER_ITEMS: usize = 4096;

/// An array that comes in the body of a message has fewer bytes; it is compared whole.
const SMALL_ARRAY: usize = (32 << 10) - 1;

/// What a container held when both sides last agreed about it.
enum Agreed {
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

impl Agreed {
    fn each(&mut self, mut work: impl FnMut(&mut Py<PyAny>)) {
        if let Self::List(items) | Self::Dict(items) | Self::Set(items) = self {
            items.iter_mut().for_each(&mut work);
        }
    }
}

pub(crate) struct Loan {
    object: Py<PyAny>,
    agreed: Agreed,
    /// How many references there were when the object came; isize::MAX when that says nothing any more.
    references: isize,
    /// Something on this side keeps the object beyond the call that it came with.
    kept: bool,
}

/// A change to tell: the loan's number, its twin here, and the items that both sides knew before.
pub(crate) struct Change<'py> {
    pub(crate) number: u64,
    pub(crate) content: Content<'py>,
    /// Where an item stood before, by address.
    pub(crate) before: AddressMap<usize, u64>,
    /// Keeps the addresses of `before` valid.
    _kept: Vec<Py<PyAny>>,
}

pub(crate) enum Content<'py> {
    Items(Vec<Bound<'py, PyAny>>),
    Bytes(Bound<'py, PyByteArray>),
    /// All bytes of an array.
    Array(Bound<'py, PyBytes>),
    /// The parts of the memory of an array that were written to.
    Memory(Bound<'py, Buffer>, Vec<Range<usize>>),
}

#[derive(Default)]
pub(crate) struct Loans {
    by_number: NumberMap<Loan>,
    by_address: AddressMap<usize, u64>,
    next: u64,
    /// Exceptions of the other side that are on their way through this one, by id: each is one object as long as that takes.
    exceptions: NumberMap<Py<PyAny>>,
}

thread_local! {
    static LOANS: RefCell<Chains<Loans>> = const { RefCell::new(Chains::new()) };
}

/// Holds the loans of a chain open; the outermost one to go drops them.
pub(crate) struct Scope {
    key: Key,
}

impl Scope {
    pub(crate) fn enter(key: Key) -> Self {
        LOANS.with_borrow_mut(|all| all.enter(key));
        Self { key }
    }
}

/// What a chain has lent, while no thread is in it.
pub(crate) type Kept = Option<Box<Loans>>;

impl Scope {
    /// The loans stay as they are while the chain is in no thread; `resume` goes on with them.
    pub(crate) fn suspend(self) -> Kept {
        let kept = LOANS.with_borrow_mut(|all| all.leave(self.key));
        std::mem::forget(self);
        kept
    }

    /// Go on with a chain that was suspended, in this thread or another one.
    pub(crate) fn resume(key: Key, kept: Kept) -> Self {
        LOANS.with_borrow_mut(|all| {
            all.enter(key);
            all.put(key, kept);
        });
        Self { key }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // The loans are taken out of the map before they are dropped: destructors are foreign code and may come back here.
        let ended = LOANS.with_borrow_mut(|all| all.leave(self.key));
        drop(ended);
    }
}

/// Work on the loans of a chain. `work` must not run Python code.
fn with<R>(key: Key, work: impl FnOnce(&mut Loans) -> R) -> R {
    LOANS.with_borrow_mut(|all| work(all.find(key)))
}

/// The number under which `object` is on loan in this chain.
pub(crate) fn number_of(key: Key, object: &Bound<'_, PyAny>) -> Option<u64> {
    let address = object.as_ptr() as usize;
    LOANS.with_borrow(|all| all.get(&key)?.by_address.get(&address).copied())
}

/// The exception that stands for `id` in this chain.
pub(crate) fn exception<'py>(key: Key, id: u64, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
    LOANS.with_borrow(|all| Some(all.get(&key)?.exceptions.get(&id)?.bind(py).clone()))
}

/// Note the exception that stands for `id` in this chain.
pub(crate) fn keep_exception(key: Key, id: u64, exception: &Bound<'_, PyAny>) {
    let exception = exception.clone().unbind();
    let before = with(key, |loans| loans.exceptions.insert(id, exception));
    drop(before);
}

/// The twin of a loan on this side.
pub(crate) fn twin<'py>(key: Key, number: u64, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
    LOANS.with_borrow(|all| Some(all.get(&key)?.by_number.get(&number)?.object.bind(py).clone()))
}

/// Lend `object` out: a number that no loan of this chain has.
pub(crate) fn lend(key: Key, object: &Bound<'_, PyAny>) -> u64 {
    let number = with(key, |loans| {
        loans.next += 1;
        loans.next
    });
    borrow(key, number, object);
    number
}

/// How many loans this chain has made so far: what `retract` goes back to.
pub(crate) fn made(key: Key) -> u64 {
    LOANS.with_borrow(|all| all.get(&key).map_or(0, |loans| loans.next))
}

/// What was lent since then goes into no message after all: the other side must never hear of it.
pub(crate) fn retract(key: Key, made: u64) {
    let gone: Vec<Loan> = with(key, |loans| {
        let numbers: Vec<u64> = loans.by_number.keys().copied().filter(|&number| number > made).collect();
        loans.next = made;
        loans.by_address.retain(|_, number| *number <= made);
        numbers.iter().filter_map(|number| loans.by_number.remove(number)).collect()
    });
    drop(gone);
}

/// Note that `object` is this side's twin of loan `number`. Its content is agreed upon by `settle`.
pub(crate) fn borrow(key: Key, number: u64, object: &Bound<'_, PyAny>) {
    let loan = Loan { object: object.clone().unbind(), agreed: Agreed::Opaque, references: isize::MAX, kept: false };
    let address = object.as_ptr() as usize;
    let replaced = with(key, |loans| {
        loans.by_address.insert(address, number);
        loans.by_number.insert(number, loan)
    });
    drop(replaced);
}

/// Both sides hold what this memory, which is that of an array on loan, showed when it came.
pub(crate) fn agree_on_memory(key: Key, number: u64, memory: &Bound<'_, Buffer>) {
    agree(key, number, Agreed::Memory(memory.clone().unbind()));
}

/// Both sides hold these bytes of an array on loan.
pub(crate) fn agree_on_array(key: Key, number: u64, bytes: &Bound<'_, PyBytes>) {
    agree(key, number, Agreed::Array(bytes.clone().unbind()));
}

fn agree(key: Key, number: u64, agreed: Agreed) {
    let before =
        with(key, |loans| loans.by_number.get_mut(&number).map(|loan| std::mem::replace(&mut loan.agreed, agreed)));
    drop(before);
}

/// A message that mentions these loans is read: count who holds their twins. `result`, if it is one, is held once by
/// whoever is about to get it.
pub(crate) fn count_references(key: Key, mentioned: &[u64], result: Option<&Bound<'_, PyAny>>, py: Python<'_>) {
    if mentioned.is_empty() {
        return;
    }
    with(key, |loans| {
        for number in mentioned {
            if let Some(loan) = loans.by_number.get_mut(number) {
                let passing = result.is_some_and(|result| result.as_ptr() == loan.object.as_ptr());
                loan.references = references(&loan.object, py) - isize::from(passing);
            }
        }
    });
}

/// A call is done: more references to a twin than there were when it came mean that something keeps it, the result aside.
/// It is then an object of this side, and what the caller lent is its former self.
pub(crate) fn note_kept(key: Key, mentioned: &[u64], result: &Bound<'_, PyAny>) {
    let py = result.py();
    if LOANS.with_borrow(|all| all.get(&key).is_none()) {
        return;
    }
    let leaving: Vec<usize> = match result.cast_exact::<PyTuple>() {
        Ok(tuple) => tuple.iter().map(|item| item.as_ptr() as usize).collect(),
        Err(_) => vec![result.as_ptr() as usize],
    };
    with(key, |loans| {
        for (number, loan) in &mut loans.by_number {
            let address = loan.object.as_ptr() as usize;
            let passing = leaving.iter().filter(|&&item| item == address).count() as isize;
            loan.kept |= loan.references != isize::MAX && references(&loan.object, py) - passing > loan.references;
            if mentioned.contains(number) {
                // The count includes the arguments of this call, so it says nothing about later ones.
                loan.references = isize::MAX;
            }
        }
    });
}

/// Whether something on this side keeps the twin.
pub(crate) fn is_kept(key: Key, number: u64) -> bool {
    LOANS.with_borrow(|all| {
        let loan = all.get(&key).and_then(|loans| loans.by_number.get(&number));
        loan.is_some_and(|loan| loan.kept)
    })
}

#[expect(deprecated, reason = "its successor is unsafe; counts are only compared with each other")]
fn references(object: &Py<PyAny>, py: Python<'_>) -> isize {
    object.get_refcnt(py)
}

/// Both sides now hold what the twin holds.
pub(crate) fn settle(key: Key, number: u64, py: Python<'_>) {
    let Some(object) = twin(key, number, py) else { return };
    agree(key, number, agreement(&object));
}

/// What both sides last agreed a loan to hold, for reading a change that refers to it.
pub(crate) fn agreed_items<'py>(key: Key, number: u64, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
    LOANS.with_borrow(|all| {
        let loan = all.get(&key).and_then(|loans| loans.by_number.get(&number));
        match loan.map(|loan| &loan.agreed) {
            Some(Agreed::List(items) | Agreed::Dict(items) | Agreed::Set(items)) => {
                items.iter().map(|item| item.bind(py).clone()).collect()
            }
            _ => Vec::new(),
        }
    })
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
        .filter_map(|(number, object)| change(key, number, &object))
        .collect();
    changed.sort_by_key(|change| change.number);
    changed
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

/// The memory of an array on loan that came in a block.
fn memory<'py>(key: Key, number: u64, py: Python<'py>) -> Option<Bound<'py, Buffer>> {
    LOANS.with_borrow(|all| match &all.get(&key)?.by_number.get(&number)?.agreed {
        Agreed::Memory(memory) => Some(memory.bind(py).clone()),
        _ => None,
    })
}

fn size(object: &Bound<'_, PyAny>) -> usize {
    object.len().unwrap_or(usize::MAX)
}

fn change<'py>(key: Key, number: u64, object: &Bound<'py, PyAny>) -> Option<Change<'py>> {
    let py = object.py();
    if let Some(memory) = memory(key, number, py) {
        let parts = memory.get().changes();
        let content = Content::Memory(memory, parts);
        let nothing = matches!(&content, Content::Memory(_, parts) if parts.is_empty());
        return (!nothing).then(|| Change { number, content, before: AddressMap::default(), _kept: Vec::new() });
    }
    if LOANS.with_borrow(|all| Some(still_holds(&all.get(&key)?.by_number.get(&number)?.agreed, object))) != Some(false)
    {
        return None;
    }
    let now = if is_array_here(key, number) { whole(object) } else { agreement(object) };
    let before = LOANS.with_borrow(|all| {
        let loan = all.get(&key)?.by_number.get(&number)?;
        differs(&loan.agreed, &now, py).then(|| match &loan.agreed {
            Agreed::List(old) | Agreed::Dict(old) | Agreed::Set(old) => {
                old.iter().map(|item| item.clone_ref(py)).collect()
            }
            _ => Vec::new(),
        })
    })?;
    let content = match now {
        Agreed::List(items) | Agreed::Dict(items) | Agreed::Set(items) => {
            Content::Items(items.into_iter().map(|item| item.into_bound(py)).collect())
        }
        Agreed::Array(bytes) => Content::Array(bytes.into_bound(py)),
        _ => Content::Bytes(object.cast::<PyByteArray>().ok()?.clone()),
    };
    let places: AddressMap<usize, u64> = before
        .iter()
        .enumerate()
        .map(|(place, item): (usize, &Py<PyAny>)| (item.as_ptr() as usize, place as u64))
        .collect();
    Some(Change { number, content, before: places, _kept: before })
}

/// What a mutable built-in held at one moment, to tell later whether it still does.
pub(crate) struct Snapshot {
    object: Py<PyAny>,
    held: Agreed,
}

impl Snapshot {
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> Self {
        Self { object: object.clone().unbind(), held: whole(object) }
    }

    pub(crate) fn is_current(&self, py: Python<'_>) -> bool {
        !differs(&self.held, &whole(self.object.bind(py)), py)
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

fn differs(old: &Agreed, new: &Agreed, py: Python<'_>) -> bool {
    match (old, new) {
        (Agreed::List(old), Agreed::List(new))
        | (Agreed::Dict(old), Agreed::Dict(new))
        | (Agreed::Set(old), Agreed::Set(new)) => !same_items(old, new),
        (Agreed::Bytes(old), Agreed::Bytes(new)) | (Agreed::Array(old), Agreed::Array(new)) => {
            old.bind(py).as_bytes() != new.bind(py).as_bytes()
        }
        _ => false,
    }
}

/// Whether `object` holds just what was agreed upon, as far as that can be told without a copy: bytes are copied to look.
fn still_holds(agreed: &Agreed, object: &Bound<'_, PyAny>) -> bool {
    let same = |now: &Bound<'_, PyAny>, old: &Py<PyAny>| now.as_ptr() == old.as_ptr();
    match agreed {
        Agreed::List(old) => object
            .cast_exact::<PyList>()
            .is_ok_and(|list| list.len() == old.len() && list.iter().zip(old).all(|(now, old)| same(&now, old))),
        Agreed::Dict(old) => object.cast_exact::<PyDict>().is_ok_and(|dict| {
            let mut pairs = dict.iter().zip(old.chunks_exact(2));
            2 * dict.len() == old.len() && pairs.all(|((key, value), old)| same(&key, &old[0]) && same(&value, &old[1]))
        }),
        Agreed::Set(old) => object
            .cast_exact::<PySet>()
            .is_ok_and(|set| set.len() == old.len() && set.iter().zip(old).all(|(now, old)| same(&now, old))),
        Agreed::Bytes(_) | Agreed::Array(_) | Agreed::Memory(_) => false,
        Agreed::Opaque => true,
    }
}

fn same_items(old: &[Py<PyAny>], new: &[Py<PyAny>]) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(a, b)| a.as_ptr() == b.as_ptr())
}

/// Whether arguments of this kind are copied and lent.
pub(crate) fn is_lendable(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyList>()
        || object.is_exact_instance_of::<PyDict>()
        || object.is_exact_instance_of::<PySet>()
        || object.is_exact_instance_of::<PyByteArray>()
}

fn agreement(object: &Bound<'_, PyAny>) -> Agreed {
    let py = object.py();
    if let Ok(list) = object.cast_exact::<PyList>() {
        Agreed::List(list.iter().map(Bound::unbind).collect())
    } else if let Ok(dict) = object.cast_exact::<PyDict>() {
        let mut items = Vec::with_capacity(2 * dict.len());
        for (key, value) in dict {
            items.extend([key.unbind(), value.unbind()]);
        }
        Agreed::Dict(items)
    } else if let Ok(set) = object.cast_exact::<PySet>() {
        Agreed::Set(set.iter().map(Bound::unbind).collect())
    } else if let Ok(bytes) = object.cast_exact::<PyByteArray>() {
        Agreed::Bytes(PyBytes::new(py, &bytes.to_vec()).unbind())
    } else if let Some(bytes) = array_bytes(object, SMALL_ARRAY) {
        Agreed::Array(bytes.unbind())
    } else {
        Agreed::Opaque
    }
}

/// What an object holds, arrays of any size included.
fn whole(object: &Bound<'_, PyAny>) -> Agreed {
    match array_bytes(object, usize::MAX) {
        Some(bytes) => Agreed::Array(bytes.unbind()),
        None => agreement(object),
    }
}

/// Whether this is an array that is compared by its bytes.
fn is_array_here(key: Key, number: u64) -> bool {
    LOANS.with_borrow(|all| {
        let loan = all.get(&key).and_then(|loans| loans.by_number.get(&number));
        loan.is_some_and(|loan| matches!(loan.agreed, Agreed::Array(_)))
    })
}

/// All bytes of an array that has no more than that, in the order in which they cross; None for anything else.
fn array_bytes<'py>(object: &Bound<'py, PyAny>, most: usize) -> Option<Bound<'py, PyBytes>> {
    let bytes = names::ARRAY_BYTES.get(object.py()).and_then(|bytes| bytes.call1((object, most))).ok()?;
    bytes.cast_into::<PyBytes>().ok()
}
