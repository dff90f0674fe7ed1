//! Iteration in batches: the proxies of the language's own iterators, and how such an iterator is read for the other side.
//! When items that were read ahead may be handed out is told in `ahead`.

use std::sync::Arc;

use pyo3::exceptions::{PyBaseException, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyIterator, PyList, PyTuple};
use saranwrap::error::Error;
use saranwrap::op::Op;

use crate::ahead::{Cursor, MOST_ITEMS, Next, Question, Reading};
use crate::convert::foreseen;
use crate::fault::{Fault, Result};
use crate::mirror::Mirror;
use crate::names;
use crate::proxy::Proxy;
use crate::session::Session;

/// A batch is full when its items are about as large as this; the first one may have any size.
const MOST_BYTES: usize = 64 << 10;
/// What an item counts whose size cannot be told before it is sent.
const UNFORESEEN: usize = MOST_BYTES / 8;
/// How far a shadow may have to walk for nothing, for each batch that was done without one.
const WALK_AT_FIRST: usize = 1000;
const WALK_FOR_EACH: usize = 500;
/// The references to an iterator that nobody can use but by its id: the table's and the one that looks.
const NOBODY_ELSE: isize = 2;

/// A proxy of an iterator that has no code of a user's in it and whose place can be told: it is read in batches.
#[pyclass(frozen, subclass, extends = Proxy, name = "IteratorBase", module = "saranwrap._native")]
pub(crate) struct IteratorProxy {
    cursor: Arc<Cursor>,
}

#[pymethods]
impl IteratorProxy {
    #[new]
    fn new(session: Py<Session>, id: u64, mirror: Py<Mirror>) -> PyClassInitializer<Self> {
        let cursor = Arc::new(Cursor::new(id));
        PyClassInitializer::from(Proxy::new(session, id, mirror)).add_subclass(Self { cursor })
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        // Held for the length of the call; see `special::ask`.
        let slf = &slf.clone();
        let session = &slf.as_super().get().stand.spot().session;
        match slf.get().cursor.next(&session.get().ahead) {
            Next::Item(item) => Ok(Some(item)),
            Next::End => Ok(None),
            Next::Ask => read_on(session.bind(slf.py()), &slf.get().cursor),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.cursor.traverse(&visit)
    }

    fn __clear__(&self) {
        self.cursor.clear();
    }
}

/// The next item, with which others come.
fn read_on(session: &Bound<'_, Session>, cursor: &Arc<Cursor>) -> PyResult<Option<Py<PyAny>>> {
    let ahead = &session.get().ahead;
    let question = cursor.question(ahead);
    let batch = ask(session, cursor, question).inspect_err(|_| cursor.gave_up())?;
    // Until the pulse changes they are all in the container, the first one as well.
    batch.items.iter().chain(&batch.first).for_each(|item| hold(item.bind(session.py()), question.pulse));
    cursor.fill(ahead, &question, batch.serial, batch.items, batch.ends);
    if batch.first.is_none() {
        // The iterator has let go of its container, which may have been all that held what came out of it.
        ahead.stir();
    }
    Ok(batch.first)
}

/// An answer to `ahead`: the batch's number, the item that was taken at once, those behind it, and whether they are the last.
struct Batch {
    serial: u64,
    first: Option<Py<PyAny>>,
    items: Vec<Py<PyAny>>,
    ends: bool,
}

fn ask(session: &Bound<'_, Session>, cursor: &Cursor, question: Question) -> PyResult<Batch> {
    if session.get().ahead.is_loose() {
        // Ids that are given back go ahead of the question, and an object that ends there may change what an iterator is about:
        // before that each must stand where it would stand here.
        Session::tell_all(session)?;
    }
    let py = session.py();
    let numbers = [question.serial, question.taken as u64, question.count as u64];
    let [serial, taken, count] = numbers.map(|number| PyInt::new(py, number).into_any());
    let answer = Session::ask(session, Op::Ahead, cursor.id, &[&serial, &taken, &count])?;
    understood(&answer, question.count).ok_or_else(|| garbled(session, "ahead"))
}

fn understood(answer: &Bound<'_, PyAny>, count: usize) -> Option<Batch> {
    let parts = answer.cast_exact::<PyTuple>().ok()?;
    let serial = parts.get_item(0).ok()?.extract::<u64>().ok()?;
    let ends = parts.get_item(1).ok()?.cast_exact::<PyBool>().ok()?.is_true();
    let mut items = parts.iter().skip(2).map(Bound::unbind);
    let first = items.next();
    let batch = Batch { serial, first, items: items.collect(), ends };
    (batch.items.len() < count && (ends || batch.first.is_some())).then_some(batch)
}

/// The objects of an item are in the container for as long as the pulse is this.
fn hold(item: &Bound<'_, PyAny>, pulse: u64) {
    if let Ok(proxy) = item.cast::<Proxy>() {
        proxy.get().hold(pulse);
    } else if let Ok(tuple) = item.cast_exact::<PyTuple>() {
        for part in tuple {
            if let Ok(proxy) = part.cast::<Proxy>() {
                proxy.get().hold(pulse);
            }
        }
    }
}

impl Session {
    /// The other side has given ids back; iterators among them are read no more.
    pub(crate) fn end_readings(&self, releases: &[(u64, u64)]) {
        if !self.ahead.is_read() {
            return;
        }
        let gone: Vec<u64> = {
            let exports = self.exports();
            releases.iter().map(|&(id, _)| id).filter(|&id| !exports.has(id)).collect()
        };
        self.ahead.forget(&gone);
    }
}

/// Serve `ahead`: move the iterator on by what was taken, then, unless this is all, take one item of it and look at those behind.
pub(crate) fn read<'py>(
    session: &Bound<'py, Session>,
    id: Option<u64>,
    args: &[Bound<'py, PyAny>],
) -> Result<Bound<'py, PyAny>> {
    let (Some(id), [serial, taken, count @ ..]) = (id, args) else {
        return Err(Error::garbled("`ahead` needs an iterator's id and two or three numbers").into());
    };
    let (serial, taken) = (serial.extract::<u64>()?, taken.extract::<usize>()?);
    let count = count.first().map_or(Ok(0), |count| count.extract::<usize>())?;
    // Not by way of `exported`, which ends the reading.
    let found = session.get().exports().find(session.py(), id);
    let iterator = found.ok_or_else(|| Error::garbled(format!("no object here has the id {id}")))?;
    let iterator = iterator.into_bound(session.py());
    if count > MOST_ITEMS {
        return Err(PyValueError::new_err(format!("at most {MOST_ITEMS} items are read ahead, not {count}")).into());
    }
    if !names::READ_AHEAD.get(session.py())?.contains(iterator.get_type())? {
        return Err(PyTypeError::new_err(format!("a {} is not read ahead", iterator.get_type().name()?)).into());
    }
    let ahead = &session.get().ahead;
    let mut reading = ahead.take_reading(id);
    let batch = reading.read(session, iterator, (serial, taken), count);
    ahead.put_reading(id, reading);
    batch
}

