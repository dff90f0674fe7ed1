//! Closures of this side that the other one calls.

use super::arguments::{Args, FromArgs};
use super::bound::CALL;
use super::convert::IntoRemote;
use super::encode::Encoder;
use super::fault::Result;
use super::own::{Class, Own, Served};

/// A function of this process as a value: give it as an argument, and the other side can call it.
///
/// What it returns goes back by value, or by reference if it is a proxy; an `Err` is raised there, and so is a panic.  It runs on the
/// thread that waits for the call in which it is called, and may use the other side meanwhile.
///
/// ```no_run
/// use saranwrap::{Callback, Object, Python};
///
/// let child = Python::new().spawn()?;
/// let double = Callback::new(|(x,): (i64,)| x * 2);
/// let doubled = child.builtins()?.call_method("map", (double, vec![1, 2, 3]))?;
/// assert_eq!(child.builtins()?.call_method("list", (doubled,))?.extract::<Vec<i64>>()?, [2, 4, 6]);
/// # Ok::<(), saranwrap::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Callback(Own);

struct Function<F, A> {
    function: F,
    takes: std::marker::PhantomData<fn(A)>,
}

// To the other side it is a function of the interpreter's own: something to call of which the code cannot be seen.
static FUNCTION: Class = Class { module: "builtins", name: "builtin_function_or_method", doc: "", methods: &[CALL] };

impl Callback {
    /// A function whose arguments are a tuple of types of yours, or [`Args`] for whatever comes.
    pub fn new<A, R, F>(function: F) -> Self
    where
        A: FromArgs + 'static,
        R: IntoRemote,
        F: Fn(A) -> R + Send + Sync + 'static,
    {
        Self(Own::new(Function { function, takes: std::marker::PhantomData }))
    }

    /// It as a value among others.
    pub fn into_own(self) -> Own {
        self.0
    }

    pub(crate) fn own(&self) -> &Own {
        &self.0
    }
}

impl<A, R, F> Served for Function<F, A>
where
    A: FromArgs + 'static,
    R: IntoRemote,
    F: Fn(A) -> R + Send + Sync + 'static,
{
    fn class(&self) -> &'static Class {
        &FUNCTION
    }

    fn call(&self, _: &str, args: Args, out: &mut Encoder<'_>) -> Result<()> {
        (self.function)(A::from_args(args)?).into_remote(out)
    }
}
