//! From what serde is shown of a type to a value.

use ::serde::Serialize;
use ::serde::ser::{
    Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

use super::{Misfit, Step};
use crate::remote::value::{BigInt, Value};

type Result<T = Value> = std::result::Result<T, Misfit>;

/// Makes one value.
pub(super) struct Writing;

/// Items in a row, and what becomes of them.
pub(super) struct Row {
    items: Vec<Value>,
    whole: fn(Vec<Value>) -> Value,
    variant: Option<&'static str>,
}

/// Pairs.
pub(super) struct Pairs {
    pairs: Vec<(Value, Value)>,
    key: Option<Value>,
    variant: Option<&'static str>,
}

impl Error for Misfit {
    fn custom<T: std::fmt::Display>(what: T) -> Self {
        Self::new(what.to_string())
    }
}

fn row(len: usize, whole: fn(Vec<Value>) -> Value, variant: Option<&'static str>) -> Row {
    Row { items: Vec::with_capacity(len), whole, variant }
}

fn pairs(len: usize, variant: Option<&'static str>) -> Pairs {
    Pairs { pairs: Vec::with_capacity(len), key: None, variant }
}

fn name(name: &str) -> Value {
    Value::Str(name.to_owned())
}

/// A variant with what is in it, tagged from outside.
fn tagged(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Dict(vec![(name(variant), value)]),
        None => value,
    }
}

/// A key that a dict can have; a list is none.
fn key(value: Value) -> Result {
    fn inside(value: &Value) -> Option<&Value> {
        match value {
            Value::List(_) | Value::Dict(_) => Some(value),
            Value::Tuple(items) => items.iter().find_map(inside),
            _ => None,
        }
    }
    match inside(&value) {
        Some(found) => Err(Misfit::new(format!("{} cannot be the key of a dict", found.kind()))),
        None => Ok(value),
    }
}

macro_rules! integers {
    ($($method:ident $type:ty)*) => {$(
        fn $method(self, value: $type) -> Result {
            Ok(Value::Int(value.into()))
        }
    )*};
}

impl Serializer for Writing {
    type Ok = Value;
    type Error = Misfit;
    type SerializeSeq = Row;
    type SerializeTuple = Row;
    type SerializeTupleStruct = Row;
    type SerializeTupleVariant = Row;
    type SerializeMap = Pairs;
    type SerializeStruct = Pairs;
    type SerializeStructVariant = Pairs;

    integers! {
        serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_i64 i64 serialize_i128 i128
        serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 serialize_u64 u64
    }

    fn serialize_u128(self, value: u128) -> Result {
        let big = || Value::BigInt(BigInt { negative: false, magnitude: value.to_be_bytes().to_vec() });
        Ok(i128::try_from(value).map_or_else(|_| big(), Value::Int))
    }

    fn serialize_bool(self, value: bool) -> Result {
        Ok(Value::Bool(value))
    }

    fn serialize_f32(self, value: f32) -> Result {
        Ok(Value::Float(value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result {
        Ok(Value::Float(value))
    }

    fn serialize_char(self, value: char) -> Result {
        Ok(Value::Str(value.to_string()))
    }

    fn serialize_str(self, value: &str) -> Result {
        Ok(name(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result {
        Ok(Value::Bytes(value.to_vec()))
    }

    fn serialize_none(self) -> Result {
        Ok(Value::None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result {
        Ok(Value::None)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result {
        Ok(Value::None)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result {
        Ok(name(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result {
        let value = value.serialize(self).map_err(|misfit| misfit.inside(Step::Name(variant.to_owned())))?;
        Ok(tagged(Some(variant), value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Row> {
        Ok(row(len.unwrap_or(0), Value::List, None))
    }

    fn serialize_tuple(self, len: usize) -> Result<Row> {
        Ok(row(len, Value::Tuple, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Row> {
        Ok(row(len, Value::Tuple, None))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, len: usize) -> Result<Row> {
        Ok(row(len, Value::Tuple, Some(variant)))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Pairs> {
        Ok(pairs(len.unwrap_or(0), None))
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Pairs> {
        Ok(pairs(len, None))
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, len: usize) -> Result<Pairs> {
        Ok(pairs(len, Some(variant)))
    }
}

impl Row {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let place = self.items.len();
        self.items.push(value.serialize(Writing).map_err(|misfit| misfit.inside(Step::item(place)))?);
        Ok(())
    }

    fn finish(self) -> Result {
        Ok(tagged(self.variant, (self.whole)(self.items)))
    }
}

impl Pairs {
    fn add<T: Serialize + ?Sized>(&mut self, key: Value, value: &T) -> Result<()> {
        let value = value.serialize(Writing).map_err(|misfit| misfit.inside(Step::behind(&key)))?;
        self.pairs.push((key, value));
        Ok(())
    }

    fn finish(self) -> Result {
        Ok(tagged(self.variant, Value::Dict(self.pairs)))
    }
}

macro_rules! rows {
    ($($part:ident $method:ident)*) => {$(
        impl $part for Row {
            type Ok = Value;
            type Error = Misfit;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.add(value)
            }

            fn end(self) -> Result {
                self.finish()
            }
        }
    )*};
}

rows! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! fields {
    ($($part:ident)*) => {$(
        impl $part for Pairs {
            type Ok = Value;
            type Error = Misfit;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> Result<()> {
                self.add(name(field), value)
            }

            fn end(self) -> Result {
                self.finish()
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Pairs {
    type Ok = Value;
    type Error = Misfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.key = Some(key(value.serialize(Writing)?)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = self.key.take().ok_or_else(|| Misfit::new("a map gave a value without its key"))?;
        self.add(key, value)
    }

    fn end(self) -> Result {
        self.finish()
    }
}
