//! What carries frames between two processes.  It does not know what bytes mean, and it never waits.

pub mod lane;
pub mod ring;
pub mod stream;

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::error::Result;
use crate::message::Frame;

/// What is to be expected after a [`receive`](Transport::receive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// There may be more at once.
    More,
    /// Nothing more until the descriptor is readable again.
    Empty,
    /// The other side has ended, between two frames.
    Ended,
}

/// Carries frames.  One thread at a time sends and one receives, which the link sees to; no method waits.
pub trait Transport: Send + Sync {
    /// Take as many bytes of `parts`, one after the other, as go without waiting; 0 says that there is no room.
    fn send(&self, parts: &[IoSlice<'_>]) -> Result<usize>;

    /// Put the frames that have arrived at the end of `into`.  Those before a fault are delivered with it.
    fn receive(&self, into: &mut Vec<Frame>) -> Result<Received>;

    /// Readable when something may be received.
    fn read_fd(&self) -> BorrowedFd<'_>;

    /// Writable when there is room to send; `None` where [`read_fd`](Self::read_fd) tells of that, too.
    fn write_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Look, without sleeping and for so long at most, for something to receive, or for the room that the last send did not find.
    /// Whether there is; never where only the kernel could tell.
    fn spin(&self, limit: Duration) -> bool {
        let _ = limit;
        false
    }

    /// Ask for the descriptors to be rung before a wait on them.  False when there is something already.
    fn park(&self) -> Result<bool> {
        Ok(true)
    }

    /// Awake again: the descriptors need not be rung any more.
    fn unpark(&self) {}

    /// End it for both sides.  What was sent before still arrives.
    fn shut_down(&self);

    /// How many bytes came in and went out so far.
    fn bytes(&self) -> (u64, u64);
}

#[cfg(test)]
mod samples {
    //! Frames for the tests of every transport.

    use crate::message::{Frame, Header, Kind};

    pub(super) fn frame(len: usize) -> Frame {
        let header = Header { kind: Kind::Call, id: 7, chain: 8, len: len as u32 };
        Frame { header, body: (0..len).map(|index| index as u8).collect() }
    }

    pub(super) fn encoded(frames: &[Frame]) -> Vec<u8> {
        let parts = frames.iter().map(|frame| [&frame.header.encode()[..], &frame.body].concat());
        parts.collect::<Vec<_>>().concat()
    }
}
