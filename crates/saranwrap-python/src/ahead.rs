//! Items that were read ahead from iterators of the other side, and how long they are good for; and what this side remembers of
//! its own iterators that are read so. Nothing is asked here, and no Python code runs while a lock of this room is held.
//!
//! An item that was read ahead is handed out only while nothing else has gone over the session: any other op, any answer, and
//! any release that may end an object can change the container or be about the iterator. One number, the *pulse*, tells that
//! nothing has: whatever else begins or ends makes it another one, for good.
//!
//! The iterator itself stays behind: it stands where the items end that were *taken*. Those that were only looked at come from
//! a shadow, a second iterator at the same place.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::vec::IntoIter;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyIterator;

/// How many items an iteration asks for at first. It grows as long as nothing comes between.
const FIRST: usize = 8;
const GROWTH: usize = 4;
/// The most items that are asked for at once; more make no figure better.
pub(crate) const MOST_ITEMS: usize = 4096;

/// In the pulse, one op that is under way; what is below counts what has happened.
const UNDER_WAY: u64 = 1 << 48;
/// A pulse that no session ever has.
const NEVER: u64 = u64::MAX;

thread_local! {
    /// The sessions of the ops that this thread is in the middle of.
    static OWN: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// What a session knows about reading ahead, in both directions.
#[derive(Default)]
pub(crate) struct Ahead {
    pulse: AtomicU64,
    /// Cursors that hold items, or have handed out some that the other side does not know to be taken.
    cursors: Mutex<Vec<Weak<Cursor>>>,
    reading: AtomicUsize,
    /// Whether ids wait to be given back whose objects may end with that.
    loose: AtomicBool,
    readings: Mutex<HashMap<u64, Reading>>,
    shadows: AtomicUsize,
    serials: AtomicU64,
}

/// An op that may change anything there is under way, as long as this lives.
pub(crate) struct Flight<'a> {
    ahead: &'a Ahead,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        // One step: it is over, and something has happened.
        self.ahead.pulse.fetch_sub(UNDER_WAY - 1, Ordering::AcqRel);
        let address = self.ahead.address();
        OWN.with_borrow_mut(|own| {
            // Mostly the last; where greenlets take turns, one of those before it may be over first.
            if let Some(place) = own.iter().rposition(|&one| one == address) {
                own.swap_remove(place);
            }
        });
    }
}

impl Ahead {
    /// What the pulse is: while it stays so, what was read ahead is good.
    pub(crate) fn pulse(&self) -> u64 {
        self.pulse.load(Ordering::Acquire)
    }

    /// Something has happened that may make other items of those that were read ahead.
    pub(crate) fn stir(&self) {
        self.pulse.fetch_add(1, Ordering::AcqRel);
    }

