//! A child as its user has it: what it is asked for, how it is, and how it is ended.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::convert::FromRemote;
use super::fault::{Fault, Result};
use super::object::text_argument;
use super::proxy::Proxy;
use super::shared::{Again, Shared};
use super::value::Value;
use crate::child::Exit;
use crate::error::Error;
use crate::op::Op;

/// How long a child that is asked to close may take to end by itself.
const CLOSING: Duration = Duration::from_secs(5);

/// A process that holds objects, and the conversation with it.
///
/// A clone is the same process.  It lives as long as one of them, or a proxy of one of its objects, is held; or until
/// [`close`](Self::close) or [`kill`](Self::kill).  Any thread may use it.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

impl Session {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// Of a child that was started just now, and how another one is started.
    pub(crate) fn begin(shared: &Arc<Shared>, again: impl Fn() -> Result<Self> + Send + Sync + 'static) -> Self {
        shared.again.get_or_init(|| Again(Box::new(again)));
        Self::of(shared)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Import a module there, and give its proxy.
    pub fn wrap_module(&self, name: &str) -> Result<Proxy> {
        Proxy::from_remote(self.shared.ask(None, Op::Import, 0, 1, text_argument(name))?)
    }

    /// What a program offers first of all: its root, or else all its types.
    pub fn root(&self) -> Result<Proxy> {
        self.wrap_module("")
    }

    /// Whether nobody waits any more for the call that this thread serves: it was given up, or the link has ended.
    pub fn cancelled(&self) -> bool {
        self.shared.link.cancelled()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.shared.child.as_ref().map_or_else(std::process::id, |child| child.pid())
    }

    /// How the process is: counts of objects and requests, bytes over the link, memory; pairs of a name and a value.
    pub fn status(&self) -> Result<Vec<(String, Value)>> {
        self.shared.ask(None, Op::Status, 0, 0, |_| Ok(()))?.extract()
    }

    /// Why the link is broken, if it is; then every use of a proxy comes to this.
    pub fn error(&self) -> Option<Error> {
        self.shared.link.error()
    }

    /// Whether the link still carries calls.
    pub fn is_alive(&self) -> bool {
        self.error().is_none()
    }

    /// How the process has ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.shared.child.as_ref().and_then(|child| child.exit())
    }

    /// The end of what it wrote to stderr.
    pub fn last_words(&self) -> String {
        self.shared.child.as_ref().map(|child| child.last_words()).unwrap_or_default()
    }

    /// End the process, and wait until it has ended.  One that does not end by itself within 5 seconds is killed.
    pub fn close(&self) {
        self.shared.close();
        if let Some(child) = &self.shared.child
            && child.wait(Some(Instant::now() + CLOSING)).is_none()
        {
            self.kill();
        }
    }

    /// Kill the process, and wait until it has ended.
    pub fn kill(&self) {
        let Some(child) = &self.shared.child else { return };
        // What cannot be killed is not ours, or has ended.
        if child.kill().is_ok() {
            child.wait(Some(Instant::now() + CLOSING));
        }
    }

    /// End the process, if it has not ended, and start another one as it was started.
    ///
    /// The proxies of the old one come to [`Kind::Closed`](crate::Kind::Closed), with a text that says why: what they stood for is gone.
    pub fn restart(&self) -> Result<Self> {
        let again = self
            .shared
            .again
            .get()
            .ok_or_else(|| Fault::mismatch("only the one who started a child can restart it"))?;
        self.shared.replace();
        self.close();
        (again.0)()
    }

    /// Wait until the process has ended, at most so long.
    pub fn wait(&self, limit: Option<Duration>) -> Option<Exit> {
        self.shared.child.as_ref()?.wait(limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    /// How many objects of this side the other one has, and how many calls of each side are not answered yet.
    pub fn objects_out(&self) -> usize {
        self.shared.exports().len()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session(pid {})", self.pid())
    }
}

impl PartialEq for Session {
    /// Whether it is the same process.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}
