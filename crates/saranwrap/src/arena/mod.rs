//! Large data in memory that both sides see: one side copies it into a block and names that, the other opens a window on it.  What
//! the bytes mean is not known here.
//!
//! # How it works
//!
//! There is one memory for each direction.  Its sender alone decides what is where; the other side only looks, and gives a block
//! back when its last view of it has died.  The ids of blocks in a Release have the top bit set, which no other id has.
//!
//! Both memories have a fixed size, far larger than any machine's, and no pages but those that were written to.  So nothing ever
//! grows, no descriptor is passed later, and a window cannot fault.
//!
//! The other side may be hostile.  A place that it names is checked before anything is mapped or allocated for it; bytes that it
//! may still change are copied or handed on, and never parsed.

mod blocks;
mod windows;
mod held;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::sys::window::{self, Access, PageMap, Window};
use crate::wire::{Reader, Writer, tag};
use blocks::{Blocks, GRAIN};
pub use held::Held;
pub use windows::Looking;
use windows::{Opened, Theirs, Windows};

/// How large a memory is, without a page in it.  No size of a machine's own; 47 bits of addresses have room for a hundred.
const CAPACITY: u64 = 1 << 40;

/// The bit that tells ids of blocks from those of objects.
pub const BLOCK: u64 = 1 << 63;

/// How many bytes of blocks may wait to be given back until a frame goes out anyway.
const MUCH: u64 = 64 << 20;

/// How often this process has been about to fork.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// This process is about to fork.  What is looked at now may from then on be looked at by two processes, and only one of them
/// would say when it is done.  So those blocks are never given back; they go when the memory does.
pub fn before_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Whose memory a place is in, as the sender of a message sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The sender's; naming it gives it out once.
    Sender,
    /// The receiver's: something of it that the sender still looks at goes home.
    Receiver,
}

/// Bytes in a block, as a message names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose block it is.
    pub owner: Owner,
    /// The number of the block.
    pub number: u64,
    /// Where the bytes begin, from the start of the block.
    pub start: u64,
    /// How many there are.
    pub len: u64,
}

impl Place {
    /// Write it, with its tag.
    pub fn write(&self, out: &mut Writer) {
        out.tag(tag::BLOCK);
        out.array(4);
        out.u64(u64::from(self.owner == Owner::Receiver));
        out.u64(self.number);
        out.u64(self.start);
        out.u64(self.len);
    }

    /// Read it; the tag has been read.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.array("block")? != 4 {
            return Err(Error::garbled("a block does not have 4 parts"));
        }
        let owner = match reader.u64("owner")? {
            0 => Owner::Sender,
            1 => Owner::Receiver,
            other => return Err(Error::garbled(format!("{other} is no owner of a block"))),
        };
        let (number, start, len) = (reader.u64("block")?, reader.u64("start")?, reader.u64("length")?);
        Ok(Self { owner, number, start, len })
    }
}

/// What is out, for `status` and for tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blocks that the other side has not given back.
    pub blocks_out: usize,
    /// How many bytes those have.
    pub bytes_out: u64,
    /// Blocks of the other side that are looked at here.
    pub blocks_in: usize,
}

/// The memories of one link, as one side has them; without any, everything crosses in the bodies of frames.
#[derive(Debug, Default)]
pub struct Arena {
    ours: Option<Ours>,
    theirs: Option<Theirs>,
    given_back: Mutex<GivenBack>,
    /// Whether there is anything in `given_back`; raised after it was put there.
    waits: AtomicBool,
    /// What is looked at here, by address, so that it need not be copied when it is sent.
    views: Mutex<BTreeMap<(usize, u64), View>>,
    next_view: AtomicU64,
    pages: PageMap,
    /// The process that the arena belongs to; one that is forked from it inherits only what was looked at.
    pid: u32,
}

/// The memory that this side writes to.
#[derive(Debug)]
struct Ours {
    fd: OwnedFd,
    blocks: Mutex<Blocks>,
    windows: Windows,
}

/// Blocks to give back.
#[derive(Debug, Default)]
struct GivenBack {
    numbers: Vec<u64>,
    bytes: u64,
}

/// Something that is looked at.
#[derive(Debug)]
struct View {
    window: Arc<Window>,
    at: usize,
    /// The place, as a message from here would name it.
    place: Place,
}

/// Make the memories of a new link: the parent's, then the child's.
pub fn memories() -> io::Result<[OwnedFd; 2]> {
    Ok([window::sparse("saranwrap-parent", CAPACITY)?, window::sparse("saranwrap-child", CAPACITY)?])
}