    /// An op begins that may change anything there.
    pub(crate) fn begin(&self) -> Flight<'_> {
        self.pulse.fetch_add(UNDER_WAY + 1, Ordering::AcqRel);
        OWN.with_borrow_mut(|own| own.push(self.address()));
        Flight { ahead: self }
    }

    /// An op begins that no thread is in the middle of, until `landed`.
    pub(crate) fn took_off(&self) {
        self.pulse.fetch_add(UNDER_WAY + 1, Ordering::AcqRel);
    }

    /// Such an op is over.
    pub(crate) fn landed(&self) {
        self.pulse.fetch_sub(UNDER_WAY - 1, Ordering::AcqRel);
    }

    /// Whether another thread's op is under way. Those of this thread are not: it would not be here but for a callback.
    pub(crate) fn is_busy(&self) -> bool {
        let own = OWN.with_borrow(|own| own.iter().filter(|&&address| address == self.address()).count());
        self.pulse() / UNDER_WAY > own as u64
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// An id waits to be given back. `held_at` is the pulse at which its object was known to be in a container: as long as
    /// that is so, giving it back ends nothing.
    pub(crate) fn given_back(&self, held_at: u64) {
        if held_at != self.pulse() {
            self.stir();
            self.loose.store(true, Ordering::Release);
        }
    }

    /// The ids that waited are on their way.
    pub(crate) fn sent_back(&self) {
        self.loose.store(false, Ordering::Release);
    }

    /// Whether an object may end when the ids that wait are given back.
    pub(crate) fn is_loose(&self) -> bool {
        self.loose.load(Ordering::Acquire)
    }

    /// Whether anything is being read ahead from the other side.
    pub(crate) fn is_reading(&self) -> bool {
        self.has_cursors() && lock(&self.cursors).iter().any(|cursor| cursor.strong_count() > 0)
    }

    /// Whether there may be somebody who is reading ahead.
    pub(crate) fn has_cursors(&self) -> bool {
        self.reading.load(Ordering::Acquire) > 0
    }

    fn note(&self, cursor: &Arc<Cursor>) {
        lock(&self.cursors).push(Arc::downgrade(cursor));
        self.reading.fetch_add(1, Ordering::AcqRel);
    }

    /// Everybody who was reading ahead; from now on nobody is.
    pub(crate) fn cursors(&self) -> Vec<Arc<Cursor>> {
        let cursors = std::mem::take(&mut *lock(&self.cursors));
        self.reading.fetch_sub(cursors.len(), Ordering::AcqRel);
        cursors.iter().filter_map(Weak::upgrade).collect()
    }

    /// A number that no batch of this side had before.
    pub(crate) fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What is known of the other side's reading of this iterator; to be put back when it has read on.
    pub(crate) fn take_reading(&self, id: u64) -> Reading {
        let reading = lock(&self.readings).remove(&id).unwrap_or_default();
        self.shadows.fetch_sub(usize::from(reading.shadow.is_some()), Ordering::AcqRel);
        reading
    }

    pub(crate) fn put_reading(&self, id: u64, reading: Reading) {
        self.shadows.fetch_add(usize::from(reading.shadow.is_some()), Ordering::AcqRel);
        let replaced = lock(&self.readings).insert(id, reading);
        drop(replaced);
    }

    /// Somebody is about to use the object with this id otherwise than by reading ahead, which may move an iterator.
    pub(crate) fn used(&self, id: u64) {
        if self.shadows.load(Ordering::Acquire) == 0 {
            return;
        }
        let shadow = lock(&self.readings).get_mut(&id).and_then(|reading| reading.shadow.take());
        self.shadows.fetch_sub(usize::from(shadow.is_some()), Ordering::AcqRel);
        drop(shadow);
    }

    /// Whether the other side reads any iterator of this one.
    pub(crate) fn is_read(&self) -> bool {
        !lock(&self.readings).is_empty()
    }

    /// The other side has given these ids back: it reads them no more.
    pub(crate) fn forget(&self, ids: &[u64]) {
        let gone: Vec<Reading> = {
            let mut readings = lock(&self.readings);
            ids.iter().filter_map(|id| readings.remove(id)).collect()
        };
        let shadows = gone.iter().filter(|reading| reading.shadow.is_some()).count();
        self.shadows.fetch_sub(shadows, Ordering::AcqRel);
        drop(gone);
    }
}

/// What this side remembers of an iterator of its own that the other side reads ahead.
#[derive(Default)]
pub(crate) struct Reading {
    /// The last batch, how many items of it were only looked at, and how many of those the other side has told to be taken.
    pub(crate) serial: u64,
    pub(crate) shown: usize,
    pub(crate) taken: usize,
    /// A second iterator, which stands behind all that was shown.
    pub(crate) shadow: Option<Py<PyIterator>>,
    /// How many batches there were since the last shadow was lost. It pays for the way of the next one.
    pub(crate) patience: usize,
}

/// The near end of a remote iterator that may be read ahead.
#[derive(Default)]
pub(crate) struct Cursor {
    pub(crate) id: u64,
    batch: Mutex<Batch>,
}

struct Batch {
    /// The pulse for which the items are good.
    pulse: u64,
    serial: u64,
    items: IntoIter<Py<PyAny>>,
    /// How many items of this batch there were that the other side does not know to be taken, before any was.
    shown: usize,
    /// The iterator ends behind the items; and that has been handed out, too.
    ends: bool,
    ended: bool,
    /// Up to where the other side knows.
    told: usize,
    /// How much the last batch asked for.
    wanted: usize,
    /// How many threads wait for a batch. When several do, nobody can say which items come first.
    waiting: usize,
    muddled: bool,
    noted: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            pulse: NEVER,
            serial: 0,
            items: Vec::new().into_iter(),
            shown: 0,
            ends: false,
            ended: false,
            told: 0,
            wanted: 0,
            waiting: 0,
            muddled: false,
            noted: false,
        }
    }
}

/// What a cursor has at hand.
pub(crate) enum Next {
    Item(Py<PyAny>),
    End,
    /// Nothing that is still good.
    Ask,
}

/// What to ask for: how many items of which batch were taken, and how many more are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Question {
    pub(crate) serial: u64,
    pub(crate) taken: usize,
    pub(crate) count: usize,
    pub(crate) pulse: u64,
}

