//! Frames through memory that both processes see, one lane for each way, with a socket as the bell.  Each frame is its header, then its
//! body, as in `stream`.
//!
//! While both ends are awake no system call is made: the receiver looks at the memory.  One that goes to sleep says so there, and the
//! sender writes a byte to the socket, which wakes it together with everything else that it waits for: the other process's end, a
//! deadline, a signal.  The socket carries nothing else, and its end is the end of the conversation.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::lane::{Consumer, Mapped, Memory, Producer, WORDS, Wake, Word};
use super::{Received, Transport};
use crate::error::{Error, Result};
use crate::message::{Frame, HEADER_LEN, Header};
use crate::sys::shm::Mapping;
use crate::sys::{fd, process, shm};

/// How many bytes can be under way in one direction.
const CAPACITY: usize = 256 << 10;

/// Where the bytes of the first lane begin; the words of both lanes stand before.
const BYTES: usize = 4096;

/// How much memory a ring takes.
const SIZE: usize = BYTES + 2 * CAPACITY;

/// The most that a body grows by ahead of its bytes.  A header may claim a gigabyte; only bytes that came are believed.
const GROWTH: usize = 1 << 20;

/// How often the memory is looked at between two looks at the clock.
const LOOKS: u32 = 32;

/// One end of a ring.
#[derive(Debug)]
pub struct Ring {
    bell: OwnedFd,
    outbound: Mutex<Producer<Mapped>>,
    inbound: Mutex<Inbound>,
    /// The last send did not find room for everything.
    starving: AtomicBool,
    /// The bell was asked for, and may have been rung, since it was last silenced.
    parked: AtomicBool,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// Memory for a new ring.
pub fn memory() -> Result<OwnedFd> {
    shm::sealed("saranwrap-ring", SIZE).map_err(|error| Error::os("could not make the memory of a ring", error))
}

/// Two ends of one conversation in this process, for tests.
pub fn pair() -> Result<(Ring, Ring)> {
    let (one, other) = fd::socketpair().map_err(|error| Error::os("could not make a pair of sockets", error))?;
    let memory = memory()?;
    Ok((Ring::first(one, &memory)?, Ring::second(other, &memory)?))
}

impl Ring {
    /// The end of whoever made the memory, which must be fresh.
    pub fn first(bell: OwnedFd, memory: &OwnedFd) -> Result<Self> {
        let [one, two] = lanes(memory)?;
        Self::over(bell, one, two)
    }

    /// The end of whoever was given it.
    pub fn second(bell: OwnedFd, memory: &OwnedFd) -> Result<Self> {
        let [one, two] = lanes(memory)?;
        Self::over(bell, two, one)
    }

    fn over(bell: OwnedFd, outbound: Mapped, inbound: Mapped) -> Result<Self> {
        fd::set_nonblocking(&bell).map_err(|error| Error::os("could not make a descriptor nonblocking", error))?;
        Ok(Self {
            bell,
            outbound: Mutex::new(Producer::new(outbound)),
            inbound: Mutex::new(Inbound { consumer: Consumer::new(inbound), partial: None, ended: false }),
            starving: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        })
    }

    fn inbound(&self) -> MutexGuard<'_, Inbound> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbound(&self) -> MutexGuard<'_, Producer<Mapped>> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self) -> bool {
        // A lie about the room is found by the send that follows.
        self.starving.load(Ordering::Relaxed) && self.outbound().has_room().unwrap_or(true)
    }

