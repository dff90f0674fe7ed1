//! Processes by descriptor: opening, waiting, signalling, and a child's watch over its parent.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus};

use super::fd::{Bell, PollFd, PollFlags, Polled, poll};
use super::signals::block_signals;

/// How long a child's main thread gets to end in order once the parent is gone.
const GRACE: Duration = Duration::from_millis(300);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// Some other part of this program took the status (a handler of SIGCHLD, a `waitpid(-1)`).
    Unknown,
}

/// The process that started this one, or that took its place.
pub fn parent_id() -> i32 {
    Pid::as_raw(rustix::process::getppid())
}

/// A descriptor for a process.  It stays that process's, whoever reuses the number.
pub fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    super::fd::move_high(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// How the process ended, without taking the status from whoever waits for it; `None` while it runs.
pub fn exit_status(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    wait(pidfd, WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)
}

/// Take the status of a process that has ended, so that it does not stay as a zombie; `None` while it runs.
pub fn reap(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    wait(pidfd, WaitIdOptions::NOHANG)
}

fn wait(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> Option<Exit> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), options | WaitIdOptions::EXITED) {
            Ok(Some(status)) => return Some(exit_of(&status)),
            Ok(None) => return None,
            Err(Errno::INTR) => {}
            // ECHILD: no longer ours to wait for.  Any other failure leaves us as ignorant.
            Err(_) => return Some(Exit::Unknown),
        }
    }
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    if let Some(code) = status.exit_status() {
        return Exit::Code(code);
    }
    status.terminating_signal().map_or(Exit::Unknown, Exit::Signal)
}

/// Send a signal to a process.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: pidfd_send_signal reads no memory of ours: the siginfo pointer is null, which the kernel documents as "fill in
    // what kill(2) would".  The descriptor is open for the length of the borrow.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The name of a signal; empty for those without one (the real-time signals).
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSTKFLT => "SIGSTKFLT",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGIO => "SIGIO",
        libc::SIGPWR => "SIGPWR",
        libc::SIGSYS => "SIGSYS",
        _ => "",
    }
}

/// The number of the current thread, as the C library knows it (`pthread_self`).
pub fn this_thread() -> u64 {
    // SAFETY: it takes nothing and reads nothing but the thread's own register.
    unsafe { libc::pthread_self() as u64 }
}

/// A signal for one thread of this process, to be sent from any other; at first for none.
#[derive(Debug, Default)]
pub struct Alarm(Option<(i32, i32)>);

impl Alarm {
    /// For the current thread.
    pub fn here(signal: i32) -> Self {
        Self(Some((rustix::thread::gettid().as_raw_nonzero().get(), signal)))
    }

    /// Send it.  A thread that has ended, or one of the process that this one was forked from, is not found, which is no fault.
    pub fn sound(&self) {
        if let Self(Some((thread, signal))) = *self {
            // SAFETY: tgkill takes three numbers and touches no memory of ours.
            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), thread, signal) };
        }
    }
}

/// End this process soon after its parent, or its link to it, has ended, whatever the other threads are doing.
///
/// A thread of its own watches for the hang-up and never reads from the link.  PR_SET_PDEATHSIG is not used: it is tied to
/// the *thread* that started the child, and kills healthy children when that thread ends.
///
/// `last` is called before, for what else has to end.
pub fn follow_parent(link: OwnedFd, last: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let parent = parent_pidfd();
    std::thread::Builder::new().name("saranwrap-follow".to_owned()).spawn(move || {
        block_signals();
        wait_for_orphanage(&link, parent.as_ref(), None);
        std::thread::sleep(GRACE);
        last();
        leave()
    })?;
    Ok(())
}

/// A watch over the parent that can be called off; the process ends with the parent until then.
#[derive(Debug)]
pub struct Following {
    off: Arc<Bell>,
    thread: std::thread::JoinHandle<()>,
}

impl Following {
    /// Begin.
    pub fn begin(link: OwnedFd) -> io::Result<Self> {
        let off = Arc::new(Bell::new()?);
        let (parent, bell) = (parent_pidfd(), Arc::clone(&off));
        let thread = std::thread::Builder::new().name("saranwrap-follow".to_owned()).spawn(move || {
            block_signals();
            if wait_for_orphanage(&link, parent.as_ref(), Some(&bell)) {
                leave();
            }
        })?;
        Ok(Self { off, thread })
    }

