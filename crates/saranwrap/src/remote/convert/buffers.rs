//! Buffers: of an object that lends one, and of bytes and arrays that are here already.

use super::{FromRemote, IntoRemote, mismatch};
use crate::remote::buffer::{AsBuffer, Buffer, Layout, UntypedBuffer};
use crate::remote::encode::Encoder;
use crate::remote::fault::Result;
use crate::remote::object::Object;
use crate::remote::value::{Array, Value};
use crate::sys::numbers::Element;

impl FromRemote for UntypedBuffer {
    /// Of an object, what it lends; of bytes and arrays of numbers, a copy.
    fn from_remote(value: Value) -> Result<Self> {
        match &value {
            Value::Buffer(buffer) => Ok(buffer.clone()),
            Value::Bytes(bytes) | Value::ByteArray(bytes) => Ok(Self::here(bytes, Layout::row::<u8>(bytes.len()))),
            Value::Array(array) => match layout_of(array) {
                Some(layout) => Ok(Self::here(&array.bytes, layout)),
                None => Err(mismatch("a buffer", &value)),
            },
            Value::Object(proxy) => proxy.untyped_buffer(),
            _ => Err(mismatch("a buffer", &value)),
        }
    }
}

impl<T: Element> FromRemote for Buffer<T> {
    fn from_remote(value: Value) -> Result<Self> {
        UntypedBuffer::from_remote(value)?.into_typed()
    }
}

impl IntoRemote for &UntypedBuffer {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.buffer(self);
        Ok(())
    }
}

impl IntoRemote for UntypedBuffer {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        (&self).into_remote(out)
    }
}

impl<T: Element> IntoRemote for &Buffer<T> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.buffer(self);
        Ok(())
    }
}

impl<T: Element> IntoRemote for Buffer<T> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        (&self).into_remote(out)
    }
}

impl<T: Element> IntoRemote for AsBuffer<'_, T> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.numbers(self.0);
        Ok(())
    }
}

/// How the items of an array lie, if they are numbers of which a buffer can tell the type.
fn layout_of(array: &Array) -> Option<Layout> {
    let Value::Str(dtype) = &array.dtype else { return None };
    let (order, kind) = dtype.split_at_checked(1)?;
    let letter = match kind {
        "b1" => "?",
        "i1" => "b",
        "i2" => "h",
        "i4" => "i",
        "i8" => "q",
        "u1" => "B",
        "u2" => "H",
        "u4" => "I",
        "u8" => "Q",
        "f2" => "e",
        "f4" => "f",
        "f8" => "d",
        _ => return None,
    };
    let format = if order == "|" { letter.to_owned() } else { format!("{order}{letter}") };
    let order = if array.row_major { "C" } else { "F" };
    Layout::new(order, &format, kind[1..].parse().ok()?, &array.shape, array.bytes.len())
}
