//! Asking without waiting: futures, for whatever runtime polls them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::arguments::Arguments;
use super::convert::IntoRemote;
use super::courier::Slot;
use super::encode::Encoder;
use super::fault::Result;
use super::object::{Object, text_argument};
use super::proxy::Proxy;
use super::session::Session;
use super::shared::Shared;
use super::value::Value;
use crate::op::Op;

/// An answer on its way.  The request has gone already when this is made.
///
/// It needs no particular runtime: a thread of this crate takes the answers.  To drop it is to say that the answer is not wanted any
/// more: then the call is cancelled and interrupted.
#[must_use = "a call whose answer is dropped is stopped"]
pub struct Answer {
    session: Arc<Shared>,
    slot: Arc<Slot>,
    done: bool,
}

impl Answer {
    pub(crate) fn new(session: &Arc<Shared>, slot: Arc<Slot>) -> Self {
        Self { session: Arc::clone(session), slot, done: false }
    }
}

impl Future for Answer {
    type Output = Result<Value>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.slot.poll(context);
        self.done |= polled.is_ready();
        polled
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.done {
            self.session.forsake(&self.slot);
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// An object of the other side that is asked without waiting: what [`Proxy::later`] gives.
#[derive(Debug, Clone)]
pub struct Later {
    proxy: Proxy,
}

impl Later {
    pub(crate) fn new(proxy: Proxy) -> Self {
        Self { proxy }
    }

    /// The same; what is asked by this takes so long at most: see [`Proxy::with_timeout`].
    pub fn with_timeout(&self, limit: Duration) -> Self {
        Self { proxy: self.proxy.with_timeout(limit) }
    }

    /// See [`Object::getattr`].
    pub fn getattr(&self, name: &str) -> Answer {
        self.ask(Op::GetAttr, 1, text_argument(name))
    }

    /// See [`Object::setattr`]; it comes to `None`.
    pub fn setattr(&self, name: &str, value: impl IntoRemote) -> Answer {
        self.ask(Op::SetAttr, 2, |out| {
            out.text(name);
            value.into_remote(out)
        })
    }

    /// See [`Object::call`].
    pub fn call(&self, args: impl Arguments) -> Answer {
        self.ask(Op::Call, 2, |out| args.write(out))
    }

    /// See [`Object::call_method`].
    pub fn call_method(&self, name: &str, args: impl Arguments) -> Answer {
        self.ask(Op::CallAttr, 3, |out| {
            out.text(name);
            args.write(out)
        })
    }

    /// See [`Object::get_item`].
    pub fn get_item(&self, item: impl IntoRemote) -> Answer {
        self.ask(Op::GetItem, 1, |out| item.into_remote(out))
    }

    /// See [`Object::set_item`]; it comes to `None`.
    pub fn set_item(&self, item: impl IntoRemote, value: impl IntoRemote) -> Answer {
        self.ask(Op::SetItem, 2, |out| {
            item.into_remote(out)?;
            value.into_remote(out)
        })
    }

    /// See [`Object::buffer`]: `extract` makes a [`Buffer`](super::Buffer) of what it gives.
    pub fn buffer(&self) -> Answer {
        self.ask(Op::Special, 2, |out| {
            out.text("__buffer__");
            out.tuple(0);
            Ok(())
        })
    }

    /// See [`Object::fetch`]: `extract` of what it gives asks for nothing more.
    pub fn fetch(&self) -> Answer {
        self.ask(Op::Copy, 2, |out| {
            out.bool(false);
            out.bool(true);
            Ok(())
        })
    }

    /// What awaiting the object, a coroutine say, comes to there.
    pub fn run(&self) -> Answer {
        self.ask(Op::Await, 0, |_| Ok(()))
    }

    fn ask(&self, op: Op, argc: usize, write: impl FnOnce(&mut Encoder<'_>) -> Result<()>) -> Answer {
        let session = self.proxy.shared();
        Answer::new(session, session.ask_later(self.proxy.limit(), op, self.proxy.id(), argc, write))
    }
}

impl Session {
    /// See [`wrap_module`](Self::wrap_module), without waiting.
    pub fn wrap_module_later(&self, name: &str) -> Answer {
        let slot = self.shared().ask_later(None, Op::Import, 0, 1, text_argument(name));
        Answer::new(self.shared(), slot)
    }
}

impl Proxy {
    /// The same object, asked without waiting.
    pub fn later(&self) -> Later {
        Later::new(self.clone())
    }
}

impl Value {
    /// The same object, asked without waiting.
    pub fn later(&self) -> Result<Later> {
        Ok(Later::new(self.proxy()?.into_owned()))
    }
}
