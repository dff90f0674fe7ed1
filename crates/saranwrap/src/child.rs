//! A process with a link to it: starting, watching over, ending, and what it last said.  What is asked of it is not known here.
//!
//! # How it works
//!
//! The child finds the link as its descriptor 0, so that nothing has to run between fork and exec and the program is started by
//! `posix_spawn` (a fork of a large parent takes a hundred times as long).  The first thing on the link is one byte with our own
//! standard input and the shared memories riding on it; the child puts them where they belong.
//!
//! One thread for each child copies its stderr to ours, keeps the end of it, and takes its exit status.  It never enters the
//! host's world.

mod gifts;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::error::{Error, Result};
use crate::link::{Link, Side};
use crate::sys::fd::{self, Bell, PollFd, PollFlags, Polled, poll};
use crate::sys::process;
pub use crate::sys::process::Exit;
use crate::transport::Transport;
use crate::transport::ring::Ring;
use crate::transport::stream::Stream;
pub(crate) use gifts::Beginning;
pub use gifts::STDIN_MARK;
use gifts::receive_gifts;

/// How much of what a child wrote to stderr is kept.
const LAST_WORDS: usize = 64 << 10;

/// How much is copied at once.  A pipe that is writable has room for this much, so that the copying never waits.
const CHUNK: usize = 4096;

/// How long a child that nobody holds any more may outlive its link.
const GRACE: Duration = Duration::from_secs(2);

/// How long an obituary waits for the exit status of a child whose link has ended.
const MOURNING: Duration = Duration::from_secs(1);

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carrier {
    /// Memory that both processes see; a socket where the kernel gives none.
    #[default]
    Ring,
    /// A socket.
    Stream,
}

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// The program; looked up in PATH when it has no slash.
    pub program: OsString,
    /// Its arguments, without the program's own name.
    pub args: Vec<OsString>,
    /// Its whole environment; `None` inherits ours.
    pub env: Option<Vec<(OsString, OsString)>>,
    /// Where it starts; `None` inherits ours.
    pub cwd: Option<PathBuf>,
    /// What carries the frames.
    pub carrier: Carrier,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program.to_string_lossy())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.to_string_lossy()))
    }
}

/// A child process.  Dropping it neither waits nor kills; but a child that outlives both its link and this by two seconds is
/// killed.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    shared: Arc<Shared>,
    arena: OnceLock<Arc<Arena>>,
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
    last_words: Mutex<VecDeque<u8>>,
    /// Why we are about to end it, if we are.
    verdict: OnceLock<String>,
}

impl Child {
    /// Start a program and make a link to it.
    pub fn spawn(command: &Command) -> Result<(Self, Arc<Link>)> {
        let failed = |error| Error::os(format!("could not start the child `{command}`"), error);
        let (beginning, theirs) = Beginning::new(command.carrier).map_err(failed)?;
        let (child, stderr) = Self::launch(command, theirs)?;
        let link = child.join(beginning, stderr)?;
        Ok((child, link))
    }

    /// Start a program that has `stdin`, and take its stderr. Nobody watches over it yet.
    fn launch(command: &Command, stdin: OwnedFd) -> Result<(Self, Option<OwnedFd>)> {
        let could_not = |what: &str| format!("could not {what} the child `{command}`");
        let mut started = start(command, stdin).map_err(|error| Error::refused(could_not("start")).because(error))?;
        let pid = started.id();
        // Nobody has waited for it yet, so the number is still its own, unless some part of the program waits for any child.
        let child = Self::of(pid).map_err(|error| {
            let _ = started.kill();
            let _ = started.wait();
            Error::died(could_not("watch")).because(error)
        })?;
        Ok((child, started.stderr.take().map(OwnedFd::from)))
    }

