//! What a zygote is asked, and what it does about that: the zygote's side, and that of its spare.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::{ASK_FORK, ASK_READY, DIRECTORY, LONGEST_REFUSAL, NO, NO_SPARE, SPARE, YES};
use crate::error::{Error, Result};
use crate::sys::fd::{self, PollFd, PollFlags, Polled, poll};
use crate::sys::inherit::{self, Placed};
use crate::sys::process::{self, Following};

/// How long after a birth the next spare is forked: what it takes until it stands ready would keep the new child and its parent from
/// their first words, where there are few processors.  Births that follow each other faster than this do not wait for that.
const PAUSE: Duration = Duration::from_millis(5);

/// What a zygote is asked, as the zygote itself sees it, or its spare.
#[derive(Debug)]
pub struct Births {
    control: OwnedFd,
    parent: Option<OwnedFd>,
    spare: Spare,
    /// When the last child was born, as far as that is known here.
    last: Option<Instant>,
}

/// What there is of a spare.
#[derive(Debug)]
enum Spare {
    /// None: requests are read here.
    None,
    /// None, and it is to be forked then.
    Due(Instant),
    /// It reads the requests; this hangs up when it has gone, after a byte if it has become a child.
    Waits(OwnedFd),
    /// This process is one; this is the other end.
    Us(OwnedFd),
}

/// What there is to do for a zygote.
#[derive(Debug)]
pub enum Asked {
    /// Say whether it is ready.
    Ready(Answer),
    /// Fork.
    Birth(Birth),
    /// Fork a spare: a child was born.
    Spare,
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
        Ok(Self { control, parent: process::parent_pidfd(), spare: Spare::None, last: None })
    }

    /// End this process when the parent does, until that is called off.  For the time before it waits.
    pub fn follow_parent(&self) -> Result<Following> {
        let failed = |error| Error::os("could not watch the parent", error);
        let control = self.control.try_clone().map_err(failed)?;
        Following::begin(control).map_err(failed)
    }

    /// Whether this process is a spare: it does not fork, but becomes the child.
    pub fn is_spare(&self) -> bool {
        matches!(self.spare, Spare::Us(_))
    }

    /// In a zygote, after a birth: have another spare forked soon.
    pub fn note_birth(&mut self) {
        let now = Instant::now();
        let follows = self.last.replace(now).is_some_and(|last| now < last + PAUSE);
        self.spare = Spare::Due(if follows { now } else { now + PAUSE });
    }

    /// In a zygote, after the fork of a spare: leave the requests to that.
    pub fn leave_to_spare(&mut self, leash: OwnedFd) {
        self.spare = Spare::Waits(leash);
    }

    /// In a new spare: say that it is there.
    pub fn be_spare(&mut self, leash: OwnedFd) {
        self.spare = Spare::Us(leash);
        self.tell(SPARE);
    }

    /// There is no spare, and requests are read by the zygote itself.
    pub fn do_without_spare(&self) {
        self.tell(NO_SPARE);
    }

    /// Whether a request waits already: there is no time to get ready for it.
    pub fn is_asked(&self) -> bool {
        matches!(poll(&mut [PollFd::new(&self.control, PollFlags::IN)], Some(Instant::now())), Ok(Polled::Ready))
    }

    fn tell(&self, word: u8) {
        // A parent that has gone is found out about when it is waited for.
        let _ = rustix::io::write(&self.control, &[word]);
    }

    /// Wait for something to do.
    pub fn next_asked(&mut self) -> Result<Asked> {
        let (asked_at, until) = match &self.spare {
            Spare::Waits(leash) => (leash, None),
            Spare::Due(then) => (&self.control, Some(*then)),
            _ => (&self.control, None),
        };
        let mut fds = vec![PollFd::new(asked_at, PollFlags::IN)];
        fds.extend(self.parent.as_ref().map(|parent| PollFd::new(parent, PollFlags::IN)));
        match poll(&mut fds, until) {
            Ok(Polled::Ready) => {}
            Ok(Polled::TimedOut) => {
                self.spare = Spare::None;
                return Ok(Asked::Spare);
            }
            Ok(Polled::Interrupted) => return Ok(Asked::Interrupted),
            Err(error) => return Err(Error::os("a zygote could not wait", error)),
        }
        if fds.get(1).is_some_and(|parent| !parent.revents().is_empty()) {
            return Ok(Asked::End);
        }
        if let Spare::Waits(leash) = &self.spare {
            let became_child = matches!(rustix::io::read(leash, &mut [0]), Ok(1));
            // One that was killed may be killed again: the zygote itself serves the next request.
            self.spare = Spare::None;
            if became_child {
                self.note_birth();
            }
            return Ok(Asked::Interrupted);
        }
        self.read()
    }

    fn read(&mut self) -> Result<Asked> {
        let mut bytes = [0; 1 + 4 * fd::MOST_FDS];
        let asked = match fd::recv_message(&self.control, &mut bytes) {
            Ok(Some((count, fds))) => Asked::read(&bytes[..count], fds)?,
            // A parent that was killed with requests of ours unread resets the socket.
            Ok(None) | Err(_) => return Ok(Asked::End),
        };
        if let (Asked::Birth(_), Spare::Due(_)) = (&asked, &self.spare) {
            // It comes before the spare that the last child was to be followed by.
            self.do_without_spare();
            self.spare = Spare::None;
        }
        Ok(asked)
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

impl Drop for Births {
    fn drop(&mut self) {
        if let Spare::Us(leash) = &self.spare {
            // The zygote may have been killed.
            let _ = rustix::io::write(leash, &[YES]);
        }
    }
}

impl Birth {
    /// All that can fail, while there is still somebody to say so.
    pub fn prepare(&mut self, births: &Births) -> std::io::Result<()> {
        let leash = match &births.spare {
            Spare::Us(leash) => Some(leash),
            _ => None,
        };
        let own: Vec<_> =
            std::iter::once(&births.control).chain(&births.parent).chain(leash).map(AsFd::as_fd).collect();
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
