//! Frames over any pair of descriptors that carry bytes in order: a socket, two pipes.  Each frame is its header, then its body.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::{Received, Transport};
use crate::error::{Error, Result};
use crate::message::{Frame, HEADER_LEN, Header};
use crate::sys::fd;

/// How much is read at once where frames are small.
const CHUNK: usize = 64 << 10;

/// The most that a body grows by ahead of its bytes.  A header may claim a gigabyte; only bytes that came are believed.
const GROWTH: usize = 1 << 20;

/// Reads of one `receive`, so that a fast sender cannot keep the receiver from looking at what has arrived.
const READS: usize = 16;

/// A transport over descriptors.
#[derive(Debug)]
pub struct Stream {
    reading: OwnedFd,
    /// `None` when one descriptor serves both ways.
    writing: Option<OwnedFd>,
    /// Sockets get MSG_NOSIGNAL.  For pipes the program must ignore SIGPIPE, as Rust's runtime and Python do.
    is_socket: bool,
    inbound: Mutex<Inbound>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Stream {
    /// Over a socket.
    pub fn new(socket: OwnedFd) -> Result<Self> {
        Self::over(socket, None)
    }

    /// Over two pipes.
    pub fn with_pipes(reading: OwnedFd, writing: OwnedFd) -> Result<Self> {
        Self::over(reading, Some(writing))
    }

    fn over(reading: OwnedFd, writing: Option<OwnedFd>) -> Result<Self> {
        for fd in [Some(&reading), writing.as_ref()].into_iter().flatten() {
            fd::set_nonblocking(fd).map_err(|error| Error::os("could not make a descriptor nonblocking", error))?;
        }
        Ok(Self {
            is_socket: fd::is_socket(writing.as_ref().unwrap_or(&reading)),
            reading,
            writing,
            inbound: Mutex::default(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        })
    }

    fn writing(&self) -> &OwnedFd {
        self.writing.as_ref().unwrap_or(&self.reading)
    }
}

/// Two ends of one conversation in this process, for tests.
pub fn pair() -> Result<(Stream, Stream)> {
    let (one, other) = fd::socketpair().map_err(|error| Error::os("could not make a pair of sockets", error))?;
    Ok((Stream::new(one)?, Stream::new(other)?))
}

impl Transport for Stream {
    fn send(&self, parts: &[IoSlice<'_>]) -> Result<usize> {
        loop {
            let sent = if self.is_socket {
                let mut nothing = SendAncillaryBuffer::default();
                rustix::net::sendmsg(self.writing(), parts, &mut nothing, SendFlags::NOSIGNAL)
            } else {
                rustix::io::writev(self.writing(), parts)
            };
            match sent {
                Ok(count) => {
                    self.bytes_out.fetch_add(count as u64, Ordering::Relaxed);
                    return Ok(count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(errno @ (Errno::PIPE | Errno::CONNRESET)) => {
                    return Err(Error::died("the other side no longer listens").because(io::Error::from(errno)));
                }
                Err(errno) => return Err(Error::os("could not write to the link", errno)),
            }
        }
    }

    fn receive(&self, into: &mut Vec<Frame>) -> Result<Received> {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..READS {
            let (count, full) = match inbound.read(self.reading.as_fd()) {
                Ok((0, _)) => return inbound.end(),
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(Received::Empty),
                // A peer that closes with something unread resets the connection.  Everything it sent has been read by now.
                Err(Errno::CONNRESET) => return inbound.end(),
                Err(errno) => return Err(Error::os("could not read from the link", errno)),
            };
            self.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
            inbound.frames(into)?;
            if !full {
                return Ok(Received::Empty);
            }
        }
        Ok(Received::More)
    }

    fn read_fd(&self) -> BorrowedFd<'_> {
        self.reading.as_fd()
    }

    fn write_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.writing().as_fd())
    }

    fn shut_down(&self) {
        for fd in [Some(&self.reading), self.writing.as_ref()].into_iter().flatten() {
            if self.is_socket { fd::shut_down(fd) } else { fd::replace_with_null(fd.as_fd()) }
        }
    }

    fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }
}

/// What has arrived and is no whole frame yet.
#[derive(Debug, Default)]
struct Inbound {
    /// Bytes as they came; those before `start` are used up.
    buffer: Vec<u8>,
    start: usize,
    /// A header whose body is not whole yet, with what there is of it.
    partial: Option<(Header, Vec<u8>)>,
}

impl Inbound {
    /// One read: how many bytes came, and whether as many as there was room for.  A long body is read to where it will stay.
    fn read(&mut self, from: BorrowedFd<'_>) -> std::result::Result<(usize, bool), Errno> {
        if let Some((header, body)) = &mut self.partial {
            let missing = header.len as usize - body.len();
            if missing >= CHUNK / 2 {
                // All of the buffer is used up: `frames` has moved it into the body.
                self.buffer.clear();
                self.start = 0;
                body.reserve_exact(missing.min(GROWTH.max(body.len())));
                let room = body.capacity() - body.len();
                let count = rustix::io::read(from, rustix::buffer::spare_capacity(body))?;
                // The allocator may have given more room than asked for, and the next frames may stand in it.
                let surplus = body.split_off(body.len().min(header.len as usize));
                self.buffer.extend_from_slice(&surplus);
                return Ok((count, count == room));
            }
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.reserve(CHUNK);
        let room = self.buffer.capacity() - self.buffer.len();
        let count = rustix::io::read(from, rustix::buffer::spare_capacity(&mut self.buffer))?;
        Ok((count, count == room))
    }

    /// Cut whole frames off the front.
    fn frames(&mut self, into: &mut Vec<Frame>) -> Result<()> {
        loop {
            let (header, mut body) = match self.partial.take() {
                Some(partial) => partial,
                None => match self.header()? {
                    Some(header) => (header, Vec::new()),
                    None => return Ok(()),
                },
            };
            let waiting = &self.buffer[self.start..];
            let taken = waiting.len().min(header.len as usize - body.len());
            body.extend_from_slice(&waiting[..taken]);
            self.start += taken;
            if body.len() < header.len as usize {
                self.partial = Some((header, body));
                return Ok(());
            }
            into.push(Frame { header, body });
        }
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let Some(bytes) = self.buffer[self.start..].first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let header = Header::decode(bytes)?;
        self.start += HEADER_LEN;
        Ok(Some(header))
    }

    fn end(&self) -> Result<Received> {
        if self.partial.is_none() && self.start == self.buffer.len() {
            return Ok(Received::Ended);
        }
        // Who dies in the middle of a sentence has not lied.
        Err(Error::died("the other side ended inside a frame"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::super::samples::{encoded, frame};
    use super::*;
    use crate::error::Kind;

    fn receive_all(stream: &Stream) -> (Vec<Frame>, Result<Received>) {
        let mut frames = Vec::new();
        loop {
            match stream.receive(&mut frames) {
                Ok(Received::More) => {}
                other => return (frames, other),
            }
        }
    }

    fn half() -> (Stream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Stream::new(ours.into()).unwrap(), theirs)
    }

    #[test]
    fn frames_come_whole_however_they_were_cut() {
        let sent = [frame(0), frame(1), frame(100), frame(CHUNK), frame(3), frame(CHUNK / 2 + 1)];
        let bytes = encoded(&sent);
        for cut in [1, 7, 24, 25, 1000, 40_000, 70_000] {
            let (stream, mut peer) = half();
            let mut received = Vec::new();
            for piece in bytes.chunks(cut) {
                peer.write_all(piece).unwrap();
                let (frames, state) = receive_all(&stream);
                assert_eq!(state.unwrap(), Received::Empty);
                received.extend(frames);
            }
            assert_eq!(received, sent);
            drop(peer);
            assert_eq!(receive_all(&stream).1.unwrap(), Received::Ended);
        }
    }

    #[test]
    fn an_end_inside_a_frame_is_a_fault() {
        let bytes = encoded(&[frame(3), frame(50_000)]);
        for cut in [1, 23, 24, 26, 28, 60, 49_000] {
            let (stream, mut peer) = half();
            peer.write_all(&bytes[..cut]).unwrap();
            drop(peer);
            // The first look finds bytes, the second their end.
            receive_all(&stream).1.unwrap();
            let (_, state) = receive_all(&stream);
            assert_eq!(state.unwrap_err().kind(), Kind::Died, "cut at {cut}");
        }
    }

    #[test]
    fn frames_before_a_fault_are_delivered() {
        let (stream, mut peer) = half();
        peer.write_all(&encoded(&[frame(3), frame(9)])).unwrap();
        peer.write_all(&[0xff; HEADER_LEN]).unwrap();
        let (frames, state) = receive_all(&stream);
        assert_eq!(frames, [frame(3), frame(9)]);
        assert_eq!(state.unwrap_err().kind(), Kind::Garbled);
    }

    #[test]
    fn a_full_pipe_takes_no_more_until_it_is_read() {
        let (one, other) = pair().unwrap();
        let bytes = vec![0; 1 << 20];
        while one.send(&[IoSlice::new(&bytes)]).unwrap() > 0 {}
        assert_eq!(one.send(&[IoSlice::new(&bytes)]).unwrap(), 0);
        assert!(other.receive(&mut Vec::new()).is_err(), "zeros are no frames");
        assert!(one.send(&[IoSlice::new(&bytes)]).unwrap() > 0);
        assert_eq!(one.bytes().0, 0);
        assert!(other.bytes().0 > 0);
    }

    #[test]
    fn a_peer_that_is_gone_is_told_from_one_that_is_full() {
        let (stream, peer) = half();
        drop(peer);
        let error = stream.send(&[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(error.kind(), Kind::Died);
    }

    #[test]
    fn pipes_do_as_well_as_sockets() {
        let (read_a, write_a) = std::io::pipe().unwrap();
        let (read_b, write_b) = std::io::pipe().unwrap();
        let one = Stream::with_pipes(read_a.into(), write_b.into()).unwrap();
        let other = Stream::with_pipes(read_b.into(), write_a.into()).unwrap();
        one.send(&[IoSlice::new(&encoded(&[frame(5)]))]).unwrap();
        assert_eq!(receive_all(&other).0, [frame(5)]);
        one.shut_down();
        assert_eq!(receive_all(&other).1.unwrap(), Received::Ended);
        assert_eq!(receive_all(&one).1.unwrap(), Received::Ended);
    }
}