    fn ring(&self, wake: Wake) -> Result<()> {
        if wake == Wake::No {
            return Ok(());
        }
        loop {
            match rustix::net::send(&self.bell, &[0], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                // One that does not empty its socket has more than enough to wake up for.
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno @ (Errno::PIPE | Errno::CONNRESET)) => {
                    return Err(Error::died("the other side no longer listens").because(io::Error::from(errno)));
                }
                Err(errno) => return Err(Error::os("could not wake the other side", errno)),
            }
        }
    }

    /// Empty the bell.  Whether the other side has closed it.
    fn silence(&self) -> Result<bool> {
        let mut rung = [0; 64];
        loop {
            match rustix::net::recv(&self.bell, &mut rung, RecvFlags::DONTWAIT) {
                Ok((_, count)) if count == rung.len() => {}
                Ok((_, count)) => return Ok(count == 0),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::CONNRESET) => return Ok(true),
                Err(errno) => return Err(Error::os("could not read from the link", errno)),
            }
        }
    }
}

fn lanes(memory: &OwnedFd) -> Result<[Mapped; 2]> {
    let mapping = Mapping::new(memory, SIZE).map_err(|error| Error::os("could not map the memory of a ring", error))?;
    let mapping = Arc::new(mapping);
    Ok([0, 1].map(|index| Mapped {
        mapping: Arc::clone(&mapping),
        words: index * WORDS,
        bytes: BYTES + index * CAPACITY,
        capacity: CAPACITY,
    }))
}

impl Transport for Ring {
    fn send(&self, parts: &[IoSlice<'_>]) -> Result<usize> {
        let (sent, wake) = {
            let mut outbound = self.outbound();
            outbound.run_on(process::current_cpu());
            outbound.write(parts.iter().map(|part| &**part))?
        };
        let whole = parts.iter().map(|part| part.len()).sum::<usize>();
        self.starving.store(sent < whole, Ordering::Relaxed);
        self.bytes_out.fetch_add(sent as u64, Ordering::Relaxed);
        self.ring(wake)?;
        Ok(sent)
    }

    fn receive(&self, into: &mut Vec<Frame>) -> Result<Received> {
        let mut inbound = self.inbound();
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::Relaxed) {
            inbound.consumer.unpark();
            // Before the memory is looked at: what was written before the end still counts.
            inbound.ended |= self.silence()?;
        }
        let (count, wake) = inbound.frames(into)?;
        self.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
        let received = inbound.state()?;
        drop(inbound);
        // One that has gone needs no waking, and what it said before is here.
        let woken = self.ring(wake);
        if into.is_empty() { woken.map(|()| received) } else { Ok(received) }
    }

    fn read_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn write_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn spin(&self, limit: Duration) -> bool {
        let inbound = self.inbound();
        let here = process::current_cpu();
        let mut end = None;
        loop {
            for _ in 0..LOOKS {
                if inbound.consumer.is_ready() {
                    return true;
                }
                std::hint::spin_loop();
            }
            // What is waited for cannot happen while this thread keeps the other side from its processor.
            if self.has_room() || inbound.consumer.memory().load(Word::Cpu) == here {
                return self.has_room();
            }
            let now = Instant::now();
            if now >= *end.get_or_insert(now + limit) {
                return false;
            }
        }
    }

    fn park(&self) -> Result<bool> {
        self.parked.store(true, Ordering::Relaxed);
        let mut inbound = self.inbound();
        // Only the end of the socket is left to be found, and it has been.
        Ok(inbound.consumer.park()? && !inbound.ended && !self.has_room())
    }

    fn unpark(&self) {
        self.inbound().consumer.unpark();
    }

    fn shut_down(&self) {
        fd::shut_down(&self.bell);
    }

    fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }
}

/// The lane that comes in, and what of it is no whole frame yet.
#[derive(Debug)]
struct Inbound {
    consumer: Consumer<Mapped>,
    partial: Option<(Header, Vec<u8>)>,
    /// The other side has closed the bell: nothing more will be written.
    ended: bool,
}

