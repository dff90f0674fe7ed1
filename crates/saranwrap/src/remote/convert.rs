//! Your types and the values of the other side: how each becomes the other.

mod buffers;
mod containers;
mod numbers;

use super::callback::Callback;
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::object::Object;
use super::own::Own;
use super::proxy::{Named, Proxy};
use super::raised::Raised;
use super::value::Value;

/// A type that a value of the other side can become.  `#[derive(FromRemote)]` does it for a struct of such types.
#[diagnostic::on_unimplemented(
    message = "a value of another process cannot become a `{Self}`",
    note = "derive `FromRemote` for it, or take a `saranwrap::Value`"
)]
pub trait FromRemote: Sized {
    /// Make it; a list or a dict that stayed there is fetched for that.  A value that does not fit is a [`Fault::Mismatch`].
    fn from_remote(value: Value) -> Result<Self>;

    /// What an argument is that was not given; `None` where it has to be.
    fn absent() -> Option<Self> {
        None
    }

    /// Several at once of bytes: a `Vec<u8>` takes them as they are.
    #[doc(hidden)]
    fn all_from_bytes(_: &[u8]) -> Option<Vec<Self>> {
        None
    }
}

/// A type that can be sent: as an argument, or as what a callback returns.  `#[derive(IntoRemote)]` sends a struct as a dict.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot be sent to another process",
    note = "derive `IntoRemote` for it; a closure is sent as a `saranwrap::Callback`"
)]
pub trait IntoRemote: Sized {
    /// Write it.
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()>;

    /// Several at once, as a list; bytes are one value.
    #[doc(hidden)]
    fn all_into_remote(items: impl ExactSizeIterator<Item = Self>, out: &mut Encoder<'_>) -> Result<()> {
        out.list(items.len());
        items.into_iter().try_for_each(|item| item.into_remote(out))
    }
}

impl Value {
    /// Make a type of yours of it.
    pub fn extract<T: FromRemote>(self) -> Result<T> {
        T::from_remote(self)
    }
}

/// What was found where a `wanted` was to be.
pub(crate) fn mismatch(wanted: &str, found: &Value) -> Fault {
    Fault::mismatch(format!("wanted {wanted}, found {}", found.kind()))
}

impl FromRemote for Value {
    fn from_remote(value: Value) -> Result<Self> {
        Ok(value)
    }
}

impl FromRemote for Proxy {
    fn from_remote(value: Value) -> Result<Self> {
        match value {
            Value::Object(proxy) => Ok(proxy),
            Value::Named(named) => named.proxy(),
            other => Err(mismatch("an object", &other)),
        }
    }
}

impl FromRemote for Named {
    fn from_remote(value: Value) -> Result<Self> {
        if let Value::Named(named) = value { Ok(named) } else { Err(mismatch("a name", &value)) }
    }
}

impl FromRemote for Raised {
    fn from_remote(value: Value) -> Result<Self> {
        if let Value::Exception(raised) = value { Ok(*raised) } else { Err(mismatch("an exception", &value)) }
    }
}

impl FromRemote for Own {
    fn from_remote(value: Value) -> Result<Self> {
        if let Value::Own(own) = value { Ok(own) } else { Err(mismatch("an object of this side", &value)) }
    }
}

impl FromRemote for () {
    fn from_remote(value: Value) -> Result<Self> {
        if value.is_none() { Ok(()) } else { Err(mismatch("None", &value)) }
    }
}

impl FromRemote for bool {
    fn from_remote(value: Value) -> Result<Self> {
        match plain(value) {
            Value::Bool(value) => Ok(value),
            Value::Object(proxy) => match proxy.call_method0("__bool__")? {
                Value::Bool(value) => Ok(value),
                other => Err(mismatch("a bool", &other)),
            },
            other => Err(mismatch("a bool", &other)),
        }
    }
}

