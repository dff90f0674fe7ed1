//! Who applies ops to real objects, as the link sees it.  The link knows this trait and nothing of what stands behind it.

use std::time::Instant;

use crate::error::{Error, Result};
use crate::message::{Frame, Kind};
use crate::wire::Writer;

/// How a call ended on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a value.
    Answered,
    /// The remote code raised; the body says what.
    Raised,
}

impl Outcome {
    /// What the frame says that brought the answer.
    pub(crate) fn of(frame: &Frame) -> Self {
        if frame.header.kind == Kind::Raised { Self::Raised } else { Self::Answered }
    }
}

/// What has come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is done, and the answer is written.
    Done(Outcome),
    /// It goes on.  Any thread gives the answer when it is known: [`Link::answer`](crate::Link::answer), by the call's id, which
    /// [`Link::serving`](crate::Link::serving) told while the request was applied.
    Later,
}

impl From<Outcome> for Applied {
    fn from(outcome: Outcome) -> Self {
        Self::Done(outcome)
    }
}

/// A call of this side that nobody waits for any more, and that is not answered yet.
#[derive(Debug)]
pub struct GivenUp<'a> {
    /// Why.
    pub why: &'a Error,
    /// Since when; the other side has known since then.
    pub since: Instant,
    /// Another thread asked something before, and still waits for it: this call may not have begun.
    pub is_behind: bool,
}

/// Applies requests to this side's objects.
///
/// No method is called while the link holds a lock, and only [`detached`](Host::detached) may be left while blocking.
pub trait Host {
    /// Apply one request and write the body of its answer into `out`, which must stay under
    /// [`MAX_BODY`](crate::message::MAX_BODY).  `Err` says that the request broke the protocol, and breaks the link.
    fn apply(&self, body: &[u8], out: &mut Writer) -> Result<Applied>;

    /// Refuse a request that was cancelled before it began: give back what it carries, and write why nothing was done.
    fn decline(&self, body: &[u8], out: &mut Writer) -> Result<Applied> {
        self.apply(body, out)
    }

    /// The other side gave these ids back, each so many times.
    fn release(&self, releases: &[(u64, u64)]) -> Result<()>;

    /// An answer came for a call that nobody waits for any more.  Decode it, so that what it carries is given back.
    fn discard(&self, body: &[u8]);

    /// Run `wait`, which may block, while nothing of the host's world is held.
    fn detached(&self, wait: &mut (dyn FnMut() + Send));

    /// A signal interrupted a wait.  `Err` gives the call up.
    fn interrupted(&self) -> Result<()>;

    /// A call was given up.  Do what makes it end, and say when to ask again.  `None`: nobody waits for that any more.
    fn given_up(&self, _call: &GivenUp<'_>) -> Option<Instant> {
        None
    }

    /// A call that was given up has ended after all: the other side does nothing of it any more.
    fn ended(&self, _outcome: Outcome, body: &[u8]) {
        self.discard(body);
    }

    /// The call that this thread served was interrupted by another thread, and is over: nothing of that may reach the next one.
    fn calm(&self) {}

    /// Ids to give back to the other side.  They ride on the next frame.
    fn queued_releases(&self) -> Vec<(u64, u64)>;

    /// The answer that the last [`apply`](Host::apply) of this thread wrote is in order to be sent.
    ///
    /// Until now a proxy named in it must be kept alive: were it dropped earlier, another thread could send its release
    /// ahead of the answer, and the object would be gone before it came home.
    fn sent(&self) {}
}
