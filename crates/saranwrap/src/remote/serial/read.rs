//! From a value to what a type asks serde for.

use std::fmt::Display;

use ::serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use ::serde::forward_to_deserialize_any;

use super::{Misfit, Step};
use crate::remote::convert::fetched;
use crate::remote::fault::Fault;
use crate::remote::value::Value;

type Result<T> = std::result::Result<T, Misfit>;

/// How many containers may be inside each other: a type that has itself in it is read on the stack, which the other side must not exhaust.
const MAX_NESTED: usize = 128;

/// Reads one value.
pub(super) struct Reading {
    value: Value,
    /// What is around it.
    depth: usize,
}

/// Items in a row.
struct Row<I> {
    items: I,
    place: usize,
    depth: usize,
}

/// Pairs.
struct Pairs {
    pairs: std::vec::IntoIter<(Value, Value)>,
    behind: Option<(Step, Value)>,
    depth: usize,
}

/// A variant, and what is in it.
struct Tagged {
    variant: String,
    inside: Option<Reading>,
}

impl Error for Misfit {
    fn custom<T: Display>(what: T) -> Self {
        Self::new(what.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(format!("wanted {wanted}, found {}", told(found)))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(format!("wanted {wanted}, found {}", told(found)))
    }

    fn invalid_length(found: usize, wanted: &dyn Expected) -> Self {
        Self::new(format!("wanted {wanted}, found {found} items"))
    }

    fn unknown_variant(found: &str, _: &'static [&'static str]) -> Self {
        Self::new(format!("there is no variant `{found}`"))
    }

    fn unknown_field(found: &str, _: &'static [&'static str]) -> Self {
        Self::new(format!("nothing is to be called `{found}`"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("there is no `{field}`"))
    }
}

/// What was found, in the words of the other messages.
fn told(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(_) => "a bool".to_owned(),
        Unexpected::Unsigned(number) => format!("the int {number}"),
        Unexpected::Signed(number) => format!("the int {number}"),
        Unexpected::Float(_) => "a float".to_owned(),
        Unexpected::Str(text) => format!("the str {text:?}"),
        Unexpected::Bytes(_) => "bytes".to_owned(),
        Unexpected::Unit => "None".to_owned(),
        Unexpected::Seq => "a sequence".to_owned(),
        Unexpected::Map => "a dict".to_owned(),
        other => other.to_string(),
    }
}

impl Reading {
    pub(super) fn new(value: Value) -> Self {
        Self { value, depth: 0 }
    }

    /// What it is here; what stayed on the other side is fetched.
    fn here(value: Value) -> Result<Value> {
        let kind = match &value {
            Value::Object(proxy) => proxy.kind(),
            _ => return Ok(value),
        };
        fetched(value).map_err(|fault| match fault {
            Fault::Raised(raised) => Misfit::new(format!("{kind} is no plain data: {}", raised.text())),
            other => other.into(),
        })
    }

    /// For what is inside of it.
    fn deeper(&self) -> Result<usize> {
        if self.depth < MAX_NESTED {
            Ok(self.depth + 1)
        } else {
            Err(Misfit::new(format!("a value that is nested deeper than {MAX_NESTED} cannot be read")))
        }
    }

    fn int<'de, V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value> {
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(small), _) => visitor.visit_i64(small),
            (_, Ok(small)) => visitor.visit_u64(small),
            _ => visitor.visit_i128(value),
        }
    }
}

