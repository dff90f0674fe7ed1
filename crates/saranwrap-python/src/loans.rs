//! Copy-restore: the mutable built-ins that a chain of calls lent to the other side, and what changed in them.
//!
//! A list, dict, set or bytearray among the arguments is copied into the child under a loan number. Whenever the
//! conversation of that chain turns (call, callback, reply), the side that speaks says what it changed, and the other
//! side puts it into its own twin. When the outermost call ends the loans end with it. Loans belong to one chain, and a
//! chain is served by one thread at a time on each side, so they live in a thread-local and need no lock.

use std::cell::RefCell;
use std::collections::HashMap;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PySet, PyTuple};

/// A container above this size is compared only when a message mentions it and when the call ends.
const EAGER_ITEMS: usize = 4096;

/// What a container held when both sides last agreed about it.
enum Agreed {
    List(Vec<Py<PyAny>>),
    /// Keys and values alternate.
    Dict(Vec<Py<PyAny>>),
    Set(Vec<Py<PyAny>>),
    Bytes(Py<PyBytes>),
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
    pub(crate) before: HashMap<usize, u64>,
    /// Keeps the addresses of `before` valid.
    _kept: Vec<Py<PyAny>>,
}

pub(crate) enum Content<'py> {
    Items(Vec<Bound<'py, PyAny>>),
    Bytes(Bound<'py, PyByteArray>),
}

#[derive(Default)]
pub(crate) struct Loans {
    depth: usize,
    by_number: HashMap<u64, Loan>,
    by_address: HashMap<usize, u64>,
    next: u64,
    /// Exceptions of the other side that are on their way through this one, by id: each is one object as long as that takes.
    exceptions: HashMap<u64, Py<PyAny>>,
}

/// Which conversation: the session's address and the chain.
pub(crate) type Key = (usize, u64);

thread_local! {
    static LOANS: RefCell<HashMap<Key, Loans>> = RefCell::new(HashMap::new());
}

/// Holds the loans of a chain open; the outermost one to go drops them.
pub(crate) struct Scope {
    key: Key,
}

impl Scope {
    pub(crate) fn enter(key: Key) -> Self {
        with(key, |loans| loans.depth += 1);
        Self { key }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // The loans are taken out of the map before they are dropped: destructors are foreign code and may come back here.
        let ended = LOANS.with_borrow_mut(|all| {
            let loans = all.get_mut(&self.key)?;
            loans.depth -= 1;
            if loans.depth == 0 { all.remove(&self.key) } else { None }
        });
        drop(ended);
    }
}

/// Work on the loans of a chain. `work` must not run Python code.
fn with<R>(key: Key, work: impl FnOnce(&mut Loans) -> R) -> R {
    LOANS.with_borrow_mut(|all| work(all.entry(key).or_default()))
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

/// A loan's twin that was replaced, and the one that stands for it now.
pub(crate) struct Replaced<'py> {
    number: u64,
    pub(crate) old: Bound<'py, PyAny>,
    pub(crate) new: Bound<'py, PyAny>,
    /// The old one lives on as an object of this side.
    pub(crate) kept: bool,
}

/// A call in a chain that goes on with others is done. What it kept is an object of this side from now on, and the others get
/// copies of what was lent: they would see what becomes of the kept ones, and so would the caller.
pub(crate) fn part(key: Key, py: Python<'_>) -> PyResult<Vec<Replaced<'_>>> {
    let mut replaced = Vec::new();
    for (number, old, kept) in lent_if_any_is_kept(key, py) {
        let new = shell(&old)?;
        replaced.push(Replaced { number, old, new, kept });
    }
    let new_ones: HashMap<usize, &Bound<'_, PyAny>> =
        replaced.iter().map(|twin| (twin.old.as_ptr() as usize, &twin.new)).collect();
    for twin in &replaced {
        fill(twin, &new_ones)?;
    }
    for twin in &replaced {
        let object = twin.new.clone().unbind();
        let before = with(key, |loans| {
            loans.by_address.remove(&(twin.old.as_ptr() as usize));
            loans.by_address.insert(twin.new.as_ptr() as usize, twin.number);
            let loan = loans.by_number.get_mut(&twin.number)?;
            // Where the agreed content held an old twin it holds the new one, or the caller would be told of a change.
            loan.agreed.each(|item| {
                if let Some(&new) = new_ones.get(&(item.as_ptr() as usize)) {
                    *item = new.clone().unbind();
                }
            });
            (loan.kept, loan.references) = (false, isize::MAX);
            Some(std::mem::replace(&mut loan.object, object))
        });
        drop(before);
    }
    Ok(replaced)
}

fn lent_if_any_is_kept(key: Key, py: Python<'_>) -> Vec<(u64, Bound<'_, PyAny>, bool)> {
    LOANS.with_borrow(|all| match all.get(&key) {
        Some(loans) if loans.by_number.values().any(|loan| loan.kept) => {
            let lent = loans.by_number.iter();
            lent.map(|(&number, loan)| (number, loan.object.bind(py).clone(), loan.kept)).collect()
        }
        _ => Vec::new(),
    })
}

/// An empty container of the same kind; what is no container stands for itself.
fn shell<'py>(old: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = old.py();
    Ok(match agreement(old) {
        Agreed::List(_) => PyList::empty(py).into_any(),
        Agreed::Dict(_) => PyDict::new(py).into_any(),
        Agreed::Set(_) => PySet::empty(py)?.into_any(),
        Agreed::Bytes(bytes) => PyByteArray::new(py, bytes.bind(py).as_bytes()).into_any(),
        Agreed::Opaque => old.clone(),
    })
}

/// Give the new twin what the old one holds.
fn fill<'py>(twin: &Replaced<'py>, new_ones: &HashMap<usize, &Bound<'py, PyAny>>) -> PyResult<()> {
    let new_for = |item: Bound<'py, PyAny>| new_ones.get(&(item.as_ptr() as usize)).map_or(item, |&new| new.clone());
    if let (Ok(old), Ok(new)) = (twin.old.cast_exact::<PyList>(), twin.new.cast_exact::<PyList>()) {
        old.iter().try_for_each(|item| new.append(new_for(item)))?;
    } else if let (Ok(old), Ok(new)) = (twin.old.cast_exact::<PyDict>(), twin.new.cast_exact::<PyDict>()) {
        old.iter().try_for_each(|(name, value)| new.set_item(name, new_for(value)))?;
    } else if let (Ok(old), Ok(new)) = (twin.old.cast_exact::<PySet>(), twin.new.cast_exact::<PySet>()) {
        old.iter().try_for_each(|item| new.add(item))?;
    }
    Ok(())
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

/// A message that mentions these loans is read: count who holds their twins. `result`, if it is one, is held once by
/// whoever is about to get it.
pub(crate) fn count_references(key: Key, mentioned: &[u64], result: Option<&Bound<'_, PyAny>>, py: Python<'_>) {
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
    let agreed = agreement(&object);
    let before =
        with(key, |loans| loans.by_number.get_mut(&number).map(|loan| std::mem::replace(&mut loan.agreed, agreed)));
    drop(before);
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
        .filter(|(_, object)| turn == Turn::Last || size(object) <= EAGER_ITEMS)
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
    let depth = LOANS.with_borrow(|all| all.get(&key).map_or(0, |loans| loans.depth));
    if depth <= 1 { Turn::Last } else { Turn::Middle }
}

fn size(object: &Bound<'_, PyAny>) -> usize {
    object.len().unwrap_or(usize::MAX)
}

fn change<'py>(key: Key, number: u64, object: &Bound<'py, PyAny>) -> Option<Change<'py>> {
    let py = object.py();
    let now = agreement(object);
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
        _ => Content::Bytes(object.cast::<PyByteArray>().ok()?.clone()),
    };
    let places: HashMap<usize, u64> = before
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
        Self { object: object.clone().unbind(), held: agreement(object) }
    }

    pub(crate) fn is_current(&self, py: Python<'_>) -> bool {
        !differs(&self.held, &agreement(self.object.bind(py)), py)
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
            Agreed::Bytes(bytes) => visit.call(bytes),
            Agreed::Opaque => Ok(()),
        }
    }
}

fn differs(old: &Agreed, new: &Agreed, py: Python<'_>) -> bool {
    match (old, new) {
        (Agreed::List(old), Agreed::List(new))
        | (Agreed::Dict(old), Agreed::Dict(new))
        | (Agreed::Set(old), Agreed::Set(new)) => !same_items(old, new),
        (Agreed::Bytes(old), Agreed::Bytes(new)) => old.bind(py).as_bytes() != new.bind(py).as_bytes(),
        _ => false,
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
        Agreed::Dict(dict.iter().flat_map(|(key, value)| [key.unbind(), value.unbind()]).collect())
    } else if let Ok(set) = object.cast_exact::<PySet>() {
        Agreed::Set(set.iter().map(Bound::unbind).collect())
    } else if let Ok(bytes) = object.cast_exact::<PyByteArray>() {
        Agreed::Bytes(PyBytes::new(py, &bytes.to_vec()).unbind())
    } else {
        Agreed::Opaque
    }
}
