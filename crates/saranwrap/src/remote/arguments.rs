//! The arguments of a call, on the way out and on the way in.

use std::sync::Arc;

use super::convert::{FromRemote, IntoRemote};
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::session::Session;
use super::shared::Shared;
use super::tuples::each_tuple;
use super::value::Value;

/// What a function is called with: a tuple of values, or one with named ones behind it by [`args`].
pub trait Arguments {
    /// Write the positional arguments, then the named ones.
    fn write(self, out: &mut Encoder<'_>) -> Result<()>;
}

/// Arguments of which some are named: `args((1, 2)).named("indent", 4)`.
pub fn args<A: Arguments>(positional: A) -> Positional<A> {
    Positional(positional)
}

/// Positional arguments, to which named ones can be added.
#[derive(Debug)]
pub struct Positional<A>(A);

impl<A: ArgumentTuple> Positional<A> {
    /// Add an argument by its name.
    pub fn named<V: IntoRemote>(self, name: &str, value: V) -> WithNamed<'_, A, (Last, V)> {
        WithNamed { positional: self.0, names: vec![name], values: (Last, value) }
    }
}

/// Positional and named arguments.
#[derive(Debug)]
pub struct WithNamed<'a, A, V> {
    positional: A,
    names: Vec<&'a str>,
    values: V,
}

impl<'a, A: ArgumentTuple, V: NamedValues> WithNamed<'a, A, V> {
    /// Add an argument by its name.
    pub fn named<W: IntoRemote>(mut self, name: &'a str, value: W) -> WithNamed<'a, A, (V, W)> {
        self.names.push(name);
        WithNamed { positional: self.positional, names: self.names, values: (self.values, value) }
    }
}

impl<A: ArgumentTuple> Arguments for Positional<A> {
    fn write(self, out: &mut Encoder<'_>) -> Result<()> {
        Arguments::write(self.0, out)
    }
}

impl<A: ArgumentTuple, V: NamedValues> Arguments for WithNamed<'_, A, V> {
    fn write(self, out: &mut Encoder<'_>) -> Result<()> {
        self.positional.write_positional(out)?;
        out.out().map(self.names.len());
        self.values.write_after(&self.names, out)
    }
}

/// The end of a row of named arguments.
#[derive(Debug)]
pub struct Last;

/// The values of named arguments, the last one outermost.
pub trait NamedValues {
    /// Write them behind their names.
    fn write_after(self, names: &[&str], out: &mut Encoder<'_>) -> Result<()>;
}

impl NamedValues for Last {
    fn write_after(self, _: &[&str], _: &mut Encoder<'_>) -> Result<()> {
        Ok(())
    }
}

impl<V: NamedValues, W: IntoRemote> NamedValues for (V, W) {
    fn write_after(self, names: &[&str], out: &mut Encoder<'_>) -> Result<()> {
        let Some((name, before)) = names.split_last() else { return Ok(()) };
        self.0.write_after(before, out)?;
        out.text(name);
        self.1.into_remote(out)
    }
}

/// Positional arguments.
pub trait ArgumentTuple: Arguments {
    /// Write them as one array.
    fn write_positional(self, out: &mut Encoder<'_>) -> Result<()>;
}

/// The arguments of a call that came, each of which is taken once.
#[derive(Debug)]
pub struct Args {
    session: Arc<Shared>,
    positional: std::vec::IntoIter<Value>,
    named: Vec<(String, Value)>,
}

impl Args {
    pub(crate) fn new(session: &Arc<Shared>, positional: Vec<Value>, named: Vec<(String, Value)>) -> Self {
        Self { session: Arc::clone(session), positional: positional.into_iter(), named }
    }

    /// The process that calls.
    pub fn session(&self) -> Session {
        Session::of(&self.session)
    }

    /// The next positional argument, or the one of this name.
    pub fn take<T: FromRemote>(&mut self, name: &str) -> Result<T> {
        match self.take_value(name) {
            Some(value) => T::from_remote(value).map_err(|fault| about(name, fault)),
            None => {
                T::absent().ok_or_else(|| Fault::raise("TypeError", format!("missing required argument: '{name}'")))
            }
        }
    }

    /// Nothing may be left.
    pub fn finish(&self) -> Result<()> {
        let left = self.positional.len();
        if left > 0 {
            return Err(Fault::raise("TypeError", format!("{left} positional arguments too many")));
        }
        match self.named.first() {
            Some((name, _)) => Err(Fault::raise("TypeError", format!("got an unexpected keyword argument '{name}'"))),
            None => Ok(()),
        }
    }

    /// All positional arguments that are left.
    pub fn rest(&mut self) -> Vec<Value> {
        self.positional.by_ref().collect()
    }

    /// All named arguments that are left.
    pub fn named(&mut self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.named)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.session
    }

    fn take_value(&mut self, name: &str) -> Option<Value> {
        self.positional.next().or_else(|| {
            let place = self.named.iter().position(|(known, _)| known == name)?;
            Some(self.named.swap_remove(place).1)
        })
    }
}

/// A value that does not fit is the caller's mistake, who is to know for which argument.
fn about(name: &str, fault: Fault) -> Fault {
    match fault {
        Fault::Mismatch(what) => Fault::raise("TypeError", format!("argument '{name}': {what}")),
        other => other,
    }
}

/// What a closure that is called from the other side takes.
pub trait FromArgs: Sized {
    /// Take them all.
    fn from_args(args: Args) -> Result<Self>;
}

impl FromArgs for Args {
    fn from_args(args: Args) -> Result<Self> {
        Ok(args)
    }
}

macro_rules! tuples {
    ($(($($name:ident $place:tt),*))*) => {$(
        impl<$($name: IntoRemote),*> ArgumentTuple for ($($name,)*) {
            fn write_positional(self, out: &mut Encoder<'_>) -> Result<()> {
                const PLACES: &[usize] = &[$($place),*];
                const COUNT: usize = PLACES.len();
                out.tuple(COUNT);
                $(self.$place.into_remote(out)?;)*
                Ok(())
            }
        }

        impl<$($name: IntoRemote),*> Arguments for ($($name,)*) {
            fn write(self, out: &mut Encoder<'_>) -> Result<()> {
                self.write_positional(out)?;
                out.out().map(0);
                Ok(())
            }
        }

        impl<$($name: FromRemote),*> FromArgs for ($($name,)*) {
            fn from_args(#[allow(unused_mut)] mut args: Args) -> Result<Self> {
                let taken = ($(args.take::<$name>(stringify!($place))?,)*);
                args.finish()?;
                Ok(taken)
            }
        }
    )*};
}

tuples! { () }
each_tuple!(tuples);

impl Arguments for Vec<Value> {
    fn write(self, out: &mut Encoder<'_>) -> Result<()> {
        self.write_positional(out)?;
        out.out().map(0);
        Ok(())
    }
}

impl ArgumentTuple for Vec<Value> {
    fn write_positional(self, out: &mut Encoder<'_>) -> Result<()> {
        out.tuple(self.len());
        self.iter().try_for_each(|value| out.value(value))
    }
}
