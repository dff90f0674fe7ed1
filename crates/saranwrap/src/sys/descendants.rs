//! The processes that a process has started, and theirs; and how they are ended.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::fd::{PollFd, PollFlags, Polled, poll};
use super::process::{pidfd_open, send_signal};

/// How long processes get to end by themselves after they were told to.
const GRACE: Duration = Duration::from_millis(200);

/// More are not looked for at once: a process that forks without end must not keep us here.
const MOST: usize = 4096;

/// A process that is to be ended.
#[derive(Debug)]
pub struct Condemned(OwnedFd);

/// All processes below this one, but for those that have left its session: a process that begins a session of its own
/// (`setsid`, `start_new_session=True`) says by that that it is to outlive who started it.
pub fn below(pid: u32) -> Vec<Condemned> {
    let Some(session) = session_of(pid) else { return Vec::new() };
    let mut parents = vec![pid];
    let mut found = Vec::new();
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            if found.len() < MOST && session_of(child) == Some(session) {
                // Its number may be another's by now, unless the parent is still the same once it is held.
                let Ok(held) = pidfd_open(child) else { continue };
                if children(parent).contains(&child) {
                    found.push(Condemned(held));
                    parents.push(child);
                }
            }
        }
    }
    found
}

/// The processes of our session that have this pipe as their descriptor `number`: what is left of the descendants of a process
/// that has died, whose own children are nobody's now.
pub fn holders(pipe: &OwnedFd, number: i32) -> Vec<Condemned> {
    let own = std::process::id();
    let (Ok(wanted), Some(session)) =
        (std::fs::read_link(format!("/proc/self/fd/{}", pipe.as_raw_fd())), session_of(own))
    else {
        return Vec::new();
    };
    let holds = |pid: u32| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).is_ok_and(|target| target == wanted);
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == own || found.len() >= MOST || !holds(pid) || session_of(pid) != Some(session) {
            continue;
        }
        // The same process still, once it is held.
        found.extend(pidfd_open(pid).ok().filter(|_| holds(pid)).map(Condemned));
    }
    found
}

/// Tell them to end, and kill those that have not after a moment.
pub fn end(condemned: Vec<Condemned>) {
    for process in &condemned {
        // One that is stopped hears of it when it goes on.
        let _ = send_signal(process.0.as_fd(), libc::SIGTERM);
        let _ = send_signal(process.0.as_fd(), libc::SIGCONT);
    }
    let deadline = Instant::now() + GRACE;
    for process in condemned {
        while matches!(poll(&mut [PollFd::new(&process.0, PollFlags::IN)], Some(deadline)), Ok(Polled::Interrupted)) {}
        let _ = send_signal(process.0.as_fd(), libc::SIGKILL);
    }
}

/// Kill them at once.
pub fn kill(condemned: &[Condemned]) {
    for process in condemned {
        let _ = send_signal(process.0.as_fd(), libc::SIGKILL);
    }
}

/// End all processes below this one when it ends in order, as the last thing that it does.
pub fn follow_us() -> io::Result<()> {
    static OWNER: AtomicU32 = AtomicU32::new(0);
    extern "C" fn last() {
        // A fork of this process inherits this, and has to leave its siblings alone.
        if OWNER.load(Ordering::Relaxed) == std::process::id() {
            end(below(std::process::id()));
        }
    }
    OWNER.store(std::process::id(), Ordering::Relaxed);
    // SAFETY: the handler takes and returns nothing and does not unwind; this library is never unloaded, since it has
    // thread-locals with destructors.
    if unsafe { libc::atexit(last) } == 0 { Ok(()) } else { Err(io::Error::from(io::ErrorKind::OutOfMemory)) }
}

/// The processes that any thread of this one has started.
fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn session_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program comes second, in parentheses, and may hold anything; then state, parent, group, session.
    stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
}