impl Batch {
    fn taken(&self) -> usize {
        self.shown - self.items.len() + usize::from(self.ended)
    }

    /// Nothing of this is good any more, except what it says about what was taken.
    fn spoil(&mut self) -> IntoIter<Py<PyAny>> {
        self.shown = self.taken();
        self.ends = false;
        self.ended = false;
        self.pulse = NEVER;
        std::mem::replace(&mut self.items, Vec::new().into_iter())
    }
}

impl Cursor {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, batch: Mutex::default() }
    }

    /// The next item, if it is here and good.
    pub(crate) fn next(&self, ahead: &Ahead) -> Next {
        let mut batch = lock(&self.batch);
        if batch.pulse != ahead.pulse() {
            return Next::Ask;
        }
        match batch.items.next() {
            Some(item) => Next::Item(item),
            None if batch.ends => {
                batch.ended = true;
                Next::End
            }
            None => Next::Ask,
        }
    }

    /// What to ask for now. What was read ahead in vain is dropped here.
    pub(crate) fn question(&self, ahead: &Ahead) -> Question {
        let (question, spoiled) = {
            let mut batch = lock(&self.batch);
            let pulse = ahead.pulse();
            batch.waiting += 1;
            batch.muddled |= batch.waiting > 1;
            batch.wanted = match batch.wanted {
                _ if batch.muddled || ahead.is_busy() => 1,
                0 => FIRST,
                wanted if batch.pulse == pulse => (wanted * GROWTH).min(MOST_ITEMS),
                _ => 1,
            };
            let spoiled = batch.spoil();
            (Question { serial: batch.serial, taken: batch.taken(), count: batch.wanted, pulse }, spoiled)
        };
        drop(spoiled);
        question
    }

    /// The other side knows what was taken of this batch.
    pub(crate) fn told(&self, serial: u64, taken: usize) {
        let mut batch = lock(&self.batch);
        if batch.serial == serial {
            batch.told = taken;
        }
    }

    /// What of this batch the other side does not know to be taken. What is left of it is dropped.
    pub(crate) fn untold(&self) -> Option<(u64, usize)> {
        let (untold, spoiled) = {
            let mut batch = lock(&self.batch);
            batch.noted = false;
            let spoiled = batch.spoil();
            ((batch.taken() > batch.told).then(|| (batch.serial, batch.taken())), spoiled)
        };
        drop(spoiled);
        untold
    }

    /// No batch came of a question.
    pub(crate) fn gave_up(&self) {
        let mut batch = lock(&self.batch);
        batch.waiting -= 1;
        batch.muddled &= batch.waiting > 0;
    }

    /// A batch came. `items` are those behind the one that was taken there at once; they are dropped here unless they are good.
    pub(crate) fn fill(
        self: &Arc<Self>,
        ahead: &Ahead,
        question: &Question,
        serial: u64,
        items: Vec<Py<PyAny>>,
        ends: bool,
    ) {
        let mut batch = lock(&self.batch);
        let is_good = !batch.muddled && ahead.pulse() == question.pulse;
        batch.waiting -= 1;
        batch.muddled &= batch.waiting > 0;
        (batch.serial, batch.told, batch.shown, batch.ended) = (serial, 0, 0, false);
        if !is_good {
            drop(batch);
            drop(items);
            return;
        }
        (batch.pulse, batch.shown, batch.ends) = (question.pulse, items.len(), ends);
        batch.items = items.into_iter();
        let is_new = !batch.noted && (ends || batch.shown > 0);
        batch.noted |= is_new;
        drop(batch);
        if is_new {
            ahead.note(self);
        }
    }

    /// The other side could not be told; it must be before anything else is asked of it.
    pub(crate) fn keep(self: &Arc<Self>, ahead: &Ahead) {
        lock(&self.batch).noted = true;
        ahead.note(self);
    }

    /// What the collector of cycles has to know.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A lock that is taken means that a call is under way, so the cursor is not garbage.
        match self.batch.try_lock() {
            Ok(batch) => batch.items.as_slice().iter().try_for_each(|item| visit.call(item)),
            Err(_) => Ok(()),
        }
    }

    /// Let go of all items.
    pub(crate) fn clear(&self) {
        let spoiled = lock(&self.batch).spoil();
        drop(spoiled);
    }
}

/// A panic while a lock was held left nothing half done that matters here, so a poisoned lock is taken as it is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
