//! A process with a link to it: starting, watching over, ending, and what it last said.  What is asked of it is not known here.
//!
//! # How it works
//!
//! The child finds the link as its descriptor 0, so that nothing has to run between fork and exec and the program is started by
//! `posix_spawn` (a fork of a large parent takes a hundred times as long).  The first thing on the link is one byte with our own
//! standard input and the shared memories riding on it; the child puts them where they belong.
//!
//! One thread for each child hears what it says, copies its stderr to ours, and takes its exit status.  It never enters the
//! host's world.
//!
//! The processes that a child starts end with it.  It ends them itself, as its last act or when its parent is gone; whoever kills
//! it kills them as well; and after any other death those are found that have its standard output or error.  One that has begun
//! a session of its own is left alone: that is how a program says that it is to stay.

mod command;
mod gifts;
mod stopping;
mod voices;
mod watcher;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::error::{Error, Result};
use crate::link::{Link, Side};
use crate::sys::fd::{self, Bell, PollFd, PollFlags, Polled, poll};
pub use crate::sys::process::Exit;
use crate::sys::{descendants, process};
use crate::transport::Transport;
use crate::transport::ring::Ring;
use crate::transport::stream::Stream;
pub use command::{Carrier, Command};
pub(crate) use gifts::Beginning;
use gifts::receive_gifts;
pub use gifts::{KNOWS_RING, KNOWS_STREAM, Preamble, STDIN_MARK};
pub use stopping::{Fate, Stage};
pub use voices::{Destination, Says, Voice, Voices};
use watcher::Watcher;

/// A child that does not greet within this time is not going to.
pub const GREETING: Duration = Duration::from_secs(60);

/// How long a child that nobody holds any more may outlive its link.
const GRACE: Duration = Duration::from_secs(2);

/// How long an obituary waits for the exit status of a child whose link has ended.
const MOURNING: Duration = Duration::from_secs(1);

/// A child process.  Dropping it neither waits nor kills; but a child that outlives both its link and this by two seconds is
/// killed.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    shared: Arc<Shared>,
    arena: OnceLock<Arc<Arena>>,
    voices: OnceLock<Arc<Voices>>,
    forgotten: AtomicBool,
}

/// What the thread that watches over the child shares with everybody else.
#[derive(Debug)]
struct Shared {
    pidfd: OwnedFd,
    /// Wakes the watching thread: the link has ended, or nobody holds the child any more.
    wake: Arc<Bell>,
    /// Rung once the exit is known, and never silenced.
    ended: Bell,
    dropped: AtomicBool,
    exit: Mutex<Option<Exit>>,
    /// Why we are about to end it, if we are.
    verdict: OnceLock<String>,
}

impl Child {
    /// Start a program and make a link to it.
    pub fn spawn(command: &Command) -> Result<(Self, Arc<Link>)> {
        let failed = |error| Error::os(format!("could not start the child `{command}`"), error);
        let (child, output, beginning) = match &command.preamble {
            None => {
                let (beginning, theirs) = Beginning::new(command.carrier).map_err(failed)?;
                let (child, output) = Self::launch(command, theirs)?;
                (child, output, beginning)
            }
            Some(preamble) => {
                let (ours, theirs) = fd::socketpair().map_err(failed)?;
                let (child, output) = Self::launch(command, theirs)?;
                let carrier = preamble.told_to(&ours, &child.shared.pidfd, command.carrier);
                let beginning = Beginning::over(ours, carrier).map_err(failed).inspect_err(|_| child.abort())?;
                (child, output, beginning)
            }
        };
        let link = child.join(beginning, output, command.says)?;
        Ok((child, link))
    }

    /// Start a program that has `stdin`, and take its output, as far as that is not ours. Nobody watches over it yet.
    fn launch(command: &Command, stdin: OwnedFd) -> Result<(Self, Output)> {
        let could_not = |what: &str| format!("could not {what} the child `{command}`");
        let mut started = command.start(stdin).map_err(|error| Error::refused(could_not("start")).because(error))?;
        let pid = started.id();
        // Nobody has waited for it yet, so the number is still its own, unless some part of the program waits for any child.
        let child = Self::of(pid).map_err(|error| {
            let _ = started.kill();
            let _ = started.wait();
            Error::died(could_not("watch")).because(error)
        })?;
        Ok((child, [started.stdout.take().map(OwnedFd::from), started.stderr.take().map(OwnedFd::from)]))
    }

    /// Start a program with one end of a socket as its standard input and no link; the other end is returned.
    pub(crate) fn spawn_without_link(command: &Command) -> Result<(Self, OwnedFd)> {
        let (ours, theirs) = fd::socketpair().map_err(|error| Error::os("could not make a socket", error))?;
        let (child, [_, stderr]) = Self::launch(command, theirs)?;
        child.watch(&Weak::new(), [None, None, stderr], Says::default()).inspect_err(|_| child.abort())?;
        Ok((child, ours))
    }

