//! The engine of saranwrap: everything between two processes that does not depend on a language.  No Python lives here.
//!
//! # Layout
//!
//! A room uses only what stands above it; `tests/tidy.rs` checks this order.
//!
//! * [`error`]: what happened to a link, and whose fault it was
//! * [`wire`]: self-describing values as bytes (CBOR), and back
//! * [`message`]: the header that says who a body is for
//! * [`op`]: everything one side may ask of the other
//! * [`table`]: what this side has exported, by id
//! * [`host`]: who applies ops to real objects
//! * [`sys`]: descriptors and processes; the only `unsafe` of the engine
//! * [`arena`]: large data in memory that both sides see
//! * [`transport`]: what carries frames
//! * `pending`: calls sent and not yet answered
//! * [`link`]: the conversation; either end may ask
//! * [`child`]: a process with a link to it
//! * [`zygote`]: processes that stand ready to be forked into children
//! * [`remote`]: objects of another process as values of this one, and of this one for the other
//! * [`program`]: children that are Rust programs
//! * [`python`]: children that are Python interpreters
//!
//! # The bytes of a request
//!
//! ```
//! use saranwrap::wire::{Reader, Writer};
//! use saranwrap::{Op, Request};
//!
//! let mut body = Writer::new();
//! Request { op: Op::GetAttr, target: 1, argc: 1 }.write(&mut body);
//! body.text("gmtime");
//! assert_eq!(body.as_slice(), b"\x83\x01\x01\x66gmtime");
//!
//! let mut reader = Reader::new(body.as_slice());
//! assert_eq!(Request::read(&mut reader)?.op, Op::GetAttr);
//! assert_eq!(reader.text("name")?, "gmtime");
//! # Ok::<(), saranwrap::Error>(())
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("saranwrap runs on Linux; another platform needs its own functions in `sys`");

pub mod error;
pub use error::{Error, Kind, Result};

pub mod wire;

pub mod message;

pub mod op;
pub use op::{Op, Request};

pub mod table;
pub use table::Table;

pub mod host;
pub use host::{Applied, GivenUp, Host, Outcome};

#[allow(unsafe_code)] // The one place where the kernel is spoken to directly.
pub mod sys;

pub mod arena;
pub use arena::Arena;

pub mod transport;
pub use transport::Transport;

mod pending;

pub mod link;
pub use link::{Answer, Link, Side, Stats, Visit};

pub mod child;
pub use child::{Adopted, Child, Command, Destination, Exit, Says, adopt_link};

pub mod zygote;
pub use zygote::{Births, Zygote};

pub mod remote;
pub use remote::{
    Args, Callback, Fault, FromRemote, Here, IntoRemote, Object, Offer, Proxy, Raised, Session, Value, Wrapped, args,
};

pub mod program;
pub use program::Program;

pub mod python;
pub use python::Python;

#[cfg(feature = "macros")]
pub use saranwrap_macros::{FromRemote, IntoRemote, wrap};