impl FromRemote for String {
    fn from_remote(value: Value) -> Result<Self> {
        match plain(value) {
            Value::Str(text) => Ok(text),
            other => Err(mismatch("a str", &other)),
        }
    }
}

impl FromRemote for char {
    fn from_remote(value: Value) -> Result<Self> {
        let text = String::from_remote(value)?;
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Ok(letter),
            _ => Err(Fault::mismatch(format!("wanted one character, found {}", text.chars().count()))),
        }
    }
}

impl FromRemote for std::path::PathBuf {
    fn from_remote(value: Value) -> Result<Self> {
        match plain(value) {
            Value::Str(text) => Ok(text.into()),
            Value::Known(known) if known.kind == "path" || known.kind == "purepath" => match &known.parts[..] {
                [Value::Str(text)] => Ok(text.into()),
                _ => Err(Fault::mismatch("wanted a path, found one without its text")),
            },
            other => Err(mismatch("a path", &other)),
        }
    }
}

impl<T: FromRemote> FromRemote for Option<T> {
    fn from_remote(value: Value) -> Result<Self> {
        if value.is_none() { Ok(None) } else { T::from_remote(value).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: FromRemote> FromRemote for Box<T> {
    fn from_remote(value: Value) -> Result<Self> {
        T::from_remote(value).map(Box::new)
    }
}

/// The plain value of an instance of a subclass of a built-in, and everything else as it is.
pub(crate) fn plain(value: Value) -> Value {
    match &value {
        Value::Object(proxy) => proxy.value().cloned().unwrap_or(value),
        _ => value,
    }
}

/// What an object is by value, if it stayed there.
pub(crate) fn fetched(value: Value) -> Result<Value> {
    match value {
        Value::Object(proxy) => match proxy.value() {
            Some(plain) => Ok(plain.clone()),
            None => proxy.fetch(),
        },
        here => Ok(here),
    }
}

impl IntoRemote for Value {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.value(&self)
    }
}

impl IntoRemote for Proxy {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.proxy(&self)
    }
}

impl IntoRemote for Named {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.named(&self);
        Ok(())
    }
}

impl IntoRemote for Callback {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.own(self.own());
        Ok(())
    }
}

impl IntoRemote for Own {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.own(&self);
        Ok(())
    }
}

impl IntoRemote for () {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.none();
        Ok(())
    }
}

impl IntoRemote for bool {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.bool(self);
        Ok(())
    }
}

impl IntoRemote for &str {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.text(self);
        Ok(())
    }
}

impl IntoRemote for String {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.text(&self);
        Ok(())
    }
}

impl IntoRemote for char {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.text(self.encode_utf8(&mut [0; 4]));
        Ok(())
    }
}

impl IntoRemote for &std::path::Path {
    /// A path that is no UTF-8 cannot be sent.
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        let text = self.to_str().ok_or_else(|| Fault::mismatch(format!("the path {self:?} is no text")))?;
        out.text(text);
        Ok(())
    }
}

impl IntoRemote for std::path::PathBuf {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        self.as_path().into_remote(out)
    }
}

impl<T: IntoRemote> IntoRemote for Option<T> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        match self {
            Some(value) => value.into_remote(out),
            None => {
                out.none();
                Ok(())
            }
        }
    }
}

/// What a function returned that may fail: an `Err` is raised on the other side, a [`Fault::Raised`] as the exception that it is.
impl<T: IntoRemote, E: Into<Box<dyn std::error::Error + Send + Sync>>> IntoRemote for Result<T, E> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        self.map_err(Fault::of)?.into_remote(out)
    }
}

macro_rules! by_clone {
    ($($type:ty)*) => {$(
        impl IntoRemote for &$type {
            fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
                self.clone().into_remote(out)
            }
        }
    )*};
}

by_clone! { Proxy Named Callback Own }

impl IntoRemote for &Value {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.value(self)
    }
}

impl IntoRemote for &String {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        self.as_str().into_remote(out)
    }
}
