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

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::child::{Beginning, Carrier, Child, Command, Destination, Says};
use crate::error::{Error, Kind, Result};
use crate::link::Link;
use crate::sys::fd::{self, PollFd, PollFlags, Polled, poll};
use crate::sys::inherit::{self, Placed};
use crate::sys::process::{self, Following};

/// Asked of a zygote: to answer on the socket that rides along once it is ready; to fork.
const ASK_READY: u8 = b'?';
const ASK_FORK: u8 = b'f';
/// The first byte of an answer: yes, or no and why.
const YES: u8 = b'+';
const NO: u8 = b'-';

/// The number that means the directory, in place of a descriptor's number.
const DIRECTORY: i32 = -1;

/// A zygote that is ready forks within milliseconds.  One that does not in this time is stopped or broken.
const FORKING: Duration = Duration::from_secs(10);

/// A zygote that loads what it was told to may take long; whoever waits for it can interrupt that.
const LOADING: Duration = Duration::from_secs(600);

/// How much of a refusal is read.
const LONGEST_REFUSAL: usize = 4096;

/// A zygote, as its parent sees it.  Dropping it ends it.
#[derive(Debug)]
pub struct Zygote {
    process: Child,
    control: OwnedFd,
    ready: AtomicBool,
}

impl Zygote {
    /// Start a program that becomes a zygote.  This does not wait until it is one.
    pub fn start(command: &Command) -> Result<Self> {
        let (process, control) = Child::spawn_without_link(command)?;
        Ok(Self { process, control, ready: AtomicBool::new(false) })
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
    pub fn fork(&self, carrier: Carrier, cwd: Option<&Path>, says: Says) -> Result<(Child, Arc<Link>)> {
        let failed = |error| Error::os("could not prepare a child", error);
        let (beginning, theirs) = Beginning::new(carrier).map_err(failed)?;
        let (stderr, their_stderr) = fd::pipe().map_err(failed)?;
        let place = cwd.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let directory = fd::directory(&place).map_err(|error| {
            Error::refused(format!("could not start a child in {}", place.display())).because(error)
        })?;
        fd::ask_for_sender(&beginning.ours).map_err(failed)?;
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
        let pid = self.born(&beginning.ours)?;
        let child = Child::of(pid).map_err(|error| Error::died("could not watch the child").because(error))?;
        let link = child.join(beginning, [stdout, Some(stderr)], says)?;
        Ok((child, link))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&self) -> bool {
        self.process.exit().is_none()
    }

    /// End it.  Its children go on.
    pub fn close(&self) {
        fd::shut_down(&self.control);
    }

    /// After a fork, in the new process: the zygote is another process's.  Its socket is closed here, so that it sees the other's end.
    pub fn forget(&self) {
        self.process.forget();
        fd::replace_with_null(self.control.as_fd());
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
        match fd::recv_signed(ours).map_err(|error| Error::os("could not hear from the zygote", error))? {
            Some((YES, pid)) => Ok(pid),
            Some(_) => Err(Error::refused(read_refusal(ours))),
            None => Err(self.died()),
        }
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

/// What a zygote is asked, as the zygote itself sees it.
#[derive(Debug)]
pub struct Births {
    control: OwnedFd,
    parent: Option<OwnedFd>,
}

/// What there is to do for a zygote.
#[derive(Debug)]
pub enum Asked {
    /// Say whether it is ready.
    Ready(Answer),
    /// Fork.
    Birth(Birth),
    /// A signal came: look after it and ask again.
    Interrupted,
    /// End: the parent has no use for it any more, or is gone.
    End,
}

/// Where an answer goes.
#[derive(Debug)]
pub struct Answer(OwnedFd);

/// A child that is to be.
#[derive(Debug)]
pub struct Birth {
    placed: Vec<Placed>,
    /// Until it has been entered: its number may be one that the child is to have.
    directory: Option<OwnedFd>,
}

impl Births {
    /// In the process that becomes a zygote: take over the control socket, which the parent left as descriptor 0, and close what it did
    /// not leave on purpose.
    pub fn take_over() -> Result<Self> {
        if !fd::is_socket(std::io::stdin()) {
            return Err(Error::refused("descriptor 0 is no socket: this program was not started as a zygote"));
        }
        let failed = |error| Error::os("could not become a zygote", error);
        let control = inherit::take_stdin().map_err(failed)?;
        inherit::close_inherited().map_err(failed)?;
        Ok(Self { control, parent: process::parent_pidfd() })
    }

    /// End this process when the parent does, until that is called off.  For the time before it waits.
    pub fn follow_parent(&self) -> Result<Following> {
        let failed = |error| Error::os("could not watch the parent", error);
        let control = self.control.try_clone().map_err(failed)?;
        Following::begin(control).map_err(failed)
    }

    /// Wait for something to do.
    pub fn next(&self) -> Result<Asked> {
        let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
        fds.extend(self.parent.as_ref().map(|parent| PollFd::new(parent, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(Polled::Ready) => {}
            Ok(_) => return Ok(Asked::Interrupted),
            Err(error) => return Err(Error::os("a zygote could not wait", error)),
        }
        if fds.get(1).is_some_and(|parent| !parent.revents().is_empty()) {
            return Ok(Asked::End);
        }
        let mut bytes = [0; 1 + 4 * fd::MOST_FDS];
        match fd::recv_message(&self.control, &mut bytes) {
            Ok(Some((count, fds))) => Asked::read(&bytes[..count], fds),
            // A parent that was killed with requests of ours unread resets the socket.
            Ok(None) | Err(_) => Ok(Asked::End),
        }
    }
}

impl Asked {
    fn read(bytes: &[u8], mut fds: Vec<OwnedFd>) -> Result<Self> {
        let garbled = || Error::garbled("a zygote was asked for something that it does not know");
        match bytes.split_first() {
            Some((&ASK_READY, [])) if fds.len() == 1 => Ok(Self::Ready(Answer(fds.remove(0)))),
            Some((&ASK_FORK, numbers)) if numbers.len() == 4 * fds.len() => {
                let (numbers, _) = numbers.as_chunks::<4>();
                let placed = numbers.iter().map(|number| i32::from_ne_bytes(*number)).zip(fds);
                let (mut directory, placed): (Vec<Placed>, Vec<Placed>) =
                    placed.partition(|(number, _)| *number == DIRECTORY);
                let (_, directory) = directory.pop().ok_or_else(garbled)?;
                Ok(Self::Birth(Birth { placed, directory: Some(directory) }))
            }
            _ => Err(garbled()),
        }
    }
}

impl Answer {
    /// Yes, or why not.
    pub fn give(self, flaw: Option<&str>) {
        // Whoever asked may have gone; then nobody waits for it.
        match flaw {
            None => drop(rustix::io::write(self.0, &[YES])),
            Some(why) => refuse(&self.0, why),
        }
    }
}

impl Birth {
    /// All that can fail, while there is still somebody to say so.
    pub fn prepare(&mut self, births: &Births) -> std::io::Result<()> {
        let own: Vec<_> = std::iter::once(&births.control).chain(&births.parent).map(AsFd::as_fd).collect();
        if let Some(directory) = self.directory.take() {
            rustix::process::fchdir(directory)?;
        }
        inherit::make_way(&mut self.placed, &own)
    }

    /// There will be no child.
    pub fn refuse(self, why: &str) {
        if let Some((_, link)) = self.placed.iter().find(|(number, _)| *number == 0) {
            refuse(link, why);
        }
    }

    /// In the new process: put the descriptors where they belong, and tell the parent that it is born.  What is the zygote's has to be
    /// closed before.
    pub fn begin(self) -> Result<()> {
        inherit::place(self.placed).map_err(|error| Error::os("could not place the descriptors", error))?;
        // A parent that has gone meanwhile is found out about soon enough.
        let _ = rustix::io::write(std::io::stdin(), &[YES]);
        Ok(())
    }
}

fn refuse(socket: &OwnedFd, why: &str) {
    let mut text = vec![NO];
    text.extend(why.bytes().take(LONGEST_REFUSAL));
    let _ = rustix::io::write(socket, &text);
}

/// In a zygote, after a fork: leave the directory that the child starts in, so as not to keep it in use.
pub fn leave_directory() {
    // Where even the root cannot be entered, it stays where it is.
    let _ = rustix::process::chdir("/");
}