impl Inbound {
    /// Take what is there off the lane and cut it into frames.
    fn frames(&mut self, into: &mut Vec<Frame>) -> Result<(usize, Wake)> {
        let there = self.consumer.available()?;
        let mut left = there;
        while let Some((header, mut body)) = self.begun(&mut left)? {
            let missing = header.len as usize - body.len();
            let taken = missing.min(left);
            let from = body.len();
            body.resize(from + taken, 0);
            self.consumer.read(&mut body[from..]);
            left -= taken;
            if taken < missing {
                self.partial = Some((header, body));
                break;
            }
            into.push(Frame { header, body });
        }
        if left == there {
            return Ok((0, Wake::No));
        }
        Ok((there - left, self.consumer.release()))
    }

    /// The frame that is to be read on.
    fn begun(&mut self, left: &mut usize) -> Result<Option<(Header, Vec<u8>)>> {
        if let Some(partial) = self.partial.take() {
            return Ok(Some(partial));
        }
        if *left < HEADER_LEN {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_LEN];
        self.consumer.read(&mut bytes);
        *left -= HEADER_LEN;
        let header = Header::decode(&bytes)?;
        Ok(Some((header, Vec::with_capacity((header.len as usize).min(GROWTH)))))
    }

    fn state(&mut self) -> Result<Received> {
        match self.consumer.available()? {
            0 if !self.ended => Ok(Received::Empty),
            0 if self.partial.is_none() => Ok(Received::Ended),
            left if left >= HEADER_LEN || (left > 0 && self.partial.is_some()) => Ok(Received::More),
            _ if !self.ended => Ok(Received::Empty),
            // Who dies in the middle of a sentence has not lied.
            _ => Err(Error::died("the other side ended inside a frame")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{encoded, frame};
    use super::*;
    use crate::error::Kind;
    use crate::message;
    use crate::sys::fd::{PollFd, PollFlags, Polled, poll};

    fn send(ring: &Ring, bytes: &[u8]) -> usize {
        ring.send(&[IoSlice::new(bytes)]).unwrap()
    }

    fn is_rung(ring: &Ring) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(ring.read_fd(), PollFlags::IN)];
        poll(&mut fds, Some(Instant::now())).unwrap() == Polled::Ready
    }

    /// One honest end, and what a liar can write to: all of the memory.
    fn half() -> (Ring, Arc<Mapping>, OwnedFd) {
        let (ours, theirs) = fd::socketpair().unwrap();
        let memory = memory().unwrap();
        (Ring::first(ours, &memory).unwrap(), Arc::new(Mapping::new(&memory, SIZE).unwrap()), theirs)
    }

    #[test]
    fn frames_come_whole_however_they_were_cut() {
        let sent = [frame(0), frame(1), frame(100), frame(CAPACITY), frame(3), frame(2 * CAPACITY + 1)];
        let bytes = encoded(&sent);
        for cut in [1000, 24, 25, 40_000, CAPACITY, usize::MAX] {
            let (one, other) = pair().unwrap();
            let (mut rest, mut received) = (&bytes[..], Vec::new());
            while !rest.is_empty() {
                let gone = send(&one, &rest[..rest.len().min(cut)]);
                rest = &rest[gone..];
                while other.receive(&mut received).unwrap() == Received::More {}
            }
            assert_eq!(received, sent);
            one.shut_down();
            assert!(!other.park().unwrap() || is_rung(&other));
            assert_eq!(other.receive(&mut received).unwrap(), Received::Ended);
        }
    }

    #[test]
    fn only_a_sleeper_is_woken() {
        let (one, other) = pair().unwrap();
        send(&one, &encoded(&[frame(3)]));
        assert!(other.spin(Duration::ZERO) && !is_rung(&other));
        assert!(!other.park().unwrap(), "there is something already");
        other.receive(&mut Vec::new()).unwrap();
        assert!(!other.spin(Duration::ZERO) && other.park().unwrap());
        send(&one, &encoded(&[frame(3)]));
        assert!(is_rung(&other));
        let mut received = Vec::new();
        other.receive(&mut received).unwrap();
        assert!(received.len() == 1 && !is_rung(&other));
    }

    #[test]
    fn whoever_waits_for_room_is_told_when_there_is_some() {
        let (one, other) = pair().unwrap();
        let bytes = encoded(&[frame(CAPACITY)]);
        let gone = send(&one, &bytes);
        assert_eq!((gone, send(&one, &bytes[gone..])), (CAPACITY, 0));
        assert!(one.park().unwrap() && !is_rung(&one) && !one.spin(Duration::ZERO));
        let mut received = Vec::new();
        other.receive(&mut received).unwrap();
        assert!(is_rung(&one) && one.spin(Duration::ZERO));
        assert_eq!(send(&one, &bytes[gone..]), HEADER_LEN);
        other.receive(&mut received).unwrap();
        assert_eq!(received, [frame(CAPACITY)]);
    }

    #[test]
    fn an_end_inside_a_frame_is_a_death() {
        let (one, other) = pair().unwrap();
        send(&one, &encoded(&[frame(3), frame(50)])[..60]);
        one.shut_down();
        assert!(!other.park().unwrap());
        let mut received = Vec::new();
        assert_eq!(other.receive(&mut received).unwrap_err().kind(), Kind::Died);
        assert_eq!(received, [frame(3)]);
        assert_eq!(send(&other, b"nobody sleeps there, so nobody notices yet"), 42);
    }

    #[test]
    fn frames_before_a_fault_are_delivered() {
        let (one, other) = pair().unwrap();
        send(&one, &encoded(&[frame(3), frame(9)]));
        send(&one, &[0xff; HEADER_LEN]);
        let mut received = Vec::new();
        assert_eq!(other.receive(&mut received).unwrap_err().kind(), Kind::Garbled);
        assert_eq!(received, [frame(3), frame(9)]);
    }

    #[test]
    fn a_tail_that_lies_is_found_out() {
        for lie in [CAPACITY as u64 + 1, u64::MAX, 1 << 63] {
            let (ours, memory, _theirs) = half();
            memory.store(WORDS + Word::Tail as usize, lie, Ordering::Release);
            assert_eq!(ours.receive(&mut Vec::new()).unwrap_err().kind(), Kind::Garbled, "{lie}");
            assert_eq!(ours.park().unwrap_err().kind(), Kind::Garbled, "{lie}");
        }
    }

    #[test]
    fn a_tail_that_goes_back_is_found_out() {
        let (ours, memory, _theirs) = half();
        memory.store(WORDS + Word::Tail as usize, 10, Ordering::Release);
        ours.receive(&mut Vec::new()).unwrap();
        memory.store(WORDS + Word::Tail as usize, 9, Ordering::Release);
        assert_eq!(ours.receive(&mut Vec::new()).unwrap_err().kind(), Kind::Garbled);
    }

    #[test]
    fn a_head_that_lies_is_found_out() {
        for lie in [CAPACITY as u64 + 1, u64::MAX, 1 << 63] {
            let (ours, memory, _theirs) = half();
            let bytes = vec![0; CAPACITY];
            send(&ours, &bytes);
            memory.store(Word::Head as usize, lie, Ordering::Release);
            assert_eq!(ours.send(&[IoSlice::new(&bytes)]).unwrap_err().kind(), Kind::Garbled, "{lie}");
        }
    }

    #[test]
    fn claims_are_not_believed_before_their_bytes_come() {
        let (one, other) = pair().unwrap();
        let claim = Header { kind: message::Kind::Call, id: 1, chain: 1, len: message::MAX_BODY };
        send(&one, &claim.encode());
        other.receive(&mut Vec::new()).unwrap();
        let capacity = other.inbound().partial.as_ref().map(|(_, body)| body.capacity());
        assert_eq!(capacity, Some(GROWTH));
    }

    #[test]
    fn memory_that_is_no_ring_is_refused() {
        let (ours, _theirs) = fd::socketpair().unwrap();
        let short = shm::sealed("saranwrap-test", 4096).unwrap();
        assert_eq!(Ring::second(ours, &short).unwrap_err().kind(), Kind::Os);
    }
}