    /// The child of this process that has this number.
    pub(crate) fn of(pid: u32) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            pidfd: process::pidfd_open(pid)?,
            wake: Arc::new(Bell::new()?),
            ended: Bell::new()?,
            dropped: AtomicBool::new(false),
            exit: Mutex::default(),
            verdict: OnceLock::new(),
        });
        Ok(Self { pid, shared, arena: OnceLock::new(), voices: OnceLock::new(), forgotten: AtomicBool::new(false) })
    }

    /// Make a link of our end of its socket, and have a thread watch over it; from here its drop sees to it that it does not stay.
    pub(crate) fn join(&self, mut beginning: Beginning, output: Output, says: Says) -> Result<Arc<Link>> {
        if let Some([ours, theirs]) = beginning.memories.take() {
            self.arena.get_or_init(|| Arena::new(ours, theirs));
        }
        let ([stdout, stderr], notes) = (output, beginning.notes.take());
        let link = self.link(beginning).inspect_err(|_| self.abort())?;
        link.ring_at_end(Arc::clone(&self.shared.wake));
        self.watch(&Arc::downgrade(&link), [notes, stdout, stderr], says).inspect_err(|_| self.abort())?;
        Ok(link)
    }

    /// Have a thread wait for the end of a process that has no link, and take its exit status.
    pub(crate) fn watch_end(&self) -> Result<()> {
        self.watch(&Weak::new(), [None, None, None], Says::default())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The memory for large data that it shares with us.
    pub fn arena(&self) -> &Arc<Arena> {
        self.arena.get_or_init(Arena::none)
    }

    /// End it at once, and with it the processes that it has started.
    pub fn kill(&self) -> Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Note why it is about to be ended; the first reason stays, and becomes part of its obituary.
    pub fn condemn(&self, why: String) {
        let _ = self.shared.verdict.set(why);
    }

    /// How much memory of it is resident, in bytes; 0 where that cannot be learnt.
    pub fn memory(&self) -> u64 {
        if self.exit().is_some() { 0 } else { process::memory_of(&self.pid.to_string()) }
    }

    /// What it has said and where that goes, for whoever keeps nothing else of it alive; `None` before it has a link.
    pub fn listener(&self) -> Option<Listener> {
        Some(Listener { voices: Arc::clone(self.voices.get()?), wake: Arc::clone(&self.shared.wake) })
    }

    /// Send it a signal.  SIGKILL, of which it hears nothing, goes to the processes that it has started as well.
    pub fn signal(&self, signal: i32) -> Result<()> {
        if self.is_forgotten() {
            return Err(Error::refused("this child belongs to another process"));
        }
        // A process that has ended needs no signal any more.
        if self.exit().is_some() {
            return Ok(());
        }
        if signal == libc::SIGKILL {
            kill_all(self.pid, &self.shared);
        }
        match process::send_signal(self.shared.pidfd.as_fd(), signal) {
            // It has ended since that was asked, and was reaped.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            sent => sent.map_err(|error| {
                let name = process::signal_name(signal);
                Error::os(format!("could not send {name} to the child (pid {})", self.pid), error)
            }),
        }
    }

    /// Wait until it has ended; `None` when the deadline passes first.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<Exit> {
        if self.is_forgotten() {
            return None;
        }
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.ended_fd(), PollFlags::IN)];
            match poll(&mut fds, deadline) {
                Ok(Polled::Interrupted) => {}
                _ => return self.exit(),
            }
        }
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        if self.is_forgotten() {
            return None;
        }
        *lock(&self.shared.exit)
    }

    /// Readable once the exit is known, for waiting on it together with other things.
    pub fn ended_fd(&self) -> BorrowedFd<'_> {
        self.shared.ended.as_fd()
    }

    /// The end of what it wrote to stderr.
    pub fn last_words(&self) -> String {
        if self.is_forgotten() {
            return String::new();
        }
        self.voices.get().map(|voices| voices.last_words()).unwrap_or_default()
    }

    /// What became of it, in a sentence with its last words.  Waits a second at most, for a status that is on its way.
    pub fn obituary(&self) -> String {
        let fate = match self.wait(Some(Instant::now() + MOURNING)) {
            None => "ended the conversation, but still runs".to_owned(),
            Some(Exit::Code(code)) => format!("ended with exit code {code}"),
            Some(Exit::Signal(signal)) => match process::signal_name(signal) {
                "" => format!("was killed by signal {signal}"),
                name => format!("was killed by {name}"),
            },
            Some(Exit::Unknown) => "ended, and its exit status was taken by others".to_owned(),
        };
        let fate = match self.shared.verdict.get() {
            Some(why) => format!("{fate}: {why}"),
            None => fate,
        };
        match self.last_words().trim_end() {
            "" => format!("the child (pid {}) {fate}", self.pid),
            words => format!("the child (pid {}) {fate}; its last words:\n{words}", self.pid),
        }
    }

    /// After a fork, in the new process: the child is another process's.  From here it is neither signalled nor waited for.
    pub fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }

    /// Whether it belongs to another process.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    fn link(&self, beginning: Beginning) -> Result<Arc<Link>> {
        let transport: Box<dyn Transport> = match beginning.memory {
            Some(memory) => Box::new(Ring::first(beginning.ours, &memory)?),
            None => Box::new(Stream::new(beginning.ours)?),
        };
        let link = Link::new(transport, Side::Parent);
        let pidfd = self.shared.pidfd.try_clone();
        link.watch(pidfd.map_err(|error| Error::os("could not watch the child", error))?);
        Ok(link)
    }

    fn watch(&self, link: &Weak<Link>, pipes: [Option<OwnedFd>; 3], says: Says) -> Result<()> {
        let failed = |error| Error::os("could not start the thread that watches the child", error);
        let voices = Voices::new(pipes, says).map_err(failed)?;
        let watcher = Watcher {
            pid: self.pid,
            shared: Arc::clone(&self.shared),
            link: Weak::clone(link),
            voices: Arc::clone(self.voices.get_or_init(|| voices)),
            kill_at: None,
        };
        let thread = std::thread::Builder::new().name(format!("saranwrap-{}", self.pid));
        thread.stack_size(256 << 10).spawn(move || watcher.run()).map_err(failed)?;
        Ok(())
    }

    /// The child could not be made ready, and no thread watches over it.
    pub(crate) fn abort(&self) {
        let pidfd = self.shared.pidfd.as_fd();
        let _ = process::send_signal(pidfd, libc::SIGKILL);
        let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
        while let Ok(Polled::Interrupted) = poll(&mut fds, None) {}
        process::reap(pidfd);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_forgotten() {
            self.shared.dropped.store(true, Ordering::Release);
            self.shared.wake.ring();
        }
    }
}

