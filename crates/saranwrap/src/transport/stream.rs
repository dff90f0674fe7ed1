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
            fd::set_nonblocking(fd)
                .map_err(|error| Error::os("could not make a descriptor nonblocking", error))?;
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
}

/// Two ends of one conversation in this process, for tests.
pub fn pair() -> Result<(Stream, Stream)> {
    let (one, other) =
        fd::socketpair().map_err(|error| Error::os("could not make a pair of sockets", error))?;
    Ok((Stream::new(one)?, Stream::new(other)?))
}

impl Transport for Stream {
    fn send(&self, parts: &[IoSlice<'_>]) -> Result<usize> {
        loop {
            let sent = if self.is_socket {
                let mut nothing = SendAncillaryBuffer::default();
                rustix::net::sendmsg(self.write_fd(), parts, &mut nothing, SendFlags::NOSIGNAL)
            } else {
                rustix::io::writev(self.write_fd(), parts)
            };
            match sent {
                Ok(count) => {
                    self.bytes_out.fetch_add(count as u64, Ordering::Relaxed);
                    return Ok(count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(errno @ (Errno::PIPE | Errno::CONNRESET)) => {
                    return Err(Error::died("the other side no longer listens")
                        .because(io::Error::from(errno)));
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

    fn write_fd(&self) -> BorrowedFd<'_> {
        self.writing.as_ref().unwrap_or(&self.reading).as_fd()
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
        Err(Error::garbled("the other side ended inside a frame"))
    }
}