impl<'de> Deserializer<'de> for Reading {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let depth = self.deeper();
        match Self::here(self.value)? {
            Value::None => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Int(value) => Self::int(value, visitor),
            Value::BigInt(big) if !big.negative && big.magnitude.len() <= 16 => {
                visitor.visit_u128(big.magnitude.iter().fold(0, |value, &byte| value << 8 | u128::from(byte)))
            }
            Value::BigInt(_) => Err(Misfit::new("an int of more than 128 bits is no number here")),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Str(text) => visitor.visit_string(text),
            Value::Bytes(bytes) | Value::ByteArray(bytes) => visitor.visit_byte_buf(bytes),
            Value::Tuple(items) | Value::List(items) | Value::Set(items) | Value::FrozenSet(items) => {
                Row::of(items.into_iter(), depth?).all(visitor)
            }
            Value::Dict(pairs) => Pairs { pairs: pairs.into_iter(), behind: None, depth: depth? }.all(visitor),
            other => Err(Misfit::new(format!("{} is nothing that serde knows", other.kind()))),
        }
    }

    /// Of bytes, too, where numbers are wanted.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Self { value, depth } = self;
        match Self::here(value)? {
            Value::Bytes(bytes) | Value::ByteArray(bytes) => {
                Row::of(bytes.into_iter().map(|byte| Value::Int(byte.into())), depth + 1).all(visitor)
            }
            value => Self { value, depth }.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.value.is_none() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let depth = self.deeper();
        let wrong = |found: &str| Misfit::new(format!("wanted a variant of {name}, found {found}"));
        match Self::here(self.value)? {
            Value::Str(variant) => visitor.visit_enum(Tagged { variant, inside: None }),
            Value::Dict(mut pairs) if pairs.len() == 1 => match pairs.pop() {
                Some((Value::Str(variant), value)) => {
                    visitor.visit_enum(Tagged { variant, inside: Some(Self { value, depth: depth? }) })
                }
                _ => Err(wrong("a dict whose key is no str")),
            },
            Value::Dict(pairs) => Err(wrong(&format!("a dict of {} items", pairs.len()))),
            other => Err(wrong(&other.kind())),
        }
    }

    /// Nothing is fetched for nobody.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct map struct identifier
    }
}

impl<I: ExactSizeIterator<Item = Value>> Row<I> {
    fn of(items: I, depth: usize) -> Self {
        Self { items, place: 0, depth }
    }

    /// All that is there, and an error where more is there than was taken.
    fn all<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let made = visitor.visit_seq(&mut self)?;
        match self.items.len() {
            0 => Ok(made),
            left => Err(Misfit::new(format!("wanted {} items, found {}", self.place, self.place + left))),
        }
    }
}

impl<'de, I: ExactSizeIterator<Item = Value>> SeqAccess<'de> for &mut Row<I> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let place = self.place;
        self.place += 1;
        let made = seed.deserialize(Reading { value, depth: self.depth });
        made.map(Some).map_err(|misfit| misfit.inside(Step::item(place)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

impl Pairs {
    fn all<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_map(self)
    }
}

impl<'de> MapAccess<'de> for Pairs {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some((key, value)) = self.pairs.next() else { return Ok(None) };
        self.behind = Some((Step::behind(&key), value));
        seed.deserialize(Reading { value: key, depth: self.depth }).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value> {
        let (step, value) = self.behind.take().ok_or_else(|| Misfit::new("a value was asked for before its key"))?;
        seed.deserialize(Reading { value, depth: self.depth }).map_err(|misfit| misfit.inside(step))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.pairs.len())
    }
}

impl<'de> EnumAccess<'de> for Tagged {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let made = seed.deserialize(Reading::new(Value::Str(self.variant.clone())))?;
        Ok((made, self))
    }
}

impl Tagged {
    fn read<T>(self, read: impl FnOnce(Reading) -> Result<T>) -> Result<T> {
        let Self { variant, inside } = self;
        let inside = inside.ok_or_else(|| Misfit::new(format!("the variant {variant} is without what is in it")))?;
        read(inside).map_err(|misfit| misfit.inside(Step::Name(variant)))
    }
}

impl<'de> VariantAccess<'de> for Tagged {
    type Error = Misfit;

    fn unit_variant(self) -> Result<()> {
        match &self.inside {
            None => Ok(()),
            Some(_) => self.read(<() as ::serde::Deserialize>::deserialize),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        self.read(|inside| seed.deserialize(inside))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.read(|inside| inside.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.read(|inside| inside.deserialize_any(visitor))
    }
}
