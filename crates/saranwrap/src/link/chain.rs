//! What the current thread is in the middle of: its bell, and the chains of calls it is in, innermost last.
//!
//! A chain is one line of nested calls that crosses the link to and fro, like one thread that runs in two processes.  A call
//! made while another one is served goes on with that one's chain, which is how the other side knows whom it concerns.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::sys::fd::Bell;
use crate::sys::process;

/// How many calls of one thread may be inside each other, over all links.  The other side decides how deep callbacks go, and
/// it must not exhaust the stack of this process.
const MAX_NESTING: usize = 1000;

/// One call that the current thread is in.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The number of the link.
    link: u64,
    /// The chain it belongs to.
    chain: u64,
    /// The id of the call, where the thread serves it rather than made it.
    serving: Option<u64>,
    /// Which of the lines of execution that take turns on this thread.
    strand: u64,
}

thread_local! {
    static STACK: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
    static STRAND: Cell<u64> = const { Cell::new(0) };
    static BELL: RefCell<Option<(u64, Arc<Bell>)>> = const { RefCell::new(None) };
}

/// Which line of execution the current thread is in from now on, where several take turns on it, as greenlets do.  A thread in which
/// none do never calls this.
///
/// Their calls are not nested in each other, though they lie on one stack: each sees its own, and takes its own away.
pub fn set_strand(strand: u64) {
    STRAND.set(strand);
}

/// The bell of the current thread.
pub(super) fn bell() -> Result<Arc<Bell>> {
    // A forked process inherits the eventfd, and would hear (and silence) what is meant for the thread it was forked from.
    // So the bell is good for one process only.
    let process = process::incarnation();
    let known = BELL.try_with(|bell| match &*bell.borrow() {
        Some((owner, bell)) if *owner == process => Some(Arc::clone(bell)),
        _ => None,
    });
    if let Some(bell) = known.map_err(|_| thread_is_ending())? {
        return Ok(bell);
    }
    let new = Bell::new().map_err(|error| Error::os("could not make an eventfd", error))?;
    let new = Arc::new(new);
    BELL.with(|bell| bell.replace(Some((process, Arc::clone(&new)))));
    Ok(new)
}

/// The chain that the current thread is in on this link.
pub(super) fn current(link: u64) -> Option<u64> {
    find(|entry| (entry.link == link).then_some(entry.chain))
}

/// The call that the current thread serves on this link.
pub(super) fn serving(link: u64) -> Option<u64> {
    find(|entry| entry.serving.filter(|_| entry.link == link))
}

/// Whether the current thread serves more than one call of the chain that it is in on this link.
pub(super) fn is_nested(link: u64) -> bool {
    let Some(chain) = current(link) else { return false };
    let serves = |entry: &&Entry| entry.link == link && entry.chain == chain && entry.serving.is_some();
    STACK.try_with(|stack| stack.borrow().iter().filter(serves).count() > 1).unwrap_or(false)
}

/// Whether one more call may be made from here.
pub(super) fn check_depth() -> Result<()> {
    let strand = STRAND.get();
    let depth = |stack: &RefCell<Vec<Entry>>| match stack.borrow().len() {
        few if few < MAX_NESTING => few,
        _ => stack.borrow().iter().filter(|entry| entry.strand == strand).count(),
    };
    let depth = STACK.try_with(depth).map_err(|_| thread_is_ending())?;
    if depth < MAX_NESTING {
        return Ok(());
    }
    Err(Error::refused(format!("calls are nested {MAX_NESTING} deep")))
}

/// A thread's stay in a chain; it ends where it began, in the same thread and the innermost first.
#[derive(Debug)]
#[must_use = "the stay ends when this is dropped"]
pub struct Visit {
    link: u64,
    strand: u64,
    /// The stack of chains is the thread's own: no other thread may end the stay.
    thread: PhantomData<*const ()>,
}

impl Visit {
    /// The current thread enters a chain, or a call of one that it serves.
    pub(super) fn begin(link: u64, chain: u64, serving: Option<u64>) -> Result<Self> {
        let strand = STRAND.get();
        let entry = Entry { link, chain, serving, strand };
        STACK.try_with(|stack| stack.borrow_mut().push(entry)).map_err(|_| thread_is_ending())?;
        Ok(Self { link, strand, thread: PhantomData })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let _ = STACK.try_with(|stack| {
            let mut stack = stack.borrow_mut();
            // Nearly always the last one.
            if let Some(place) = stack.iter().rposition(|entry| entry.link == self.link && entry.strand == self.strand)
            {
                stack.remove(place);
            }
        });
    }
}

fn find(mut wanted: impl FnMut(&Entry) -> Option<u64>) -> Option<u64> {
    let strand = STRAND.get();
    let mut wanted = |entry: &Entry| if entry.strand == strand { wanted(entry) } else { None };
    STACK.try_with(|stack| stack.borrow().iter().rev().find_map(&mut wanted)).ok().flatten()
}

fn thread_is_ending() -> Error {
    Error::refused("a thread that is ending cannot use a link")
}
