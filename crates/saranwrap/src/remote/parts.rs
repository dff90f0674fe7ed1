//! What derived conversions take apart: the items of a dict or a sequence, or the attributes of an object.

use std::cell::Cell;

use super::convert::{FromRemote, mismatch};
use super::fault::{Fault, Result};
use super::object::Object;
use super::value::Value;

/// A value that is taken apart by names, or in order.
#[derive(Debug)]
pub struct Parts(Kind);

#[derive(Debug)]
enum Kind {
    Items(Vec<(Value, Value)>),
    Attributes(Value),
    Row(std::vec::IntoIter<Value>),
}

impl Parts {
    /// Something with names.
    pub fn named(value: Value) -> Result<Self> {
        match value {
            Value::Dict(pairs) => Ok(Self(Kind::Items(pairs))),
            Value::Object(proxy) if !proxy.is_class() && proxy.class_name()?.qualname == "dict" => {
                match proxy.fetch()? {
                    Value::Dict(pairs) => Ok(Self(Kind::Items(pairs))),
                    other => Err(mismatch("a dict", &other)),
                }
            }
            object @ Value::Object(_) => Ok(Self(Kind::Attributes(object))),
            other => Err(mismatch("a dict or an object with attributes", &other)),
        }
    }

    /// So many things in a row.
    pub fn sequence(value: Value, count: usize) -> Result<Self> {
        let items: Vec<Value> = value.extract()?;
        match items.len() {
            found if found == count => Ok(Self(Kind::Row(items.into_iter()))),
            found => Err(Fault::mismatch(format!("wanted {count} items, found {found}"))),
        }
    }

    /// A name alone.
    pub fn unit(value: Value, name: &str) -> Result<()> {
        match value {
            Value::Str(text) if text == name => Ok(()),
            Value::Str(text) => Err(Fault::mismatch(format!("wanted {name:?}, found {text:?}"))),
            other => Err(mismatch(&format!("{name:?}"), &other)),
        }
    }

    /// The part of this name.
    pub fn take<T: FromRemote>(&mut self, name: &str) -> Result<T> {
        match self.find(name)? {
            Some(value) => part(value).map_err(|fault| about(name, fault)),
            None => T::absent().ok_or_else(|| Fault::mismatch(format!("there is no `{name}`"))),
        }
    }

    /// The part of this name; where there is none, what the type begins with.
    pub fn take_or_default<T: FromRemote + Default>(&mut self, name: &str) -> Result<T> {
        match self.find(name)? {
            Some(value) => part(value).map_err(|fault| about(name, fault)),
            None => Ok(T::default()),
        }
    }

    /// The next one.
    // Not an `Iterator`: each is of another type.
    #[allow(clippy::should_implement_trait)]
    pub fn next<T: FromRemote>(&mut self) -> Result<T> {
        let Kind::Row(row) = &mut self.0 else { return Err(Fault::mismatch("a value with names is in no order")) };
        part(row.next().unwrap_or(Value::None))
    }

    fn find(&mut self, name: &str) -> Result<Option<Value>> {
        match &mut self.0 {
            Kind::Items(pairs) => {
                let place = pairs.iter().position(|(key, _)| matches!(key, Value::Str(key) if key == name));
                Ok(place.map(|place| pairs.swap_remove(place).1))
            }
            Kind::Attributes(object) => match object.getattr(name) {
                Ok(value) => Ok(Some(value)),
                Err(fault) if fault.is_instance("AttributeError") => Ok(None),
                Err(fault) => Err(fault),
            },
            Kind::Row(_) => Ok(None),
        }
    }
}

/// How many types may be inside each other.  An object of the other side may lead to itself, and this thread's stack has an end.
const MOST_LEVELS: usize = 128;

thread_local! {
    static LEVEL: Cell<usize> = const { Cell::new(0) };
}

/// What is read of a part, one level further in.
fn part<T: FromRemote>(value: Value) -> Result<T> {
    struct Stay;
    impl Drop for Stay {
        fn drop(&mut self) {
            LEVEL.set(LEVEL.get() - 1);
        }
    }
    LEVEL.set(LEVEL.get() + 1);
    let _stay = Stay;
    if LEVEL.get() > MOST_LEVELS {
        return Err(Fault::mismatch(format!("parts are nested more than {MOST_LEVELS} deep")));
    }
    T::from_remote(value)
}

fn about(name: &str, fault: Fault) -> Fault {
    match fault {
        Fault::Mismatch(what) => Fault::mismatch(format!("`{name}`: {what}")),
        other => other,
    }
}
