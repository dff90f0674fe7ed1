//! The thread that watches over a child: it hears what the child says, takes its exit status, and ends one that nobody has any use for.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::voices::{Voice, Voices};
use super::{Exit, GRACE, Shared, kill_all, lock};
use crate::link::Link;
use crate::sys::fd::{PollFd, PollFlags, Polled, poll};
use crate::sys::{descendants, process, signals};

/// The thread that watches over a child until it has ended.
pub(super) struct Watcher {
    pub(super) pid: u32,
    pub(super) shared: Arc<Shared>,
    pub(super) link: Weak<Link>,
    pub(super) voices: Arc<Voices>,
    /// When the child has to be gone, once nobody has any use for it.
    pub(super) kill_at: Option<Instant>,
}

impl Watcher {
    pub(super) fn run(mut self) {
        signals::block_signals();
        while !self.has_ended() {}
        let held = self.voices.end();
        // Last, when the last words are complete: whoever waits for the exit may ask for them at once.
        *lock(&self.shared.exit) = Some(process::reap(self.shared.pidfd.as_fd()).unwrap_or(Exit::Unknown));
        // Nobody may be waiting on the link.  It learns of the end now, and not from the next call, which would be lost with it.
        if let Some(link) = self.link.upgrade() {
            let _ = link.pump();
        }
        self.shared.ended.ring();
        // Where a pipe is still open, a process that the child has started and could not end itself has it.
        for (voice, pipe) in held.into_iter().filter(|(voice, _)| *voice != Voice::Notes) {
            descendants::end(descendants::holders(&pipe, voice as i32));
        }
        self.voices.repeat_all();
    }

    /// One round: wait for the child's words, for room to repeat them, for its end, or for news of the link.
    fn has_ended(&mut self) -> bool {
        let (shared, voices) = (Arc::clone(&self.shared), Arc::clone(&self.voices));
        let open = voices.open();
        let our_stderr = std::io::stderr();
        let mut fds = vec![PollFd::new(&shared.wake, PollFlags::IN), PollFd::new(&shared.pidfd, PollFlags::IN)];
        fds.extend(open.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)));
        // While something is left to write nothing is read: the child waits, as it would if it wrote to our stderr itself.
        if voices.has_unrepeated() {
            fds.push(PollFd::new(&our_stderr, PollFlags::OUT));
        }
        let polled = poll(&mut fds, self.kill_at);
        let found: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        match polled {
            Ok(Polled::Ready | Polled::Interrupted) => {}
            Ok(Polled::TimedOut) => {
                kill_all(self.pid, &shared);
                self.kill_at = None;
            }
            // Only a shortage of kernel memory, which passes; the pause keeps this from making it worse.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(50));
                return process::exit_status(shared.pidfd.as_fd()).is_some();
            }
        }
        if found[0] {
            shared.wake.clear();
            self.consider();
        }
        for ((voice, _), _) in open.iter().zip(&found[2..]).filter(|(_, found)| **found) {
            voices.listen(*voice);
        }
        voices.repeat();
        found[1]
    }

    /// The link has ended, or the last holder of the child is gone.  When both are true the time runs.
    fn consider(&mut self) {
        let link_ended = self.link.upgrade().is_none_or(|link| link.error().is_some());
        if link_ended && self.shared.dropped.load(Ordering::Acquire) && self.kill_at.is_none() {
            self.kill_at = Some(Instant::now() + GRACE);
        }
    }
}
