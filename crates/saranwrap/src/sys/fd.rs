//! Descriptors: pairs, bells, waiting on several, and passing them to another process.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
pub use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, Shutdown, SocketFlags, SocketType,
};

/// The lowest descriptor for what must not collide with 0, 1 and 2 or with what programs call by number.
const HIGH: i32 = 10;

/// A pair of connected sockets.  The first never blocks and stays out of children; the second is for a child, blocks, and
/// stays out of every other child.
pub fn socketpair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // A program may have closed its standard descriptors; a link that lands on one of them would be taken for it.
    let (ours, theirs) = (move_high(ours)?, move_high(theirs)?);
    set_nonblocking(&ours)?;
    Ok((ours, theirs))
}

/// The same descriptor under a number of 10 or more, closed on exec.
pub fn move_high(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, HIGH)?)
}

/// Keep the descriptor out of programs that this process starts.
pub fn set_cloexec(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::io::fcntl_getfd(&fd)?;
    Ok(rustix::io::fcntl_setfd(&fd, flags | rustix::io::FdFlags::CLOEXEC)?)
}

/// Make reads and writes return rather than wait.  This is a property of the open file, not of the descriptor.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// Whether the descriptor is a socket.
pub fn is_socket(fd: impl AsFd) -> bool {
    rustix::net::sockopt::socket_type(fd).is_ok()
}

/// End both directions of a socket; whoever waits on either end sees it.
pub fn shut_down(fd: impl AsFd) {
    // Only "not connected" can happen, and then there is nothing to end.
    let _ = rustix::net::shutdown(fd, Shutdown::Both);
}

/// Let the descriptor mean `/dev/null` from now on: the way to end a pipe that another thread may be using, since closing it
/// would free its number for a file that this thread then reads from by mistake.
pub fn replace_with_null(fd: BorrowedFd<'_>) {
    let Ok(null) = null_device() else { return };
    // SAFETY: both descriptors are open, by the types they come in; dup3 touches no memory.  The number stays owned by
    // whoever owns it and keeps meaning an open file.
    unsafe { libc::dup3(null.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) };
}

/// `/dev/null`, for reading and writing.
pub fn null_device() -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// A directory as it stands now, for others to start in, whatever becomes of its name.
pub fn directory(path: &std::path::Path) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    move_high(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// A pipe for what a child says: (to read, to write). Neither end gets into other programs.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((move_high(reading)?, move_high(writing)?))
}

/// How a wait on descriptors ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// One at least is ready.
    Ready,
    /// The deadline passed first.
    TimedOut,
    /// A signal was handled by this thread.
    Interrupted,
}

/// Wait until one of the descriptors is ready.
pub fn poll(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<Polled> {
    let timeout = deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        // A deadline beyond the range of the clock is none worth keeping exactly.
        Timespec::try_from(left.min(Duration::from_secs(1 << 30))).unwrap_or_default()
    });
    match rustix::event::poll(fds, timeout.as_ref()) {
        Ok(0) => Ok(Polled::TimedOut),
        Ok(_) => Ok(Polled::Ready),
        Err(Errno::INTR) => Ok(Polled::Interrupted),
        Err(errno) => Err(errno.into()),
    }
}

/// Wakes a thread that waits in [`poll`].  An eventfd rather than a condition variable, so that the wait can watch sockets
/// and processes too, and so that a signal interrupts it.
#[derive(Debug)]
pub struct Bell {
    fd: OwnedFd,
    /// Set from the first ring until the bell is cleared: further rings cost nothing.
    rung: AtomicBool,
}

impl Bell {
    /// A silent bell.
    pub fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { fd: move_high(fd)?, rung: AtomicBool::new(false) })
    }

    /// Wake whoever waits, now or next.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // It can only fail when the counter is full, and then the bell rings anyway.
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// Silence the bell.  Look for what it may have announced only after this.
    ///
    /// Read first, then lower the flag.  The other way round a ring between the two would be read away with the flag left
    /// up, and no later ring would be heard.  In this order a ring between the two goes unheard, but what it announces
    /// stands there already and the look after this finds it.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.fd, &mut [0u8; 8]);
        self.rung.store(false, Ordering::Release);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// One descriptor that is readable when one of several is ready: for a loop that is told of a single one.
#[derive(Debug)]
pub struct Gathered {
    epoll: OwnedFd,
}

impl Gathered {
    /// Of none so far.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: move_high(epoll::create(epoll::CreateFlags::CLOEXEC)?)? })
    }

    /// Ready from now on when this one can be read.
    pub fn add(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?)
    }

    /// Ready from now on also when this one can be written; another descriptor than the ones to read.
    pub fn add_writing(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::OUT)?)
    }

    /// No longer ready because of this one.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }
}

impl AsFd for Gathered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Send as much of this as goes without waiting, to a socket that never blocks.
pub fn send_some(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?)
}

/// One byte that is there to be read; `None` where there is none.
pub fn read_byte(fd: impl AsFd) -> Option<u8> {
    let mut byte = [0];
    (rustix::io::read(fd, &mut byte) == Ok(1)).then_some(byte[0])
}

/// How many descriptors can ride on one message.
pub const MOST_FDS: usize = 72;

/// Send one byte with descriptors riding on it: a stream carries none without a byte.
pub fn send_fds(socket: impl AsFd, mark: u8, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send_message(socket, &[mark], fds)
}

/// Send a few bytes, all at once or not at all, with descriptors riding on them.
pub fn send_message(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("at most {MOST_FDS} descriptors at once")));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receive one byte and the descriptors that ride on it; `None` at the end of the stream.
pub fn recv_fds(socket: impl AsFd) -> io::Result<Option<(u8, Vec<OwnedFd>)>> {
    let mut byte = [0];
    let message = recv_message(socket, &mut byte)?;
    Ok(message.map(|(_, fds)| (byte[0], fds)))
}

/// Receive what one `send_message` sent: how many bytes, and the descriptors; `None` at the end of the stream.
pub fn recv_message(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut slices = [IoSliceMut::new(bytes)];
        match rustix::net::recvmsg(&socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(Some((received.bytes, fds)))
}

/// Have the kernel say with each message who sent it.
pub fn ask_for_sender(socket: impl AsFd, wanted: bool) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_passcred(socket, wanted)?)
}

/// Receive one byte, and the process that sent it, by the kernel's word and not its own; `None` at the end of the stream.
/// Those who send after [`ask_for_sender`] are told.
pub fn recv_signed(socket: impl AsFd) -> io::Result<Option<(u8, u32)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = loop {
        let mut slices = [IoSliceMut::new(&mut byte)];
        match rustix::net::recvmsg(&socket, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            // The other end was closed with something from us unread.
            Err(Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let sender = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(who) => u32::try_from(who.pid.as_raw_nonzero().get()).ok(),
        _ => None,
    });
    Ok(Some((byte[0], sender.ok_or(Errno::PROTO)?)))
}