impl Reading {
    fn read<'py>(
        &mut self,
        session: &Bound<'py, Session>,
        iterator: Bound<'py, PyAny>,
        (serial, taken): (u64, usize),
        count: usize,
    ) -> Result<Bound<'py, PyAny>> {
        let py = session.py();
        let alone = is_alone(&iterator)?;
        let mut iterator = iterator.cast_into::<PyIterator>()?;
        if serial == self.serial {
            self.move_on(&mut iterator, taken)?;
        }
        if count == 0 {
            return Ok(py.None().into_bound(py));
        }
        if self.shown != self.taken || !alone {
            self.shadow = None;
        }
        // One that keeps step may be needed again, though nobody looks further than to the first item now.
        let shadow = if alone && (count > 1 || self.shadow.is_some()) { self.shadow(&iterator)? } else { None };
        self.shadow = None;
        self.serial = session.get().ahead.next_serial();
        (self.shown, self.taken) = (0, 0);
        let mut items = vec![self.serial.into_pyobject(py)?.into_any()];
        let Some(first) = iterator.next().transpose()? else {
            items.push(PyBool::new(py, true).to_owned().into_any());
            return Ok(PyTuple::new(py, items)?.into_any());
        };
        items.push(PyBool::new(py, false).to_owned().into_any());
        items.push(first.clone());
        if let Some((mut shadow, proof)) = shadow
            && matches!(shadow.next(), Some(Ok(same)) if proof.holds(&first, &same))
        {
            self.look(session, shadow, &mut items, count);
        }
        Ok(PyTuple::new(py, items)?.into_any())
    }

    /// What the other side took was only looked at until now.
    fn move_on(&mut self, iterator: &mut Bound<'_, PyIterator>, taken: usize) -> Result<()> {
        // One more than there were items is their end.
        if taken > self.shown + 1 {
            return Err(Error::garbled("more items were taken of a batch than it had").into());
        }
        for _ in self.taken..taken {
            // It ends where the batch said so; and what it would raise it raises again when it is asked for an item.
            if !matches!(iterator.next(), Some(Ok(_))) {
                break;
            }
        }
        self.taken = self.taken.max(taken);
        Ok(())
    }

    /// A second iterator at the same place; none if there is no way to it, or only a long one.
    fn shadow<'py>(&mut self, iterator: &Bound<'py, PyIterator>) -> Result<Option<(Bound<'py, PyIterator>, Proof)>> {
        let py = iterator.py();
        if let Some(shadow) = self.shadow.take() {
            return Ok(Some((shadow.into_bound(py), Proof::NotNeeded)));
        }
        self.patience += 1;
        let walk = WALK_AT_FIRST + WALK_FOR_EACH * self.patience;
        let made = names::SHADOW.get(py)?.call1((iterator, walk))?;
        if made.is_none() {
            return Ok(None);
        }
        self.patience = 0;
        let (shadow, proof) = made.extract::<(Bound<'py, PyIterator>, u8)>()?;
        let proof = match proof {
            0 => Proof::NotNeeded,
            1 => Proof::Item,
            _ => Proof::Key,
        };
        Ok(Some((shadow, proof)))
    }

    /// Add the items behind the first, as far as looking at them changes nothing.
    fn look<'py>(
        &mut self,
        session: &Bound<'py, Session>,
        mut shadow: Bound<'py, PyIterator>,
        items: &mut Vec<Bound<'py, PyAny>>,
        count: usize,
    ) {
        let mut size = 0;
        while self.shown + 1 < count && size < MOST_BYTES {
            let item = match shadow.next() {
                None => {
                    items[1] = PyBool::new(session.py(), true).to_owned().into_any();
                    return;
                }
                // The iterator itself raises it when its turn comes.
                Some(Err(_)) => return,
                Some(Ok(item)) => item,
            };
            let Some(weight) = foreseen(session, &item) else { return };
            size += weight;
            self.shown += 1;
            items.push(item);
        }
        self.shadow = Some(shadow.unbind());
    }
}

