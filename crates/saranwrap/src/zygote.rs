//! Processes that stand ready to be forked into children.  What they have loaded before is not known here.
//!
//! # How it works
//!
//! A zygote is started as a child is, and finds a control socket as its descriptor 0.  It has one thread, and waits.  For each
//! child the parent sends it one message: the child's end of a link and all the descriptors that the child is to have, each
//! with its number, and the directory to start in.  The zygote forks a sibling of itself.  So the new process is the parent's
//! own child: it is watched, waited for and signalled as one that was started in the usual way.
//!
//! The answer comes over the link itself, as the one byte before the first frame.  The child says it, and the kernel says who
//! the sender is; or the zygote says why there is no child.  When a zygote ends, its copies of all links end, so that nobody
//! waits for one in vain.
//!
//! From the first child on a zygote has a *spare*: a sibling that is forked ahead, reads the requests in its place, and becomes the
//! child of the next one.  When that is gone the zygote forks another, as soon as the child has had time for its first words.  A spare
//! says on the control socket that it is there, so that the parent knows of all the processes that it has to take the exit status of.

mod births;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::child::{Beginning, Carrier, Child, Command, Destination, Says};
use crate::error::{Error, Kind, Result};
use crate::link::Link;
use crate::sys::fd::{self, PollFd, PollFlags, Polled, poll};
use crate::sys::inherit;
pub use births::{Answer, Asked, Birth, Births, leave_directory};

/// Asked of a zygote: to answer on the socket that rides along once it is ready; to fork.
const ASK_READY: u8 = b'?';
const ASK_FORK: u8 = b'f';
/// The first byte of an answer: yes, or no and why.
const YES: u8 = b'+';
const NO: u8 = b'-';
/// Said on the control socket after each fork that was asked for: that a spare is there, by the spare itself; or that there is none.
const SPARE: u8 = b's';
const NO_SPARE: u8 = b'n';

/// The number that means the directory, in place of a descriptor's number.
const DIRECTORY: i32 = -1;

/// A zygote that is ready forks within milliseconds.  One that does not in this time is stopped or broken.
const FORKING: Duration = Duration::from_secs(10);

/// A zygote that loads what it was told to may take long; whoever waits for it can interrupt that.
const LOADING: Duration = Duration::from_secs(600);

/// How long to wait to be told of a spare.
const TELLING: Duration = Duration::from_secs(1);

/// How much of a refusal is read.
const LONGEST_REFUSAL: usize = 4096;

/// A zygote, as its parent sees it.  Dropping it ends it.
#[derive(Debug)]
pub struct Zygote {
    process: Child,
    control: OwnedFd,
    ready: AtomicBool,
    spares: Mutex<Spares>,
}

/// The processes that were forked ahead, as far as their parent has been told.
#[derive(Debug, Default)]
struct Spares {
    pids: Vec<u32>,
    /// How many more times the parent is to be told; below 0 where it heard of a fork before it saw the answer.
    owed: isize,
}

impl Zygote {
    /// Start a program that becomes a zygote.  This does not wait until it is one.
    pub fn start(command: &Command) -> Result<Self> {
        let (process, control) = Child::spawn_without_link(command)?;
        let zygote = Self { process, control, ready: AtomicBool::new(false), spares: Mutex::default() };
        fd::ask_for_sender(&zygote.control, true).map_err(|error| Error::os("could not prepare a zygote", error))?;
        Ok(zygote)
    }

    /// Wait until it is ready; an error of kind `Refused` when it says why it cannot fork, of kind `Died` when it has ended.
    /// `interrupted` is asked after each signal, and ends the wait with its own error.
    pub fn ready(&self, interrupted: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        if self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        let failed = |error| Error::os("could not ask the zygote whether it is ready", error);
        let (ours, theirs) = fd::socketpair().map_err(failed)?;
        self.ask(&[ASK_READY], &[theirs.as_fd()])?;
        drop(theirs);
        self.wait(&ours, Instant::now() + LOADING, interrupted)?;
        match fd::recv_fds(&ours).map_err(failed)? {
            Some((YES, _)) => self.ready.store(true, Ordering::Release),
            Some(_) => return Err(Error::refused(read_refusal(&ours))),
            None => return Err(self.died()),
        }
        Ok(())
    }

