//! One lane of a ring under a checker that tries every order in which two processors may do, and see, its steps.  The memory that the
//! two ends share is made of the checker's own atomics here; everything else is the code that runs.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

use std::sync::Arc as StdArc;

use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use saranwrap::transport::lane::{Consumer, Memory, Producer, Wake, Word};

const CAPACITY: usize = 2;

/// What the ends share; the bytes are words of their own, so that a byte read before it was written is seen.
#[derive(Clone)]
struct Modelled(Arc<Shared>);

struct Shared {
    words: [AtomicU64; 4],
    bytes: [AtomicU64; CAPACITY],
}

impl Modelled {
    fn new() -> Self {
        Self(Arc::new(Shared {
            words: std::array::from_fn(|_| AtomicU64::new(0)),
            bytes: std::array::from_fn(|_| AtomicU64::new(0)),
        }))
    }

    fn word(&self, word: Word) -> &AtomicU64 {
        let place = [Word::Tail, Word::Head, Word::Asleep, Word::Starved].iter().position(|&known| known == word);
        &self.0.words[place.unwrap()]
    }
}

impl Memory for Modelled {
    fn capacity(&self) -> usize {
        CAPACITY
    }

    fn load(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Acquire)
    }

    fn store(&self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::Release);
    }

    fn take(&self, word: Word) -> u64 {
        self.word(word).swap(0, Ordering::AcqRel)
    }

    fn fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn copy_out(&self, place: usize, into: &mut [u8]) {
        for (index, byte) in into.iter_mut().enumerate() {
            *byte = self.0.bytes[place + index].load(Ordering::Relaxed) as u8;
        }
    }

    fn copy_in(&self, place: usize, from: &[u8]) {
        for (index, &byte) in from.iter().enumerate() {
            self.0.bytes[place + index].store(u64::from(byte), Ordering::Relaxed);
        }
    }
}

/// Stands for the socket: a ring stays heard until somebody has waited for it.
#[derive(Clone)]
struct Bell(StdArc<(Mutex<bool>, Condvar)>);

impl Bell {
    fn new() -> Self {
        Self(StdArc::new((Mutex::new(false), Condvar::new())))
    }

    fn ring(&self, wake: Wake) {
        if wake == Wake::Needed {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_one();
        }
    }

    /// Under the checker a wait that nobody ends is a deadlock, which it reports.
    fn wait(&self) {
        let mut rung = self.0.0.lock().unwrap();
        while !*rung {
            rung = self.0.1.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// Write all of `sent`, sleeping where there is no room.
fn write(memory: Modelled, sent: &[u8], room: &Bell, news: &Bell) {
    let mut producer = Producer::new(memory);
    let mut rest = sent;
    while !rest.is_empty() {
        let (count, wake) = producer.write(std::iter::once(rest)).unwrap();
        news.ring(wake);
        rest = &rest[count..];
        if !rest.is_empty() && !producer.has_room().unwrap() {
            room.wait();
        }
    }
}

/// Read so many bytes, sleeping where there are none.
fn read(memory: Modelled, count: usize, room: &Bell, news: &Bell) -> Vec<u8> {
    let mut consumer = Consumer::new(memory);
    let mut received = Vec::new();
    while received.len() < count {
        let available = consumer.available().unwrap();
        if available == 0 {
            if consumer.park().unwrap() {
                news.wait();
                consumer.unpark();
            }
            continue;
        }
        let mut bytes = vec![0; available];
        consumer.read(&mut bytes);
        received.extend(bytes);
        room.ring(consumer.release());
    }
    received
}

fn crosses(sent: &'static [u8]) {
    let mut model = loom::model::Builder::new();
    // Every schedule with so few forced switches; with more of them nothing new was ever found, and the time explodes.
    model.preemption_bound = Some(3);
    model.check(move || {
        let (memory, room, news) = (Modelled::new(), Bell::new(), Bell::new());
        let producer = {
            let (memory, room, news) = (memory.clone(), room.clone(), news.clone());
            thread::spawn(move || write(memory, sent, &room, &news))
        };
        assert_eq!(read(memory, sent.len(), &room, &news), sent);
        producer.join().unwrap();
    });
}

#[test]
fn nobody_sleeps_through_what_was_written() {
    crosses(b"a");
    crosses(b"ab");
}

#[test]
fn nobody_sleeps_through_the_room_that_was_made() {
    crosses(b"abc");
}
