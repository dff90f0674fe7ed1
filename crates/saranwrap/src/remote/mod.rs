//! The surface for Rust programs: objects of another process as values of this one, and objects of this one for the other.
//!
//! # How it works
//!
//! A [`Session`] is a link with all that its two ends remember of each other.  An answer is a [`Value`]: itself where it is plain, or
//! a [`Proxy`].  What can be done with a proxy is in the trait [`Object`]; each of its methods writes one request
//! ([`Encoder`], by [`IntoRemote`]), waits, and reads the answer.
//!
//! Both ends are the same code.  What the other side asks meanwhile is served on the thread that waits: an object of this side
//! is whatever implements [`Served`], and a closure becomes one by [`Callback`].
//!
//! Containers cross by value: a `Vec` is a new list there, and what becomes of that is not seen here.

mod fault;
mod raised;
mod value;
mod buffer;
mod tuples;
mod own;
mod proxy;
mod packed;
mod freight;
mod encode;
mod aliases;
mod whole;
mod decode;
mod bulk;
mod classes;
mod arguments;
mod bound;
mod host;
mod steps;
mod courier;
pub(crate) mod shared;
pub(crate) mod surroundings;
mod convert;
#[cfg(feature = "serde")]
mod serial;
mod callback;
mod object;
mod iterator;
mod later;
mod batch;
mod pipeline;
mod session;
mod parts;
mod wrapped;

pub use crate::sys::numbers::{Element, ReadOnlyCell};
pub use arguments::{Args, ArgumentTuple, Arguments, FromArgs, NamedValues, Positional, WithNamed, args};
pub use buffer::{AsBuffer, Buffer, UntypedBuffer};
pub use callback::Callback;
pub use convert::{FromRemote, IntoRemote};
pub use encode::Encoder;
pub use fault::{Fault, Result};
pub use iterator::RemoteIter;
pub use later::{Answer, Later};
pub use object::Object;
pub use own::{Access, Class, Method, Own, Served};
pub use parts::Parts;
pub use pipeline::{Pipeline, Promise, Running};
pub use proxy::{Named, Proxy};
pub use raised::{ClassName, Frame, Raised};
#[cfg(feature = "serde")]
pub use serial::Serde;
pub use session::Session;
pub use value::{Array, BigInt, Known, Value};
pub use wrapped::{Here, Offer, Wrapped};
