//! What of an arena is mapped, and how far the other side's memory is looked at.  Which block is whose is not known here.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use super::blocks::{GRAIN, STRETCH, size_for};
use super::{CAPACITY, lock};
use crate::error::{Error, Result};
use crate::sys::window::{self, Access, PageMap, Window};

/// How many windows stay open that nothing looks through.
const IDLE_WINDOWS: usize = 64;

/// How many private windows do, and how long they may be together.
const IDLE_PRIVATE: usize = 8;
const IDLE_PRIVATE_BYTES: usize = 1 << 30;

/// Of how many blocks it is remembered that they have pages.
const KNOWN_BLOCKS: usize = 4096;

/// How bytes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looking {
    /// As they are; what their owner does to them shows.
    Shared,
    /// As a copy of one's own, which may be written to.
    Private,
}

/// Windows on a block.
#[derive(Debug)]
pub(super) struct Opened {
    /// One that shows the block as it is, and where in it the block begins.
    pub(super) shared: (Arc<Window>, usize),
    /// A private one, if that was asked for; it begins where the block does.
    pub(super) private: Option<Arc<Window>>,
}

/// Windows of one kind on one memory, which stay open: the page tables behind them are dear.
#[derive(Debug)]
pub(super) struct Windows {
    access: Access,
    open: Mutex<HashMap<u64, Arc<Window>>>,
}

impl Windows {
    pub(super) fn for_access(access: Access) -> Self {
        Self { access, open: Mutex::default() }
    }

    /// A window on a block, and where the block is in it.  Small blocks share one on their stretch.
    pub(super) fn on(&self, fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<(Arc<Window>, usize)> {
        let ahead = offset % STRETCH;
        let (begin, inside, wanted) = if ahead + len <= STRETCH {
            (offset - ahead, ahead, STRETCH)
        } else {
            (offset, 0, size_for(len).unwrap_or(len))
        };
        let mut open = lock(&self.open);
        if let Some(window) = open.get(&begin)
            && window.len() as u64 >= wanted.min(CAPACITY - begin)
        {
            return Ok((Arc::clone(window), inside as usize));
        }
        if open.len() >= IDLE_WINDOWS {
            open.retain(|_, window| Arc::strong_count(window) > 1);
        }
        let wanted = wanted.min(CAPACITY - begin);
        let window = Arc::new(Window::open(fd, begin, wanted as usize, self.access)?);
        open.insert(begin, Arc::clone(&window));
        Ok((window, inside as usize))
    }
}

/// The memory that the other side writes to.
#[derive(Debug)]
pub(super) struct Theirs {
    fd: OwnedFd,
    seen: Mutex<Seen>,
    windows: Windows,
    /// Private windows that nobody wrote to, by the number of the block; the last one used last.
    unwritten: Mutex<VecDeque<(u64, Arc<Window>)>>,
}

/// What is looked at, by the numbers of the blocks.
#[derive(Debug, Default)]
struct Seen {
    /// How often each is looked at.
    counts: HashMap<u64, u64>,
    /// How far each was found to have pages.
    there: HashMap<u64, u64>,
}

impl Theirs {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd, seen: Mutex::default(), windows: Windows::for_access(Access::Read), unwritten: Mutex::default() }
    }

    /// How many blocks are looked at.
    pub(super) fn count(&self) -> usize {
        lock(&self.seen).counts.len()
    }

    /// Look at the first `end` bytes of a block.  An error means that the other side lies, or that the system has no room.
    pub(super) fn open(&self, number: u64, end: u64, looking: Looking) -> Result<Opened> {
        let offset = number.checked_mul(GRAIN).filter(|offset| CAPACITY.saturating_sub(end) >= *offset);
        let offset = offset.ok_or_else(|| Error::garbled("a block was named outside its memory"))?;
        self.note(number, offset, end)?;
        let opened = self.windows.on(self.fd.as_fd(), offset, end).and_then(|shared| {
            let private = match looking {
                Looking::Shared => None,
                Looking::Private => Some(self.private(number, offset, end)?),
            };
            Ok(Opened { shared, private })
        });
        opened.map_err(|error| {
            self.forget(number);
            Error::os("could not open a window on a block", error)
        })
    }

    /// It is looked at once less, through this private window if it was one.
    pub(super) fn close(&self, number: u64, private: Option<&Arc<Window>>, pages: &PageMap) {
        self.forget(number);
        let Some(window) = private.filter(|window| window.written(0, window.len(), pages).is_empty()) else { return };
        let mut unwritten = lock(&self.unwritten);
        unwritten.push_back((number, Arc::clone(window)));
        let mut bytes = unwritten.iter().map(|(_, window)| window.len()).sum::<usize>();
        while unwritten.len() > IDLE_PRIVATE || bytes > IDLE_PRIVATE_BYTES {
            let Some((_, window)) = unwritten.pop_front() else { break };
            bytes -= window.len();
        }
    }

    fn private(&self, number: u64, offset: u64, end: u64) -> io::Result<Arc<Window>> {
        {
            let mut unwritten = lock(&self.unwritten);
            let fits = |(known, window): &(u64, Arc<Window>)| *known == number && window.len() as u64 >= end;
            if let Some(index) = unwritten.iter().position(fits)
                && let Some((_, window)) = unwritten.remove(index)
            {
                return Ok(window);
            }
        }
        let window = Window::open(&self.fd, offset, end.max(1) as usize, Access::Private)?;
        window.populate(0, end as usize);
        Ok(Arc::new(window))
    }

    /// What the sender of a block says is there must have pages: those who read what is not there would make them.
    ///
    /// A block that was whole once is not looked at again.  Its sender may take the pages away; then they are made anew, and are
    /// no more than it had made before.
    fn note(&self, number: u64, offset: u64, end: u64) -> Result<()> {
        let mut seen = lock(&self.seen);
        if seen.there.get(&number).is_none_or(|&there| there < end) {
            let hole = window::hole_after(&self.fd, offset);
            let hole = hole.map_err(|error| Error::os("could not look at the arena", error))?;
            if hole < offset + end {
                return Err(Error::garbled(format!(
                    "a block of {end} bytes was named, and only {} are there",
                    hole - offset
                )));
            }
            if seen.there.len() >= KNOWN_BLOCKS {
                seen.there.clear();
            }
            seen.there.insert(number, end);
        }
        *seen.counts.entry(number).or_insert(0) += 1;
        Ok(())
    }

    fn forget(&self, number: u64) {
        let mut seen = lock(&self.seen);
        let Some(count) = seen.counts.get_mut(&number) else { return };
        *count -= 1;
        if *count == 0 {
            seen.counts.remove(&number);
        }
    }
}
