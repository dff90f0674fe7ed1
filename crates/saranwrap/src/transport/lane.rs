//! One way of a ring: bytes from one producer to one consumer through memory that both see.  Only the indices, the two flags and what
//! they promise; where the memory comes from and how a sleeper is woken is not known here.
//!
//! The producer owns the tail and the consumer the head: how many bytes were ever written and read.  Each keeps its own in a private
//! variable and only publishes it, so the other process can lie about its own index and nothing else; what it says is read once and
//! checked.
//!
//! A consumer that is about to sleep raises `ASLEEP` and looks once more; a producer publishes and then looks at the flag.  With a
//! fence between the two steps on both sides, one of them sees what the other did: either the consumer finds the bytes, or the
//! producer finds the flag and has to wake it (Dekker's argument).  A producer that finds no room does the same with `STARVED`.
//! `tests/lane_model.rs` tries every order of these steps.

use std::sync::atomic::{Ordering, fence};

use crate::error::{Error, Result};
use crate::sys::shm::Mapping;

/// The words of a lane.  Those that different processes write are 128 bytes apart: processors fetch lines of 64 in pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Word {
    /// How many bytes were ever written.
    Tail = 0,
    /// The processor that the producer last ran on, plus one; a hint.
    Cpu = 8,
    /// How many bytes were ever read.
    Head = 128,
    /// Not 0 when the consumer sleeps, or is about to, and must be woken.
    Asleep = 256,
    /// Not 0 when the producer waits for room.
    Starved = 384,
}

/// How many bytes the words take.
pub const WORDS: usize = 512;

/// What the two ends of a lane see.  In the model that tries all orders this is no shared memory.
pub trait Memory {
    /// How many bytes can be under way; a power of two.
    fn capacity(&self) -> usize;
    /// Read a word (acquire).
    fn load(&self, word: Word) -> u64;
    /// Write a word (release).
    fn store(&self, word: Word, value: u64);
    /// Take what a flag says and lower it.
    fn take(&self, word: Word) -> u64;
    /// Nothing before this is seen after anything behind it (sequentially consistent fence).
    fn fence(&self);
    /// Copy bytes out from this place of the ring, where they do not wrap.
    fn copy_out(&self, place: usize, into: &mut [u8]);
    /// Copy bytes in, likewise.
    fn copy_in(&self, place: usize, from: &[u8]);
}

/// Whether the other end sleeps and has to be woken.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Ring its bell.
    Needed,
    /// It is awake, or will look before it sleeps.
    No,
}

/// The end that writes.
#[derive(Debug)]
pub struct Producer<M> {
    memory: M,
    tail: u64,
    /// The head as it was last seen: there is at least this much room.
    head: u64,
    /// What the hint says.
    cpu: u64,
}

impl<M: Memory> Producer<M> {
    /// The end that writes to a fresh lane.
    pub fn new(memory: M) -> Self {
        Self { memory, tail: 0, head: 0, cpu: 0 }
    }

    /// Write as much of `parts`, one after the other, as there is room for; how much that was.  When not all of it went, the consumer
    /// will say when there is room again.
    pub fn write<'p>(&mut self, parts: impl Iterator<Item = &'p [u8]>) -> Result<(usize, Wake)> {
        let mut written = 0;
        for part in parts {
            let count = self.put(part)?;
            written += count;
            if count < part.len() {
                break;
            }
        }
        if written == 0 {
            return Ok((0, Wake::No));
        }
        self.memory.store(Word::Tail, self.tail);
        self.memory.fence();
        Ok((written, self.raised(Word::Asleep)))
    }

    /// Say which processor this end runs on, when that has changed: the consumer looks at the line that the hint is in, and takes it away
    /// from whoever is about to write the tail.
    pub fn run_on(&mut self, cpu: u64) {
        if self.cpu != cpu {
            self.cpu = cpu;
            self.memory.store(Word::Cpu, cpu);
        }
    }

    /// Whether there is room; asked by who was told that there is none.
    pub fn has_room(&mut self) -> Result<bool> {
        Ok(self.look_for_room()? > 0)
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    fn put(&mut self, part: &[u8]) -> Result<usize> {
        let mut room = self.memory.capacity() - (self.tail - self.head) as usize;
        if room < part.len() {
            room = self.look_for_room()?;
        }
        if room < part.len() {
            // The consumer may have made room just before it could see the flag.
            self.memory.store(Word::Starved, 1);
            self.memory.fence();
            room = self.look_for_room()?;
        }
        let count = room.min(part.len());
        let (first, second) = part[..count].split_at(count.min(self.until_the_end()));
        self.memory.copy_in(place(&self.memory, self.tail), first);
        if !second.is_empty() {
            self.memory.copy_in(0, second);
        }
        self.tail += count as u64;
        Ok(count)
    }

    fn look_for_room(&mut self) -> Result<usize> {
        let head = self.memory.load(Word::Head);
        if head < self.head || head > self.tail {
            return Err(Error::garbled("the other side says that it has read what was never written"));
        }
        self.head = head;
        Ok(self.memory.capacity() - (self.tail - head) as usize)
    }

    fn until_the_end(&self) -> usize {
        self.memory.capacity() - place(&self.memory, self.tail)
    }

    fn raised(&self, flag: Word) -> Wake {
        raised(&self.memory, flag)
    }
}

