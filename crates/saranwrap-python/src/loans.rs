//! Copy-restore: the mutable built-ins that a chain of calls lent to the other side, and what changed in them.
//!
//! A list, dict, set or bytearray among the arguments is copied into the child under a loan number. Whenever the
//! conversation of that chain turns (call, callback, reply), the side that speaks says what it changed, and the other
//! side puts it into its own twin. When the outermost call ends the loans end with it. Loans belong to one chain, and a
//! chain is served by one thread at a time on each side, so they live in a thread-local and need no lock.

mod agreed;
mod change;
mod part;

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PySet, PyTuple};

use crate::addresses::{AddressMap, NumberMap};
use crate::buffer::Buffer;
use crate::chains::Chains;
pub(crate) use crate::chains::Key;
pub(crate) use agreed::{Agreed, Snapshot, is_key};
pub(crate) use change::{
    Change, Content, Item, Turn, agree_on_places, agreed_item, agreed_items, changes, is_as_agreed, turn,
};
pub(crate) use part::{Replaced, part};

/// Maps for more loans than this are not kept for the next chain.
const FEW: usize = 64;

pub(crate) struct Loan {
    object: Py<PyAny>,
    agreed: Agreed,
    /// How many references there were when the object came; isize::MAX when that says nothing any more.
    references: isize,
    /// Something on this side keeps the object beyond the call that it came with.
    kept: bool,
}

#[derive(Default)]
pub(crate) struct Loans {
    by_number: NumberMap<Loan>,
    by_address: AddressMap<usize, u64>,
    next: u64,
    /// Exceptions of the other side that are on their way through this one, by id: each is one object as long as that takes.
    exceptions: NumberMap<Py<PyAny>>,
}

impl Loans {
    /// Let go of everything, and keep the maps' memory.
    fn end(&mut self) {
        // Attached once, and not for each of the items.
        Python::try_attach(|py| self.by_number.drain().for_each(|(_, loan)| loan.agreed.let_go(py)));
        self.by_number.clear();
        self.by_address.clear();
        self.exceptions.clear();
        self.next = 0;
    }
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
        if let Some(mut ended) = LOANS.with_borrow_mut(|all| all.leave(self.key)) {
            ended.end();
            if ended.by_number.capacity() <= FEW {
                LOANS.with_borrow_mut(|all| all.use_again(ended));
            }
        }
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

/// Both sides hold this.
pub(crate) fn agree(key: Key, number: u64, agreed: Agreed) {
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
    agree(key, number, Agreed::of(&object));
}

/// The memory of an array on loan that came in a block.
fn memory<'py>(key: Key, number: u64, py: Python<'py>) -> Option<Bound<'py, Buffer>> {
    LOANS.with_borrow(|all| match &all.get(&key)?.by_number.get(&number)?.agreed {
        Agreed::Memory(memory) => Some(memory.bind(py).clone()),
        _ => None,
    })
}

/// Whether arguments of this kind are copied and lent.
pub(crate) fn is_lendable(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyList>()
        || object.is_exact_instance_of::<PyDict>()
        || object.is_exact_instance_of::<PySet>()
        || object.is_exact_instance_of::<PyByteArray>()
}
