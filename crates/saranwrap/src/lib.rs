//! Put an object into a process of its own, and go on using it as if it were here.
//!
//! A Rust program uses any Python by this crate without linking it, and without fear of its crashes; and a Rust value can live in a
//! process of its own, to be used from Rust and from Python.
//!
//! # Python from Rust
//!
//! ```no_run
//! use saranwrap::{Callback, Fault, Object, Python, args};
//!
//! let child = Python::new().interpreter("python3").spawn()?;
//! let time = child.wrap_module("time")?;
//! let t = time.call_method("gmtime", (0,))?;
//! let year: i32 = t.getattr("tm_year")?.extract()?;
//!
//! // Named arguments, and containers, which cross by value.
//! let json = child.wrap_module("json")?;
//! let text: String = json.call_method("dumps", args((vec![1, 2],)).named("indent", 2))?.extract()?;
//!
//! // Exceptions are data.
//! match json.call_method("loads", ("{",)) {
//!     Err(Fault::Raised(raised)) if raised.is_instance("ValueError") => println!("{raised:#}"),
//!     other => drop(other?),
//! }
//!
//! // A closure is called from there.
//! let words = child.builtins()?.call_method("list", (vec!["pear", "fig"],))?;
//! words.call_method("sort", args(()).named("key", Callback::new(|(word,): (String,)| word.len())))?;
//! let words: Vec<String> = words.extract()?;
//! # Ok::<(), Fault>(())
//! ```
//!
//! A [`Session`] is a child; a [`Proxy`] stands for an object in it; what can be done with one is in the trait [`Object`].  All are
//! `Clone + Send + Sync`, and the last proxy that goes gives its object back.  An answer is a [`Value`]: plain data, or a proxy.  A
//! [`Fault`] says what the code there raised, or what happened to the child: its signal or exit code, and its last words.
//!
//! # Large data
//!
//! What an object lends by the buffer protocol (an array of numpy, a `bytearray`, ...) is read where it lies, in memory that both
//! processes see: [`Object::buffer`] gives a [`Buffer`], whose names are those of PyO3's `PyBuffer`.  A slice goes the other way by
//! [`AsBuffer`].  Bytes take the same way by themselves, when there are many.
//!
//! ```no_run
//! # use saranwrap::{AsBuffer, Object};
//! # let child = saranwrap::Python::new().spawn()?;
//! let numpy = child.wrap_module("numpy")?;
//! let samples: Vec<f32> = (0..1 << 20).map(|x| (x as f32).sin()).collect();
//! let spectrum = numpy.getattr("fft")?.call_method("rfft", (AsBuffer(&samples),))?;
//! let strengths = numpy.call_method("abs", (&spectrum,))?.buffer::<f64>()?;
//! let strongest = strengths.iter().fold(0.0, f64::max);
//! # Ok::<(), saranwrap::Fault>(())
//! ```
//!
//! # Waiting
//!
//! A call blocks its thread, and any number of threads may ask.  [`Proxy::later`] gives futures instead, for whatever runtime polls
//! them.  [`Proxy::with_timeout`] bounds a call, which is stopped in the child when it takes longer; a future that is dropped stops its
//! call, too.
//!
//! ```no_run
//! # async fn of_an_example() -> Result<(), saranwrap::Fault> {
//! let time = saranwrap::Python::new().spawn()?.wrap_module("time")?;
//! let now: f64 = time.later().call_method("time", ()).await?.extract()?;
//! # Ok(()) }
//! ```
//!
//! # Pipelining
//!
//! In a [`Pipeline`] operations are written down first, sent together and performed in order: one trip, however many there are.
//!
//! ```no_run
//! # let child = saranwrap::Python::new().spawn()?;
//! let q = child.pipeline();
//! let words = q.wrap_module("collections").call_method("Counter", ("abracadabra",));
//! words.set_item("z", 3);
//! let common = words.call_method("most_common", (1,)).get_item(0);
//! q.run()?;
//! assert_eq!(common.extract::<(String, i64)>()?, ("a".to_owned(), 5));
//! # Ok::<(), saranwrap::Fault>(())
//! ```
//!
//! # Rust values in a process of their own
//!
//! ```no_run
//! use saranwrap::{Fault, Offer};
//!
//! struct Counter {
//!     value: i64,
//! }
//!
//! #[saranwrap::wrap]
//! impl Counter {
//!     pub fn new(value: i64) -> Self {
//!         Self { value }
//!     }
//!
//!     /// Count on.
//!     pub fn add(&mut self, by: i64) -> i64 {
//!         self.value += by;
//!         self.value
//!     }
//! }
//!
//! fn main() -> Result<(), Fault> {
//!     // The program starts itself once more.  There it serves, and does not come back from here.
//!     Offer::new().class::<Counter>().serve_if_child();
//!
//!     let counter = CounterProxy::spawn(5)?;
//!     assert_eq!(counter.add(2)?, 7);
//!     Ok(())
//! }
//! ```
//!
//! A program that does nothing but serve is used from Python as well: `saranwrap.wrap_program(["./counter-server"])`.  See
//! [`wrap`](macro@wrap), [`Offer`], [`Program`].
//!
//! # Features
//!
//! * `macros` (default): [`wrap`](macro@wrap) and the derives of [`FromRemote`](trait@FromRemote) and [`IntoRemote`](trait@IntoRemote)
//! * `serde`: `Serde(value)` crosses as serde writes it, and what comes becomes whatever type serde can read
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
//! * [`agent`]: the portable child, which an interpreter of another language is given to read; only this room knows which language
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
pub use child::{Adopted, Child, Command, Destination, Exit, Preamble, Says, adopt_link};

pub mod zygote;
pub use zygote::{Births, Zygote};

pub mod agent;

pub mod remote;
pub use remote::{
    Args, AsBuffer, Buffer, Callback, Element, Fault, FromRemote, Here, IntoRemote, Object, Offer, Pipeline, Promise,
    Proxy, Raised, ReadOnlyCell, Session, UntypedBuffer, Value, Wrapped, args,
};

#[cfg(feature = "serde")]
pub use remote::Serde;

pub mod program;
pub use program::Program;

pub mod python;
pub use python::Python;

#[cfg(feature = "macros")]
pub use saranwrap_macros::{FromRemote, IntoRemote, wrap};