impl Arena {
    /// The arena of the side that writes to `ours`.
    pub fn new(ours: OwnedFd, theirs: OwnedFd) -> Arc<Self> {
        Arc::new(Self {
            ours: Some(Ours {
                fd: ours,
                blocks: Mutex::new(Blocks::new(CAPACITY)),
                windows: Windows::for_access(Access::Write),
            }),
            theirs: Some(Theirs::new(theirs)),
            pid: std::process::id(),
            ..Self::default()
        })
    }

    /// Of a link without shared memory.
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// Room for `len` bytes to send.  `None` where there is none; they go in the body of the frame then.
    pub fn room(self: &Arc<Self>, len: usize) -> Option<Room> {
        let ours = self.ours.as_ref()?;
        let taken = lock(&ours.blocks).take(len as u64)?;
        let opened = ours.windows.on(ours.fd.as_fd(), taken.offset, len as u64);
        let Ok((window, at)) = opened else {
            self.untake(taken.offset);
            return None;
        };
        let room = Room { arena: Arc::clone(self), window, at, len, offset: taken.offset, given: false };
        // The difference between one call and a fault for each page.
        let warm = taken.warm as usize;
        if warm < len {
            room.window.populate(at + warm, len - warm);
        }
        Some(room)
    }

    /// A block of this side's, which is out, goes out once more.
    pub fn give_again(&self, place: Place) {
        if let Some(ours) = &self.ours
            && place.owner == Owner::Sender
        {
            // Whoever asks holds it, so it is out.
            let again = lock(&ours.blocks).again(place.number * GRAIN, place.start + place.len);
            debug_assert!(again.is_ok(), "{again:?}");
        }
    }

    /// A copy of what a message from here names.  A block of this side's must still be out; one of the other side's is not given
    /// back for it.
    pub fn read_named(&self, place: Place) -> Result<Vec<u8>> {
        let missing = || Error::garbled("a block was named without any memory");
        let (end, mut bytes) = (place.start + place.len, vec![0; place.len as usize]);
        match (place.owner, &self.ours, &self.theirs) {
            (Owner::Sender, Some(ours), _) => {
                let opened = ours.windows.on(ours.fd.as_fd(), place.number * GRAIN, end);
                let (window, at) = opened.map_err(|error| Error::os("could not open a window on a block", error))?;
                window.copy_out(at + place.start as usize, &mut bytes);
            }
            (Owner::Receiver, _, Some(theirs)) => {
                let (window, at) = theirs.open(place.number, end, Looking::Shared)?.shared;
                window.copy_out(at + place.start as usize, &mut bytes);
                theirs.close(place.number, None, &self.pages);
            }
            _ => return Err(missing()),
        }
        Ok(bytes)
    }

    /// The message that named this block will not be sent.
    pub fn take_back(&self, place: Place) {
        if place.owner == Owner::Sender {
            self.untake(place.number * GRAIN);
        }
    }

    /// The place of these bytes, if they lie in a block already: then it is named once more, and nothing is copied.
    pub fn find(&self, address: usize, len: usize) -> Option<Place> {
        let place = self.view_of(address, len)?;
        match place.owner {
            Owner::Sender => {
                let ours = self.ours.as_ref()?;
                lock(&ours.blocks).again(place.number * GRAIN, place.start + place.len).ok()?;
            }
            Owner::Receiver => {}
        }
        Some(place)
    }

    /// Look at what the other side named.  An error means that it broke the protocol, or that the system has no room for it.
    pub fn receive(self: &Arc<Self>, place: Place, looking: Looking) -> Result<Held> {
        let end = place.start.checked_add(place.len).filter(|&end| end <= CAPACITY);
        let end = end.ok_or_else(|| Error::garbled("a block was named that is longer than its memory"))?;
        let opened = match place.owner {
            Owner::Sender => {
                let theirs = self.theirs.as_ref();
                theirs.ok_or_else(|| Error::garbled("a block was named without any memory"))?.open(
                    place.number,
                    end,
                    looking,
                )
            }
            Owner::Receiver => self.receive_ours(place, end, looking),
        }?;
        Ok(self.hold(place, opened))
    }

    /// Blocks that the other side has given back, as ids of a Release.  One that is not out breaks the protocol.
    pub fn released(&self, id: u64, count: u64) -> Result<()> {
        let number = id & !BLOCK;
        let ours = self.ours.as_ref().ok_or_else(|| Error::garbled("a block was given back without any memory"))?;
        ours.give_back(number.saturating_mul(GRAIN), count)
    }