    /// Start a program with one end of a socket as its standard input and no link; the other end is returned.
    pub(crate) fn spawn_without_link(command: &Command) -> Result<(Self, OwnedFd)> {
        let (ours, theirs) = fd::socketpair().map_err(|error| Error::os("could not make a socket", error))?;
        let (child, stderr) = Self::launch(command, theirs)?;
        child.watch(&Weak::new(), stderr).inspect_err(|_| child.abort())?;
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
            last_words: Mutex::default(),
            verdict: OnceLock::new(),
        });
        Ok(Self { pid, shared, arena: OnceLock::new(), forgotten: AtomicBool::new(false) })
    }

    /// Make a link of our end of its socket, and have a thread watch over it; from here its drop sees to it that it does not stay.
    pub(crate) fn join(&self, mut beginning: Beginning, stderr: Option<OwnedFd>) -> Result<Arc<Link>> {
        if let Some([ours, theirs]) = beginning.memories.take() {
            self.arena.get_or_init(|| Arena::new(ours, theirs));
        }
        let link = self.link(beginning).inspect_err(|_| self.abort())?;
        link.ring_at_end(Arc::clone(&self.shared.wake));
        self.watch(&Arc::downgrade(&link), stderr).inspect_err(|_| self.abort())?;
        Ok(link)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The memory for large data that it shares with us.
    pub fn arena(&self) -> &Arc<Arena> {
        self.arena.get_or_init(Arena::none)
    }

    /// End it at once.
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

    /// Send it a signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        if self.forgotten.load(Ordering::Acquire) {
            return Err(Error::refused("this child belongs to another process"));
        }
        // A process that has ended needs no signal any more.
        if self.exit().is_some() {
            return Ok(());
        }
        process::send_signal(self.shared.pidfd.as_fd(), signal).map_err(|error| {
            let name = process::signal_name(signal);
            Error::os(format!("could not send {name} to the child (pid {})", self.pid), error)
        })
    }

    /// Wait until it has ended; `None` when the deadline passes first.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<Exit> {
        if self.forgotten.load(Ordering::Acquire) {
            return None;
        }
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.ended_fd(), PollFlags::IN)];
            match poll(&mut fds, deadline) {
                Ok(Polled::Interrupted) => {}
                Ok(Polled::Ready | Polled::TimedOut) => return self.exit(),
                Err(_) => return self.exit(),
            }
        }
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        if self.forgotten.load(Ordering::Acquire) {
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
        if self.forgotten.load(Ordering::Acquire) {
            return String::new();
        }
        let mut words = lock(&self.shared.last_words);
        String::from_utf8_lossy(words.make_contiguous()).into_owned()
    }

    /// What became of it, in a sentence with its last words.  Waits a second at most, for a status that is on its way.
    pub fn obituary(&self) -> String {
        let exit = self.wait(Some(Instant::now() + MOURNING));
        let fate = match exit {
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

    fn watch(&self, link: &Weak<Link>, stderr: Option<OwnedFd>) -> Result<()> {
        let failed = |error| Error::os("could not start the thread that watches the child", error);
        if let Some(stderr) = &stderr {
            fd::set_nonblocking(stderr).map_err(failed)?;
        }
        let watcher = Watcher {
            shared: Arc::clone(&self.shared),
            link: Weak::clone(link),
            stderr,
            copying: Vec::new(),
            kill_at: None,
        };
        let thread = std::thread::Builder::new().name(format!("saranwrap-{}", self.pid));
        thread.stack_size(256 << 10).spawn(move || watcher.run()).map_err(failed)?;
        Ok(())
    }

    /// The child could not be made ready, and no thread watches over it.
    fn abort(&self) {
        let pidfd = self.shared.pidfd.as_fd();
        let _ = process::send_signal(pidfd, libc::SIGKILL);
        let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
        while let Ok(Polled::Interrupted) = poll(&mut fds, None) {}
        process::reap(pidfd);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.forgotten.load(Ordering::Acquire) {
            self.shared.dropped.store(true, Ordering::Release);
            self.shared.wake.ring();
        }
    }
}

fn start(command: &Command, stdin: OwnedFd) -> std::io::Result<std::process::Child> {
    let mut builder = std::process::Command::new(&command.program);
    builder.args(&command.args).stdin(Stdio::from(stdin)).stderr(Stdio::piped());
    if let Some(env) = &command.env {
        builder.env_clear().envs(env.iter().map(|(key, value)| (OsStr::new(key), value)));
    }
    if let Some(cwd) = &command.cwd {
        builder.current_dir(cwd);
    }
    builder.spawn()
}

/// The thread that watches over a child until it has ended.
struct Watcher {
    shared: Arc<Shared>,
    link: Weak<Link>,
    /// `None` once the child has closed it.
    stderr: Option<OwnedFd>,
    /// What has been read from the child's stderr and not yet been written to ours.
    copying: Vec<u8>,
    /// When the child has to be gone, once nobody has any use for it.
    kill_at: Option<Instant>,
}

impl Watcher {
    fn run(mut self) {
        process::block_signals();
        while !self.has_ended() {}
        self.drain();
        // Last, when the last words are complete: whoever waits for the exit may ask for them at once.
        *lock(&self.shared.exit) = Some(process::reap(self.shared.pidfd.as_fd()).unwrap_or(Exit::Unknown));
        // Nobody may be waiting on the link.  It learns of the end now, and not from the next call, which would be lost with it.
        if let Some(link) = self.link.upgrade() {
            let _ = link.pump();
        }
        self.shared.ended.ring();
    }

    /// One round: wait for the child's words, for room to repeat them, for its end, or for news of the link.
    fn has_ended(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let wake = PollFd::from_borrowed_fd(shared.wake.as_fd(), PollFlags::IN);
        let our_stderr = std::io::stderr();
        // While something is left to write nothing is read: the child waits, as it would if it wrote to our stderr itself.
        let words = match &self.stderr {
            _ if !self.copying.is_empty() => PollFd::new(&our_stderr, PollFlags::OUT),
            Some(stderr) => PollFd::new(stderr, PollFlags::IN),
            None => wake.clone(),
        };
        let mut fds = [wake, PollFd::new(&shared.pidfd, PollFlags::IN), words];
        let polled = poll(&mut fds, self.kill_at);
        let [rung, ended, words] = fds.map(|fd| !fd.revents().is_empty());
        match polled {
            Ok(Polled::Ready) => {}
            Ok(Polled::TimedOut) => {
                let _ = process::send_signal(shared.pidfd.as_fd(), libc::SIGKILL);
                self.kill_at = None;
            }
            Ok(Polled::Interrupted) => {}
            // Only a shortage of kernel memory, which passes; the pause keeps this from making it worse.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(50));
                return process::exit_status(shared.pidfd.as_fd()).is_some();
            }
        }
        if rung {
            shared.wake.clear();
            self.consider();
        }
        if words {
            self.copy();
        }
        ended
    }

    /// The link has ended, or the last holder of the child is gone.  When both are true the time runs.
    fn consider(&mut self) {
        let link_ended = self.link.upgrade().is_none_or(|link| link.error().is_some());
        if link_ended && self.shared.dropped.load(Ordering::Acquire) && self.kill_at.is_none() {
            self.kill_at = Some(Instant::now() + GRACE);
        }
    }

    /// Read some of what the child says, or write what was read.
    fn copy(&mut self) {
        if !self.copying.is_empty() {
            return self.repeat();
        }
        if self.listen() {
            self.repeat();
        }
    }

    /// Read what is there, up to a chunk.  False when there is nothing now, or nothing any more.
    fn listen(&mut self) -> bool {
        let Some(stderr) = &self.stderr else { return false };
        let mut chunk = [0; CHUNK];
        match rustix::io::read(stderr, &mut chunk) {
            Ok(0) => self.stderr = None,
            Ok(count) => {
                self.copying.extend_from_slice(&chunk[..count]);
                self.shared.remember(&chunk[..count]);
                return true;
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => self.stderr = None,
        }
        false
    }

    /// Write to our stderr as much as goes.
    fn repeat(&mut self) {
        let stderr = std::io::stderr();
        let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
        let now = Some(Instant::now());
        if !matches!(poll(&mut fds, now), Ok(Polled::Ready)) {
            return;
        }
        match rustix::io::write(&stderr, &self.copying[..self.copying.len().min(CHUNK)]) {
            Ok(count) => drop(self.copying.drain(..count)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // We have no stderr.  The words are remembered all the same.
            Err(_) => self.copying.clear(),
        }
    }

    /// The child has ended: take what it left in the pipe.  A process that it started may hold the other end, so nothing waits
    /// for the end of that.
    fn drain(&mut self) {
        self.repeat();
        for _ in 0..(1 << 20) / CHUNK {
            if !self.listen() {
                break;
            }
            self.repeat();
        }
    }
}

impl Shared {
    /// Keep the end of what the child says.
    fn remember(&self, words: &[u8]) {
        let mut kept = lock(&self.last_words);
        kept.extend(words);
        let surplus = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..surplus);
    }
}

// What these locks guard is whole after every statement, so a panic elsewhere does not matter to it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In a child: take over the link that the parent left as descriptor 0 and the arena that goes with it, put the standard input in
/// its place, and end this process when the parent or the link ends.
pub fn adopt_link() -> Result<(Arc<Link>, Arc<Arena>)> {
    let failed = |error| Error::os("could not take over the link to the parent", error);
    if !fd::is_socket(std::io::stdin()) {
        return Err(Error::refused("descriptor 0 is no link: this program was not started as a child"));
    }
    let socket = fd::move_high(std::io::stdin()).map_err(failed)?;
    let (stdin, memory, arena) = receive_gifts(&socket)?;
    process::set_stdin(&stdin).map_err(failed)?;
    process::follow_parent(socket.try_clone().map_err(failed)?).map_err(failed)?;
    let transport: Box<dyn Transport> = match memory {
        Some(memory) => Box::new(Ring::second(socket, &memory)?),
        None => Box::new(Stream::new(socket)?),
    };
    Ok((Link::new(transport, Side::Child), arena))
}
