//! What becomes of a call that nobody waits for any more: it is cancelled, then interrupted, and the child of one that is late and goes
//! on all the same is killed.

use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::error::{Error, Kind};
use crate::host::{GivenUp, Outcome};

/// How long a call that was cancelled has to end by itself before it is interrupted.
const COOPERATION: Duration = Duration::from_millis(1);

/// The longest pause between two signals: one that comes just before a system call begins does not end it.
const PAUSE: Duration = Duration::from_millis(50);

/// A child that was killed has ended within this time.
const DYING: Duration = Duration::from_secs(5);

/// How far the ending of one call has come.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Stage {
    signals: u32,
    killed: bool,
    /// When more is to be done: what the child asks meanwhile does not hasten it.
    due: Option<Instant>,
    /// How the call ended in the child, if it did.
    outcome: Option<Outcome>,
}

impl Stage {
    /// Do what is due to make the call end, and say when to ask again; `None` when there is no more to be done.
    pub(crate) fn push(&mut self, session: &Shared, call: &GivenUp<'_>) -> Option<Instant> {
        // A parent is only told: what its threads do is no business of the child's.
        let child = session.child.as_ref()?;
        let now = Instant::now();
        if let Some(due) = self.due.filter(|&due| now < due) {
            return Some(due);
        }
        let end = call.since + session.limits.grace;
        let next = if now >= end {
            // What is only not wanted any more is not worth a child's life; and the child may be busy with what somebody else asked.
            if call.is_behind || self.killed || call.why.kind() != Kind::TimedOut || child.kill().is_err() {
                return None;
            }
            self.killed = true;
            now + DYING
        } else if self.signals == 0 && now < call.since + COOPERATION {
            end.min(call.since + COOPERATION)
        } else {
            // A child that has ended meanwhile shows on the link.
            let _ = child.signal(libc::SIGINT);
            self.signals += 1;
            end.min(now + PAUSE.min(COOPERATION * (1 << self.signals.min(8))))
        };
        self.due = Some(next);
        Some(next)
    }

    /// The call has ended in the child.
    pub(crate) fn ended(self, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    /// Whether this error means that the call took too long.
    pub(crate) fn is_late(&self, error: &Error) -> bool {
        error.kind() == Kind::TimedOut || (error.kind() == Kind::Died && (self.killed || self.signals > 0))
    }

    /// What it took to end the call.
    pub(crate) fn story(&self, session: &Shared, died: bool) -> String {
        if self.killed {
            return format!("the child did not stop within {:?} and was killed", session.limits.grace);
        }
        let story = match self.outcome {
            _ if died => "the child ended as it was interrupted",
            Some(Outcome::Raised) if self.signals > 0 => "it was interrupted in the child",
            Some(_) => "the child ended it when it was told to",
            None => "nobody waits for it, and it may go on",
        };
        story.to_owned()
    }
}