    /// Call it off; its thread is gone after this.
    pub fn end(self) {
        self.off.ring();
        // It cannot have panicked, and if it had, it would be gone as well.
        let _ = self.thread.join();
    }
}

/// End this process at once, without a word, and without whatever would run at an end in order.
pub fn leave() -> ! {
    // SAFETY: _exit takes no memory and does not return; that destructors and exit handlers of the other threads do not
    // run is what it is called for.
    unsafe { libc::_exit(0) }
}

/// The parent, unless it cannot be watched (it has ended, or lives in another pid namespace); the link's end must do then.
pub fn parent_pidfd() -> Option<OwnedFd> {
    let parent = std::os::unix::process::parent_id();
    let pidfd = pidfd_open(parent).ok()?;
    // Between the two calls the parent may have ended and its number may have gone to somebody else.  Then we have another
    // parent by now.
    (std::os::unix::process::parent_id() == parent).then_some(pidfd)
}

/// Wait until the parent or the link ends, which is true, or until the bell rings.
fn wait_for_orphanage(link: &OwnedFd, parent: Option<&OwnedFd>, off: Option<&Bell>) -> bool {
    // Hang-ups only.  Asking for IN would wake this thread with every frame.
    let hung_up = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    let mut watched = vec![PollFd::new(link, PollFlags::RDHUP)];
    watched.extend(parent.map(|parent| PollFd::new(parent, PollFlags::IN)));
    watched.extend(off.map(|bell| PollFd::new(bell, PollFlags::IN)));
    loop {
        match poll(&mut watched, None) {
            Ok(Polled::Ready) => {}
            Ok(_) => continue,
            // Nothing can be watched any more, and a child that nobody watches must not stay.
            Err(_) => return true,
        }
        let link_ended = watched[0].revents().intersects(hung_up);
        let rung = |place: usize| watched.get(place).is_some_and(|fd| !fd.revents().is_empty());
        if link_ended || (parent.is_some() && rung(1)) {
            return true;
        }
        if off.is_some() && rung(1 + usize::from(parent.is_some())) {
            return false;
        }
    }
}

/// The processor that this thread runs on, plus one; 0 where that cannot be learnt.  It may be another one by the time of return.
#[inline]
pub fn current_cpu() -> u64 {
    // SAFETY: sched_getcpu takes nothing and touches no memory of ours.
    let cpu = unsafe { libc::sched_getcpu() };
    u64::try_from(cpu + 1).unwrap_or(0)
}

/// Whether this is the thread that the process began with, or that it was forked by.
pub fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// Whether this thread may run on more than one processor.
pub fn has_company() -> bool {
    rustix::thread::sched_getaffinity(None).is_ok_and(|cpus| cpus.count() > 1)
}

static FORKS: AtomicU64 = AtomicU64::new(0);

/// A number that a forked process does not have in common with the one that it was forked from.
///
/// Asking for the process id would tell as much, and is a system call.
pub fn incarnation() -> u64 {
    static COUNTING: Once = Once::new();
    COUNTING.call_once(|| {
        extern "C" fn forked() {
            note_fork();
        }
        // SAFETY: the handler only adds to an atomic, which a new process may do at any time; it lives as long as the library,
        // and a library with thread-locals that have destructors, as this one, is never unloaded.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
    FORKS.load(Ordering::Relaxed)
}

/// This is a new process.  Only for a fork that went past the C library, which calls this itself otherwise.
pub fn note_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// How much memory of this process is resident, in bytes; 0 where that cannot be learnt.
pub fn memory_of_self() -> u64 {
    memory_of("self")
}

/// The same of the process with this name below /proc.
pub fn memory_of(process: &str) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm")).ok();
    let resident = pages.and_then(|pages| pages.split(' ').nth(1)?.parse::<u64>().ok());
    resident.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Give this process another standard input.
pub fn set_stdin(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdin(fd)?)
}
