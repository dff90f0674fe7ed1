//! How a call that nobody waits for any more is made to end in a child: it has been cancelled, is interrupted, and the child of one that
//! is late and goes on all the same is killed.

use std::time::{Duration, Instant};

use super::Child;
use crate::error::{Error, Kind};
use crate::host::{GivenUp, Outcome};

/// How long a call that was cancelled has to end by itself before it is interrupted: a task does in less.
const COOPERATION: Duration = Duration::from_millis(1);

/// The longest pause between two signals.  One that comes just before a system call begins does not end it, so there are several;
/// only the first that finds the call raises.
const PAUSE: Duration = Duration::from_millis(50);

/// A child that was killed has ended within this time.
const DYING: Duration = Duration::from_secs(5);

/// How far the ending of one call has come.
#[derive(Debug, Default, Clone, Copy)]
pub struct Stage {
    signals: u32,
    /// When the child was killed.
    killed: Option<Instant>,
    /// How often its end has been looked for since.
    looks: u32,
    /// When more is to be done: what the child asks meanwhile does not hasten it.
    due: Option<Instant>,
    /// How the call ended in the child, if it did.
    outcome: Option<Outcome>,
}

/// What it took to end a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The child did not stop within the grace, and was killed.
    Killed,
    /// The child ended as the call was interrupted.
    Died,
    /// It was interrupted in the child.
    Interrupted,
    /// The child ended it when it was told to.
    Cancelled,
    /// Nothing is known of it: it may go on.
    Abandoned,
}

impl Stage {
    /// Do what is due to make the call end, and say when to ask again; `None` when there is no more to be done.
    pub fn push(&mut self, child: &Child, grace: Duration, call: &GivenUp<'_>) -> Option<Instant> {
        let GivenUp { why, since, is_behind } = *call;
        let end = since + grace;
        let now = Instant::now();
        if let Some(due) = self.due.filter(|&due| now < due) {
            return Some(due);
        }
        let next = if now >= end {
            // What is only not wanted any more is not worth a child's life, whose objects may be wanted.  And the child may be busy
            // with what somebody else asked, who has all the time.
            if is_behind || why.kind() != Kind::TimedOut {
                return None;
            }
            self.kill(child, now)?
        } else if why.kind() == Kind::TimedOut && self.signals == 0 && now < since + COOPERATION {
            end.min(since + COOPERATION)
        } else {
            // A child that has ended meanwhile shows on the link.
            let _ = child.signal(libc::SIGINT);
            self.signals += 1;
            end.min(now + pause_after(self.signals))
        };
        self.due = Some(next);
        Some(next)
    }

    /// Kill the child, and say when to look whether it has ended.  Whoever waits on the link sees its end there, but not everybody does.
    fn kill(&mut self, child: &Child, now: Instant) -> Option<Instant> {
        if self.killed.is_none() {
            child.kill().ok()?;
        }
        let last = *self.killed.get_or_insert(now) + DYING;
        self.looks += 1;
        (now < last).then(|| last.min(now + pause_after(self.looks)))
    }

    /// The call has ended in the child.
    #[must_use]
    pub fn ended(self, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    /// Whether this error of the link means that the call took too long.
    pub fn is_late(&self, error: &Error) -> bool {
        error.kind() == Kind::TimedOut || (error.kind() == Kind::Died && (self.killed.is_some() || self.signals > 0))
    }

    /// What it took to end the call, where the link has ended by a death or goes on.
    pub fn fate(&self, died: bool) -> Fate {
        match self.outcome {
            _ if self.killed.is_some() => Fate::Killed,
            _ if died => Fate::Died,
            Some(Outcome::Raised) if self.signals > 0 => Fate::Interrupted,
            Some(_) => Fate::Cancelled,
            None => Fate::Abandoned,
        }
    }
}

/// How long to wait after so many attempts: little at first.
fn pause_after(attempts: u32) -> Duration {
    PAUSE.min(COOPERATION * (1 << attempts.min(8)))
}