    /// What this side has to give back: ids and counts for a Release.
    pub fn take_given_back(&self) -> Vec<(u64, u64)> {
        // This is asked with each frame, and hardly ever there is anything.
        if !self.waits.load(Ordering::Acquire) || !self.waits.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        let mut given_back = lock(&self.given_back);
        given_back.bytes = 0;
        given_back.numbers.drain(..).map(|number| (BLOCK | number, 1)).collect()
    }

    /// They could not go after all.
    pub fn keep_given_back(&self, releases: &[(u64, u64)]) {
        lock(&self.given_back).numbers.extend(releases.iter().map(|(id, _)| id & !BLOCK));
        self.waits.store(true, Ordering::Release);
    }

    /// Whether so much waits to be given back that it should not wait for the next frame.
    pub fn much_waits(&self) -> bool {
        lock(&self.given_back).bytes >= MUCH
    }

    /// What is out.
    pub fn usage(&self) -> Usage {
        let (blocks_out, bytes_out) = self.ours.as_ref().map_or((0, 0), |ours| {
            let blocks = lock(&ours.blocks);
            (blocks.count(), blocks.bytes())
        });
        let blocks_in = self.theirs.as_ref().map_or(0, Theirs::count);
        Usage { blocks_out, bytes_out, blocks_in }
    }

    fn untake(&self, offset: u64) {
        if let Some(ours) = &self.ours {
            // It was taken by this side itself, so it is out.
            let given = ours.give_back(offset, 1);
            debug_assert!(given.is_ok(), "{given:?}");
        }
    }

    fn view_of(&self, address: usize, len: usize) -> Option<Place> {
        let views = lock(&self.views);
        // Nearest first.  A shorter one may stand before one that holds all of it; of so many in a row the rest may be copied.
        for ((start, _), view) in views.range(..=(address, u64::MAX)).rev().take(16) {
            let inside = address - start;
            let Some(end) = inside.checked_add(len).filter(|&end| end as u64 <= view.place.len) else { continue };
            // What was changed here is no longer what the block holds.
            if !view.window.written(view.at + inside, end - inside, &self.pages).is_empty() {
                return None;
            }
            return Some(Place { start: view.place.start + inside as u64, len: len as u64, ..view.place });
        }
        None
    }

    fn receive_ours(&self, place: Place, end: u64, looking: Looking) -> Result<Opened> {
        let ours = self.ours.as_ref().ok_or_else(|| Error::garbled("a block was named without any memory"))?;
        let offset = place.number.saturating_mul(GRAIN);
        lock(&ours.blocks).again(offset, end)?;
        let opened = ours.windows.on(ours.fd.as_fd(), offset, end).and_then(|shared| match looking {
            Looking::Shared => Ok(Opened { shared, private: None }),
            Looking::Private => {
                let private = Window::open(&ours.fd, offset, end.max(1) as usize, Access::Private)?;
                Ok(Opened { shared, private: Some(Arc::new(private)) })
            }
        });
        opened.map_err(|error| {
            self.untake(offset);
            Error::os("could not open a window on a block", error)
        })
    }

    fn hold(self: &Arc<Self>, place: Place, opened: Opened) -> Held {
        let (len, start) = (place.len as usize, place.start as usize);
        let (shared, at_shared) = (opened.shared.0, opened.shared.1 + start);
        let (window, at, original) = match opened.private {
            Some(private) => (private, start, Some((shared, at_shared))),
            None => (shared, at_shared, None),
        };
        let key = (window.address(at, len).as_ptr() as usize, self.next_view.fetch_add(1, Ordering::Relaxed));
        let owner = match place.owner {
            Owner::Sender => Owner::Receiver,
            Owner::Receiver => Owner::Sender,
        };
        let view = View { window: Arc::clone(&window), at, place: Place { owner, ..place } };
        lock(&self.views).insert(key, view);
        let arena = Arc::downgrade(self);
        Held { arena, window, at, len, original, place, key, forks: FORKS.load(Ordering::Relaxed) }
    }

    fn let_go(&self, held: &Held) {
        // In a forked process the locks may be held by threads that it does not have.
        if std::process::id() != self.pid {
            return;
        }
        let view = lock(&self.views).remove(&held.key);
        drop(view);
        if held.forks != FORKS.load(Ordering::Relaxed) {
            return;
        }
        match held.place.owner {
            Owner::Receiver => self.untake(held.place.number * GRAIN),
            Owner::Sender => {
                if let Some(theirs) = &self.theirs {
                    let private = held.is_private().then_some(&held.window);
                    theirs.close(held.place.number, private, &self.pages);
                }
                let mut given_back = lock(&self.given_back);
                given_back.numbers.push(held.place.number);
                given_back.bytes += held.place.len;
                drop(given_back);
                self.waits.store(true, Ordering::Release);
            }
        }
    }
}