    /// Fork it into a child that starts in `cwd`, or where we are, with a link to it.
    ///
    /// `None` where `inherited` is given and is not what a process has that is started now ([`inherit::attributes`]).  That is looked at
    /// while the child is on its way; it ends before it has heard anything.
    pub fn fork(
        &self,
        carrier: Carrier,
        cwd: Option<&Path>,
        says: Says,
        inherited: Option<&str>,
    ) -> Result<Option<(Child, Arc<Link>)>> {
        let failed = |error| Error::os("could not prepare a child", error);
        let (ours, theirs) = fd::socketpair().map_err(failed)?;
        let (stderr, their_stderr) = fd::pipe().map_err(failed)?;
        let place = cwd.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let directory = fd::directory(&place).map_err(|error| {
            Error::refused(format!("could not start a child in {}", place.display())).because(error)
        })?;
        fd::ask_for_sender(&ours, true).map_err(failed)?;
        let heard = ours.try_clone().map_err(failed)?;
        let mut placed = vec![(0, theirs), (2, their_stderr), (DIRECTORY, directory)];
        placed.extend(inherit::descriptors().map_err(failed)?);
        let stdout = if says.stdout == Destination::Ours { None } else { Some(fd::pipe().map_err(failed)?) };
        let stdout = stdout.map(|(stdout, theirs)| {
            placed.retain(|(number, _)| *number != 1);
            placed.push((1, theirs));
            stdout
        });
        let numbers = placed.iter().flat_map(|(number, _)| number.to_ne_bytes());
        let message: Vec<u8> = std::iter::once(ASK_FORK).chain(numbers).collect();
        let fds: Vec<BorrowedFd<'_>> = placed.iter().map(|(_, fd)| fd.as_fd()).collect();
        self.ask(&message, &fds)?;
        drop(placed);
        // While the child is on its way.
        let beginning = Beginning::over(ours, Some(carrier));
        let fits = inherited.is_none_or(|inherited| inherit::attributes() == inherited);
        let pid = self.born(&heard)?;
        drop(heard);
        let child = Child::of(pid).map_err(|error| Error::died("could not watch the child").because(error))?;
        if !fits {
            child.abort();
            return Ok(None);
        }
        let beginning = beginning.map_err(failed).inspect_err(|_| child.abort())?;
        let link = child.join(beginning, [stdout, Some(stderr)], says)?;
        Ok(Some((child, link)))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&self) -> bool {
        self.process.exit().is_none()
    }

    /// The processes that stand ready to be its next children.
    pub fn spares(&self) -> Vec<u32> {
        self.heard_of().pids.clone()
    }

    /// End it, and its spare.  Its children go on.
    pub fn close(&self) {
        if self.process.is_forgotten() {
            // Another thread may have held the lock of the spares when this process was forked.
            return;
        }
        let spares = std::mem::take(&mut self.heard_of().pids);
        fd::shut_down(&self.control);
        for pid in spares {
            // It ends by itself.  Somebody has to take its exit status.
            let _ = Child::of(pid).map(|spare| spare.watch_end());
        }
    }

    /// After a fork, in the new process: the zygote is another process's.  Its socket is closed here, so that it sees the other's end.
    pub fn forget(&self) {
        self.process.forget();
        fd::replace_with_null(self.control.as_fd());
    }

