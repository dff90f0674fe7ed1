//! Numbers: of each width, refused where they do not fit.

use super::{FromRemote, IntoRemote, mismatch, plain};
use crate::op::Op;
use crate::remote::encode::Encoder;
use crate::remote::fault::{Fault, Result};
use crate::remote::value::Value;

/// An integer, or what an object says that it is as one.
fn integer(value: Value) -> Result<i128> {
    match plain(value) {
        Value::Int(value) => Ok(value),
        Value::Bool(value) => Ok(value.into()),
        Value::Object(proxy) => match special(&proxy, "__index__")? {
            Value::Int(value) => Ok(value),
            other => Err(mismatch("an int", &other)),
        },
        other => Err(mismatch("an int", &other)),
    }
}

fn special(proxy: &crate::remote::Proxy, name: &str) -> Result<Value> {
    let found = proxy.ask(Op::Special, 2, |out| {
        out.text(name);
        out.tuple(0);
        Ok(())
    });
    match found {
        // It is not one: that is what the caller is to hear, and not which method it has not.
        Err(Fault::Raised(raised)) if raised.is_instance("AttributeError") => {
            Err(Fault::mismatch(format!("wanted a number, found {}", proxy.kind())))
        }
        found => Ok(plain(found?)),
    }
}

/// All of them, if each fits into 64 bits.
fn small<T: Copy + TryInto<i64>>(items: &[T]) -> Option<Vec<i64>> {
    items.iter().map(|&item| item.try_into().ok()).collect()
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl FromRemote for $type {
            fn from_remote(value: Value) -> Result<Self> {
                let value = integer(value)?;
                let wide = || Fault::mismatch(format!("the int {value} does not fit into {}", stringify!($type)));
                Self::try_from(value).map_err(|_| wide())
            }
        }

        impl IntoRemote for $type {
            fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
                match i64::try_from(self) {
                    Ok(small) => out.int(small),
                    // What is wider than 128 bits does not exist here.
                    Err(_) => out.big(i128::try_from(self).unwrap_or_default()),
                }
                Ok(())
            }

            fn all_into_remote(items: impl ExactSizeIterator<Item = Self>, out: &mut Encoder<'_>) -> Result<()> {
                let items: Vec<Self> = items.collect();
                if let Some(small) = small(&items) {
                    out.integers(&small);
                    return Ok(());
                }
                out.list(items.len());
                items.into_iter().try_for_each(|item| item.into_remote(out))
            }
        }

        impl IntoRemote for &$type {
            fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
                (*self).into_remote(out)
            }

            fn all_into_remote(items: impl ExactSizeIterator<Item = Self>, out: &mut Encoder<'_>) -> Result<()> {
                <$type>::all_into_remote(items.copied(), out)
            }
        }
    )*};
}

integers! { i8 i16 i32 i64 i128 isize u16 u32 u64 usize }

impl FromRemote for u128 {
    fn from_remote(value: Value) -> Result<Self> {
        if let Value::BigInt(big) = &value
            && !big.negative
            && big.magnitude.len() <= 16
        {
            return Ok(big.magnitude.iter().fold(0, |value, &byte| value << 8 | Self::from(byte)));
        }
        let value = integer(value)?;
        Self::try_from(value).map_err(|_| Fault::mismatch(format!("the int {value} does not fit into u128")))
    }
}

impl IntoRemote for u128 {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.unsigned(self);
        Ok(())
    }
}

impl FromRemote for u8 {
    fn from_remote(value: Value) -> Result<Self> {
        let value = integer(value)?;
        Self::try_from(value).map_err(|_| Fault::mismatch(format!("the int {value} does not fit into u8")))
    }

    fn all_from_bytes(bytes: &[u8]) -> Option<Vec<Self>> {
        Some(bytes.to_vec())
    }
}

impl IntoRemote for u8 {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        out.int(self.into());
        Ok(())
    }

    fn all_into_remote(items: impl ExactSizeIterator<Item = Self>, out: &mut Encoder<'_>) -> Result<()> {
        out.bytes(&items.collect::<Vec<_>>());
        Ok(())
    }
}

impl IntoRemote for &u8 {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        (*self).into_remote(out)
    }

    fn all_into_remote(items: impl ExactSizeIterator<Item = Self>, out: &mut Encoder<'_>) -> Result<()> {
        u8::all_into_remote(items.copied(), out)
    }
}

impl FromRemote for f64 {
    fn from_remote(value: Value) -> Result<Self> {
        match plain(value) {
            Value::Float(value) => Ok(value),
            Value::Int(value) => Ok(value as Self),
            Value::Bool(value) => Ok(f64::from(u8::from(value))),
            Value::Object(proxy) => match special(&proxy, "__float__")? {
                Value::Float(value) => Ok(value),
                other => Err(mismatch("a float", &other)),
            },
            other => Err(mismatch("a float", &other)),
        }
    }
}

impl FromRemote for f32 {
    fn from_remote(value: Value) -> Result<Self> {
        f64::from_remote(value).map(|value| value as Self)
    }
}

macro_rules! floats {
    ($($type:ty)*) => {$(
        impl IntoRemote for $type {
            fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
                out.float(self.into());
                Ok(())
            }

            fn all_into_remote(items: impl ExactSizeIterator<Item = Self>, out: &mut Encoder<'_>) -> Result<()> {
                out.floats(&items.map(f64::from).collect::<Vec<_>>());
                Ok(())
            }
        }

        impl IntoRemote for &$type {
            fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
                (*self).into_remote(out)
            }

            fn all_into_remote(items: impl ExactSizeIterator<Item = Self>, out: &mut Encoder<'_>) -> Result<()> {
                <$type>::all_into_remote(items.copied(), out)
            }
        }
    )*};
}

floats! { f32 f64 }
