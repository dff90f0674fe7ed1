//! What rides on the first byte of a link: the standard input of a new child and the memories that it shares with its parent. And what
//! a program is given to read before that, if it is one that has first to learn how to be a child.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use super::Carrier;
use crate::arena::{self, Arena};
use crate::error::{Error, Kind, Result};
use crate::sys::fd::{self, PollFd, PollFlags, Polled, poll};
use crate::transport::ring;

/// The byte that our standard input rides on: the number of the descriptor that it is to become, as a digit.
pub const STDIN_MARK: u8 = b'0';

/// What a program reads from its link before anything else. When it has, it answers with one byte, which says what can carry its frames:
/// [`KNOWS_RING`], or [`KNOWS_STREAM`]. It gets its gifts after that.
#[derive(Debug, Clone)]
pub struct Preamble {
    /// What it reads.
    pub text: Vec<u8>,
    /// By when it has to have answered.
    pub until: Instant,
}

/// The answer to a preamble: whatever there is can be given.
pub const KNOWS_RING: u8 = b'r';

/// The answer to a preamble: frames come on the socket, and there is no shared memory at all.
pub const KNOWS_STREAM: u8 = b's';

/// Our end of a link to a child that is not there yet.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) ours: OwnedFd,
    pub(super) memory: Option<OwnedFd>,
    pub(super) memories: Option<[OwnedFd; 2]>,
    /// Where the child's notes are read.
    pub(super) notes: Option<OwnedFd>,
}

/// What a child finds on its link first.
pub(super) struct Gifts {
    pub(super) stdin: OwnedFd,
    pub(super) notes: OwnedFd,
    pub(super) ring: Option<OwnedFd>,
    pub(super) arena: Arc<Arena>,
}

impl Beginning {
    /// (our end, the child's), with what the child finds on it first.
    ///
    /// That is put there before there is a child: one that ends at once must not make this fail, since its last words say
    /// why it did.
    pub(crate) fn new(carrier: Carrier) -> std::io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = fd::socketpair()?;
        Ok((Self::over(ours, Some(carrier))?, theirs))
    }

    /// The same over our end of a pair whose other end is on its way already, or there. None shares no memory with it.
    pub(crate) fn over(ours: OwnedFd, carrier: Option<Carrier>) -> std::io::Result<Self> {
        let memory = match carrier {
            // Without it the link is slower, and otherwise the same.
            Some(Carrier::Ring) => ring::memory().ok(),
            Some(Carrier::Stream) | None => None,
        };
        // Without these large data goes over the link, and otherwise all is the same.
        let memories = carrier.and_then(|_| arena::memories().ok());
        let (notes, their_notes) = fd::pipe()?;
        let gifts = std::iter::once(&their_notes).chain(&memory).chain(memories.iter().flatten());
        match send_gifts(&ours, gifts) {
            // It has ended, and is not to be started once more for that. The link finds out, and tells with its last words.
            Err(error) if carrier.is_none() && error.kind() == std::io::ErrorKind::BrokenPipe => {}
            sent => sent?,
        }
        Ok(Self { ours, memory, memories, notes: Some(notes) })
    }
}

impl Preamble {
    /// Have the child at the other end of `ours` read this, and say what it can have of `carrier` for it: nothing that is shared, where
    /// it knows only a stream. That is also said of one that does not answer, or ends: the link will tell of that, with its last words.
    pub(super) fn told_to(&self, ours: &OwnedFd, pidfd: &OwnedFd, carrier: Carrier) -> Option<Carrier> {
        let mut unsent = self.text.as_slice();
        loop {
            let wanted = if unsent.is_empty() { PollFlags::IN } else { PollFlags::OUT };
            let mut fds = [PollFd::new(ours, wanted), PollFd::new(pidfd, PollFlags::IN)];
            match poll(&mut fds, Some(self.until)) {
                Ok(Polled::Interrupted) => continue,
                Ok(Polled::Ready) if !fds[0].revents().is_empty() => {}
                _ => return None,
            }
            let moved = match unsent {
                [] => return (fd::read_byte(ours) == Some(KNOWS_RING)).then_some(carrier),
                unsent => fd::send_some(ours, unsent),
            };
            match moved {
                Ok(sent) => unsent = &unsent[sent..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }
}

/// Put our standard input, the pipe for notes and the shared memories on the link, as the first thing that the child will find
/// there: the ring's, if there is one, and then the arena's two, if there are any.
fn send_gifts<'a>(ours: &OwnedFd, others: impl Iterator<Item = &'a OwnedFd>) -> std::io::Result<()> {
    let stdin = std::io::stdin();
    let null = fd::null_device()?;
    let others: Vec<_> = others.map(AsFd::as_fd).collect();
    let send = |stdin| fd::send_fds(ours, STDIN_MARK, &[&[stdin], &others[..]].concat());
    // A program may have closed its standard input; the child gets an empty one then.
    send(stdin.as_fd()).or_else(|_| send(null.as_fd()))
}

/// The standard input, the pipe for notes, the ring's memory and the arena: how many descriptors there are tells which.
pub(super) fn receive_gifts(socket: &OwnedFd) -> Result<Gifts> {
    let received = fd::recv_fds(socket).map_err(|error| Error::os("could not receive the standard input", error))?;
    let Some((mark, gifts)) = received else {
        return Err(Error::new(Kind::Died, "the parent ended before it sent a standard input"));
    };
    let mut gifts = gifts.into_iter();
    let (stdin, notes) = (gifts.next(), gifts.next());
    let ring = if gifts.len() % 2 == 1 { gifts.next() } else { None };
    let arena = match (gifts.next(), gifts.next(), gifts.next()) {
        (None, ..) => Some(Arena::none()),
        (Some(theirs), Some(ours), None) => Some(Arena::new(ours, theirs)),
        _ => None,
    };
    match (mark, stdin, notes, arena) {
        (STDIN_MARK, Some(stdin), Some(notes), Some(arena)) => Ok(Gifts { stdin, notes, ring, arena }),
        _ => Err(Error::garbled("the link does not begin with a standard input")),
    }
}
