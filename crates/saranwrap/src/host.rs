//! Who applies ops to real objects, as the link sees it.  The link knows this trait and nothing of what stands behind it.

use crate::error::Result;
use crate::wire::Writer;

/// How a call ended on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a value.
    Answered,
    /// The remote code raised; the body says what.
    Raised,
}

/// Applies requests to this side's objects.
///
/// No method is called while the link holds a lock, and only [`detached`](Host::detached) may be left while blocking.
pub trait Host {
    /// Apply one request and write the body of its answer into `out`, which must stay under
    /// [`MAX_BODY`](crate::message::MAX_BODY).  `Err` says that the request broke the protocol, and breaks the link.
    fn apply(&self, body: &[u8], out: &mut Writer) -> Result<Outcome>;

    /// The other side gave these ids back, each so many times.
    fn release(&self, releases: &[(u64, u64)]) -> Result<()>;

    /// An answer came for a call that nobody waits for any more.  Decode it, so that what it carries is given back.
    fn discard(&self, body: &[u8]);

    /// Run `wait`, which may block, while nothing of the host's world is held.
    fn detached(&self, wait: &mut (dyn FnMut() + Send));

    /// A signal interrupted a wait.  `Err` gives the call up.
    fn interrupted(&self) -> Result<()>;

    /// Ids to give back to the other side.  They ride on the next frame.
    fn queued_releases(&self) -> Vec<(u64, u64)>;

    /// The answer that the last [`apply`](Host::apply) of this thread wrote is in order to be sent.
    ///
    /// Until now a proxy named in it must be kept alive: were it dropped earlier, another thread could send its release
    /// ahead of the answer, and the object would be gone before it came home.
    fn sent(&self) {}
}