impl Ours {
    fn give_back(&self, offset: u64, count: u64) -> Result<()> {
        let mut blocks = lock(&self.blocks);
        blocks.give_back(offset, count)?;
        for (offset, len) in blocks.surplus(offset) {
            // Where the system refuses, the pages stay: they are as good as any others.
            let _ = window::punch(&self.fd, offset, len);
        }
        Ok(())
    }
}

/// A block that is being filled.  Unless it is given out it goes back.
#[derive(Debug)]
pub struct Room {
    arena: Arc<Arena>,
    window: Arc<Window>,
    at: usize,
    len: usize,
    offset: u64,
    given: bool,
}

impl Room {
    /// Where the bytes go.
    pub fn address(&self) -> NonNull<u8> {
        self.window.address(self.at, self.len)
    }

    /// How many bytes there is room for.
    pub fn length(&self) -> usize {
        self.len
    }

    /// Put bytes there.
    ///
    /// # Panics
    /// When there are more than there is room for.
    pub fn copy_in(&self, at: usize, from: &[u8]) {
        assert!(at <= self.len && from.len() <= self.len - at, "more bytes than there is room for");
        self.window.copy_in(self.at + at, from);
    }

    /// Put there what is looked at, from its beginning on.
    ///
    /// # Panics
    /// When there is more than there is room for.
    pub fn copy_from(&self, held: &Held) {
        assert!(held.len <= self.len, "more bytes than there is room for");
        self.window.copy_from(self.at, (&held.window, held.at), held.len);
    }

    /// It is filled, and goes out.
    pub fn give(mut self) -> Place {
        self.given = true;
        Place { owner: Owner::Sender, number: self.offset / GRAIN, start: 0, len: self.len as u64 }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.given {
            self.arena.untake(self.offset);
        }
    }
}