/// What a child has said, and nothing else of it.
#[derive(Debug)]
pub struct Listener {
    voices: Arc<Voices>,
    wake: Arc<Bell>,
}

impl Listener {
    /// Wait for something that is to be told, and take it; `None` when there will be nothing more.
    pub fn hear(&self) -> Option<(Voice, Vec<u8>)> {
        self.voices.hear(|| self.wake.ring())
    }

    /// Wait until all is told that the child has said so far, at most until then.
    pub fn settle(&self, until: Instant) {
        self.voices.settle(until);
    }

    /// What is kept of a voice, and how many bytes before that are lost; `None` unless it is one that is kept.
    pub fn kept(&self, voice: Voice) -> Option<(Vec<u8>, u64)> {
        self.voices.kept(voice)
    }
}

/// Kill a child and all processes that it has started.  It is stopped first, so that it starts no more meanwhile.
fn kill_all(pid: u32, shared: &Shared) {
    let pidfd = shared.pidfd.as_fd();
    let _ = process::send_signal(pidfd, libc::SIGSTOP);
    let below = descendants::below(pid);
    let _ = process::send_signal(pidfd, libc::SIGKILL);
    descendants::kill(&below);
}

// What these locks guard is whole after every statement, so a panic elsewhere does not matter to it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pipes of a child's standard output and standard error, as far as they are not ours.
pub(crate) type Output = [Option<OwnedFd>; 2];

/// What a child has from its parent.
#[derive(Debug)]
pub struct Adopted {
    /// The link to the parent.
    pub link: Arc<Link>,
    /// The arena that goes with it.
    pub arena: Arc<Arena>,
    /// Where to write what is to be told beside calls.
    pub notes: OwnedFd,
}

/// In a child: take over the link that the parent left as descriptor 0 and what goes with it, put the standard input in its
/// place, and end this process, with those that it has started, when the parent or the link ends.
pub fn adopt_link() -> Result<Adopted> {
    let failed = |error| Error::os("could not take over the link to the parent", error);
    if !fd::is_socket(std::io::stdin()) {
        return Err(Error::refused("descriptor 0 is no link: this program was not started as a child"));
    }
    let socket = fd::move_high(std::io::stdin()).map_err(failed)?;
    let gifts = receive_gifts(&socket)?;
    process::set_stdin(&gifts.stdin).map_err(failed)?;
    descendants::follow_us().map_err(failed)?;
    let last = || descendants::end(descendants::below(std::process::id()));
    process::follow_parent(socket.try_clone().map_err(failed)?, last).map_err(failed)?;
    let transport: Box<dyn Transport> = match gifts.ring {
        Some(memory) => Box::new(Ring::second(socket, &memory)?),
        None => Box::new(Stream::new(socket)?),
    };
    Ok(Adopted { link: Link::new(transport, Side::Child), arena: gifts.arena, notes: gifts.notes })
}