    // What this guards is whole after every statement.
    fn known(&self) -> MutexGuard<'_, Spares> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spares, once all is heard that is on its way.
    fn heard_of(&self) -> MutexGuard<'_, Spares> {
        self.listen(Instant::now() + TELLING, |spares| spares.owed <= 0)
    }

    /// Hear of spares until it is enough, at most until then.
    fn listen(&self, until: Instant, enough: impl Fn(&Spares) -> bool) -> MutexGuard<'_, Spares> {
        let mut spares = self.known();
        while !enough(&spares) {
            let mut fds = [PollFd::new(&self.control, PollFlags::IN)];
            match poll(&mut fds, Some(until)) {
                Ok(Polled::Ready) if spares.hear(&self.control) => {}
                Ok(Polled::Interrupted) => {}
                _ => break,
            }
        }
        spares
    }

    fn ask(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        loop {
            match fd::send_message(&self.control, message, fds) {
                Ok(()) => return Ok(()),
                // Many threads have asked at once, and it works through that.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(&self.control, PollFlags::OUT)];
                    if !matches!(
                        poll(&mut fds, Some(Instant::now() + FORKING)),
                        Ok(Polled::Ready | Polled::Interrupted)
                    ) {
                        return Err(self.stuck());
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Err(self.died()),
                Err(error) => return Err(Error::os("could not send the zygote what it needs for a child", error)),
            }
        }
    }

    /// Wait for the answer on a link, and take the child's number from it.
    fn born(&self, ours: &OwnedFd) -> Result<u32> {
        // This wait goes on after a signal: a child that comes when nobody waits for it would stay as a zombie.
        let mut go_on = || Ok(());
        let waited = self.wait(ours, Instant::now() + FORKING, &mut go_on);
        if waited.is_err() {
            // After its end there is an answer, or there will be none.
            let _ = self.process.kill();
            self.wait(ours, Instant::now() + FORKING, &mut go_on)?;
        }
        let failed = |error| Error::os("could not hear from the zygote", error);
        let Some((word, pid)) = fd::recv_signed(ours).map_err(failed)? else { return Err(self.died()) };
        fd::ask_for_sender(ours, false).map_err(failed)?;
        // If it was a spare, it said so before it answered.
        let mut spares = self.listen(Instant::now(), |_| false);
        spares.pids.retain(|&spare| spare != pid);
        // Whatever the answer is, it is followed by a word of the next spare.
        spares.owed += 1;
        drop(spares);
        if word == YES { Ok(pid) } else { Err(Error::refused(read_refusal(ours))) }
    }

    fn wait(&self, ours: &OwnedFd, until: Instant, interrupted: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        loop {
            let polled = poll(&mut [PollFd::new(ours, PollFlags::IN)], Some(until));
            match polled.map_err(|error| Error::os("could not wait for the zygote", error))? {
                Polled::Ready => return Ok(()),
                Polled::Interrupted => interrupted()?,
                Polled::TimedOut => return Err(self.stuck()),
            }
        }
    }

    fn died(&self) -> Error {
        Error::died(self.process.obituary().replacen("the child", "the zygote", 1))
    }

    fn stuck(&self) -> Error {
        Error::new(Kind::TimedOut, format!("the zygote (pid {}) does not answer", self.pid()))
    }
}

impl Spares {
    /// Take the next word of one; false when there is none to come.
    fn hear(&mut self, control: &OwnedFd) -> bool {
        match fd::recv_signed(control) {
            Ok(Some((word, pid))) => {
                self.owed -= 1;
                self.pids.extend((word == SPARE).then_some(pid));
                true
            }
            _ => {
                self.owed = 0;
                false
            }
        }
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // In a forked process the descriptor is `/dev/null`, which cannot be shut down.
        self.close();
    }
}

/// The rest of a refusal: what was written before the zygote closed its end.
fn read_refusal(ours: &OwnedFd) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 512];
    let deadline = Instant::now() + FORKING;
    while text.len() < LONGEST_REFUSAL {
        match rustix::io::read(ours, &mut chunk) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&chunk[..count]),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                if matches!(
                    poll(&mut [PollFd::new(ours, PollFlags::IN)], Some(deadline)),
                    Ok(Polled::TimedOut) | Err(_)
                ) {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}