/// Whether nobody can use the iterator meanwhile: no other thread of this process, and nobody who has it.
fn is_alone(iterator: &Bound<'_, PyAny>) -> Result<bool> {
    #[expect(deprecated, reason = "its successor is unsafe")]
    let references = iterator.get_refcnt();
    let threads = names::THREADS.get(iterator.py())?.call0()?.extract::<usize>()?;
    Ok(references == NOBODY_ELSE && threads == 0)
}

/// How a shadow shows that it stands at the iterator's own place.
enum Proof {
    NotNeeded,
    /// The next item of both is the same object, which the container has but once.
    Item,
    /// The next item of both is a pair with the same key.
    Key,
}

impl Proof {
    fn holds(&self, one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> bool {
        match self {
            Self::NotNeeded => true,
            Self::Item => one.is(other),
            Self::Key => key_of(one).zip(key_of(other)).is_some_and(|(one, other)| one.is(&other)),
        }
    }
}

fn key_of<'py>(pair: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    pair.cast::<PyTuple>().ok()?.get_item(0).ok()
}

/// The next items of the iterator behind `proxy`, taken there, and what it raised behind them or None.
#[pyfunction]
pub(crate) fn take<'py>(proxy: &Bound<'py, Proxy>, count: usize) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
    let place = proxy.get().stand.ready(proxy.py())?;
    let session = place.session.bind(proxy.py());
    let answer = Session::ask(session, Op::Take, place.id, &[PyInt::new(proxy.py(), count).as_any()])?;
    let parts = answer.extract::<(Bound<'py, PyAny>, Bound<'py, PyTuple>)>().ok();
    let is_sound = |end: &Bound<'py, PyAny>, items: &Bound<'py, PyTuple>| {
        (end.is_none() || end.is_instance_of::<PyBaseException>()) && (1..=count).contains(&items.len())
    };
    parts.filter(|(end, items)| is_sound(end, items)).ok_or_else(|| garbled(session, "take"))
}

/// The other side did not answer with what was asked for.
fn garbled(session: &Bound<'_, Session>, op: &str) -> PyErr {
    let error = Error::garbled(format!("the answer to `{op}` is no batch, or more than was asked for"));
    session.get().link.break_with(error.clone());
    Fault::Link(error).into_py(session.py())
}

/// Serve `take`: the next items of any iterator, and behind them what it raised instead of one more, if it did.
pub(crate) fn give<'py>(
    session: &Bound<'py, Session>,
    iterator: &Bound<'py, PyAny>,
    count: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let count = count.extract::<usize>()?.min(MOST_ITEMS);
    let next = names::NEXT.get(session.py())?;
    let (items, mut size) = (PyList::empty(session.py()), 0);
    let mut end = session.py().None().into_bound(session.py());
    while items.len() < count && size < MOST_BYTES {
        match next.call1((iterator,)) {
            Ok(item) => {
                size += foreseen(session, &item).unwrap_or(UNFORESEEN);
                items.append(item)?;
            }
            // What comes first needs no place behind others.
            Err(error) if items.is_empty() => return Err(error),
            Err(error) => {
                end = error.into_value(session.py()).into_bound(session.py()).into_any();
                break;
            }
        }
    }
    Ok(PyTuple::new(session.py(), [end, items.to_tuple().into_any()])?.into_any())
}
