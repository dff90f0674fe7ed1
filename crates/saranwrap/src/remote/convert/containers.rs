//! Tuples, sequences, sets and maps.  A list, dict or set of the other side's is fetched by value.

use super::super::tuples::each_tuple;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

use super::{FromRemote, IntoRemote, fetched, mismatch};
use crate::remote::encode::Encoder;
use crate::remote::fault::{Fault, Result};
use crate::remote::object::Object;
use crate::remote::value::Value;

fn items(value: Value) -> Result<Vec<Value>> {
    match fetched(value)? {
        Value::Tuple(items) | Value::List(items) | Value::Set(items) | Value::FrozenSet(items) => Ok(items),
        other => Err(mismatch("a sequence", &other)),
    }
}

fn pairs(value: Value) -> Result<Vec<(Value, Value)>> {
    match fetched(value)? {
        Value::Dict(pairs) => Ok(pairs),
        other => Err(mismatch("a dict", &other)),
    }
}

impl<T: FromRemote> FromRemote for Vec<T> {
    /// Of any sequence or set; of bytes where `T` is `u8`.  Whatever else can be iterated is read to its end.
    fn from_remote(value: Value) -> Result<Self> {
        if let Value::Object(proxy) = &value
            && proxy.value().is_none()
        {
            return match proxy.fetch() {
                // A child that lies could go on so for ever.
                Ok(Value::Object(same)) if same.value().is_none() => Err(mismatch("a sequence", &Value::Object(same))),
                Ok(fetched) => Self::from_remote(fetched),
                // What cannot be fetched as a whole may give its items one by one.
                Err(Fault::Raised(_)) => proxy.try_iter()?.map(|item| item?.extract()).collect(),
                Err(other) => Err(other),
            };
        }
        match fetched(value)? {
            Value::Bytes(bytes) | Value::ByteArray(bytes) => {
                T::all_from_bytes(&bytes).ok_or_else(|| Fault::mismatch("wanted a sequence, found bytes"))
            }
            value => items(value)?.into_iter().map(T::from_remote).collect(),
        }
    }
}

impl<T: FromRemote> FromRemote for VecDeque<T> {
    fn from_remote(value: Value) -> Result<Self> {
        Vec::from_remote(value).map(Self::from)
    }
}

impl<T: FromRemote, const N: usize> FromRemote for [T; N] {
    fn from_remote(value: Value) -> Result<Self> {
        let items: Vec<T> = Vec::from_remote(value)?;
        let found = items.len();
        items.try_into().map_err(|_| Fault::mismatch(format!("wanted {N} items, found {found}")))
    }
}

impl<T: FromRemote + Eq + Hash, S: BuildHasher + Default> FromRemote for HashSet<T, S> {
    fn from_remote(value: Value) -> Result<Self> {
        items(value)?.into_iter().map(T::from_remote).collect()
    }
}

impl<T: FromRemote + Ord> FromRemote for BTreeSet<T> {
    fn from_remote(value: Value) -> Result<Self> {
        items(value)?.into_iter().map(T::from_remote).collect()
    }
}

impl<K: FromRemote + Eq + Hash, V: FromRemote, S: BuildHasher + Default> FromRemote for HashMap<K, V, S> {
    fn from_remote(value: Value) -> Result<Self> {
        pairs(value)?.into_iter().map(|(key, value)| Ok((K::from_remote(key)?, V::from_remote(value)?))).collect()
    }
}

impl<K: FromRemote + Ord, V: FromRemote> FromRemote for BTreeMap<K, V> {
    fn from_remote(value: Value) -> Result<Self> {
        pairs(value)?.into_iter().map(|(key, value)| Ok((K::from_remote(key)?, V::from_remote(value)?))).collect()
    }
}

macro_rules! tuples {
    ($(($($name:ident $place:tt),*))*) => {$(
        impl<$($name: FromRemote),*> FromRemote for ($($name,)*) {
            fn from_remote(value: Value) -> Result<Self> {
                const PLACES: &[usize] = &[$($place),*];
                const COUNT: usize = PLACES.len();
                let items = items(value)?;
                if items.len() != COUNT {
                    return Err(Fault::mismatch(format!("wanted {COUNT} items, found {}", items.len())));
                }
                let mut items = items.into_iter();
                Ok(($($name::from_remote(items.next().unwrap_or(Value::None))?,)*))
            }
        }

        impl<$($name: IntoRemote),*> IntoRemote for ($($name,)*) {
            fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
                const PLACES: &[usize] = &[$($place),*];
                const COUNT: usize = PLACES.len();
                out.tuple(COUNT);
                $(self.$place.into_remote(out)?;)*
                Ok(())
            }
        }
    )*};
}

each_tuple!(tuples);

impl<T: IntoRemote> IntoRemote for Vec<T> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        T::all_into_remote(self.into_iter(), out)
    }
}

impl<T: IntoRemote, const N: usize> IntoRemote for [T; N] {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        T::all_into_remote(self.into_iter(), out)
    }
}

impl<T: IntoRemote> IntoRemote for VecDeque<T> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        T::all_into_remote(self.into_iter(), out)
    }
}

impl<'a, T> IntoRemote for &'a [T]
where
    &'a T: IntoRemote,
{
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        <&'a T>::all_into_remote(self.iter(), out)
    }
}

impl<'a, T> IntoRemote for &'a Vec<T>
where
    &'a T: IntoRemote,
{
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        self.as_slice().into_remote(out)
    }
}

impl<'a, T, const N: usize> IntoRemote for &'a [T; N]
where
    &'a T: IntoRemote,
{
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        self.as_slice().into_remote(out)
    }
}

fn set<T: IntoRemote>(items: impl ExactSizeIterator<Item = T>, out: &mut Encoder<'_>) -> Result<()> {
    out.set(items.len());
    items.into_iter().try_for_each(|item| item.into_remote(out))
}

fn dict<K: IntoRemote, V: IntoRemote>(
    pairs: impl ExactSizeIterator<Item = (K, V)>,
    out: &mut Encoder<'_>,
) -> Result<()> {
    out.dict(pairs.len());
    pairs.into_iter().try_for_each(|(key, value)| key.into_remote(out).and_then(|()| value.into_remote(out)))
}

impl<T: IntoRemote, S> IntoRemote for HashSet<T, S> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        set(self.into_iter(), out)
    }
}

impl<T: IntoRemote> IntoRemote for BTreeSet<T> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        set(self.into_iter(), out)
    }
}

impl<K: IntoRemote, V: IntoRemote, S> IntoRemote for HashMap<K, V, S> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        dict(self.into_iter(), out)
    }
}

impl<K: IntoRemote, V: IntoRemote> IntoRemote for BTreeMap<K, V> {
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        dict(self.into_iter(), out)
    }
}

impl<'a, K, V, S> IntoRemote for &'a HashMap<K, V, S>
where
    &'a K: IntoRemote,
    &'a V: IntoRemote,
{
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        dict(self.iter(), out)
    }
}

impl<'a, K, V> IntoRemote for &'a BTreeMap<K, V>
where
    &'a K: IntoRemote,
    &'a V: IntoRemote,
{
    fn into_remote(self, out: &mut Encoder<'_>) -> Result<()> {
        dict(self.iter(), out)
    }
}