/// The end that reads.
#[derive(Debug)]
pub struct Consumer<M> {
    memory: M,
    head: u64,
    /// The tail as it was last seen.
    tail: u64,
}

impl<M: Memory> Consumer<M> {
    /// The end that reads from a fresh lane.
    pub fn new(memory: M) -> Self {
        Self { memory, head: 0, tail: 0 }
    }

    /// Whether there may be something to read; what there is, [`available`](Self::available) checks.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.memory.load(Word::Tail) != self.head
    }

    /// How many bytes can be read.
    pub fn available(&mut self) -> Result<usize> {
        let tail = self.memory.load(Word::Tail);
        if tail < self.tail || tail - self.head > self.memory.capacity() as u64 {
            return Err(Error::garbled("the other side says that it has written more than there was room for"));
        }
        self.tail = tail;
        Ok((tail - self.head) as usize)
    }

    /// Read bytes that are [`available`](Self::available).  The room that they took is given back by [`release`](Self::release).
    pub fn read(&mut self, into: &mut [u8]) {
        debug_assert!(into.len() as u64 <= self.tail - self.head, "only what is available is read");
        let at = place(&self.memory, self.head);
        let (first, second) = into.split_at_mut(into.len().min(self.memory.capacity() - at));
        self.memory.copy_out(at, first);
        if !second.is_empty() {
            self.memory.copy_out(0, second);
        }
        self.head += into.len() as u64;
    }

    /// Let the producer have the room of what was read.
    pub fn release(&mut self) -> Wake {
        self.memory.store(Word::Head, self.head);
        self.memory.fence();
        raised(&self.memory, Word::Starved)
    }

    /// Ask to be woken.  False when something is there already: then there is no reason to sleep.
    pub fn park(&mut self) -> Result<bool> {
        self.memory.store(Word::Asleep, 1);
        self.memory.fence();
        if self.available()? == 0 {
            return Ok(true);
        }
        self.unpark();
        Ok(false)
    }

    /// Awake again.  A bell that was rung meanwhile stays rung, which does no harm.
    pub fn unpark(&mut self) {
        self.memory.store(Word::Asleep, 0);
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }
}

/// Lower a flag that the other end has raised; only one of several who look finds it up.
fn raised<M: Memory>(memory: &M, flag: Word) -> Wake {
    // The load alone first: a swap takes the line away from the other processor even when there is nothing to take.
    if memory.load(flag) != 0 && memory.take(flag) != 0 { Wake::Needed } else { Wake::No }
}

fn place<M: Memory>(memory: &M, index: u64) -> usize {
    (index % memory.capacity() as u64) as usize
}

/// A lane in a mapping: its words, and its bytes elsewhere in the same mapping.
#[derive(Debug, Clone)]
pub(super) struct Mapped {
    pub(super) mapping: std::sync::Arc<Mapping>,
    pub(super) words: usize,
    pub(super) bytes: usize,
    pub(super) capacity: usize,
}

impl Memory for Mapped {
    #[inline]
    fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    fn load(&self, word: Word) -> u64 {
        self.mapping.load(self.words + word as usize, Ordering::Acquire)
    }

    #[inline]
    fn store(&self, word: Word, value: u64) {
        self.mapping.store(self.words + word as usize, value, Ordering::Release);
    }

    #[inline]
    fn take(&self, word: Word) -> u64 {
        self.mapping.swap(self.words + word as usize, 0, Ordering::AcqRel)
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    #[inline]
    fn copy_out(&self, place: usize, into: &mut [u8]) {
        self.mapping.copy_out(self.bytes + place, into);
    }

    #[inline]
    fn copy_in(&self, place: usize, from: &[u8]) {
        self.mapping.copy_in(self.bytes + place, from);
    }
}