// What these locks guard is whole after every statement, so a panic elsewhere does not matter to it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// Two sides of one arena, in one process.
    fn sides() -> (Arc<Arena>, Arc<Arena>) {
        let [one, other] = memories().unwrap();
        let [one_too, other_too] = [&one, &other].map(|fd| fd.try_clone().unwrap());
        (Arena::new(one, other), Arena::new(other_too, one_too))
    }

    fn put(arena: &Arc<Arena>, bytes: &[u8]) -> Place {
        let room = arena.room(bytes.len()).unwrap();
        room.copy_in(0, bytes);
        room.give()
    }

    fn read(held: &Held) -> Vec<u8> {
        let mut bytes = vec![0; held.len()];
        held.copy_out(&mut bytes);
        bytes
    }

    fn out(arena: &Arena) -> usize {
        arena.usage().blocks_out
    }

    /// One side says what it has to give back, and the other hears it.
    fn settle(from: &Arena, to: &Arena) {
        from.take_given_back().into_iter().for_each(|(id, count)| to.released(id, count).unwrap());
    }

    #[track_caller]
    fn garbled(arena: &Arc<Arena>, place: Place) {
        for looking in [Looking::Shared, Looking::Private] {
            assert_eq!(arena.receive(place, looking).unwrap_err().kind(), Kind::Garbled);
        }
        assert_eq!(arena.usage().blocks_in, 0);
        assert_eq!(arena.take_given_back(), []);
    }

    #[test]
    fn a_block_is_read_and_given_back() {
        let (one, other) = sides();
        for len in [1, GRAIN as usize, 3_000_000, 100_000_000] {
            let bytes: Vec<u8> = (0..len).map(|index| index as u8).collect();
            let held = other.receive(put(&one, &bytes), Looking::Shared).unwrap();
            assert_eq!((read(&held) == bytes, out(&one), other.usage().blocks_in), (true, 1, 1));
            drop(held);
            assert_eq!((out(&one), other.usage().blocks_in), (1, 0));
            settle(&other, &one);
            assert_eq!(out(&one), 0);
        }
    }

    #[test]
    fn a_place_comes_back_from_its_bytes() {
        let place = Place { owner: Owner::Receiver, number: 1 << 20, start: 5, len: 1 << 33 };
        let mut body = Writer::new();
        place.write(&mut body);
        let mut reader = Reader::new(body.as_slice());
        reader.expect_tag(tag::BLOCK, "place").unwrap();
        assert_eq!(Place::read(&mut reader).unwrap(), place);
    }

    #[test]
    fn what_a_private_look_changes_is_told_and_not_seen() {
        let (one, other) = sides();
        let place = put(&one, &[1; 200_000]);
        let held = other.receive(place, Looking::Private).unwrap();
        assert_eq!(held.changes(), []);
        held.window.copy_in(held.at + 100_000, &[2; 8]);
        assert_eq!(held.changes().pop(), Some(100_000..100_008));
        drop(held);
        // A window that was written to is not used again.
        let again = other.receive(place, Looking::Private).unwrap();
        assert_eq!((again.changes(), read(&again)), (vec![], vec![1; 200_000]));
    }

    #[test]
    fn what_is_here_already_is_named_and_not_copied() {
        let (one, other) = sides();
        let held = other.receive(put(&one, &[3; 100_000]), Looking::Shared).unwrap();
        let address = held.address().as_ptr() as usize;
        let place = other.find(address + 10, 500).unwrap();
        assert_eq!((place.owner, place.start, place.len), (Owner::Receiver, 10, 500));
        assert_eq!(other.find(address + 99_999, 2), None);
        assert_eq!(other.find(address - 1, 2), None);
        // Going home, it is held once more, also when the one who named it lets go.
        let home = one.receive(place, Looking::Shared).unwrap();
        drop(held);
        settle(&other, &one);
        assert_eq!((out(&one), read(&home)), (1, vec![3; 500]));
        // And out once more.
        let place = one.find(home.address().as_ptr() as usize, 500).unwrap();
        assert_eq!(place, Place { owner: Owner::Sender, number: place.number, start: 10, len: 500 });
        drop(home);
        assert_eq!(out(&one), 1);
        drop(other.receive(place, Looking::Shared).unwrap());
        settle(&other, &one);
        assert_eq!(out(&one), 0);
    }

    #[test]
    fn what_was_changed_is_not_named() {
        let (one, other) = sides();
        let held = other.receive(put(&one, &[3; 100_000]), Looking::Private).unwrap();
        let address = held.address().as_ptr() as usize;
        assert!(other.find(address, 100_000).is_some());
        held.window.copy_in(50_000, &[3]);
        assert_eq!(other.find(address, 100_000), None);
        assert!(other.find(address, 4096).is_some());
    }

    #[test]
    fn lies_about_places_are_found_out() {
        let (one, other) = sides();
        let good = put(&one, &[1; 100_000]);
        let lie = |change: fn(&mut Place)| {
            let mut place = good;
            change(&mut place);
            garbled(&other, place);
        };
        lie(|place| place.len = 1 << 20);
        lie(|place| place.len = u64::MAX);
        lie(|place| place.start = 1 << 20);
        lie(|place| place.start = u64::MAX);
        lie(|place| place.number = 1);
        lie(|place| place.number = CAPACITY / GRAIN);
        lie(|place| place.number = u64::MAX);
        lie(|place| place.owner = Owner::Receiver);
        assert!(other.receive(good, Looking::Shared).is_ok());
        garbled(&Arena::none(), good);
        assert!(Arena::none().released(BLOCK | 1, 1).is_err());
        assert!(Arena::none().room(1).is_none());
    }

    #[test]
    fn lies_about_what_is_given_back_are_found_out() {
        let (one, _) = sides();
        let place = put(&one, b"a");
        for (id, count) in [(BLOCK | 1, 1), (BLOCK, 2), (BLOCK | (u64::MAX >> 1), 1), (BLOCK | 1 << 50, 1)] {
            assert_eq!(one.released(id, count).unwrap_err().kind(), Kind::Garbled);
        }
        one.take_back(place);
        assert_eq!(one.released(BLOCK, 1).unwrap_err().kind(), Kind::Garbled);
    }

    #[test]
    fn room_that_is_not_given_goes_back() {
        let (one, _) = sides();
        drop(one.room(100_000_000).unwrap());
        assert_eq!(one.usage(), Usage::default());
        let first = one.room(5).unwrap().address();
        assert_eq!(one.room(5).unwrap().address(), first);
    }

    #[test]
    fn bytes_outlive_the_arena() {
        let (one, other) = sides();
        let held = other.receive(put(&one, &[9; 1000]), Looking::Shared).unwrap();
        drop((one, other));
        assert_eq!(read(&held), [9; 1000]);
    }

    #[test]
    fn threads_may_send_and_look_at_once() {
        let (one, other) = sides();
        std::thread::scope(|scope| {
            for number in 0..8u8 {
                let (one, other) = (&one, &other);
                scope.spawn(move || {
                    for round in 0..50 {
                        let bytes = vec![number; 1000 * round + 1];
                        let held = other.receive(put(one, &bytes), Looking::Private).unwrap();
                        assert!(read(&held) == bytes);
                        drop(held);
                        settle(other, one);
                    }
                });
            }
        });
        assert_eq!((one.usage(), other.usage()), (Usage::default(), Usage::default()));
    }
}
